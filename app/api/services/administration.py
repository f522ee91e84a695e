"""What administrators do to users: suspend them, set what they may spend, give them credits. Each is entered once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.auditing import concern, describe
from app.api.idempotency import current_key, note_done
from app.api.schemas.admin import AdminUserBody, GrantBody, RefundBody
from app.api.services.funding import Funding
from app.database import Sessions
from app.errors import Conflict, InsufficientCredits, InvalidRequest
from app.models import credit_history, oversight, refunds, users
from app.models.credits import Entered, enter, find_entry
from app.models.entry_kinds import EntryKind
from app.models.page import Page
from app.models.tables.credits import CreditEntry
from app.models.tables.users import User

LIMITS = ("daily_limit", "total_limit")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """A user with what they have."""

    user: User
    executions: dict[str, int]
    """How many, by status."""


class Administration:
    """Users, as administrators see and change them."""

    def __init__(self, sessions: Sessions, funding: Funding) -> None:
        """Take where users of all kinds are kept, and what has executions go on that wait for credits."""
        self._sessions = sessions
        self._funding = funding

    async def list(
        self, *, words: str, is_suspended: bool | None, cursor: str | None, limit: int
    ) -> Page[User]:
        """Return users, newest first."""
        describe(q=words)
        async with self._sessions() as session:
            return await users.list_users(
                session, words=words, is_suspended=is_suspended, cursor=cursor, limit=limit
            )

    async def require(self, user_id: str) -> Account:
        """Return a user.

        Raises:
            NotFound: There is no such user.
        """
        async with self._sessions() as session:
            user = await users.require_user(session, user_id)
            concern(user_id)
            return Account(user, await oversight.count_by_status(session, user_id))

    async def list_entries(self, user_id: str, *, cursor: str | None, limit: int) -> Page[CreditEntry]:
        """Return the entries of a user's ledger, newest first.

        Raises:
            NotFound: There is no such user.
        """
        async with self._sessions() as session:
            await users.require_user(session, user_id)
            concern(user_id)
            return await credit_history.list_entries(
                session, user_id, execution_id=None, cursor=cursor, limit=limit
            )

    async def change(self, admin: str, user_id: str, body: AdminUserBody) -> User:
        """Suspend a user or let them in again, or set what they may spend.

        Raises:
            NotFound: There is no such user.
            Conflict: It is the admin who asks.
        """
        given = body.model_fields_set
        async with self._sessions.begin() as session:
            user = await users.lock_user(session, user_id)
            changes = {name: getattr(body, name) for name in sorted(given)}
            concern(user_id, **changes)
            if body.suspended is not None:
                if body.suspended and user_id == admin:
                    raise Conflict("Nobody suspends themselves")
                user.suspended_at = (user.suspended_at or datetime.now(UTC)) if body.suspended else None
            for name in LIMITS:
                if name in given:
                    setattr(user, name, getattr(body, name))
            await session.flush()
            await note_done(session)
        log.info("user_administered", user_id=user_id, by=admin, **changes)
        await self._funding.resume(user_id)
        return user

    async def grant(self, admin: str, user_id: str, body: GrantBody) -> Entered:
        """Give a user credits, or take some that they have.

        Raises:
            NotFound: There is no such user.
            Conflict: They have not as many as are to be taken.
            InvalidRequest: The key was used for another amount.
        """
        key = _key("grant", admin)
        async with self._sessions.begin() as session:
            try:
                entered = await enter(
                    session,
                    user_id,
                    key=key,
                    kind=EntryKind.GRANT if body.credits > 0 else EntryKind.ADJUST,
                    amount=body.credits,
                    details={"by": admin, "reason": body.reason},
                )
            except InsufficientCredits as error:
                raise Conflict("The balance does not cover it", details=error.details) from error
            if entered.amount != body.credits:
                raise InvalidRequest("This Idempotency-Key was used for another amount")
            concern(user_id, credits=entered.amount, reason=body.reason)
            await note_done(session)
        log.info("credits_granted", user_id=user_id, by=admin, credits=entered.amount, is_new=entered.is_new)
        await self._funding.resume(user_id)
        return entered

    async def refund(self, admin: str, user_id: str, body: RefundBody) -> Entered:
        """Give back what a user was charged, never more than that in all refunds together.

        Raises:
            NotFound: There is no such user, or they have no such execution.
            Conflict: There is not as much left of the charge.
            InvalidRequest: The key was used for another refund.
        """
        key = _key("refund", admin)
        async with self._sessions.begin() as session:
            named = await refunds.require_refundable(
                session, user_id, execution_id=body.execution_id, node_execution_id=body.node_execution_id
            )
            await refunds.lock_balance(session, user_id)
            details = {
                "by": admin,
                "reason": body.reason,
                "execution_id": str(named.execution_id),
                **({"node_execution_id": str(named.node_execution_id)} if named.node_execution_id else {}),
            }
            entered = await find_entry(session, user_id, key)
            if entered is None:
                amount = await _require_left(session, user_id, named, body.credits)
                entered = await enter(
                    session, user_id, key=key, kind=EntryKind.REFUND, amount=amount, details=details
                )
            elif entered.details != details or body.credits not in {None, entered.amount}:
                raise InvalidRequest("This Idempotency-Key was used for another refund")
            concern(user_id, credits=entered.amount, **details)
            await note_done(session)
        log.info("charge_refunded", user_id=user_id, by=admin, credits=entered.amount, is_new=entered.is_new)
        await self._funding.resume(user_id)
        return entered


async def _require_left(
    session: AsyncSession, user_id: str, named: refunds.Refundable, wanted: int | None
) -> int:
    """Return how much is to be given back.

    Raises:
        Conflict: There is not as much left.
    """
    left = await refunds.count_refundable(session, user_id, named)
    if not left or (wanted or 0) > left:
        raise Conflict("There is not as much left of the charge", details={"refundable_credits": left})
    return wanted or left


def _key(what: str, admin: str) -> str:
    """Return the key of an entry: a repeat of the call finds it, also when its answer is forgotten."""
    given = current_key()
    return f"{what}:{uuid.uuid4()}" if given is None else f"{what}:{admin}:{given}"
