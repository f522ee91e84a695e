"""Keeps credentials for their owners. Secrets go in; what comes out again is everything but them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.idempotency import note_done
from app.api.schemas.credentials import FIELDS, CredentialsBody, CredentialsChangeBody
from app.database import Sessions
from app.encryption.credentials import CredentialsEncryption, CredentialsUnreadable, Sealed
from app.errors import InvalidRequest
from app.graph.credentials import CredentialsType
from app.models import credentials, notifications, webhooks
from app.models.credentials import SealedSecret
from app.models.page import Page
from app.models.tables.credentials import StoredCredentials

BATCH = 200
"""Secrets that are encrypted anew in one transaction."""
SHOWN = ("username", "host", "scopes", "expires_at")
"""What belongs to a secret and is none."""

log = structlog.get_logger(__name__)


class Sealing(Protocol):
    """The model of something that is kept with a secret."""

    async def list_outdated(
        self, session: AsyncSession, newest_key_id: str, *, after: uuid.UUID | None, limit: int
    ) -> list[SealedSecret]:
        """Return secrets of all owners that are sealed under another key than the newest."""

    async def replace_sealed(self, session: AsyncSession, old: SealedSecret, sealed: Sealed) -> None:
        """Keep a secret under another key."""


class CredentialsStore:
    """The credentials of all owners, one owner at a time."""

    def __init__(
        self, sessions: Sessions, encryption: CredentialsEncryption, *, system_sessions: Sessions
    ) -> None:
        """Take where credentials are kept, and what seals them.

        Args:
            sessions: Where those of the user are for whom a request works.
            encryption: Seals them.
            system_sessions: Where those of all users are.
        """
        self._sessions = sessions
        self._system_sessions = system_sessions
        self._encryption = encryption

    def blind(self, fingerprint: str) -> str:
        """Return a hash of a request's hash that nobody can compute without the newest key."""
        return self._encryption.blind(fingerprint)

    async def create(self, owner: str, body: CredentialsBody) -> StoredCredentials:
        """Keep new credentials.

        Raises:
            Conflict: The owner has too many.
            CredentialsUnreadable: The server has no key to seal them with.
        """
        shown: dict[str, Any] = {name: getattr(body, name) for name in SHOWN}
        return await self.keep(
            owner,
            provider=body.provider,
            kind=body.type,
            title=body.title or body.provider,
            secret=body.secret(),
            shown={**shown, "scopes": body.scopes or []},
        )

    async def keep(
        self,
        owner: str,
        *,
        provider: str,
        kind: CredentialsType,
        title: str,
        secret: dict[str, Any],
        shown: dict[str, Any],
    ) -> StoredCredentials:
        """Keep a secret as credentials of their own.

        Args:
            owner: Whose.
            provider: What they are for.
            kind: What they are.
            title: What people call them.
            secret: What is sealed.
            shown: What belongs to it and is shown.

        Raises:
            Conflict: The owner has too many.
            CredentialsUnreadable: The server has no key to seal them with.
        """
        credentials_id, now = uuid.uuid4(), datetime.now(UTC)
        sealed = self._encryption.seal(owner, credentials_id, secret)
        row = StoredCredentials(
            id=credentials_id,
            user_id=owner,
            provider=provider,
            type=kind.value,
            title=title,
            secret=sealed.content,
            key_id=sealed.key_id,
            created_at=now,
            updated_at=now,
            **shown,
        )
        async with self._sessions.begin() as session:
            await credentials.insert_credentials(session, row)
            await note_done(session, row.id)
        log.info(
            "credentials_created", credentials_id=str(credentials_id), provider=provider, type=kind.value
        )
        return row

    async def require(self, owner: str, credentials_id: uuid.UUID) -> StoredCredentials:
        """Return credentials without their secret.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions() as session:
            return await credentials.require_credentials(session, owner, credentials_id)

    async def list(
        self, owner: str, *, provider: str | None, cursor: str | None, limit: int
    ) -> Page[StoredCredentials]:
        """Return an owner's credentials, newest first."""
        async with self._sessions() as session:
            return await credentials.list_credentials(
                session, owner, provider=provider, cursor=cursor, limit=limit
            )

    async def change(
        self, owner: str, credentials_id: uuid.UUID, body: CredentialsChangeBody
    ) -> StoredCredentials:
        """Change the title, or the secret.

        Raises:
            NotFound: The owner has none of this id.
            InvalidRequest: Credentials of this type have no such field.
        """
        async with self._sessions.begin() as session:
            row = await credentials.require_credentials(session, owner, credentials_id, is_locked=True)
            given, kind = body.given(), CredentialsType(row.type)
            unknown = given - FIELDS[kind][0] - FIELDS[kind][1]
            if unknown:
                raise InvalidRequest(
                    f"Credentials of the type {kind.value} have no {', '.join(sorted(unknown))}"
                )
            if body.title is not None:
                row.title = body.title
            if body.secret():
                self._replace_secret(row, body)
            for name in SHOWN:
                if name in given:
                    setattr(row, name, getattr(body, name))
            row.updated_at = datetime.now(UTC)
            await note_done(session)
        return row

    def _replace_secret(self, row: StoredCredentials, body: CredentialsChangeBody) -> None:
        new = body.secret()
        if "access_token" in new:
            # Nothing is known of how long another token is valid.
            row.expires_at = None
        is_whole = row.type != CredentialsType.OAUTH2
        old = {} if is_whole else self._open_or_forget(row)
        sealed = self._encryption.seal(row.user_id, row.id, {**old, **new})
        row.secret, row.key_id = sealed.content, sealed.key_id

    def _open_or_forget(self, row: StoredCredentials) -> dict[str, Any]:
        try:
            return self._encryption.open(row.user_id, row.id, Sealed(row.key_id, row.secret))
        except CredentialsUnreadable:
            # What is given now is to be all that there is.
            return {}

    async def delete(self, owner: str, credentials_id: uuid.UUID) -> None:
        """Delete credentials. What runs fails where it comes to need them.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions.begin() as session:
            await credentials.delete_credentials(session, owner, credentials_id)
            await note_done(session)
        log.info("credentials_deleted", credentials_id=str(credentials_id))

    async def reencrypt(self) -> tuple[int, int]:
        """Seal every secret with the newest key. Return how many were, and how many cannot be opened."""
        done = unreadable = 0
        for kept in (credentials, webhooks, notifications):
            of_kind = await self._reencrypt(kept)
            done, unreadable = done + of_kind[0], unreadable + of_kind[1]
        log.info("credentials_reencrypted", done=done, unreadable=unreadable)
        return done, unreadable

    async def _reencrypt(self, kept: Sealing) -> tuple[int, int]:
        done = unreadable = 0
        last: uuid.UUID | None = None
        while True:
            async with self._system_sessions.begin() as session:
                batch = await kept.list_outdated(
                    session, self._encryption.newest_key_id, after=last, limit=BATCH
                )
                for old in batch:
                    last = old.id
                    try:
                        secret = self._encryption.open(old.owner, old.id, old.sealed)
                    except CredentialsUnreadable as error:
                        unreadable += 1
                        log.warning(
                            "credentials_unreadable", credentials_id=str(old.id), reason=error.message
                        )
                        continue
                    sealed = self._encryption.seal(old.owner, old.id, secret)
                    await kept.replace_sealed(session, old, sealed)
                    done += 1
            if len(batch) < BATCH:
                return done, unreadable
