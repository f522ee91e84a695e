"""The executions whose histories are kept: one function for each, which starts it on an engine.

Its name is the name of the file.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.client import WorkflowHandle

from app.activities.contracts.messages import FUND_SIGNAL, RELEASE_SIGNAL, Decision, Release
from app.activities.contracts.scheduling import SCHEDULED_START_WORKFLOW, ScheduledFire
from app.blocks.context import BlockContext
from app.graph.costs import Cost
from app.starting.deliveries import delivery_workflow_id, start_delivery
from tests.engine import OWNER, Engine, Many, limited, make_graph, refuses, unavailable_until
from tests.ledger import add_user, grant
from tests.stack import eventually

PROBE = "probe"
OUTPUT = "agent_output_block"
ADD = "calculator_block"

Handle = WorkflowHandle[Any, int]
Shape = Callable[[Engine], Awaitable[Handle]]


async def pure_chain(engine: Engine) -> Handle:
    """One wave does everything."""
    nodes: dict[str, Any] = {"n0": (ADD, {"operation": "Add", "a": 0, "b": 1})}
    nodes |= {f"n{k}": (ADD, {"operation": "Add", "b": 1}) for k in range(1, 20)}
    return await engine.start(make_graph(nodes, [f"n{k}.result -> n{k + 1}.a" for k in range(19)]))


async def remote_diamond(engine: Engine) -> Handle:
    """Remote calls side by side, joined by a pure block."""
    graph = make_graph(
        {
            "a": (PROBE, {"value": 1}),
            "left": (PROBE, {}),
            "right": (PROBE, {}),
            "join": (ADD, {"operation": "Add"}),
            "out": (OUTPUT, {"name": "sum"}),
        },
        [
            "a.out -> left.value",
            "a.out -> right.value",
            "left.out -> join.a",
            "right.out -> join.b",
            "join.result -> out.value",
        ],
    )
    return await engine.start(graph)


async def fan_beyond_the_window(engine: Engine) -> Handle:
    """More remote calls than the window lets through at once."""
    engine.probe.functions["many"] = lambda _value, _context: Many(range(150))
    graph = make_graph(
        {"many": (PROBE, {"name": "many"}), "each": (PROBE, {}), "add": (ADD, {"operation": "Add", "b": 1})},
        ["many.out -> each.value", "each.out -> add.a"],
    )
    return await engine.start(graph, limits=limited(window=20))


async def handled_failure(engine: Engine) -> Handle:
    """A failure goes out on the error pin."""
    engine.probe.functions["refuses"] = refuses
    graph = make_graph(
        {"bad": (PROBE, {"name": "refuses"}), "out": (OUTPUT, {"name": "error"})}, ["bad.error -> out.value"]
    )
    return await engine.start(graph)


async def exhausted_retries(engine: Engine) -> Handle:
    """A failure that nothing handles fails the execution."""
    engine.probe.functions["flaky"] = unavailable_until(9)
    return await engine.start(make_graph({"flaky": (PROBE, {"name": "flaky"})}, []))


async def timer_with_rounds(engine: Engine) -> Handle:
    """A timer goes off twice."""
    graph = make_graph(
        {
            "wait": ("countdown_timer_block", {"seconds": 1, "repeat": 2}),
            "out": (OUTPUT, {"name": "rings"}),
        },
        ["wait.output_message -> out.value"],
    )
    return await engine.start(graph)


async def paused_and_resumed(engine: Engine) -> Handle:
    """Paused while a block runs, resumed later."""
    gate = _gate(engine)
    handle = await engine.start(
        make_graph({"a": (PROBE, {"name": "gate"}), "b": (PROBE, {})}, ["a.out -> b.value"])
    )
    await eventually(lambda: bool(engine.probe.calls))
    await handle.execute_update("pause")
    gate.set()
    await handle.execute_update("resume")
    return handle


async def paused_for_credits(engine: Engine) -> Handle:
    """Paused when a call cannot be paid, while a nested execution waits for its turn; funded later."""
    owner = await add_user(engine.pool, 10)
    engine.probe.charge(10)
    inner, _ = await engine.save(make_graph({"a": (PROBE, {"value": 1})}, []), owner)
    nested = {"graph_id": inner, "graph_version": 1}
    graph = make_graph(
        {
            "a": (PROBE, {"value": 1}),
            "b": (PROBE, {}),
            "first": ("agent_executor_block", nested),
            "second": ("agent_executor_block", nested),
        },
        ["a.out -> b.value"],
    )
    handle = await engine.start(graph, owner=owner, limits=limited(nested_at_once=1))
    await eventually(lambda: _count_events(engine, owner, "execution_paused", 2))
    await grant(engine.pool, owner, 30)
    rows = await engine.pool.fetch(
        "SELECT id::text FROM executions WHERE paused_for <> '' AND user_id = $1", owner
    )
    for row in rows:
        await engine.client.get_workflow_handle(row["id"]).signal(FUND_SIGNAL)
    return handle


async def refused_before_credits_came(engine: Engine) -> Handle:
    """Paused for credits and funded, while shards have still to give back what was refused before."""
    owner = await add_user(engine.pool, 0)
    engine.probe.costs = (Cost(credits=10, filter={"name": "paid"}),)  # type: ignore[misc]  # of this probe alone
    gate = _gate(engine)
    engine.probe.functions["many"] = lambda _value, _context: Many(range(6))
    nodes = {
        "many": (PROBE, {"name": "many"}),
        "free": (PROBE, {"name": "gate"}),
        "each": (PROBE, {"name": "paid"}),
    }
    graph = make_graph(nodes, ["many.out -> free.value", "many.out -> each.value"])
    handle = await engine.start(graph, owner=owner, limits=limited(shard_size=3, window=2))
    await eventually(lambda: _has_event(engine, handle.id, "execution_paused"))
    await grant(engine.pool, owner, 60)
    await handle.signal(FUND_SIGNAL)
    await eventually(lambda: _has_event(engine, handle.id, "execution_resumed"))
    gate.set()
    return handle


async def stopped_in_the_middle(engine: Engine) -> Handle:
    """Cancelled while blocks run."""
    _gate(engine)
    handle = await engine.start(
        make_graph({"a": (PROBE, {"name": "gate"}), "b": (PROBE, {"name": "gate"})}, [])
    )
    await eventually(lambda: len(engine.probe.calls) == 2)
    await handle.cancel()
    return handle


async def capped_loop(engine: Engine) -> Handle:
    """A loop without an end, in several waves and workflow tasks."""
    graph = make_graph(
        {"start": ("store_value_block", {"input": 1}), "spin": ("store_value_block", {})},
        ["start.output => spin.input", "spin.output -> spin.input"],
    )
    return await engine.start(graph, limits=limited(max_node_executions=6_000))


async def queued_and_called(engine: Engine) -> Handle:
    """No room at first; begun when another execution of its user has ended."""
    gate = _gate(engine)
    await engine.start(make_graph({"a": (PROBE, {"name": "gate"})}, []))
    await eventually(lambda: bool(engine.probe.calls))
    handle = await engine.start(make_graph({"a": (PROBE, {})}, []))
    await eventually(lambda: _is_queued(engine, handle.id))
    gate.set()
    return handle


async def handed_over(engine: Engine) -> Handle:
    """A chain beside a timer, over several runs."""
    chain: dict[str, Any] = {"n0": (PROBE, {"value": 1})} | {f"n{k}": (PROBE, {}) for k in range(1, 30)}
    timer = {"wait": ("countdown_timer_block", {"seconds": 2}), "out": (OUTPUT, {"name": "rang"})}
    links = [f"n{k}.out -> n{k + 1}.value" for k in range(29)]
    graph = make_graph(chain | timer, [*links, "wait.output_message -> out.value"])
    return await engine.start(graph, limits=limited(events_per_run=60))


async def fan_in_shards(engine: Engine) -> Handle:
    """A fan-out so large that shards carry it."""
    engine.probe.functions["many"] = lambda _value, _context: Many(range(300))
    graph = make_graph({"many": (PROBE, {"name": "many"}), "each": (PROBE, {})}, ["many.out -> each.value"])
    return await engine.start(graph, limits=limited(shard_size=20, window=5))


async def very_many_items(engine: Engine) -> Handle:
    """A generator whose emissions come in folded lists."""
    graph = make_graph(
        {
            "items": ("step_through_items_block", {"items": list(range(3_000))}),
            "add": (ADD, {"operation": "Add", "b": 1}),
        },
        ["items.item -> add.a"],
    )
    return await engine.start(graph)


async def answered_review(engine: Engine) -> Handle:
    """Nothing can run until a person has answered."""
    graph = make_graph(
        {
            "review": ("human_in_the_loop_block", {"data": 1, "name": "Well?", "remind_after_seconds": 1}),
            "out": (OUTPUT, {"name": "approved"}),
        },
        ["review.approved_data -> out.value"],
    )
    handle = await engine.start(graph)
    await eventually(lambda: _has_event(engine, handle.id, "review_reminder"))
    await handle.signal(RELEASE_SIGNAL, Release(0, 1, decision=Decision(approved=True, by="owner")))
    return handle


async def nested_execution(engine: Engine) -> Handle:
    """A node executes another graph."""
    inner, _ = await engine.save(
        make_graph({"a": (PROBE, {"value": 1}), "y": (OUTPUT, {"name": "y"})}, ["a.out -> y.value"])
    )
    nested = {"graph_id": inner, "graph_version": 1}
    graph = make_graph(
        {"agent": ("agent_executor_block", nested), "out": (OUTPUT, {"name": "y"})}, ["agent.y -> out.value"]
    )
    return await engine.start(graph)


async def overdue(engine: Engine) -> Handle:
    """A block runs when the execution's time is up."""
    _gate(engine)
    return await engine.start(
        make_graph({"a": (PROBE, {"name": "gate"})}, []), limits=limited(timeout_seconds=1.0)
    )


