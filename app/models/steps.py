"""What pieces of work within a node execution have given, so that a later attempt does not do them again.

Written once, as soon as a piece is done. The rows go with their execution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import asyncpg

from app.graph.envelope import Envelope

_INSERT = """
INSERT INTO node_steps (execution_id, node, n, name, result, usage)
SELECT id, $3, $4, $5, $6::text::json, $7::text::json FROM executions
WHERE id = $1 AND user_id = $2 AND status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')
ON CONFLICT DO NOTHING
"""

_LIST = """
SELECT s.name, s.result, s.usage FROM node_steps s JOIN executions e ON e.id = s.execution_id
WHERE s.execution_id = $1 AND e.user_id = $2 AND s.node = $3 AND s.n = $4
"""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A piece of work that is done."""

    name: str
    result: Envelope
    usage: dict[str, Any] | None


async def insert_step(
    connection: asyncpg.Connection[Any] | asyncpg.Pool[Any],
    execution_id: str,
    place: tuple[int, int],
    *,
    owner: str,
    name: str,
    result: str,
    usage: str | None,
) -> None:
    """Write a step down, unless it is or the execution has ended.

    Args:
        connection: In the transaction that writes the values which the result refers to.
        execution_id: Where it was done.
        place: Node and n.
        owner: Whose the execution is.
        name: Of the step.
        result: An envelope as JSON text.
        usage: JSON text.
    """
    await connection.execute(_INSERT, execution_id, owner, *place, name, result, usage)


async def list_steps(
    pool: asyncpg.Pool[Any], execution_id: str, place: tuple[int, int], *, owner: str
) -> list[StepRecord]:
    """Return the steps of one node execution that are done."""
    rows = await pool.fetch(_LIST, execution_id, owner, *place)
    return [StepRecord(row["name"], row["result"], row["usage"]) for row in rows]
