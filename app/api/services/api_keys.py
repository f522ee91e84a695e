"""Makes API keys for their owners and takes them back. A key gives no other key what it has not itself."""

from __future__ import annotations

import uuid
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.api_keys import are_within, make_key
from app.api.auditing import describe
from app.api.auth import ADMIN, Caller
from app.api.idempotency import note_done
from app.api.policies import Scope
from app.api.schemas.api_keys import ApiKeyBody, ApiKeyChangeBody
from app.database import Sessions
from app.errors import Forbidden, NotFound, Unauthenticated
from app.models import api_keys
from app.models.page import Page
from app.models.tables.api_keys import ApiKey

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a caller may give to a key: what they have. A key that could give more than it has would have all."""

    is_admin: bool
    scopes: frozenset[str] | None = None
    """None with a token, which is for everything."""
    expires_at: datetime | None = None
    addresses: Sequence[str] = ()

    def check(self, row: ApiKey) -> None:
        """Check that the caller may give what a key has.

        Raises:
            Forbidden: They may not.
        """
        if Scope.ADMIN in row.scopes and not self.is_admin:
            raise Forbidden("Only an administrator's key may be for admin", details={"scopes": [Scope.ADMIN]})
        more = sorted(set(row.scopes) - self.scopes) if self.scopes is not None else []
        if more:
            raise Forbidden(
                "The API key cannot give another one what it is not for itself", details={"scopes": more}
            )
        if self.expires_at is not None and (row.expires_at is None or row.expires_at > self.expires_at):
            raise Forbidden("The API key cannot have another one live longer than itself")
        if not are_within(row.addresses, self.addresses):
            raise Forbidden("The API key cannot let another one be used from where it may not be used itself")


class ApiKeys:
    """The API keys of all owners, one owner at a time."""

    def __init__(self, sessions: Sessions) -> None:
        """Take where keys are kept."""
        self._sessions = sessions

    async def create(self, caller: Caller, body: ApiKeyBody) -> tuple[ApiKey, str]:
        """Make a key; return its row, and the key itself, which is kept nowhere.

        Raises:
            Forbidden: The caller has not what it is to be given.
            Conflict: The caller has too many keys.
        """
        made = make_key()
        row = ApiKey(
            id=uuid.uuid4(),
            user_id=caller.user_id,
            name=body.name,
            prefix=made.prefix,
            key_hash=made.hash,
            scopes=[scope.value for scope in body.scopes],
            addresses=body.addresses,
            created_at=datetime.now(UTC),
            expires_at=body.expires_at,
        )
        _describe(body, {"scopes", "expires_at", "addresses"})
        async with self._sessions.begin() as session:
            (await _lock_bounds(session, caller)).check(row)
            await api_keys.insert_key(session, row)
            await note_done(session, row.id)
        log.info("api_key_created", api_key_id=str(row.id), prefix=row.prefix)
        return row, made.text

    async def list(self, owner: str, *, cursor: str | None, limit: int) -> Page[ApiKey]:
        """Return an owner's keys, newest first."""
        async with self._sessions() as session:
            return await api_keys.list_keys(session, owner, cursor=cursor, limit=limit)

    async def require(self, owner: str, key_id: uuid.UUID) -> ApiKey:
        """Return a key.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions() as session:
            return await api_keys.require_key(session, owner, key_id)

    async def change(self, caller: Caller, key_id: uuid.UUID, body: ApiKeyChangeBody) -> ApiKey:
        """Change what a key may do.

        Raises:
            NotFound: The caller has none of this id.
            Forbidden: The caller has not what it is to be given.
        """
        given = body.model_fields_set
        _describe(body, given)
        async with self._sessions.begin() as session:
            # Read before anything is changed: the key may be the caller's own.
            bounds = await _lock_bounds(session, caller)
            row = await api_keys.require_key(session, caller.user_id, key_id)
            if body.name is not None:
                row.name = body.name
            if body.scopes is not None:
                row.scopes = [scope.value for scope in body.scopes]
            if "expires_at" in given:
                row.expires_at = body.expires_at
            if body.addresses is not None:
                row.addresses = body.addresses
            if body.suspended is not None:
                row.suspended_at = (row.suspended_at or datetime.now(UTC)) if body.suspended else None
            # Who may give less may still take away.
            if body.suspended is False or given & {"scopes", "expires_at", "addresses"}:
                bounds.check(row)
            await note_done(session)
        log.info("api_key_changed", api_key_id=str(key_id), fields=sorted(given))
        return row

    async def rotate(self, caller: Caller, key_id: uuid.UUID) -> tuple[ApiKey, str]:
        """Give a key another secret; the old one is refused from now on.

        Raises:
            NotFound: The caller has none of this id.
            Forbidden: The caller has not what the key has, and would get it so.
        """
        async with self._sessions.begin() as session:
            # Read before anything is changed: the key may be the caller's own.
            bounds = await _lock_bounds(session, caller)
            row = await api_keys.require_key(session, caller.user_id, key_id)
            bounds.check(row)
            made = make_key(row.prefix)
            row.key_hash = made.hash
            await note_done(session)
        log.info("api_key_rotated", api_key_id=str(key_id))
        return row, made.text

    async def revoke(self, owner: str, key_id: uuid.UUID) -> None:
        """Take a key back, for ever.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions.begin() as session:
            await api_keys.lock_keys(session, owner)
            row = await api_keys.require_key(session, owner, key_id)
            row.revoked_at = datetime.now(UTC)
            await note_done(session)
        log.info("api_key_revoked", api_key_id=str(key_id))


def _describe(body: ApiKeyBody | ApiKeyChangeBody, given: Set[str]) -> None:
    """Say in the audit log what a key was to be allowed, whether that is done or refused."""
    describe(**body.model_dump(mode="json", include=set(given) - {"name"}))


async def _lock_bounds(session: AsyncSession, caller: Caller) -> Bounds:
    """Let nobody else change keys of a caller, and return what they may give.

    Raises:
        Unauthenticated: The caller's own key was revoked meanwhile.
    """
    await api_keys.lock_keys(session, caller.user_id)
    is_admin = caller.role == ADMIN
    if caller.api_key_id is None:
        return Bounds(is_admin)
    try:
        own = await api_keys.require_key(session, caller.user_id, caller.api_key_id)
    except NotFound:
        raise Unauthenticated from None
    return Bounds(is_admin, frozenset(own.scopes), own.expires_at, tuple(own.addresses))
