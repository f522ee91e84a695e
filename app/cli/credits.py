"""`perdure credits`: how you stand, and what your credits went for."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from app.cli.api_client import DEFAULT_URL, ApiClient, ApiKey, ApiUrl, AsJson

PATH = "/api/user/credits"
MAX_PAGE = 200

credits_commands = typer.Typer(
    help="Your credits: `perdure credits` says how you stand.", invoke_without_command=True
)


@credits_commands.callback()
def show_balance(
    context: typer.Context, as_json: AsJson = False, api_url: ApiUrl = DEFAULT_URL, api_key: ApiKey = ""
) -> None:
    """Say how you stand."""
    if context.invoked_subcommand is not None:
        return
    standing = ApiClient(api_url, api_key).call("GET", PATH)
    if as_json:
        print(json.dumps(standing, indent=2))
        return
    low = "  (low)" if standing["low_balance"] else ""
    print(f"{standing['credits']} credits, {standing['reserved']} reserved{low}")
    print(f"spent today: {_of(standing['spent_today'], standing['daily_budget'], standing['daily_limit'])}")
    print(f"spent: {_of(standing['spent'], standing['total_budget'], standing['total_limit'])}")


@credits_commands.command("history")
def show_history(
    kind: Annotated[
        str | None, typer.Option(help="EXECUTION, BLOCK, GRANT, TOP_UP, REFUND or ADJUST alone.")
    ] = None,
    execution_id: Annotated[
        str | None, typer.Option("--execution", metavar="ID", help="What this execution has cost alone.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
    api_url: ApiUrl = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """List what your credits went for and where they came from, newest first."""
    params = {"kind": kind, "execution_id": execution_id, "limit": limit}
    answer = ApiClient(api_url, api_key).call("GET", f"{PATH}/history", params=params)
    if as_json:
        print(json.dumps(answer, indent=2))
        return
    for item in answer["items"]:
        print(f"{item['at']}  {item['amount']:+8d}  {item['kind']:9}  {_described(item)}".rstrip())


def _of(spent: int, *bounds: int | None) -> str:
    given = [bound for bound in bounds if bound is not None]
    return f"{spent} of {min(given)}" if given else f"{spent}"


def _described(item: dict[str, Any]) -> str:
    if item["execution_id"] is None:
        return str(item["reason"] or "")
    return f"{item['graph_name'] or ''}  {item['execution_id']}  {item['status'] or ''}"
