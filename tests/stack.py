"""A real Postgres and a real Temporal for tests, and the one way to wait for something."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, overload

from app.embedded.postgres import DATABASE
from app.embedded.stack import EmbeddedStack
from app.encryption.keys import parse_encryption_keys
from app.migrating import migrate

T = TypeVar("T")
TEMPLATE = "perdure_template"
SHORTEST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.25
ENCRYPTION_KEY = "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk="


class Stack(EmbeddedStack):
    """Postgres with migrated databases, and Temporal."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, is_durable=False, encryption_keys=parse_encryption_keys(ENCRYPTION_KEY))
        self._numbers = itertools.count(1)

    @property
    def database_url(self) -> str:
        """URL of a migrated database that all tests of a process share."""
        return self.postgres.url

    async def start(self) -> None:
        """Start both, with the project's tables in place."""
        await super().start()
        await migrate(self.database_url)
        await self.postgres.make_database(TEMPLATE, template=DATABASE)

    async def make_database(self) -> str:
        """Return the URL of a new migrated database, for a test that must not see others' rows."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        return await self.postgres.make_database(name, template=TEMPLATE)


@asynccontextmanager
async def run_stack(folder: Path) -> AsyncIterator[Stack]:
    """Run a stack on a folder that nobody reads afterwards."""
    async with Stack(folder) as stack:
        yield stack
        # It takes more than a second to end by itself.
        await stack.temporal.kill()


@overload
async def eventually(condition: Callable[[], Awaitable[T]], *, timeout_seconds: float = ...) -> T: ...


@overload
async def eventually(condition: Callable[[], T], *, timeout_seconds: float = ...) -> T: ...


async def eventually(condition: Callable[[], Any], *, timeout_seconds: float = 60.0) -> Any:
    """Wait until a condition holds, and return what it gave.

    Args:
        condition: Function or coroutine function; its result counts as true or false.
        timeout_seconds: When to give up.

    Raises:
        AssertionError: Time is up.
    """
    clock = asyncio.get_running_loop().time
    began = clock()
    while True:
        given = condition()
        result = await given if inspect.isawaitable(given) else given
        if result:
            return result
        waited = clock() - began
        if waited > timeout_seconds:
            raise AssertionError(f"Not so after {timeout_seconds:g} s; last seen: {result!r}")
        # Looking costs those who are looked at: the longer it takes, the less often.
        await asyncio.sleep(min(max(waited / 10, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS))
