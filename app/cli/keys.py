"""`perdure keys`: API keys of yours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.shell import Shell, command

if TYPE_CHECKING:
    from perdure.types import ApiKey

keys = typer.Typer(help="API keys of yours.", no_args_is_help=True)


@command(keys, "create")
def create_key(
    shell: Shell,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    scopes: Annotated[
        list[str],
        typer.Option("--scope", metavar="SCOPE", help="What it is for, e.g. graphs:read; repeatable."),
    ],
    expires_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="When it stops to be valid, e.g. 2030-01-31T00:00:00Z; never if left out."
        ),
    ] = None,
    addresses: Annotated[
        list[str] | None,
        typer.Option(
            "--address", metavar="NETWORK", help="From where it may be used, e.g. 10.0.0.0/8; repeatable."
        ),
    ] = None,
) -> None:
    """Make an API key, and print it this once."""
    with shell.api() as api:
        made = api.keys.create(name, scopes, expires_at=expires_at, addresses=addresses or [])
    shell.answer(made, [made["key"] or ""])


@command(keys, "list")
def list_keys(shell: Shell) -> None:
    """List your API keys without their secrets, newest first."""
    with shell.api() as api:
        found = list(api.keys.list())
    shell.answer(found, map(_described, found))


@command(keys, "revoke")
def revoke_key(shell: Shell, key_id: Annotated[str, typer.Argument(metavar="ID", help="A key.")]) -> None:
    """Revoke an API key, for ever."""
    with shell.api() as api:
        api.keys.revoke(key_id)
    shell.answer({"revoked": key_id}, [f"{key_id}  revoked"])


def _described(key: ApiKey) -> str:
    until = f"  until {key['expires_at']}" if key["expires_at"] else ""
    state = "  suspended" if key["suspended"] else until
    return f"{key['id']}  prd_{key['prefix']}_  {key['name']}  {' '.join(key['scopes'])}{state}"
