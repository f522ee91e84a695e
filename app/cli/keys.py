"""`perdure keys`: API keys of yours."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from app.cli.api_client import DEFAULT_URL, ApiClient, ApiKey, ApiUrl, AsJson

PATH = "/api/user/api-keys"
PAGE = 200

keys = typer.Typer(help="API keys of yours.", no_args_is_help=True)


@keys.command("create")
def create_key(
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
    as_json: AsJson = False,
    api_url: ApiUrl = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """Make an API key, and print it this once."""
    body: dict[str, Any] = {"name": name, "scopes": scopes, "addresses": addresses or []}
    if expires_at is not None:
        body["expires_at"] = expires_at
    made = ApiClient(api_url, api_key).call("POST", PATH, body=body)
    print(json.dumps(made, indent=2) if as_json else made["key"])


@keys.command("list")
def list_keys(as_json: AsJson = False, api_url: ApiUrl = DEFAULT_URL, api_key: ApiKey = "") -> None:
    """List your API keys without their secrets, newest first."""
    found = ApiClient(api_url, api_key).call("GET", PATH, params={"limit": PAGE})["items"]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for key in found:
        until = f"  until {key['expires_at']}" if key["expires_at"] else ""
        state = "  suspended" if key["suspended"] else until
        print(f"{key['id']}  prd_{key['prefix']}_  {key['name']}  {' '.join(key['scopes'])}{state}")


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="A key.")],
    as_json: AsJson = False,
    api_url: ApiUrl = DEFAULT_URL,
    api_key: ApiKey = "",
) -> None:
    """Revoke an API key, for ever."""
    ApiClient(api_url, api_key).call("DELETE", f"{PATH}/{quote(key_id, safe='')}")
    print(json.dumps({"revoked": key_id}) if as_json else f"{key_id}  revoked")
