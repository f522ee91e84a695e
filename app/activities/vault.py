"""Opens the credentials of users for the blocks that use them, at the moment they use them. Nothing is kept here.

The owner is checked with every opening, so credentials that are deleted stop to work with the next call. Tokens that
are about to expire are refreshed under a lock of their row: however many calls meet one, the provider is asked once.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

import asyncpg
import structlog

from app.activities.outages import wait_out
from app.blocks.credentials import (
    ApiKey,
    Credentials,
    CredentialsMissing,
    HostHeaders,
    OAuth2Token,
    UserPassword,
)
from app.encryption.credentials import CredentialsEncryption, CredentialsUnreadable, Sealed
from app.errors import BlockUnavailable
from app.graph.credential_choices import KnownCredentials, find_misfit
from app.graph.credential_needs import NodeNeed
from app.graph.credentials import CredentialsNeed, CredentialsType
from app.models import credential_uses
from app.models.credential_uses import CredentialsRow
from app.outbound.oauth import GrantRefused, OAuthClient, Tokens
from app.secrecy import note_secrets

REFRESH_BEFORE = timedelta(seconds=60)
"""A token that is valid for less is refreshed before it is used."""
REFRESHING_AT_ONCE = 4
"""Each holds a connection while a provider is asked."""
GONE = "The credentials that were chosen for this node do not exist any more"

log = structlog.get_logger(__name__)


class Vault:
    """The credentials of all owners, one owner at a time."""

    def __init__(
        self, pool: asyncpg.Pool[Any], encryption: CredentialsEncryption, oauth: OAuthClient
    ) -> None:
        """Take where credentials are kept, what opens them, and who refreshes tokens."""
        self._pool = pool
        self._encryption = encryption
        self._oauth = oauth
        self._refreshing: WeakValueDictionary[uuid.UUID, asyncio.Lock] = WeakValueDictionary()
        self._slots = asyncio.Semaphore(REFRESHING_AT_ONCE)

    async def require(self, owner: str, credentials_id: str, need: CredentialsNeed) -> Credentials:
        """Return credentials that are valid now.

        Args:
            owner: Whose they have to be.
            credentials_id: Which ones, as they were chosen.
            need: What they are for.

        Raises:
            CredentialsMissing: There are none of this id, they do not fit, or they are no longer valid.
            BlockUnavailable: They have to be refreshed and cannot be now.
        """
        row = await self._find(owner, credentials_id)
        if row is None:
            raise CredentialsMissing(GONE)
        misfit = find_misfit(_as_need(need), _as_known(row))
        if misfit is not None:
            raise CredentialsMissing(misfit)
        try:
            secret = self._encryption.open(owner, row.id, row.sealed)
            if not self._encryption.is_current(row.sealed):
                await self._reseal(owner, row, secret)
            if row.expires_at is not None and row.expires_at - REFRESH_BEFORE < datetime.now(UTC):
                row, secret = await self._renew(owner, row, secret)
        except CredentialsUnreadable as error:
            log.error("credentials_unreadable", credentials_id=str(row.id), reason=error.message)
            raise CredentialsMissing(error.message) from error
        note_secrets(_texts_of(row, secret))
        return _make(row, secret)

    async def _find(self, owner: str, credentials_id: str) -> CredentialsRow | None:
        try:
            wanted = uuid.UUID(credentials_id)
        except ValueError:
            return None
        return await wait_out(lambda: credential_uses.use_credentials(self._pool, owner, wanted))

    async def _reseal(self, owner: str, row: CredentialsRow, secret: Mapping[str, Any]) -> None:
        sealed = self._encryption.seal(owner, row.id, secret)
        await wait_out(lambda: credential_uses.reseal_credentials(self._pool, owner, row, sealed))

    # -- tokens

    async def _renew(
        self, owner: str, row: CredentialsRow, secret: dict[str, Any]
    ) -> tuple[CredentialsRow, dict[str, Any]]:
        """Return credentials that are about to expire, refreshed if that can be done."""
        is_over = row.expires_at is not None and row.expires_at <= datetime.now(UTC)
        if row.type != CredentialsType.OAUTH2 or not secret.get("refresh_token"):
            if is_over:
                raise CredentialsMissing("These credentials have expired")
            return row, secret
        # Within this process they queue here, not each on a connection of the pool.
        lock = self._refreshing.setdefault(row.id, asyncio.Lock())
        try:
            async with lock, self._slots:
                return await self._refresh(owner, row.id)
        except GrantRefused as error:
            raise CredentialsMissing(error.message) from error
        except BlockUnavailable:
            if is_over:
                raise
            return row, secret

    async def _refresh(self, owner: str, credentials_id: uuid.UUID) -> tuple[CredentialsRow, dict[str, Any]]:
        gained: dict[str, Tokens] = {}
        # A provider may take a refresh token only once, so tokens are not lost with the connection to the database.
        row, secret = await wait_out(lambda: self._refresh_locked(owner, credentials_id, gained))
        if gained:
            log.info("credentials_refreshed", credentials_id=str(row.id), provider=row.provider)
        return row, secret

    async def _refresh_locked(
        self, owner: str, credentials_id: uuid.UUID, gained: dict[str, Tokens]
    ) -> tuple[CredentialsRow, dict[str, Any]]:
        """Refresh a token under the lock of its row, unless somebody else has done it.

        Args:
            owner: Whose it is.
            credentials_id: Which.
            gained: What the provider gave, by the refresh token that it was given for; added to.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            row = await credential_uses.lock_credentials(connection, owner, credentials_id)
            if row is None:
                raise CredentialsMissing(GONE)
            secret = self._encryption.open(owner, row.id, row.sealed)
            if row.expires_at is None or row.expires_at - REFRESH_BEFORE >= datetime.now(UTC):
                return row, secret  # somebody else has done it
            note_secrets(_texts_of(row, secret))
            tokens = gained.get(secret["refresh_token"])
            if tokens is None:
                tokens = gained[secret["refresh_token"]] = await self._ask(row, secret)
            secret, sealed = self._sealed(owner, row, secret, tokens)
            scopes = row.scopes if tokens.scopes is None else list(tokens.scopes)
            await credential_uses.write_refreshed(
                connection, owner, row, sealed, expires_at=tokens.expires_at, scopes=scopes
            )
        return replace(row, scopes=scopes), secret

    async def _ask(self, row: CredentialsRow, secret: Mapping[str, Any]) -> Tokens:
        provider = self._oauth.providers.get(row.provider)
        if provider is None:
            raise CredentialsMissing(f"This server does not know how to refresh a login at {row.provider}")
        return await self._oauth.refresh(provider, refresh_token=secret["refresh_token"])

    def _sealed(
        self, owner: str, row: CredentialsRow, secret: Mapping[str, Any], tokens: Tokens
    ) -> tuple[dict[str, Any], Sealed]:
        refresh_token = tokens.refresh_token or secret["refresh_token"]
        renewed = {**secret, "access_token": tokens.access_token, "refresh_token": refresh_token}
        return renewed, self._encryption.seal(owner, row.id, renewed)


