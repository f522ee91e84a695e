"""Speaks with the token endpoints of OAuth2 providers: exchanges codes and refresh tokens.

Who may log in, and where tokens are kept, is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from app.errors import BlockError, BlockUnavailable, Category
from app.outbound.http import OutboundHttp
from app.outbound.oauth_providers import OAuthProvider
from app.outbound.response import Response

TIMEOUT_SECONDS = 15.0
_LONGEST_LIFE_SECONDS = 10 * 365 * 86_400


class GrantRefused(BlockError):
    """The provider does not accept the login any more."""

    code = "GRANT_REFUSED"
    category = Category.AUTH


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider has given."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    """None when an earlier one stays valid, or there is none."""
    expires_at: datetime | None = None
    scopes: tuple[str, ...] | None = None
    """What was allowed; None when the provider does not say."""


class OAuthClient:
    """Asks providers for tokens."""

    def __init__(self, http: OutboundHttp, providers: Mapping[str, OAuthProvider]) -> None:
        """Take the client to speak through, and the providers by name."""
        self._http = http
        self.providers = providers

    async def exchange(self, provider: OAuthProvider, *, code: str, verifier: str) -> Tokens:
        """Return the tokens for a code that somebody has come back from a login with.

        Args:
            provider: Where they logged in.
            code: What they came back with.
            verifier: What the login was begun with, to prove that it was begun here.

        Raises:
            GrantRefused: The provider does not accept the code.
            BlockUnavailable: It cannot be reached now.
            BlockError: Its answer cannot be understood.
        """
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        if provider.redirect_url:
            form["redirect_uri"] = provider.redirect_url
        return await self._ask(provider, form)

    async def refresh(self, provider: OAuthProvider, *, refresh_token: str) -> Tokens:
        """Return new tokens for a refresh token.

        Raises:
            GrantRefused: The provider does not accept it any more.
            BlockUnavailable: It cannot be reached now.
            BlockError: Its answer cannot be understood.
        """
        return await self._ask(provider, {"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def _ask(self, provider: OAuthProvider, form: dict[str, str]) -> Tokens:
        form["client_id"] = provider.client_id
        if provider.client_secret:
            form["client_secret"] = provider.client_secret
        response = await self._http.request(
            "POST",
            provider.token_url,
            headers={"Accept": "application/json"},
            form=form,
            timeout_seconds=TIMEOUT_SECONDS,
        )
        answer = _object_of(response)
        if response.status_code == 429 or response.status_code >= 500:
            raise BlockUnavailable(
                f"The login service of {provider.name} answered {response.status_code}",
                retry_after_seconds=response.retry_after_seconds,
            )
        # Some providers report a refusal with 200.
        if not response.is_success or "error" in answer:
            raise GrantRefused(f"{provider.name} does not accept this login any more; log in again")
        return _tokens_of(provider, answer)


def _object_of(response: Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _tokens_of(provider: OAuthProvider, answer: Mapping[str, Any]) -> Tokens:
    access_token, refresh_token = answer.get("access_token"), answer.get("refresh_token")
    if not isinstance(access_token, str) or not access_token:
        raise BlockError(f"The login service of {provider.name} gave no token")
    seconds, scope = answer.get("expires_in"), answer.get("scope")
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if isinstance(seconds, str) and seconds.isdecimal() and len(seconds) < 12:
        seconds, is_number = int(seconds), True
    return Tokens(
        access_token=access_token,
        refresh_token=refresh_token if isinstance(refresh_token, str) and refresh_token else None,
        expires_at=_after(float(seconds)) if is_number and seconds is not None else None,
        scopes=tuple(scope.split()) if isinstance(scope, str) else None,
    )


def _after(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=min(max(0.0, seconds), _LONGEST_LIFE_SECONDS))
