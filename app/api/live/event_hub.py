"""Wakes those who wait for an execution's log to grow. What happened they read from the log itself.

One database connection per process listens. Waking too often is harmless; so that it is never too seldom, everybody is
woken when the connection is lost and when there is one again, and in between nobody waits longer than a poll interval.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import structlog

from app.database import AWAY, plain_url
from app.models import tokens
from app.models.announcements import CHANNEL
from app.models.tokens import Token

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0
CONNECT_TIMEOUT_SECONDS = 5.0
MAX_TOKENS = 1_000
CHECK_SECONDS = 5.0
"""How often the listening connection is asked whether it is alive."""


class Subscription:
    """One waiting for one execution."""

    def __init__(
        self,
        *,
        is_for_status: bool = False,
        takes_tokens: bool = False,
        hears: Callable[[], bool] = lambda: False,
        connection: int = 0,
    ) -> None:
        """Wait for news.

        Args:
            is_for_status: Of its status only; else of every event.
            takes_tokens: Also of what models write meanwhile.
            hears: Answers whether announcements arrive at this moment.
            connection: How many listening connections there have been so far.
        """
        self._hears = hears
        self.connection = connection
        self.is_for_status = is_for_status
        self.takes_tokens = takes_tokens
        self._news = asyncio.Event()
        self._is_of_log = False
        self._log_read_at = time.monotonic()
        # Whoever reads too slowly loses the oldest: it is only shown.
        self._tokens: deque[Token] = deque(maxlen=MAX_TOKENS)

    def wake(self) -> None:
        """End the wait, or the next one."""
        self._is_of_log = True
        self._news.set()

    def show(self, token: Token) -> None:
        """End the wait, or the next one, for a piece of what a model writes."""
        self._tokens.append(token)
        self._news.set()

    def take_tokens(self) -> list[Token]:
        """Return what models have written since the last time."""
        taken = list(self._tokens)
        self._tokens.clear()
        return taken

    async def wait(self, timeout_seconds: float = POLL_SECONDS) -> bool:
        """Wait until there may be something new.

        Args:
            timeout_seconds: The longest wait; it is a poll interval at most while announcements do not arrive.

        Returns:
            Whether it may be in the log. If not, models have written something.
        """
        is_of_log = True
        longest = timeout_seconds if self._hears() else min(timeout_seconds, POLL_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), longest)
            is_of_log = self._is_of_log or time.monotonic() - self._log_read_at >= POLL_SECONDS
        self._news.clear()
        if is_of_log:
            self._is_of_log = False
            self._log_read_at = time.monotonic()
        return is_of_log


class EventHub:
    """Passes the database's announcements on to subscriptions."""

    def __init__(self, database_url: str) -> None:
        self._url = plain_url(database_url)
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._of_users: dict[str, set[Subscription]] = {}
        self._task: asyncio.Task[None] | None = None
        self.is_listening = False
        self.connections = 0
        """How many listening connections there have been: behind a new one there may be another database."""
        self.is_closed = False

    async def start(self) -> None:
        """Begin to listen, and go on listening whatever happens to the database."""
        self._task = asyncio.create_task(self._listen_for_ever(), name="event hub")

    async def stop(self) -> None:
        """End listening, and wake everybody for the last time."""
        self.is_closed = True
        self._wake_all()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @asynccontextmanager
    async def subscribe(
        self, execution_id: str, *, is_for_status: bool = False, takes_tokens: bool = False
    ) -> AsyncIterator[Subscription]:
        """Give a subscription to the announcements about one execution: all of them, or those of its status."""
        subscription = Subscription(
            is_for_status=is_for_status, takes_tokens=takes_tokens, hears=lambda: self.is_listening
        )
        with _kept(self._subscriptions, execution_id, subscription):
            yield subscription

    @asynccontextmanager
    async def subscribe_to_user(self, user_id: str) -> AsyncIterator[Subscription]:
        """Give a subscription to what happens to all of a user's executions as wholes."""
        subscription = Subscription(hears=lambda: self.is_listening, connection=self.connections)
        with _kept(self._of_users, user_id, subscription):
            yield subscription

    async def _listen_for_ever(self) -> None:
        rest_seconds = 0.1
        while True:
            try:
                await self._listen()
                rest_seconds = 0.1
            except (*AWAY, asyncpg.PostgresError) as error:
                log.warning("event_hub_disconnected", reason=type(error).__name__)
                rest_seconds = min(2 * rest_seconds, POLL_SECONDS)
            await asyncio.sleep(rest_seconds)

    async def _listen(self) -> None:
        """Listen on one connection until it is lost."""
        connection = await asyncpg.connect(self._url, timeout=CONNECT_TIMEOUT_SECONDS)
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            await connection.add_listener(CHANNEL, self._announce)
            await connection.add_listener(tokens.CHANNEL, self._show)
            self.is_listening = True
            self.connections += 1
            # What was announced while nobody listened.
            self._wake_all()
            while not lost.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), CHECK_SECONDS)
                if not lost.is_set():
                    await connection.execute("SELECT 1", timeout=CHECK_SECONDS)
        finally:
            connection.terminate()
            self.is_listening = False
            # Who counts on being told has to look for themselves from now on.
            self._wake_all()

    def _announce(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        # As `app.models.announcements.CHANNEL` says. Ids of users may hold colons.
        execution_id, status, user_id = (*str(payload).split(":", 2), "", "")[:3]
        for subscription in self._subscriptions.get(execution_id, ()):
            if status or not subscription.is_for_status:
                subscription.wake()
        for subscription in self._of_users.get(user_id, ()):
            subscription.wake()

    def _show(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        token = tokens.read_token(str(payload))
        for subscription in self._subscriptions.get(token.execution_id, ()):
            if subscription.takes_tokens:
                subscription.show(token)

    def _wake_all(self) -> None:
        for subscriptions in (*self._subscriptions.values(), *self._of_users.values()):
            for subscription in subscriptions:
                subscription.wake()


@contextlib.contextmanager
def _kept(
    subscriptions: dict[str, set[Subscription]], key: str, subscription: Subscription
) -> Iterator[None]:
    subscriptions.setdefault(key, set()).add(subscription)
    try:
        yield
    finally:
        others = subscriptions[key]
        others.discard(subscription)
        if not others:
            del subscriptions[key]
