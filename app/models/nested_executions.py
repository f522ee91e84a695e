"""What an execution reads of the graphs that it nests, and of how the nested executions ended. Plain asyncpg."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from app.graph.envelope import Envelope
from app.graph.status import TERMINAL, Status

# A deleted graph is still executed by those that nest it.
_VERSION = """
SELECT v.version, v.name, v.plan_hash FROM graphs g JOIN graph_versions v ON v.graph_id = g.id
WHERE g.id = $1 AND g.user_id = $2 AND v.version = coalesce($3, g.active_version)
"""

_FACE = """
SELECT v.name, v.description, v.input_schema FROM graphs g JOIN graph_versions v ON v.graph_id = g.id
WHERE g.id = $1 AND g.user_id = $2 AND v.version = coalesce($3, g.active_version)
"""

_DEFINITION = """
SELECT v.definition FROM graphs g JOIN graph_versions v ON v.graph_id = g.id
WHERE g.id = $1 AND g.user_id = $2 AND v.version = $3
"""

_PARENT = """
SELECT parent.budget, coalesce(parent.root_id, parent.id), parent.on_insufficient_credits, parent.credentials,
    nested.graph_version, nested.inputs, nested.created_at
FROM executions parent LEFT JOIN executions nested ON nested.id = $2 AND nested.parent_id = parent.id
WHERE parent.id = $1 AND parent.user_id = $3
"""

_END = """
SELECT status, error, outputs, cost, plan_hash FROM executions WHERE id = $1 AND user_id = $2
"""


@dataclass(frozen=True, slots=True)
class NestedVersion:
    """A version that is to be executed."""

    version: int
    name: str
    plan_hash: str


@dataclass(frozen=True, slots=True)
class NestedFace:
    """What somebody is told of a version who may call it."""

    name: str
    description: str
    input_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier try to begin the same nested execution has written down."""

    graph_version: int
    inputs: Envelope
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Parent:
    """What a nested execution gets from the execution that it is nested in."""

    budget: int | None
    root_id: uuid.UUID
    """Of the outermost execution."""
    on_insufficient_credits: str
    credentials: Mapping[str, str]
    """Ids of the credentials that were chosen, by key."""
    earlier: Earlier | None


@dataclass(frozen=True, slots=True)
class NestedEnd:
    """Where a nested execution stands, and what it gave."""

    status: Status
    error: Mapping[str, Any] | None
    outputs: Mapping[str, Sequence[Envelope]]
    cost: int
    plan_hash: str

    @property
    def is_ended(self) -> bool:
        """Answer whether it has ended."""
        return self.status in TERMINAL


async def find_version(
    pool: asyncpg.Pool[Any], owner: str, graph_id: uuid.UUID, *, version: int | None
) -> NestedVersion | None:
    """Return a version of an owner's graph, the active one when none is named, or None."""
    row = await pool.fetchrow(_VERSION, graph_id, owner, version)
    return NestedVersion(*row) if row else None


async def find_face(
    pool: asyncpg.Pool[Any], owner: str, graph_id: uuid.UUID, *, version: int | None
) -> NestedFace | None:
    """Return what is told of a version of an owner's graph, the active one when none is named, or None."""
    row = await pool.fetchrow(_FACE, graph_id, owner, version)
    return NestedFace(*row) if row else None


async def find_definition(
    pool: asyncpg.Pool[Any], owner: str, graph_id: uuid.UUID, *, version: int
) -> dict[str, Any] | None:
    """Return the nodes and links of a version of an owner's graph, or None."""
    definition: dict[str, Any] | None = await pool.fetchval(_DEFINITION, graph_id, owner, version)
    return definition


async def find_parent(
    pool: asyncpg.Pool[Any], owner: str, execution_id: str, *, nested_id: str
) -> Parent | None:
    """Return what an owner's execution hands down to one nested in it, or None when there is no such execution."""
    row = await pool.fetchrow(_PARENT, execution_id, nested_id, owner)
    if row is None:
        return None
    budget, root_id, on_insufficient, credentials, version, inputs, created_at = row
    earlier = None if version is None else Earlier(version, inputs, created_at)
    return Parent(budget, root_id, on_insufficient, credentials, earlier)


async def find_end(pool: asyncpg.Pool[Any], owner: str, nested_id: str) -> NestedEnd | None:
    """Return where an owner's nested execution stands, or None when it was never written down."""
    row = await pool.fetchrow(_END, nested_id, owner)
    return NestedEnd(Status(row["status"]), *row[1:]) if row else None
