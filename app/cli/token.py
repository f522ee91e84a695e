"""`perdure token`: a token for trying things out, signed with the secret of the server on this machine."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from app.api.auth import issue_token
from app.embedded.home import Home
from app.errors import PerdureError
from app.settings.settings import Settings, SettingsRefused, read_settings, reveal


class Role(StrEnum):
    """What the holder may do."""

    USER = "user"
    ADMIN = "admin"


def token(
    user: Annotated[str, typer.Option("--user", metavar="EMAIL", help="Whom the token speaks for.")],
    role: Annotated[Role, typer.Option(help="What the holder may do.")] = Role.USER,
    lifetime_seconds: Annotated[int, typer.Option(min=1, help="How long it is valid.")] = 86_400,
) -> None:
    """Print a token for the API, signed with PERDURE_JWT_SECRET or with the secret of the embedded stack."""
    try:
        settings = read_settings()
        text = issue_token(
            _require_secret(settings),
            email=user,
            role=role.value,
            lifetime_seconds=lifetime_seconds,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
        )
        print(text)
    except PerdureError as error:
        print(f"perdure: {error.message}", file=sys.stderr)
        raise typer.Exit(1) from None


def _require_secret(settings: Settings) -> str:
    if (secret := reveal(settings.jwt_secret)) is not None:
        return secret
    if settings.jwt_jwks_url is not None:
        raise SettingsRefused("Tokens come from whoever publishes PERDURE_JWT_JWKS_URL")
    if not settings.is_embedded:
        raise SettingsRefused("PERDURE_JWT_SECRET is missing")
    return Home(settings.home).secrets().jwt_secret
