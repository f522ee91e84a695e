"""What the audit log is told of a call: who did what to which thing, from where, and how it ended.

A call that changes something leaves one entry. What it changes in Postgres it notes there in the same transaction;
what it does elsewhere, and that it was refused, is noted before it is answered. Reading leaves none, but for what
administrators read of others.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from sqlalchemy import event
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.api.auth import Caller
from app.api.errors import BlockRefused, SystemFault, request_id_of
from app.database import AWAY, Sessions
from app.errors import EngineUnavailable, InvalidRequest, PerdureError, Unauthenticated
from app.models import audit
from app.models.audit import NewEntry

REPLAYED = "Idempotent-Replayed"
"""Header of an answer that was given before: nothing was done for it."""
WRITE_SECONDS = 3.0
"""How long an answer waits for its entry."""
MOST_CHARACTERS = 200
"""Of a part of a path that is no id."""
SAID = frozenset({"version", "provider"})
"""Parts of paths that an entry holds besides ids. Others may be secrets."""
CALLED_AT_WILL = frozenset({"user_id", "block_id"})
"""Ids that are any texts."""
TOO_MANY = "RATE_LIMITED"
"""Code of what is refused without leaving an entry: the table is not to be filled by whoever calls too often."""
NOBODY_ASKED = 499
"""Status of the answer to a client that went away in the middle of its request."""
_AWAY = (*AWAY, OperationalError, InterfaceError, PoolTimeoutError)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Call:
    """What is known of a call so far."""

    action: str
    request: Request
    object_id: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    caller: Caller | None = None
    user_id: str | None = None
    """Whose things are concerned; the caller's own unless somebody says otherwise."""
    is_written: bool = False
    noting: AsyncSession | None = None
    """In whose transaction an entry stands that is not committed yet."""

    def entry(self, outcome: str = "") -> NewEntry:
        """Return what is to be written."""
        actor = self.caller.user_id if self.caller else ""
        return NewEntry(
            user_id=actor if self.user_id is None else self.user_id,
            actor_id=actor,
            api_key_id=self.caller.api_key_id if self.caller else None,
            action=self.action,
            object_id=self.object_id,
            outcome=outcome,
            address=getattr(self.request.state, "address", None) or "",
            request_id=request_id_of(self.request),
            details=self.details,
        )


_current: ContextVar[Call | None] = ContextVar("audited_call", default=None)


def name_caller(caller: Caller) -> None:
    """Say who makes the call, let in or not."""
    call = _current.get()
    if call is not None:
        call.caller = caller


def concern(user_id: str, object_id: object = None, **details: Any) -> None:
    """Say whose things the call concerns, and which, when its path does not.

    Args:
        user_id: Who may read the entry.
        object_id: The thing; as the path says unless said.
        details: What else is to be known. No secrets, and no bodies.
    """
    call = _current.get()
    if call is not None:
        call.user_id = user_id
        call.object_id = call.object_id if object_id is None else str(object_id)
        call.details.update(details)


def describe(**details: Any) -> None:
    """Say what else is to be known of the call. No secrets, and no bodies."""
    call = _current.get()
    if call is not None:
        call.details.update(details)


def pass_over() -> None:
    """Leave what this task does from now on out of the log: the call that it is a part of has an entry of its own."""
    _current.set(None)


async def note_in(session: AsyncSession, made: object = None) -> None:
    """Note in the transaction of what the call changes that it was carried out, once.

    Args:
        session: In the transaction. It must be allowed to write for whom the call concerns.
        made: Id of what the call has made.
    """
    call = _current.get()
    if call is None or call.is_written or call.noting is session:
        return
    if made is not None:
        call.object_id = str(made)
    await audit.insert_entry(session, call.entry())
    call.noting = session
    event.listen(session.sync_session, "after_commit", lambda _: _note_written(call), once=True)


