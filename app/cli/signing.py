"""Signs what `perdure token` prints. Apart from the command, so that no other waits for settings and cryptography."""

from __future__ import annotations

import sys

from app.api.auth import issue_token
from app.embedded.home import Home
from app.settings.settings import Settings, SettingsRefused, read_settings, reveal


def sign_token(*, email: str, role: str, lifetime_seconds: int) -> str:
    """Return a token for the API, signed with the secret that is set or that the embedded stack has made.

    Raises:
        PerdureError: There is no secret to sign with, or the settings are wrong.
    """
    settings = read_settings()
    return issue_token(
        _require_secret(settings),
        email=email,
        role=role,
        lifetime_seconds=lifetime_seconds,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )


def _require_secret(settings: Settings) -> str:
    if (secret := reveal(settings.jwt_secret)) is not None:
        return secret
    if settings.jwt_jwks_url is not None:
        raise SettingsRefused("Tokens come from whoever publishes PERDURE_JWT_JWKS_URL")
    if not settings.is_embedded:
        raise SettingsRefused("PERDURE_JWT_SECRET is missing")
    home = Home(settings.home)
    if not home.has_secrets:
        # Or somebody who is in another folder than their server wonders why a good token is refused.
        note = f"{home.path.absolute()} is new: the token is for a server that is started on that folder"
        print(f"perdure: {note}", file=sys.stderr)
    return home.secrets().jwt_secret