def _boss(**constants: Any) -> tuple[str, dict[str, Any]]:
    return "orchestrator_block", {"prompt": "Use your tools.", "multiple_tool_calls": True, **constants}


async def tools_called(engine: Engine) -> Handle:
    """A model calls tools of several lanes at once, one of which fails."""
    engine.probe.functions["refuses"] = refuses
    graph = make_graph(
        {
            "boss": _boss(agent_mode_max_iterations=5),
            "pure": (ADD, {"operation": "Add", "b": 1}),
            "remote": (PROBE, {}),
            "bad": (PROBE, {"name": "refuses"}),
            "timer": ("countdown_timer_block", {"seconds": 1}),
            "out": (OUTPUT, {"name": "answer"}),
        },
        [
            "boss.tools -> pure.a",
            "boss.tools -> remote.value",
            "boss.tools -> bad.value",
            "boss.tools -> timer.input_message",
            "boss.finished -> out.value",
        ],
    )
    return await engine.start(graph)


async def conversation_handed_over(engine: Engine) -> Handle:
    """A conversation beside a long chain, over several runs."""
    chain: dict[str, Any] = {"n0": (PROBE, {"value": 1})} | {f"n{k}": (PROBE, {}) for k in range(1, 30)}
    nodes = {"boss": _boss(agent_mode_max_iterations=-1), "remote": (PROBE, {}), "pure": (ADD, {"a": 1})}
    links = [f"n{k}.out -> n{k + 1}.value" for k in range(29)]
    graph = make_graph(chain | nodes, [*links, "boss.tools -> remote.value", "boss.tools -> pure.b"])
    return await engine.start(graph, limits=limited(events_per_run=40))


