"""Logins at providers with OAuth2: begun here, come back here, kept as credentials.

What is remembered of a login travels in its `state`, sealed for its user: nothing is written before it comes back, and
that it has come back is written once.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from app.api.schemas.credentials import CallbackBody
from app.api.services.credentials import CredentialsStore
from app.database import Sessions
from app.encryption.credentials import CredentialsEncryption, CredentialsUnreadable, Sealed
from app.errors import BlockError, EngineUnavailable, InvalidRequest, NotFound
from app.graph.credentials import CredentialsType
from app.models import credentials
from app.models.tables.credentials import StoredCredentials
from app.outbound.oauth import OAuthClient, Tokens
from app.outbound.oauth_providers import OAuthProvider

VALID_FOR = timedelta(minutes=10)
_STATES = uuid.UUID("6c1c8f2e-3c38-4f9b-9b0f-1d0c3c5a7a55")
"""Stands in place of credentials where a state is sealed, so that neither passes for the other."""
_REFUSED = "This login was not begun here, is too old, or has come back before; begin it again"


@dataclass(frozen=True, slots=True)
class Login:
    """A login to be made in a browser."""

    url: str
    state: str


@dataclass(frozen=True, slots=True)
class _State:
    id: uuid.UUID
    provider: str
    verifier: str
    scopes: tuple[str, ...]
    expires_at: datetime


class OAuthLogins:
    """Begins and ends logins."""

    def __init__(
        self,
        sessions: Sessions,
        encryption: CredentialsEncryption,
        client: OAuthClient,
        store: CredentialsStore,
    ) -> None:
        """Take what seals states, who asks providers, and where the result is kept."""
        self._sessions = sessions
        self._encryption = encryption
        self._client = client
        self._store = store

    def begin(self, owner: str, name: str, *, scopes: Sequence[str]) -> Login:
        """Return where to log in.

        Args:
            owner: Who.
            name: The provider.
            scopes: What to ask for, besides what the provider is always asked for.

        Raises:
            NotFound: There is no such provider.
        """
        provider = self._require(name)
        verifier = secrets.token_urlsafe(48)
        wanted = tuple(dict.fromkeys([*provider.scopes, *scopes]))
        state = self._write(
            owner, _State(uuid.uuid4(), name, verifier, wanted, datetime.now(UTC) + VALID_FOR)
        )
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "state": state,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        if wanted:
            query["scope"] = " ".join(wanted)
        if provider.redirect_url:
            query["redirect_uri"] = provider.redirect_url
        separator = "&" if "?" in provider.authorize_url else "?"
        return Login(f"{provider.authorize_url}{separator}{urlencode(query)}", state)

    async def end(self, owner: str, name: str, body: CallbackBody) -> StoredCredentials:
        """Exchange what a browser has come back with for tokens, and keep them.

        Raises:
            NotFound: There is no such provider.
            InvalidRequest: The login was not begun by this user, or not now, or the provider does not accept it.
            EngineUnavailable: The provider cannot be reached.
        """
        provider = self._require(name)
        state = self._read(owner, body.state.get_secret_value())
        if state.provider != name or state.expires_at <= datetime.now(UTC):
            raise InvalidRequest(_REFUSED)
        async with self._sessions.begin() as session:
            is_first = await credentials.use_login(session, state.id, expires_at=state.expires_at)
        if not is_first:
            raise InvalidRequest(_REFUSED)
        tokens = await self._exchange(provider, body.code.get_secret_value(), state.verifier)
        secret = {"access_token": tokens.access_token}
        if tokens.refresh_token:
            secret["refresh_token"] = tokens.refresh_token
        scopes = state.scopes if tokens.scopes is None else tokens.scopes
        return await self._store.keep(
            owner,
            provider=name,
            kind=CredentialsType.OAUTH2,
            title=body.title or name,
            secret=secret,
            shown={"scopes": list(scopes), "expires_at": tokens.expires_at},
        )

    async def _exchange(self, provider: OAuthProvider, code: str, verifier: str) -> Tokens:
        try:
            return await self._client.exchange(provider, code=code, verifier=verifier)
        except BlockError as error:
            # The message is ours: what the provider said is not repeated.
            if error.is_transient:
                raise EngineUnavailable(
                    f"{provider.name} cannot be reached now; begin the login again"
                ) from error
            raise InvalidRequest(f"{provider.name} does not accept this login; begin it again") from error

    def _require(self, name: str) -> OAuthProvider:
        provider = self._client.providers.get(name)
        if provider is None:
            raise NotFound("This server has no login at that provider")
        return provider

    def _write(self, owner: str, state: _State) -> str:
        content = {
            "id": str(state.id),
            "provider": state.provider,
            "verifier": state.verifier,
            "scopes": list(state.scopes),
            "expires_at": state.expires_at.isoformat(),
        }
        sealed = self._encryption.seal(owner, _STATES, content)
        return f"{sealed.key_id}.{base64.urlsafe_b64encode(sealed.content).decode().rstrip('=')}"

    def _read(self, owner: str, text: str) -> _State:
        key_id, _, encoded = text.partition(".")
        try:
            content = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            found = self._encryption.open(owner, _STATES, Sealed(key_id, content))
        except (ValueError, CredentialsUnreadable) as error:
            raise InvalidRequest(_REFUSED) from error
        return _State(
            uuid.UUID(found["id"]),
            found["provider"],
            found["verifier"],
            tuple(found["scopes"]),
            datetime.fromisoformat(found["expires_at"]),
        )


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
