"""Who makes a request: the credential is taken from its headers, and its user is written down at first sight."""

from __future__ import annotations

import time
from collections import OrderedDict

from starlette.datastructures import Headers

from app.api.auth import Caller, TokenReader
from app.database import Sessions
from app.errors import Unauthenticated
from app.models.users import LOGIN_RESOLUTION, insert_or_touch_user

REMEMBERED = 10_000


class Callers:
    """Identifies callers."""

    def __init__(self, tokens: TokenReader, sessions: Sessions, *, initial_credits: int) -> None:
        """Take what credentials are checked against.

        Args:
            tokens: Reads tokens.
            sessions: Where users are written down.
            initial_credits: What a user has at first sight.
        """
        self._tokens = tokens
        self._sessions = sessions
        self._initial_credits = initial_credits
        self._seen: OrderedDict[Caller, float] = OrderedDict()

    async def identify(self, headers: Headers) -> Caller:
        """Return who makes a request with these headers.

        Raises:
            Unauthenticated: They hold no valid credential.
        """
        caller = await self._tokens.read(_credential(headers))
        now = time.monotonic()
        if now - self._seen.get(caller, float("-inf")) > LOGIN_RESOLUTION.total_seconds():
            async with self._sessions.begin() as session:
                await insert_or_touch_user(
                    session,
                    caller.user_id,
                    email=caller.email,
                    role=caller.role,
                    initial_credits=self._initial_credits,
                )
            self._seen[caller] = now
            self._seen.move_to_end(caller)
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return caller


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