async def note_event(
    session: AsyncSession, user_id: str, action: str, *, object_id: object, **details: Any
) -> None:
    """Note in the transaction of what changes that something has happened without a caller of ours.

    Args:
        session: In the transaction.
        user_id: Whose things are concerned.
        action: What it is called in the log, as `noun.verb`.
        object_id: To which thing it has happened.
        details: What else is to be known. No secrets.
    """
    entry = NewEntry(user_id=user_id, actor_id="", action=action, object_id=str(object_id), details=details)
    await audit.insert_entry(session, entry)


def _note_written(call: Call) -> None:
    call.is_written = True


class AuditTrail:
    """Sees to it that every call leaves what it has to leave."""

    def __init__(self, sessions: Sessions) -> None:
        """Take where entries of all users are written."""
        self._sessions = sessions
        self._unauthenticated = 0

    async def follow(
        self, request: Request, action: str, carry_out: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Carry a call out, and have it noted.

        Args:
            request: The call.
            action: What it is called in the log; one that is called nothing leaves no entry.
            carry_out: What the call does.
        """
        call = _make_call(request, action) if action else None
        token = _current.set(call)
        try:
            response = await carry_out()
        except Unauthenticated:
            self._count_unauthenticated(request)
            raise
        except Exception as error:  # whatever went wrong goes on its way; only that it did is noted
            outcome = _outcome_of(error)
            if call is not None and outcome != TOO_MANY:
                await self._note(call, outcome, is_away=isinstance(error, _AWAY))
            raise
        finally:
            _current.reset(token)
        if call is not None and REPLAYED not in response.headers and response.status_code != NOBODY_ASKED:
            is_done = response.status_code < 400
            await self._note(call, "" if is_done else f"HTTP_{response.status_code}")
        return response

    async def _note(self, call: Call, outcome: str, *, is_away: bool = False) -> None:
        entry = call.entry(outcome)
        if call.is_written or not (entry.user_id or entry.actor_id):
            # What nobody does to nobody's things would only fill the table.
            return
        is_written = False
        if not is_away:
            try:
                async with asyncio.timeout(WRITE_SECONDS), self._sessions() as session:
                    await audit.insert_entry(session, entry)
                is_written = True
            except (OSError, SQLAlchemyError):
                # What was done is done, and has to be answered.
                is_written = False
        if not is_written:
            _log_unwritten(entry)

    def _count_unauthenticated(self, request: Request) -> None:
        self._unauthenticated += 1
        log.info(
            "call_unauthenticated",
            path=getattr(request.scope.get("route"), "path", None),
            address=getattr(request.state, "address", None),
            count=self._unauthenticated,
        )


def _log_unwritten(entry: NewEntry) -> None:
    """Say in the log what cannot be said in the table."""
    log.error(
        "audit_entry_not_written",
        action=entry.action,
        actor_id=entry.actor_id,
        user_id=entry.user_id,
        object_id=entry.object_id,
        outcome=entry.outcome,
        address=entry.address,
    )


def _make_call(request: Request, action: str) -> Call:
    given = {
        name: _clean(_one_spelling(name, str(value)))
        for name, value in request.path_params.items()
        if name.endswith("_id") or name in SAID
    }
    object_id = next((given.pop(name) for name in reversed(list(given)) if name.endswith("_id")), "")
    return Call(action, request, object_id=object_id, details=dict(given))


def _one_spelling(name: str, text: str) -> str:
    """Return an id as it is kept: whoever looks for what was done to a thing finds it however the call wrote it.

    What is no id is not kept. Somebody may have put there what should not stand anywhere, an API key to be revoked.
    """
    if not name.endswith("_id") or name in CALLED_AT_WILL:
        return text
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return ""


def _clean(text: str) -> str:
    """Return a part of a path as a column of text takes it."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text[:MOST_CHARACTERS])


def _outcome_of(error: Exception) -> str:
    """Return the code that the error is answered with."""
    if isinstance(error, BlockRefused):
        return error.block_code
    if isinstance(error, PerdureError):
        return error.code
    if isinstance(error, RequestValidationError | HTTPException):
        return InvalidRequest.code
    return EngineUnavailable.code if isinstance(error, _AWAY) else SystemFault.code
