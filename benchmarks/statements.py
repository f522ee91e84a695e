"""Counts what a server asks of its Postgres, by what Postgres itself writes down of it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from app.database import plain_url

_STATEMENT = re.compile(
    r"^\|(?P<transaction>[^|]*)\|LOG:  (?:statement|execute [^:]*): \s*(?P<text>.*)", re.MULTILINE
)
_SETTINGS = {
    "log_line_prefix": "'|%v|'",
    "log_statement": "'all'",
    "log_parameter_max_length": "0",
}
SETTLE_SECONDS = 0.3
"""How long after the last answer something may still be written."""


@dataclass(frozen=True, slots=True)
class Count:
    """What was asked of Postgres in some time."""

    statements: float = 0
    """Each is one round trip."""
    transactions: float = 0
    writing: float = 0
    """Those transactions that changed something: each waits for the disk once."""
    heads: Counter[str] = field(default_factory=Counter)
    """How the statements began, for who wants to know which they were."""

    def __sub__(self, other: Count) -> Count:
        """Return by how much this is more."""
        return Count(
            self.statements - other.statements,
            self.transactions - other.transactions,
            self.writing - other.writing,
            self.heads - other.heads,
        )

    def __truediv__(self, number: float) -> Count:
        """Return a share of it."""
        shares = (self.statements / number, self.transactions / number, self.writing / number)
        return Count(*shares, self.heads)


class StatementLog:
    """The log of a Postgres that writes every statement down."""

    def __init__(self, connection: asyncpg.Connection[Any], path: Path) -> None:
        self._connection = connection
        self._path = path
        self._read_to = 0
        self._transactions_to = 0

    @classmethod
    async def open(cls, database_url: str, path: Path) -> StatementLog:
        """Have an embedded Postgres write its statements down.

        Args:
            database_url: As its superuser.
            path: Its log.
        """
        connection = await asyncpg.connect(plain_url(database_url))
        for name, value in _SETTINGS.items():
            await connection.execute(f"ALTER SYSTEM SET {name} = {value}")
        await connection.execute("SELECT pg_reload_conf()")
        log = cls(connection, path)
        # Our own looks are not to be counted: this session does not write them down.
        await connection.execute("SET log_statement = 'none'")
        await log.start()
        return log

    async def aclose(self) -> None:
        """Look no more; the server goes on writing."""
        await self._connection.close()

    async def start(self) -> None:
        """Count from now on."""
        await asyncio.sleep(SETTLE_SECONDS)
        self._transactions_to = await self._next_transaction()
        self._read_to = self._path.stat().st_size

    async def stop(self) -> Count:
        """Return what was asked since the start."""
        await asyncio.sleep(SETTLE_SECONDS)
        writing = await self._next_transaction() - self._transactions_to
        with self._path.open(errors="replace") as log:
            log.seek(self._read_to)
            found = list(_STATEMENT.finditer(log.read()))
        transactions = {match["transaction"] for match in found}
        heads = Counter(" ".join(match["text"].split())[:90] for match in found)
        return Count(len(found), len(transactions), writing, heads)

    async def _next_transaction(self) -> int:
        number: int = await self._connection.fetchval(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        )
        return number
