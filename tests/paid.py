"""Executions whose calls cost credits, and what they stop for."""

from __future__ import annotations

from typing import Any

from temporalio.client import WorkflowHandle

from app.activities.contracts.messages import FUND_SIGNAL
from app.graph.definition import GraphDefinition
from tests.engine import Engine, Many, make_graph
from tests.ledger import grant
from tests.stack import eventually

PROBE = "probe"
OUTPUT = "agent_output_block"
PRICE = 10

Handle = WorkflowHandle[Any, int]


def chain(length: int) -> GraphDefinition:
    """Return paid calls one after the other."""
    nodes: dict[str, Any] = {"n0": (PROBE, {"value": 1})} | {f"n{k}": (PROBE, {}) for k in range(1, length)}
    return make_graph(nodes, [f"n{k}.out -> n{k + 1}.value" for k in range(length - 1)])


def fan(engine: Engine, size: int) -> GraphDefinition:
    """Return a paid call that gives values for as many more."""
    engine.probe.functions["many"] = lambda _value, _context: Many(range(size))
    return make_graph({"many": (PROBE, {"name": "many"}), "each": (PROBE, {})}, ["many.out -> each.value"])


async def until_unpaid(engine: Engine, handle: Handle, code: str = "INSUFFICIENT_CREDITS") -> None:
    """Wait until an execution is recorded as paused for want of credits."""

    async def is_unpaid() -> bool:
        row = await engine.pool.fetchrow("SELECT status, paused_for FROM executions WHERE id = $1", handle.id)
        return row is not None and (row["status"], row["paused_for"]) == ("PAUSED", code)

    await eventually(is_unpaid)


async def fund(engine: Engine, handle: Handle, owner: str, amount: int) -> None:
    await grant(engine.pool, owner, amount)
    await handle.signal(FUND_SIGNAL)
