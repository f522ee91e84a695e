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
        self._new[series.name, labels, ""] += by

    def observe(self, series: Series, *labels: str, seconds: float) -> None:
        """Add an observation to a histogram."""
        at = bisect_left(series.buckets, seconds)
        bucket = str(series.buckets[at]) if at < len(series.buckets) else BEYOND
        self._new[series.name, labels, bucket] += 1
        self._new[series.name, labels, SUM] += seconds

    def totals(self) -> Mapping[Key, float]:
        """Return what was counted since the process began. May be called from another thread."""
        totals = dict(self._all)
        for key, value in list(self._new.items()):
            totals[key] = totals.get(key, 0) + value
        return totals

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
        for key, value in taken.items():
            self._all[key] += value

    @asynccontextmanager
    async def written(self, pool: asyncpg.Pool[Any]) -> AsyncIterator[None]:
        """Write down what is counted every few seconds, and what is left at the end."""
        writing = asyncio.create_task(self._write_for_ever(pool), name="tallies")
        try:
            yield
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            with contextlib.suppress(*_UNWRITTEN):
                async with asyncio.timeout(LAST_WRITE_SECONDS):
                    await self.write(pool)

    async def _write_for_ever(self, pool: asyncpg.Pool[Any]) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            try:
                await self.write(pool)
            except _UNWRITTEN as error:
                log.info("tallies_not_written", reason=type(error).__name__)
