"""Who makes a request: a token or an API key is taken from its headers, and its user is known to be welcome.

A token is asked about its user at most every few seconds in each process, a key at every call.
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import Headers

from app.api.api_keys import is_key, is_within, make_key, read_key
from app.api.auditing import name_caller
from app.api.auth import ADMIN, USER, Caller, TokenReader
from app.api.policies import Scope
from app.api.shared_reads import SharedReads
from app.database import AWAY, Sessions
from app.errors import Forbidden, Unauthenticated
from app.models import api_keys, users
from app.models.api_keys import KeyHolder
from app.models.users import Told

log = structlog.get_logger(__name__)

REMEMBERED = 10_000
WELCOME_SECONDS = 5.0
"""How long a user who came with a token counts as welcome without being looked up: a suspension takes hold after it."""


class Callers:
    """Identifies callers."""

    def __init__(self, tokens: TokenReader, sessions: Sessions, *, initial_credits: int) -> None:
        """Take what credentials are checked against.

        Args:
            tokens: Reads tokens.
            sessions: Where users and keys are found, whoever's they are.
            initial_credits: What a user has at first sight.
        """
        self._tokens = tokens
        self._sessions = sessions
        self._initial_credits = initial_credits
        self._welcome: OrderedDict[Caller, float] = OrderedDict()
        self._still_welcome: OrderedDict[Caller, float] = OrderedDict()
        self._looks = SharedReads(self._look_up)
        # Compared when a prefix is nobody's, so that it takes the time that a wrong secret takes.
        self._nobodys_hash = make_key().hash

    async def identify(self, headers: Headers, *, address: str | None) -> Caller:
        """Return who makes a request.

        Args:
            headers: Of the request.
            address: IP address that it came from, if that is known.

        Raises:
            Unauthenticated: It holds no valid credential.
            Forbidden: The user is suspended, or the key is not for use from there.
        """
        credential = _credential(headers)
        if is_key(credential):
            return await self._identify_key(credential, address)
        caller = await self._tokens.read(credential)
        name_caller(caller)
        if time.monotonic() - self._welcome.get(caller, float("-inf")) > WELCOME_SECONDS:
            await self._welcome_user(caller)
            _remember(self._welcome, caller)
        return caller

    async def while_welcome(self, caller: Caller, frames: AsyncGenerator[str]) -> AsyncGenerator[str]:
        """Pass a stream on for as long as its caller would be let in again.

        Args:
            caller: Who began it.
            frames: What they are given, with signs of life in between.
        """
        async with aclosing(frames):
            async for frame in frames:
                if not await self.is_welcome(caller):
                    return
                yield frame

    async def require_welcome(self, caller: Caller) -> None:
        """Check that somebody who was let in once would be let in again.

        Raises:
            Unauthenticated: They would not.
        """
        name_caller(caller)
        if not await self.is_welcome(caller):
            raise Unauthenticated

    async def is_welcome(self, caller: Caller) -> bool:
        """Answer whether somebody who was let in once would be let in again: looked up every few seconds at most."""
        if caller.expires_at is not None and caller.expires_at <= time.time():
            return False
        if time.monotonic() - self._still_welcome.get(caller, float("-inf")) <= WELCOME_SECONDS:
            return True
        # Many streams of one caller ask at the same moment.
        is_welcome = await self._looks.get(caller)
        if is_welcome:
            _remember(self._still_welcome, caller)
        return is_welcome

    async def _look_up(self, caller: Caller) -> bool:
        try:
            async with self._sessions() as session:
                if caller.api_key_id is not None:
                    holder = await api_keys.find_holder_of(session, caller.api_key_id)
                    return holder is not None and _is_still(holder, caller)
                await users.require_active(session, caller.user_id)
        except Forbidden:
            return False
        except (*AWAY, SQLAlchemyError):
            # Streams sit an outage out: nothing is read, and so nothing told, before the next look.
            log.warning("welcome_unknown", user_id=caller.user_id)
        return True

    async def _welcome_user(self, caller: Caller) -> None:
        async with self._sessions() as session:
            standing = await users.find_standing(session, caller.user_id, _told_by(caller))
        if standing is not None:
            _refuse_suspended(is_suspended=standing.is_suspended)
        if standing is None or not standing.is_written:
            async with self._sessions.begin() as session:
                await users.insert_or_touch_user(
                    session,
                    caller.user_id,
                    _told_by(caller),
                    initial_credits=self._initial_credits,
                )

    async def _identify_key(self, credential: str, address: str | None) -> Caller:
        given = read_key(credential)
        async with self._sessions() as session:
            found = await api_keys.find_holder(session, given.prefix)
            expected = self._nobodys_hash if found is None else found.key_hash
            is_right = hmac.compare_digest(expected, given.hash)
            # What a key may do or may not is told to nobody but those who hold it.
            if found is None or not is_right or not found.is_valid:
                raise Unauthenticated
            name_caller(_caller_of(found))
            _refuse_suspended(is_suspended=found.is_suspended)
            if not is_within(address, found.addresses):
                raise Forbidden("The API key may not be used from this address")
            if not found.is_use_noted:
                await api_keys.note_use(session, found.id)
        return _caller_of(found)


def _told_by(caller: Caller) -> Told:
    now = time.time()
    # One of a clock that is fast must not silence those that come after it.
    at = now if caller.issued_at is None else max(0.0, min(caller.issued_at, now))
    return Told(caller.email, caller.role, datetime.fromtimestamp(at, UTC))


def _remember(welcome: OrderedDict[Caller, float], caller: Caller) -> None:
    welcome[caller] = time.monotonic()
    welcome.move_to_end(caller)
    if len(welcome) > REMEMBERED:
        welcome.popitem(last=False)


def _is_still(holder: KeyHolder, caller: Caller) -> bool:
    return holder.is_valid and not holder.is_suspended and set(holder.scopes) >= (caller.scopes or set())


def _caller_of(holder: KeyHolder) -> Caller:
    # Whatever asks for the role alone must not take an administrator's key for an administrator.
    is_admin = holder.role == ADMIN and Scope.ADMIN in holder.scopes
    role = ADMIN if is_admin else USER
    return Caller(holder.user_id, holder.email, role, scopes=frozenset(holder.scopes), api_key_id=holder.id)


def _refuse_suspended(*, is_suspended: bool) -> None:
    if is_suspended:
        raise Forbidden("This account is suspended")


def _credential(headers: Headers) -> str:
    authorization = headers.getlist("authorization")
    keys = headers.getlist("x-api-key")
    if len(authorization) + len(keys) != 1:
        raise Unauthenticated
    if keys:
        return keys[0].strip()
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    return token.strip()
