"""Changing calls under an `Idempotency-Key`: carried out once, and then answered as the first time.

A call that was refused has changed nothing and takes no key. Executions have rules of their own: their ids follow from
the key (`app.api.services.identity`).
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.api.auditing import REPLAYED, note_in
from app.api.errors import error_response
from app.database import Sessions
from app.errors import Conflict, PerdureError
from app.models import idempotency
from app.models.idempotency import Answer, Claim
from app.models.value_bodies import pack, unpack

log = structlog.get_logger(__name__)

# The claim of the call that is being carried out: every service that changes something notes it, and few know of it.
_current: ContextVar[Claim | None] = ContextVar("idempotency_claim", default=None)


async def note_done(session: AsyncSession, made: object = None) -> None:
    """Note in the transaction of what a call changes that it was carried out: in the audit log, and under its key.

    Args:
        session: In the transaction.
        made: Id of what the call has made.

    Raises:
        Conflict: The call took so long that a repeat of it has begun; nothing is changed.
    """
    claim = _current.get()
    if claim is not None:
        await idempotency.note_done(session, claim)
    await note_in(session, made)


def current_key() -> str | None:
    """Return the key of the call that is being carried out, if it has one."""
    claim = _current.get()
    return None if claim is None else claim.key


class IdempotentCalls:
    """Carries out each call of a key once."""

    def __init__(self, sessions: Sessions) -> None:
        """Take where keys are remembered."""
        self._sessions = sessions

    async def answer(
        self,
        carry_out: Callable[[], Awaitable[Response]],
        *,
        owner: str,
        key: str,
        fingerprint: str,
        request_id: str,
        kept: Callable[[bytes], bytes] = bytes,
    ) -> Response:
        """Carry a call out, or answer as the first time.

        Args:
            carry_out: What the call does.
            owner: Who calls. Others may use the same key.
            key: As it was given.
            fingerprint: What a repeat has in common with the first call.
            request_id: Under which it is logged.
            kept: Says what is kept of the answer's body for repeats.

        Raises:
            InvalidRequest: The key was used for another call.
            Conflict: The first call is still under way, or its answer was lost.
        """
        claim = Claim(owner, key, uuid.uuid4())
        earlier = await self._claim(claim, fingerprint)
        if earlier is not None:
            body = await unpack(earlier.body)
            return Response(body, earlier.status, {REPLAYED: "true"}, media_type=earlier.media_type)
        token = _current.set(claim)
        try:
            response = await carry_out()
        except PerdureError as error:
            if await self._release(claim):
                raise
            # Something was done before it failed, so this is the answer from now on.
            log.warning("call_failed_after_its_effect", code=error.code, reason=error.message)
            response = error_response(error, request_id)
        except Exception:  # whatever went wrong goes on its way; only the key is given back
            await self._release(claim)
            raise
        finally:
            _current.reset(token)
        await self._keep(claim, response, kept)
        return response

    async def note_done_at_once(self) -> None:
        """Note that the call is carried out, before it is: what it does outside cannot be taken back or found out.

        The audit log is told when it has ended, and how.

        Raises:
            Conflict: The call took so long that a repeat of it has begun.
        """
        claim = _current.get()
        if claim is not None:
            async with self._sessions.begin() as session:
                await idempotency.note_done(session, claim)

    async def note_nothing_done(self) -> None:
        """Take back what was noted at once: it has come out that the call did nothing, so that it takes no key."""
        claim = _current.get()
        if claim is None:
            return
        try:
            async with self._sessions() as session:
                await idempotency.note_undone(session, claim)
        except (OSError, SQLAlchemyError):
            # A repeat then gets the refusal again.
            log.exception("key_not_released")

    async def require_same(self, *, owner: str, key: str, fingerprint: str) -> None:
        """Check that a key was not used for another call than this one, which may be repeated as it is.

        Raises:
            InvalidRequest: It was.
        """
        async with self._sessions() as session:
            await idempotency.remember_key(session, Claim(owner, key, uuid.uuid4()), fingerprint)

    async def _claim(self, claim: Claim, fingerprint: str) -> Answer | None:
        for _ in range(2):
            async with self._sessions() as session:
                if await idempotency.claim_key(session, claim, fingerprint):
                    return None
                answer = await idempotency.find_answer(session, claim, fingerprint)
            if answer is not None:
                return answer
            # It has just been released.
        raise Conflict("The request of this Idempotency-Key is being carried out")

    async def _keep(self, claim: Claim, response: Response, kept: Callable[[bytes], bytes]) -> None:
        try:
            body = await pack(kept(bytes(response.body)))
            answer = Answer(response.status_code, response.headers.get("content-type"), body)
            async with self._sessions() as session:
                await idempotency.write_answer(session, claim, answer)
        except (OSError, SQLAlchemyError):
            # What was done is done, and its answer is at hand; only a repeat will not get it.
            log.exception("answer_not_kept")

    async def _release(self, claim: Claim) -> bool:
        try:
            async with self._sessions() as session:
                return await idempotency.release_key(session, claim)
        except (OSError, SQLAlchemyError):
            log.exception("key_not_released")
            return True
