"""`perdure credits`: how you stand, and what your credits went for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.given import Limit
from app.cli.shell import Shell, callback, command

if TYPE_CHECKING:
    from perdure.types import Balance, HistoryItem

credits_commands = typer.Typer(
    help="Your credits: `perdure credits` says how you stand.", invoke_without_command=True
)


@callback(credits_commands)
def show_balance(shell: Shell, context: typer.Context) -> None:
    """Say how you stand."""
    if context.invoked_subcommand is not None:
        return
    with shell.api() as api:
        balance = api.credits.get()
    shell.answer(balance, _described(balance))


@command(credits_commands, "history")
def show_history(
    shell: Shell,
    kind: Annotated[
        str | None, typer.Option(help="EXECUTION, BLOCK, GRANT, TOP_UP, REFUND or ADJUST alone.")
    ] = None,
    execution_id: Annotated[
        str | None, typer.Option("--execution", metavar="ID", help="What this execution has cost alone.")
    ] = None,
    limit: Limit = 20,
) -> None:
    """List what your credits went for and where they came from, newest first."""
    with shell.api() as api:
        found = list(api.credits.history(kind=kind, execution_id=execution_id, limit=limit))
    shell.answer(found, map(_line_of, found))


def _described(balance: Balance) -> Iterator[str]:
    low = "  (low)" if balance["low_balance"] else ""
    yield f"{balance['credits']} credits, {balance['reserved']} reserved{low}"
    yield f"spent today: {_of(balance['spent_today'], balance['daily_budget'], balance['daily_limit'])}"
    yield f"spent: {_of(balance['spent'], balance['total_budget'], balance['total_limit'])}"


def _of(spent: int, *bounds: int | None) -> str:
    given = [bound for bound in bounds if bound is not None]
    return f"{spent} of {min(given)}" if given else f"{spent}"


def _line_of(item: HistoryItem) -> str:
    what = item["reason"] or ""
    if item["execution_id"] is not None:
        what = f"{item['graph_name'] or ''}  {item['execution_id']}  {item['status'] or ''}"
    return f"{item['at']}  {item['amount']:+8d}  {item['kind']:9}  {what}".rstrip()
