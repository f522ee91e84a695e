"""What a worker has counted: in memory while it works, and in the database every few seconds.

Counting is an addition to a number in a dict, for it happens with every node execution. What was counted since the last
writing is lost with a process that is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import structlog

from app.database import AWAY
from app.models import tallies
from app.models.tallies import Tally
from app.telemetry.series import Series

WRITE_EVERY_SECONDS = 5.0
LAST_WRITE_SECONDS = 2.0
SUM = "sum"
"""Stands in place of a bucket where the observed values are added up."""
BEYOND = "+Inf"
_UNWRITTEN = (*AWAY, TimeoutError, asyncpg.PostgresError)
"""Nothing else depends on counts: whatever is wrong, they are written later."""

Key = tuple[str, tuple[str, ...], str]
"""Name, values of the labels, and bucket; the bucket is empty for a counter."""

log = structlog.get_logger(__name__)


class Tallies:
    """The counts of one process."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._new: defaultdict[Key, float] = defaultdict(float)
        self._all: defaultdict[Key, float] = defaultdict(float)

    def count(self, series: Series, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        self._add((series.name, labels, ""), by)

    def observe(self, series: Series, *labels: str, seconds: float) -> None:
        """Add an observation to a histogram."""
        at = bisect_left(series.buckets, seconds)
        bucket = str(series.buckets[at]) if at < len(series.buckets) else BEYOND
        self._add((series.name, labels, bucket), 1)
        self._add((series.name, labels, SUM), seconds)

    def totals(self) -> Mapping[Key, float]:
        """Return what was counted since the process began. May be called from another thread."""
        # Kept apart from what is to be written: a sum that shrinks for a moment is taken for a new beginning.
        return dict(self._all)

    def _add(self, key: Key, value: float) -> None:
        self._new[key] += value
        self._all[key] += value

    async def write(self, pool: asyncpg.Pool[Any]) -> None:
        """Write down what is new; what cannot be written now stays new.

        Raises:
            OSError: The database is away, as all of `app.database.AWAY`.
        """
        if not self._new:
            return
        taken, self._new = self._new, defaultdict(float)
        try:
            await tallies.add_tallies(
                pool,
                [
                    Tally(name, json.dumps(labels), bucket, value)
                    for (name, labels, bucket), value in taken.items()
                ],
            )
        except BaseException:
            for key, value in taken.items():
                self._new[key] += value
            raise

    @asynccontextmanager
    async def written(self, pool: asyncpg.Pool[Any]) -> AsyncIterator[None]:
        """Write down what is counted every few seconds, and what is left at the end."""
        ending = asyncio.Event()
        writing = asyncio.create_task(self._write_until(ending, pool), name="tallies")
        try:
            yield
        finally:
            # Not cancelled: what is being written when a worker ends may be written already, and would be once more.
            ending.set()
            with contextlib.suppress(*_UNWRITTEN):
                async with asyncio.timeout(LAST_WRITE_SECONDS):
                    await writing

    async def _write_until(self, ending: asyncio.Event, pool: asyncpg.Pool[Any]) -> None:
        is_last = False
        while not is_last:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITE_EVERY_SECONDS):
                    await ending.wait()
            is_last = ending.is_set()
            try:
                await self.write(pool)
            except _UNWRITTEN as error:
                log.info("tallies_not_written", reason=type(error).__name__)
