"""What an execution comes to: its bounds hold, and what was not done is not charged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.activities.contracts.messages import FUND_SIGNAL
from app.blocks.context import BlockContext
from tests.engine import Engine, make_graph
from tests.ledger import add_user, require_sound
from tests.paid import PRICE, PROBE, chain, fan, until_unpaid
from tests.stack import eventually


async def test_a_budget_is_never_exceeded_with_all_that_is_nested(engine: Engine) -> None:
    owner = await add_user(engine.pool, 1_000)
    engine.probe.charge(PRICE)
    inner, _ = await engine.save(fan(engine, 5), owner)
    graph = make_graph(
        {
            "agent": ("agent_executor_block", {"graph_id": inner, "graph_version": 1}),
            "own": (PROBE, {"value": 1}),
        },
        [],
    )
    async with engine.worker():
        handle = await engine.start(graph, owner=owner, budget=4 * PRICE + 5)
        record = await engine.end(handle)
        await eventually(lambda: _are_all_ended(engine, owner))

    assert record.status == "FAILED"
    assert record.error is not None
    assert record.error["code"] == "BUDGET_EXCEEDED"
    assert await require_sound(engine.pool, owner) == 1_000 - 4 * PRICE
    assert (
        await engine.pool.fetchval("SELECT committed FROM executions WHERE id = $1", handle.id) == 4 * PRICE
    )


async def _are_all_ended(engine: Engine, owner: str) -> bool:
    open_ones = await engine.pool.fetchval(
        "SELECT count(*) FROM executions WHERE user_id = $1 AND ended_at IS NULL", owner
    )
    return bool(open_ones == 0)


@pytest.mark.parametrize("limit", ["daily_budget", "total_budget"])
async def test_the_limit_of_a_user_pauses_or_fails(engine: Engine, limit: str) -> None:
    owner = await add_user(engine.pool, 1_000, **{limit: 3 * PRICE})
    engine.probe.charge(PRICE)
    async with engine.worker():
        failing = await engine.end(await engine.start(chain(4), owner=owner, on_insufficient_credits="fail"))
        waiting = await engine.start(chain(1), owner=owner)
        await until_unpaid(engine, waiting, "SPENDING_LIMIT_REACHED")
        await engine.pool.execute(f"UPDATE users SET {limit} = 100 WHERE id = $1", owner)
        await waiting.signal(FUND_SIGNAL)
        ended = await engine.end(waiting)

    assert failing.error is not None
    assert failing.error["code"] == "SPENDING_LIMIT_REACHED"
    assert ended.status == "COMPLETED"
    assert await require_sound(engine.pool, owner) == 1_000 - 4 * PRICE


async def test_a_stop_gives_back_what_was_reserved_for_the_call_under_way(engine: Engine) -> None:
    owner = await add_user(engine.pool, PRICE)
    engine.probe.charge(PRICE)

    async def hangs(value: Any, _: BlockContext) -> Any:
        await asyncio.Event().wait()

    engine.probe.functions["hangs"] = hangs
    async with engine.worker():
        handle = await engine.start(make_graph({"a": (PROBE, {"name": "hangs"})}, []), owner=owner)
        await eventually(lambda: bool(engine.probe.calls))
        assert await require_sound(engine.pool, owner) == 0
        await handle.cancel()
        record = await engine.end(handle)

    assert record.status == "CANCELLED"
    assert await require_sound(engine.pool, owner) == PRICE


async def test_what_is_nested_costs_an_execution_that_is_stopped(engine: Engine) -> None:
    owner = await add_user(engine.pool, 1_000)
    engine.probe.charge(PRICE)

    async def hangs(value: Any, _: BlockContext) -> Any:
        await asyncio.Event().wait()

    engine.probe.functions["hangs"] = hangs
    nodes: dict[str, Any] = {"a": (PROBE, {"value": 1}), "b": (PROBE, {"name": "hangs"})}
    inner, _ = await engine.save(make_graph(nodes, ["a.out -> b.value"]), owner)
    nested = {"graph_id": inner, "graph_version": 1}
    async with engine.worker():
        handle = await engine.start(make_graph({"agent": ("agent_executor_block", nested)}, []), owner=owner)
        await eventually(lambda: len(engine.probe.calls) == 2)
        await handle.cancel()
        record = await engine.end(handle)

    assert record.status == "CANCELLED"
    assert [row["cost"] for row in record.of("agent")] == [PRICE]
    assert await engine.pool.fetchval("SELECT cost FROM executions WHERE id = $1", handle.id) == PRICE
    assert await require_sound(engine.pool, owner) == 1_000 - PRICE


async def test_a_failed_call_costs_nothing_and_its_attempts_are_reserved_once(engine: Engine) -> None:
    owner = await add_user(engine.pool, PRICE)
    engine.probe.charge(PRICE)

    def fails(value: Any, _: BlockContext) -> Any:
        raise ValueError("It breaks")

    engine.probe.functions["fails"] = fails
    async with engine.worker():
        record = await engine.run(make_graph({"a": (PROBE, {"name": "fails"})}, []), owner=owner)

    assert record.status == "FAILED"
    assert len(engine.probe.calls) == 3
    assert await require_sound(engine.pool, owner) == PRICE
