"""What happens in the middle of an execution when nobody can pay: it waits or fails, and nothing is paid twice."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from app.activities.contracts.messages import FUND_SIGNAL
from app.activities.contracts.reconciliation import RECONCILIATION_WORKFLOW
from app.api.services.funding import Funding
from app.blocks.context import BlockContext
from app.graph.costs import Cost
from tests.deployment import Deployment
from tests.engine import Engine, Many, Record, limited, make_graph
from tests.ledger import add_user, charges, drain, grant, require_sound
from tests.orchestrator import CALM, a_graph, calls, says
from tests.paid import OUTPUT, PRICE, PROBE, Handle, chain, fan, fund, until_unpaid
from tests.rest_api import RestApi
from tests.stack import eventually
from tests.stubs import LanguageModelStub


async def require_paid_once(engine: Engine, record: Record, handle: Handle) -> None:
    """Check that each call was made once and charged what it costs."""
    paid = await charges(engine.pool, handle.id)
    assert {str(row["id"]): PRICE for row in record.nodes if row["status"] == "COMPLETED"} == paid
    assert all(row["cost"] == PRICE for row in record.nodes if row["status"] == "COMPLETED")


async def test_an_execution_waits_for_credits_and_goes_on(engine: Engine) -> None:
    owner = await add_user(engine.pool, 2 * PRICE + 5)
    engine.probe.charge(PRICE)
    async with engine.worker():
        handle = await engine.start(chain(4), owner=owner)
        await until_unpaid(engine, handle)
        assert await require_sound(engine.pool, owner) == 5
        assert len(engine.probe.calls) == 2
        await fund(engine, handle, owner, 2 * PRICE)
        record = await engine.end(handle)

    assert record.status == "COMPLETED"
    assert len(engine.probe.calls) == 4
    await require_paid_once(engine, record, handle)
    assert await require_sound(engine.pool, owner) == 5
    events = await engine.pool.fetch(
        "SELECT type, data FROM execution_events WHERE execution_id = $1 AND type IN "
        "('execution_paused', 'execution_resumed') ORDER BY seq",
        handle.id,
    )
    assert [(event["type"], event["data"].get("reason")) for event in events] == [
        ("execution_paused", "INSUFFICIENT_CREDITS"),
        ("execution_resumed", None),
    ]


async def test_an_execution_that_is_not_to_wait_fails_and_keeps_nothing(engine: Engine) -> None:
    owner = await add_user(engine.pool, 3 * PRICE)
    engine.probe.charge(PRICE)
    gate = asyncio.Event()

    async def hangs(value: Any, _: BlockContext) -> Any:
        if value == 0:
            await gate.wait()
        return value

    engine.probe.functions["hangs"] = hangs
    engine.probe.functions["many"] = lambda _value, _context: Many(range(9))
    graph = make_graph(
        {"many": (PROBE, {"name": "many"}), "each": (PROBE, {"name": "hangs"})}, ["many.out -> each.value"]
    )
    async with engine.worker():
        handle = await engine.start(
            graph, owner=owner, on_insufficient_credits="fail", limits=limited(window=3)
        )
        record = await engine.end(handle)
        gate.set()

    assert record.status == "FAILED"
    assert record.error is not None
    assert (record.error["code"], record.error["node_id"]) == ("INSUFFICIENT_CREDITS", "each")
    assert {row["status"] for row in record.nodes} <= {"COMPLETED", "FAILED", "CANCELLED"}
    await require_sound(engine.pool, owner)


@pytest.mark.parametrize("shard_size", [3, 400])
async def test_a_large_fan_out_goes_on_where_the_credits_ended(engine: Engine, shard_size: int) -> None:
    owner = await add_user(engine.pool, 6 * PRICE)
    engine.probe.charge(PRICE)
    async with engine.worker():
        handle = await engine.start(
            fan(engine, 30), owner=owner, limits=limited(shard_size=shard_size, window=2)
        )
        await until_unpaid(engine, handle)
        assert await require_sound(engine.pool, owner) == 0
        await fund(engine, handle, owner, 40 * PRICE)
        record = await engine.end(handle)

    assert record.status == "COMPLETED"
    assert len(engine.probe.calls) == 31
    await require_paid_once(engine, record, handle)
    assert await require_sound(engine.pool, owner) == 15 * PRICE


async def test_who_was_refused_before_credits_came_stops_nothing_when_that_is_heard_of_later(
    engine: Engine,
) -> None:
    """A shard gives back what was refused only when the last of its calls has ended."""
    owner = await add_user(engine.pool, 0)
    engine.probe.costs = (Cost(credits=PRICE, filter={"name": "paid"}),)  # type: ignore[misc]  # of this probe
    gate = asyncio.Event()

    async def hangs(value: Any, _: BlockContext) -> Any:
        await gate.wait()
        return value

    engine.probe.functions.update(hangs=hangs, many=lambda _value, _context: Many(range(6)))
    nodes = {
        "many": (PROBE, {"name": "many"}),
        "free": (PROBE, {"name": "hangs"}),
        "each": (PROBE, {"name": "paid"}),
    }
    graph = make_graph(nodes, ["many.out -> free.value", "many.out -> each.value"])
    async with engine.worker():
        handle = await engine.start(graph, owner=owner, limits=limited(shard_size=3, window=2))
        await until_unpaid(engine, handle)
        await fund(engine, handle, owner, 6 * PRICE)
        await until_resumed(engine, handle)
        gate.set()
        record = await engine.end(handle)

    assert record.status == "COMPLETED"
    assert [kind for _, kind in record.events].count("execution_paused") == 1
    assert await require_sound(engine.pool, owner) == 0


async def until_resumed(engine: Engine, handle: Handle) -> None:
    await eventually(
        lambda: engine.pool.fetchval(
            "SELECT true FROM execution_events WHERE execution_id = $1 AND type = 'execution_resumed'",
            handle.id,
        )
    )


async def test_nested_executions_wait_and_go_on_each_for_itself(engine: Engine) -> None:
    owner = await add_user(engine.pool, 0)
    engine.probe.charge(PRICE)
    inner, _ = await engine.save(
        make_graph({"a": (PROBE, {"value": 1}), "y": (OUTPUT, {"name": "y"})}, ["a.out -> y.value"]), owner
    )
    nested = {"graph_id": inner, "graph_version": 1}
    graph = make_graph(
        {
            "first": ("agent_executor_block", nested),
            "second": ("agent_executor_block", nested),
            "third": ("agent_executor_block", nested),
            "own": (PROBE, {"value": 1}),
        },
        [],
    )
    async with engine.worker():
        handle = await engine.start(graph, owner=owner, limits=limited(nested_at_once=1))
        # The first nested one and the execution itself; the others are not begun.
        await eventually(lambda: _has_unpaid(engine, owner, 2))
        (first,) = [
            execution_id for execution_id in await _unpaid(engine, owner) if execution_id != handle.id
        ]
        await grant(engine.pool, owner, PRICE)
        await engine.client.get_workflow_handle(first).signal(FUND_SIGNAL)
        await eventually(lambda: _has_completed(engine, handle.id, 1))
        assert await engine.find_status(handle.id) == "PAUSED"
        await fund(engine, handle, owner, 3 * PRICE)
        record = await engine.end(handle)

    assert record.status == "COMPLETED"
    assert len(engine.probe.calls) == 4
    assert await require_sound(engine.pool, owner) == 0
    assert await engine.pool.fetchval("SELECT cost FROM executions WHERE id = $1", handle.id) == 4 * PRICE


async def _unpaid(engine: Engine, owner: str) -> list[str]:
    rows = await engine.pool.fetch(
        "SELECT id::text FROM executions WHERE user_id = $1 AND status = 'PAUSED' AND paused_for <> ''", owner
    )
    return [row["id"] for row in rows]


async def _has_unpaid(engine: Engine, owner: str, count: int) -> bool:
    return len(await _unpaid(engine, owner)) == count


async def _has_completed(engine: Engine, execution_id: str, count: int) -> bool:
    nodes = (await engine.record(execution_id)).nodes
    return len([row for row in nodes if row["status"] == "COMPLETED"]) == count


async def test_what_a_person_has_paused_stays_paused_when_there_are_credits(engine: Engine) -> None:
    owner = await add_user(engine.pool, PRICE)
    engine.probe.charge(PRICE)
    async with engine.worker():
        handle = await engine.start(chain(2), owner=owner)
        await until_unpaid(engine, handle)
        await handle.execute_update("pause")
        await until_unpaid(engine, handle, "")
        await fund(engine, handle, owner, PRICE)
        await handle.execute_update("pause")
        assert await engine.find_status(handle.id) == "PAUSED"
        assert len(engine.probe.calls) == 1
        await handle.execute_update("resume")
        record = await engine.end(handle)

    assert record.status == "COMPLETED"
    assert await require_sound(engine.pool, owner) == 0


async def test_a_person_may_try_again_with_too_few_credits(engine: Engine) -> None:
    owner = await add_user(engine.pool, PRICE)
    engine.probe.charge(PRICE)
    async with engine.worker():
        handle = await engine.start(chain(2), owner=owner)
        await until_unpaid(engine, handle)
        await handle.execute_update("resume")
        await until_unpaid(engine, handle)
        await handle.cancel()
        record = await engine.end(handle)

    assert record.status == "CANCELLED"
    assert len(engine.probe.calls) == 1
    assert await require_sound(engine.pool, owner) == 0


async def test_a_conversation_goes_on_in_the_turn_that_could_not_be_paid(
    engine: Engine, language_model: LanguageModelStub
) -> None:
    owner = await add_user(engine.pool, 1_000)
    taken: list[int] = []

    async def drains(value: Any, _: BlockContext) -> Any:
        taken.append(await drain(engine.pool, owner))
        return value

    engine.probe.functions["drains"] = drains
    language_model.answer = says(calls(("probe", {"value": 1})), "Done.")
    tool = (PROBE, {"name": "drains", "metadata": {"customized_name": "probe"}})
    graph = a_graph(["boss.tools -> tool.value"], {"tool": tool})
    async with engine.worker(llm_base_url=language_model.url):
        handle = await engine.start(graph, owner=owner, limits=CALM)
        await until_unpaid(engine, handle)
        await fund(engine, handle, owner, taken[0])
        record = await engine.end(handle)

    assert record.status == "COMPLETED", record.error
    assert len(language_model.requests) == 2
    (boss,) = record.of("boss")
    assert await charges(engine.pool, handle.id) == {str(boss["id"]): boss["cost"]}
    assert await require_sound(engine.pool, owner) == 1_000 - boss["cost"] < 1_000


async def test_an_owner_sees_what_an_execution_waits_for_and_wakes_all_by_paying(
    engine: Engine, api: RestApi, alice: httpx.AsyncClient
) -> None:
    owner = (await alice.get("/api/user")).json()["id"]
    engine.probe.charge(600)
    funding: Funding = api.application.state.resources.funding
    async with engine.worker():
        await engine.run(chain(1), owner=owner)
        unpaid = [await engine.start(chain(1), owner=owner) for _ in range(2)]
        for handle in unpaid:
            await until_unpaid(engine, handle)
        seen = (await alice.get(f"/api/executions/{unpaid[0].id}")).json()
        assert (seen["status"], seen["paused_for"]) == ("PAUSED", "INSUFFICIENT_CREDITS")
        assert seen["on_insufficient_credits"] == "pause"
        assert await funding.resume(owner) == 0
        await grant(engine.pool, owner, 800)
        assert await funding.resume(owner) == 2
        records = [await engine.end(handle) for handle in unpaid]

    assert [record.status for record in records] == ["COMPLETED"] * 2
    assert (await alice.get(f"/api/executions/{unpaid[0].id}")).json()["paused_for"] is None
    assert await require_sound(engine.pool, owner) == 0


async def test_the_reconciler_wakes_what_nobody_has_told(deployment: Deployment, working: None) -> None:
    engine = deployment.engine
    owner = await add_user(engine.pool, 0)
    engine.probe.charge(PRICE)
    handle = await engine.start(chain(1), owner=owner)
    await until_unpaid(engine, handle)
    too_dear = await engine.pool.fetchval("SELECT event_seq FROM executions WHERE id = $1", handle.id)
    await grant(engine.pool, owner, PRICE - 1)
    before = await _count_checks(engine)
    await eventually(lambda: _has_checked(engine, before + 2))
    assert await engine.pool.fetchval("SELECT event_seq FROM executions WHERE id = $1", handle.id) == too_dear
    await grant(engine.pool, owner, 1)
    record = await engine.end(handle)

    assert record.status == "COMPLETED"
    assert await require_sound(engine.pool, owner) == 0


async def _has_checked(engine: Engine, times: int) -> bool:
    return await _count_checks(engine) >= times


async def _count_checks(engine: Engine) -> int:
    """Return how often the reconciler has gone over everything and found something to look at."""
    shown = engine.client.list_workflows(
        f"WorkflowType = '{RECONCILIATION_WORKFLOW}' AND TaskQueue = '{engine.task_queue}' "
        "AND ExecutionStatus = 'Completed'"
    )
    found = [
        await engine.client.get_workflow_handle(run.id, run_id=run.run_id).result() async for run in shown
    ]
    return sum(result["checked"] > 0 for result in found)
