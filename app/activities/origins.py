"""Whose an execution is and what it runs: read from its record once per process, never taken from a workflow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from app.activities.contracts.execution import ExecutionStart
from app.errors import NotFound

_QUERY = "SELECT user_id, graph_id::text, plan_hash, credentials FROM executions WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an execution comes from."""

    user_id: str
    graph_id: str
    plan_hash: str
    credentials: Mapping[str, str] = field(default_factory=dict)
    """Ids of the credentials that were chosen, by key."""

    @classmethod
    def of(cls, start: ExecutionStart) -> Origin:
        """Return the origin of an execution whose owner has been checked."""
        return cls(start.user_id, start.graph_id, start.plan_hash, start.credentials)


class Origins:
    """Finds the origin of executions; keeps those met last."""

    def __init__(self, pool: asyncpg.Pool[Any], *, capacity: int = 5_000) -> None:
        """Make an empty cache over the database."""
        self._pool = pool
        self._capacity = capacity
        self._origins: OrderedDict[str, Origin] = OrderedDict()

    async def require(self, execution_id: str) -> Origin:
        """Return an execution's origin.

        Raises:
            NotFound: There is no such execution.
        """
        if execution_id not in self._origins:
            row = await self._pool.fetchrow(_QUERY, execution_id)
            if row is None:
                raise NotFound
            self.put(execution_id, Origin(*row))
        self._origins.move_to_end(execution_id)
        return self._origins[execution_id]

    def put(self, execution_id: str, origin: Origin) -> None:
        """Keep the origin of an execution whose record has just been checked."""
        self._origins[execution_id] = origin
        if len(self._origins) > self._capacity:
            self._origins.popitem(last=False)
