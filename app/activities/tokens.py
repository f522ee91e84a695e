"""Shows what models write, while they write it, to those who watch. Nobody keeps it, and nothing waits for it.

All blocks of a process share one announcement per interval; what does not fit is dropped.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import structlog

from app.activities.attempts import end_task
from app.database import AWAY
from app.models.tokens import Token, announce_tokens

INTERVAL_SECONDS = 0.1
MAX_TEXT_CHARACTERS = 400
"""Of one announcement: Postgres takes 8,000 bytes, and a character may be twelve of them."""
MAX_WAITING_CHARACTERS = 50_000
"""Of all that waits to be announced."""
MAX_ID_CHARACTERS = 200
"""Of a node, for the same reason."""
ANNOUNCE_TIMEOUT_SECONDS = 5.0

log = structlog.get_logger(__name__)


async def unheard(text: str) -> None:
    """Show a text to nobody."""


class TokenFeed:
    """Announces texts."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        """Announce nothing yet."""
        self._pool = pool
        self._waiting: dict[tuple[str, str, str], list[str]] = {}
        self._size = 0
        self._announcing: asyncio.Task[None] | None = None

    def stream_of(
        self, execution_id: str, node_id: str, node_execution_id: uuid.UUID
    ) -> Callable[[str], Awaitable[None]]:
        """Return what shows the texts of one node execution."""
        key = (execution_id, node_id, str(node_execution_id))

        async def show(text: str) -> None:
            self._add(key, text)

        return unheard if len(node_id) > MAX_ID_CHARACTERS else show

    def _add(self, key: tuple[str, str, str], text: str) -> None:
        if not text or self._size + len(text) > MAX_WAITING_CHARACTERS:
            return
        self._size += len(text)
        self._waiting.setdefault(key, []).append(text)
        if self._announcing is None:
            self._announcing = asyncio.create_task(self._announce(), name="tokens")

    async def aclose(self) -> None:
        """Stop; what still waits is dropped."""
        if self._announcing is not None:
            await end_task(self._announcing)

    async def _announce(self) -> None:
        """Announce for as long as there is something, one statement per interval."""
        try:
            while self._waiting:
                # First the pause: a short answer is one piece then.
                await asyncio.sleep(INTERVAL_SECONDS)
                waiting, self._waiting, self._size = self._waiting, {}, 0
                tokens = [Token(*key, piece) for key, pieces in waiting.items() for piece in _cut(pieces)]
                async with asyncio.timeout(ANNOUNCE_TIMEOUT_SECONDS):
                    await announce_tokens(self._pool, tokens)
        except (*AWAY, asyncpg.PostgresError) as error:
            # Whoever watches sees the whole answer when the node has ended.
            log.debug("tokens_dropped", reason=type(error).__name__)
        finally:
            self._announcing = None


def _cut(pieces: list[str]) -> list[str]:
    text = "".join(pieces)
    return [text[at : at + MAX_TEXT_CHARACTERS] for at in range(0, len(text), MAX_TEXT_CHARACTERS)]