class ChosenCredentials:
    """The credentials that were chosen for one call of a block."""

    def __init__(
        self,
        vault: Vault,
        owner: str,
        *,
        chosen: Mapping[str, str],
        needs: Mapping[str, CredentialsNeed],
    ) -> None:
        """Take the choice; nothing is opened yet.

        Args:
            vault: Where they are opened.
            owner: Whose they have to be.
            chosen: Ids by input.
            needs: What the inputs are for.
        """
        self._vault = vault
        self._owner = owner
        self._chosen = chosen
        self._needs = needs

    async def find(self, field: str) -> Credentials | None:
        """Return the credentials for an input of the block, valid now, or None when none were chosen.

        Raises:
            CredentialsMissing: Those that were chosen are gone, do not fit, or cannot be refreshed any more.
            BlockUnavailable: They cannot be refreshed now.
        """
        credentials_id, need = self._chosen.get(field), self._needs.get(field)
        if not credentials_id or need is None:
            return None
        return await self._vault.require(self._owner, credentials_id, need)


def _as_need(need: CredentialsNeed) -> NodeNeed:
    types = tuple(kind.value for kind in need.types)
    return NodeNeed("", "", "", need.providers, types, need.scopes)


def _as_known(row: CredentialsRow) -> KnownCredentials:
    return KnownCredentials(row.provider, row.type, row.host or "", tuple(row.scopes))


def _make(row: CredentialsRow, secret: Mapping[str, Any]) -> Credentials:
    match CredentialsType(row.type):
        case CredentialsType.API_KEY:
            return ApiKey(row.provider, secret["api_key"])
        case CredentialsType.USER_PASSWORD:
            return UserPassword(row.provider, row.username or "", secret["password"])
        case CredentialsType.OAUTH2:
            return OAuth2Token(row.provider, secret["access_token"], row.username or "", tuple(row.scopes))
        case CredentialsType.HOST_SCOPED:
            return HostHeaders(row.provider, row.host or "", dict(secret["headers"]))


def _texts_of(row: CredentialsRow, secret: Mapping[str, Any]) -> Iterator[str]:
    """Return every text that would give a secret away."""
    for name in ("api_key", "password", "access_token", "refresh_token"):
        if secret.get(name):
            yield secret[name]
    if secret.get("password"):
        # As HTTP sends it.
        yield base64.b64encode(f"{row.username or ''}:{secret['password']}".encode()).decode()
    for value in secret.get("headers", {}).values():
        yield value
        # A scheme and what follows it, as in `Bearer …`.
        yield from value.split()[1:]
