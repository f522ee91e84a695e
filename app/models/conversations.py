"""The turns of node executions that call others as tools: what was said and called.

Written once, and before anybody is told. So a turn that is carried out again is not taken again. The rows go with
their execution.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from app.graph.envelope import Envelope

_INSERT = """
INSERT INTO conversation_turns (execution_id, node, n, turn, messages, calls)
VALUES ($1, $2, $3, $4, $5::text::json, $6::text::json)
ON CONFLICT DO NOTHING
"""

_LIST = """
SELECT t.turn, t.messages, t.calls FROM conversation_turns t JOIN executions e ON e.id = t.execution_id
WHERE t.execution_id = $1 AND t.node = $2 AND t.n = $3 AND e.user_id = $4 ORDER BY t.turn
"""

_ENDED = """
SELECT r.node, r.n, r.status, r.outputs, r.error FROM node_executions r JOIN executions e ON e.id = r.execution_id
JOIN unnest($2::int[], $3::int[]) AS wanted(node, n) ON wanted.node = r.node AND wanted.n = r.n
WHERE r.execution_id = $1 AND e.user_id = $4
"""


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A turn that ended with calls."""

    node: int
    n: int
    turn: int
    messages: Envelope
    calls: list[Any]
    """`[[call id, node, [[pin, envelope], …]], …]`"""


@dataclass(frozen=True, slots=True)
class CalledRecord:
    """A node execution that was called, and what it gave."""

    node: int
    n: int
    status: str
    outputs: list[list[Any]]
    error: dict[str, Any] | None


async def insert_turns(
    connection: asyncpg.Connection[Any], execution_id: str, turns: Sequence[TurnRecord]
) -> None:
    """Write turns down, within the transaction that has seen that the execution is open; each once."""
    for turn in turns:
        await connection.execute(
            _INSERT,
            execution_id,
            turn.node,
            turn.n,
            turn.turn,
            json.dumps(turn.messages),
            json.dumps(turn.calls),
        )


async def list_turns(
    connection: asyncpg.Pool[Any], execution_id: str, key: tuple[int, int], *, owner: str
) -> list[TurnRecord]:
    """Return the recorded turns of a node execution (node, n) of an owner's execution, in their order."""
    rows = await connection.fetch(_LIST, execution_id, *key, owner)
    return [TurnRecord(*key, row["turn"], row["messages"], row["calls"]) for row in rows]


async def list_called(
    connection: asyncpg.Pool[Any], execution_id: str, keys: Sequence[tuple[int, int]], *, owner: str
) -> dict[tuple[int, int], CalledRecord]:
    """Return what is recorded of some node executions (node, n) of an owner's execution."""
    nodes, numbers = [node for node, _ in keys], [n for _, n in keys]
    rows = await connection.fetch(_ENDED, execution_id, nodes, numbers, owner)
    return {(row["node"], row["n"]): CalledRecord(*row) for row in rows}