async def conversations_in_shards(engine: Engine) -> Handle:
    """So many conversations that shards carry them."""
    engine.probe.functions["many"] = lambda _value, _context: Many(f"Task {k}" for k in range(30))
    nodes = {
        "many": (PROBE, {"name": "many"}),
        "boss": _boss(agent_mode_max_iterations=-1),
        "remote": (PROBE, {}),
    }
    graph = make_graph(nodes, ["many.out -> boss.prompt", "boss.tools -> remote.value"])
    return await engine.start(graph, limits=limited(shard_size=5, window=5))


async def loop_through_the_graph(engine: Engine) -> Handle:
    """A model is asked again by links."""
    graph = make_graph(
        {"boss": _boss(), "pure": (ADD, {"operation": "Add", "b": 1}), "out": (OUTPUT, {"name": "answer"}),
         "task": ("store_value_block", {"input": "Use your tools."})},
        [
            "task.output => boss.prompt",
            "boss.tools -> pure.a",
            "pure.result -> boss.last_tool_output",
            "boss.conversations -> boss.conversation_history",
            "boss.finished -> out.value",
        ],
    )  # fmt: skip
    return await engine.start(graph)


def calls_each_tool(asked: dict[str, Any]) -> str | dict[str, Any]:
    """Call every tool in the first three turns, and end then."""
    turn = sum(message["role"] == "assistant" for message in asked["messages"])
    if turn == 3:
        return "Done."
    calls = [
        {
            "id": f"call_{turn}_{place}",
            "type": "function",
            "function": {
                "name": tool["function"]["name"],
                "arguments": json.dumps(dict.fromkeys(tool["function"]["parameters"]["properties"], turn)),
            },
        }
        for place, tool in enumerate(asked["tools"])
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


async def _count_events(engine: Engine, owner: str, kind: str, count: int) -> bool:
    rows = await engine.pool.fetch(
        "SELECT FROM execution_events v JOIN executions e ON e.id = v.execution_id "
        "WHERE e.user_id = $1 AND v.type = $2",
        owner,
        kind,
    )
    return len(rows) == count


async def _has_event(engine: Engine, execution_id: str, kind: str) -> bool:
    rows = await engine.pool.fetch(
        "SELECT FROM execution_events WHERE execution_id = $1 AND type = $2", execution_id, kind
    )
    return bool(rows)


async def notification_given_up(engine: Engine) -> Handle:
    """A notification whose secret does not open is tried again, and given up when it is switched off."""
    owner, notification, delivery = await add_user(engine.pool, 0), str(uuid.uuid4()), str(uuid.uuid4())
    await engine.pool.execute(
        "INSERT INTO notifications (id, user_id, name, channel, target, events, secret) "
        "VALUES ($1, $2, 'test', 'webhook', '', '[]'::text::json, ''::bytea)",
        notification,
        owner,
    )
    await engine.pool.execute(
        "INSERT INTO deliveries (id, user_id, notification_id, channel, event) "
        "VALUES ($1, $2, $3, 'webhook', 'execution.completed')",
        delivery,
        owner,
        notification,
    )
    await start_delivery(engine.client, delivery, owner=owner, task_queue=engine.task_queue)
    await eventually(lambda: _is_tried(engine, delivery))
    await engine.pool.execute("UPDATE notifications SET is_active = false WHERE id = $1", notification)
    return engine.client.get_workflow_handle(delivery_workflow_id(delivery), result_type=int)


async def _is_tried(engine: Engine, delivery_id: str) -> bool:
    return bool(await engine.pool.fetchval("SELECT attempts FROM deliveries WHERE id = $1", delivery_id))


async def _is_queued(engine: Engine, execution_id: str) -> bool:
    query = "SELECT awaits_room FROM executions WHERE id = $1"
    return bool(await engine.pool.fetchval(query, execution_id))


def _gate(engine: Engine) -> asyncio.Event:
    gate = asyncio.Event()

    async def wait(value: Any, _: BlockContext) -> Any:
        await gate.wait()
        return value

    engine.probe.functions["gate"] = wait
    return gate


async def scheduled_start(engine: Engine) -> Handle:
    """A fire of a schedule, and the execution that it waits for."""
    return await _fire(engine, {})


async def scheduled_start_refused(engine: Engine) -> Handle:
    """A fire that cannot start anything."""
    return await _fire(engine, {"unknown": 1})


async def _fire(engine: Engine, inputs: dict[str, Any]) -> Handle:
    graph = make_graph({"wait": ("countdown_timer_block", {"seconds": 1})}, [])
    graph_id, _ = await engine.save(graph)
    schedule_id = str(uuid.uuid4())
    await engine.pool.execute(
        "INSERT INTO schedules (id, user_id, graph_id, timezone, catchup_window, overlap, revision, inputs) "
        "VALUES ($1, $2, $3, 'UTC', 600, 'skip', 1, $4)",
        schedule_id,
        OWNER,
        graph_id,
        inputs,
    )
    return await engine.client.start_workflow(
        SCHEDULED_START_WORKFLOW,
        ScheduledFire(schedule_id, OWNER, 1),
        id=f"{schedule_id}-2026-01-01T00:00:00Z",
        task_queue=engine.task_queue,
    )


SHAPES: tuple[Shape, ...] = (
    pure_chain,
    remote_diamond,
    fan_beyond_the_window,
    handled_failure,
    exhausted_retries,
    timer_with_rounds,
    paused_and_resumed,
    paused_for_credits,
    refused_before_credits_came,
    stopped_in_the_middle,
    capped_loop,
    handed_over,
    fan_in_shards,
    very_many_items,
    answered_review,
    nested_execution,
    overdue,
    tools_called,
    conversation_handed_over,
    conversations_in_shards,
    loop_through_the_graph,
    queued_and_called,
    scheduled_start,
    scheduled_start_refused,
    notification_given_up,
)
