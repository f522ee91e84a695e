"""A shard, the child workflow that makes a part of the calls of a very large fan-out."""

from dataclasses import dataclass
from typing import Any

from app.activities.contracts.execution import ExecutionStart, StoredState
from app.activities.contracts.node_calls import NodeCall

SHARD_NAME = "GraphShard"


@dataclass(frozen=True)
class ShardStart:
    """The input of a shard: some ready remote node executions of one execution."""

    start: ExecutionStart
    nodes: dict[str, dict[str, Any]]
    """By number: what a shard must know of the nodes to call them."""
    calls: list[NodeCall]


@dataclass(frozen=True)
class ShardResult:
    """What a shard has done."""

    outcomes: list[list[Any]]
    """`[[node, n, emissions, code | None, message, is_recorded, calls], …]`; empty when they are stored."""
    undone: list[tuple[int, int]]
    """(node, n) of those that were not started."""
    stored: StoredState | None = None
    """The outcomes, when they are too large to travel."""
