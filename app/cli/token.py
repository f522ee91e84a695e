"""`perdure token`: a token for trying things out, signed with the secret of the server on this machine."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from app.cli.shell import AsJson
from app.errors import PerdureError


class Role(StrEnum):
    """What the holder may do."""

    USER = "user"
    ADMIN = "admin"


def token(
    user: Annotated[str, typer.Option("--user", metavar="EMAIL", help="Whom the token speaks for.")],
    role: Annotated[Role, typer.Option(help="What the holder may do.")] = Role.USER,
    lifetime_seconds: Annotated[int, typer.Option(min=1, help="How long it is valid.")] = 86_400,
    as_json: AsJson = False,
) -> None:
    """Print a token for the API, signed with PERDURE_JWT_SECRET or with the secret of the embedded stack."""
    from app.cli.signing import sign_token  # noqa: PLC0415 - it costs every other command half of its time

    try:
        signed = sign_token(email=user, role=role.value, lifetime_seconds=lifetime_seconds)
    except PerdureError as error:
        print(f"perdure: {error.message}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(json.dumps({"token": signed}) if as_json else signed)
