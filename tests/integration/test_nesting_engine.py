"""Executions of graphs that execute other graphs, on a real Temporal and a real Postgres."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from app.activities.contracts.engine import BeginRequest
from app.activities.contracts.execution import ExecutionRef, ExecutionStart
from app.activities.contracts.waves import WaveRequest
from app.activities.couriers import Couriers
from app.activities.engine import PostgresEngineActivities
from app.activities.holds import Hold
from app.activities.nesting import NestedGraphs
from app.activities.origins import Origins
from app.activities.plans import PlanCache
from app.activities.queue import Queue
from app.activities.recorder import Recorder
from app.activities.seeding import Seeding
from app.activities.settling import Settling
from app.activities.value_store import ValueStore
from app.activities.values import ValueCache
from app.blocks.base import Block
from app.blocks.holds import NestedGraphBlock
from app.graph.definition import GraphDefinition
from app.graph.plan import plan_from_json
from app.graph.scheduler import Scheduler
from app.telemetry.tallies import Tallies
from tests.engine import OWNER, Engine, Record, limited, make_graph, refuses
from tests.stack import eventually

PROBE = "probe"
ADD = "calculator_block"
INPUT = "agent_input_block"
OUTPUT = "agent_output_block"
AGENT = "agent_executor_block"
STEPS = "step_through_items_block"


def doubling(**behaviour: Any) -> GraphDefinition:
    """Return a graph that gives back its input twice: first at `once`, then, through a probe, at `again`."""
    return make_graph(
        {
            "in": (INPUT, {"name": "x"}),
            "probe": (PROBE, behaviour),
            "once": (OUTPUT, {"name": "once"}),
            "again": (OUTPUT, {"name": "again"}),
        },
        ["in.result => probe.value", "in.result => once.value", "probe.out -> again.value"],
    )


def nesting(graph_id: str, *links: str, **constants: Any) -> GraphDefinition:
    """Return a graph that executes another one, with an output for whatever its links lead to."""
    sinks = {text.split("->")[1].strip().split(".")[0] for text in links}
    nodes: dict[str, Any] = {"agent": (AGENT, {"graph_id": graph_id, "inputs": constants})}
    nodes |= {name: (OUTPUT, {"name": name}) for name in sorted(sinks)}
    return make_graph(nodes, links)


async def nested_of(engine: Engine, parent_id: str) -> list[dict[str, Any]]:
    """Return the rows of the executions nested in one, in the order of their node executions."""
    rows = await engine.pool.fetch(
        "SELECT * FROM executions WHERE parent_id = $1 ORDER BY parent_node, parent_n", parent_id
    )
    return [dict(row) for row in rows]


async def only_nested(engine: Engine, parent_id: str) -> str:
    """Return the id of the one execution nested in another, once there is one and it has begun."""

    async def begun() -> str | None:
        rows = await nested_of(engine, parent_id)
        return str(rows[0]["id"]) if rows and rows[0]["status"] == "RUNNING" else None

    found = await eventually(begun)
    assert found
    return found


async def test_a_nested_graph_gives_its_outputs_in_their_order(engine: Engine) -> None:
    graph_id, _ = await engine.save(doubling())
    graph = nesting(graph_id, "agent.once -> a.value", "agent.again -> b.value", x=21)
    async with engine.worker():
        handle = await engine.start(graph)
        record = await engine.end(handle)

    assert record.status == "COMPLETED"
    assert record.outputs == {"a": [21], "b": [21]}
    [agent] = record.of("agent")
    assert [pin for pin, _ in agent["outputs"]] == ["once", "again"]
    [nested] = await nested_of(engine, handle.id)
    assert (nested["trigger"], nested["status"]) == ("subgraph", "COMPLETED")
    inner = await engine.record(str(nested["id"]))
    assert inner.outputs == {"once": [21], "again": [21]}
    assert inner.events[-1][1] == "execution_completed"


async def test_links_bring_inputs_and_win_over_constants(engine: Engine) -> None:
    inner = make_graph(
        {
            "x": ("agent_short_text_input_block", {"name": "x"}),
            "y": ("agent_short_text_input_block", {"name": "y"}),
            "x_out": (OUTPUT, {"name": "x"}),
            "y_out": (OUTPUT, {"name": "y"}),
        },
        ["x.result => x_out.value", "y.result => y_out.value"],
    )
    graph_id, _ = await engine.save(inner)
    graph = make_graph(
        {
            "value": (PROBE, {"value": 7}),
            "agent": (AGENT, {"graph_id": graph_id, "inputs": {"x": "constant", "y": "unlinked"}}),
            "a": (OUTPUT, {"name": "a"}),
            "b": (OUTPUT, {"name": "b"}),
        },
        ["value.out -> agent.x", "agent.x -> a.value", "agent.y -> b.value"],
    )
    async with engine.worker():
        record = await engine.run(graph)
    assert record.outputs == {"a": ["7"], "b": ["unlinked"]}


async def test_an_input_may_have_the_name_of_a_field_of_the_block(engine: Engine) -> None:
    inner = make_graph(
        {
            "in": (INPUT, {"name": "graph_id"}),
            "dict": (INPUT, {"name": "inputs"}),
            "out": (OUTPUT, {"name": "error_text"}),
            "dict_out": (OUTPUT, {"name": "user_id"}),
        },
        ["in.result => out.value", "dict.result => dict_out.value"],
    )
    graph_id, _ = await engine.save(inner)
    graph = make_graph(
        {
            "text": (PROBE, {"value": "not an id"}),
            "agent": (AGENT, {"graph_id": graph_id}),
            "a": (OUTPUT, {"name": "a"}),
            "b": (OUTPUT, {"name": "b"}),
        },
        [
            "text.out -> agent.graph_id",
            "text.out -> agent.inputs_#_key",
            "agent.error_text -> a.value",
            "agent.user_id_#_key -> b.value",
        ],
    )
    async with engine.worker():
        record = await engine.run(graph)
    assert record.outputs == {"a": ["not an id"], "b": ["not an id"]}


async def test_two_levels_deep(engine: Engine) -> None:
    lowest, _ = await engine.save(doubling())
    middle = make_graph(
        {
            "in": (INPUT, {"name": "y"}),
            "agent": (AGENT, {"graph_id": lowest}),
            "out": (OUTPUT, {"name": "z"}),
        },
        ["in.result => agent.x", "agent.once -> out.value", "agent.again -> out.value"],
    )
    middle_id, _ = await engine.save(middle)
    async with engine.worker():
        handle = await engine.start(nesting(middle_id, "agent.z -> a.value", y="deep"))
        record = await engine.end(handle)
    assert record.outputs == {"a": ["deep", "deep"]}
    [child] = await nested_of(engine, handle.id)
    [grandchild] = await nested_of(engine, str(child["id"]))
    assert (child["status"], grandchild["status"]) == ("COMPLETED", "COMPLETED")


async def test_outputs_come_formatted_and_in_the_order_in_which_they_came(engine: Engine) -> None:
    inner = make_graph(
        {
            "steps": (STEPS, {"items": [1, 2, 3]}),
            "a": (OUTPUT, {"name": "item", "format": "<{{ item }}>"}),
            "b": (OUTPUT, {"name": "key"}),
        },
        ["steps.item -> a.value", "steps.key -> b.value"],
    )
    graph_id, _ = await engine.save(inner)
    async with engine.worker():
        record = await engine.run(nesting(graph_id, "agent.item -> a.value", "agent.key -> a.value"))
    assert record.outputs == {"a": ["<1>", 0, "<2>", 1, "<3>", 2]}


async def test_a_graph_without_output_nodes_gives_what_its_leaves_emit(engine: Engine) -> None:
    graph_id, _ = await engine.save(make_graph({"probe": (PROBE, {"value": 5})}, []))
    async with engine.worker():
        record = await engine.run(nesting(graph_id, "agent.out -> a.value"))
    assert record.outputs == {"a": [5]}


async def test_large_values_go_in_and_come_out_whole(engine: Engine) -> None:
    graph_id, _ = await engine.save(doubling())
    text = "x" * 100_000
    graph = make_graph(
        {
            "value": (PROBE, {"name": "large"}),
            "agent": (AGENT, {"graph_id": graph_id}),
            "check": (PROBE, {"name": "length"}),
            "part": (PROBE, {"name": "length"}),
            "a": (OUTPUT, {"name": "a"}),
            "b": (OUTPUT, {"name": "b"}),
        },
        [
            "value.out -> agent.x",
            "agent.once -> check.value",
            "agent.again_#_text -> part.value",
            "check.out -> a.value",
            "part.out -> b.value",
        ],
    )
    engine.probe.functions["large"] = lambda _value, _context: {"text": text}
    engine.probe.functions["length"] = lambda value, _context: len(value)
    async with engine.worker():
        handle = await engine.start(graph)
        record = await engine.end(handle)
    assert record.outputs == {"a": [1], "b": [100_000]}
    [agent] = record.of("agent")
    [nested] = await nested_of(engine, handle.id)
    assert len(nested["inputs"]) == 2
    used = await engine.pool.fetch("SELECT sha256 FROM value_uses WHERE execution_id = $1", handle.id)
    assert {envelope[0] for _, envelope in agent["outputs"]} <= {row["sha256"] for row in used}


async def test_a_failed_nested_execution_fails_its_node_and_the_parent(engine: Engine) -> None:
    graph_id, _ = await engine.save(doubling(name="refuses"))
    engine.probe.functions["refuses"] = refuses
    async with engine.worker():
        record = await engine.run(nesting(graph_id, "agent.once -> a.value", x="soup"))
    assert record.status == "FAILED"
    assert record.error == {
        "node_id": "agent",
        "code": "NESTED_FAILED",
        "message": "The nested execution failed: soup is refused",
    }
    assert record.outputs == {"a": ["soup"]}
    [agent] = record.of("agent")
    assert agent["status"] == "FAILED"


async def test_a_failed_nested_execution_is_handled_by_the_error_pin(engine: Engine) -> None:
    graph_id, _ = await engine.save(doubling(name="refuses"))
    engine.probe.functions["refuses"] = refuses
    graph = nesting(graph_id, "agent.error -> b.value", "agent.once -> a.value", x="soup")
    async with engine.worker():
        record = await engine.run(graph)
    assert record.status == "COMPLETED"
    assert record.outputs == {"a": ["soup"], "b": ["The nested execution failed: soup is refused"]}


async def assert_fails(engine: Engine, graph: GraphDefinition, code: str, **options: Any) -> Record:
    """Check that a graph's agent fails with a code and nests nothing."""
    async with engine.worker():
        handle = await engine.start(graph, **options)
        record = await engine.end(handle)
    assert record.status == "FAILED"
    assert record.error is not None
    assert (record.error["node_id"], record.error["code"]) == ("agent", code)
    assert await nested_of(engine, handle.id) == []
    return record


async def test_inputs_that_do_not_fit_fail_the_node_before_anything_is_started(engine: Engine) -> None:
    inner = make_graph({"in": ("agent_number_input_block", {"name": "count"})}, [])
    graph_id, _ = await engine.save(inner)

    record = await assert_fails(engine, nesting(graph_id, count="many", amount=2), "INVALID_INPUT")

    assert record.error is not None
    assert "'count' takes a whole number" in record.error["message"]
    assert "This graph has no input 'amount'" in record.error["message"]


async def test_a_graph_of_another_owner_is_not_nested(engine: Engine) -> None:
    graph_id, _ = await engine.save(doubling(), "somebody else")
    await assert_fails(engine, nesting(graph_id, x=1), "NOT_FOUND")


async def test_a_graph_that_does_not_exist_is_not_nested(engine: Engine) -> None:
    await assert_fails(engine, nesting(str(uuid.uuid4())), "NOT_FOUND")
    await assert_fails(engine, nesting("not an id"), "NOT_FOUND")


async def test_a_graph_that_contains_itself_ends_at_the_depth_cap(engine: Engine) -> None:
    graph_id, _ = await engine.save(doubling())
    await engine.pool.execute(
        "UPDATE graph_versions SET plan_hash = $2 WHERE graph_id = $1",
        uuid.UUID(graph_id),
        (await engine.save(nesting(graph_id, x=1)))[1],
    )
    async with engine.worker():
        handle = await engine.start(nesting(graph_id, x=1), limits=limited(max_depth=3))
        record = await engine.end(handle)

    assert record.error is not None
    assert record.error["message"].endswith("Graphs can be nested 3 deep; this is deeper")
    depth, execution_id = 0, handle.id
    while rows := await nested_of(engine, execution_id):
        depth, execution_id = depth + 1, str(rows[0]["id"])
    assert depth == 3


async def test_what_is_nested_costs_its_parent_even_when_it_fails(engine: Engine) -> None:
    engine.probe.charge(7)
    engine.probe.functions["refuses"] = refuses
    inner = make_graph(
        {"paid": (PROBE, {"value": 1}), "failed": (PROBE, {"name": "refuses"})}, ["paid.out -> failed.value"]
    )
    graph_id, _ = await engine.save(inner)
    async with engine.worker():
        handle = await engine.start(nesting(graph_id))
        record = await engine.end(handle)
    [nested] = await nested_of(engine, handle.id)
    assert record.status == nested["status"] == "FAILED"
    cost = await engine.pool.fetchval("SELECT cost FROM executions WHERE id = $1", handle.id)
    assert (nested["cost"], record.of("agent")[0]["cost"], cost) == (7, 7, 7)


async def test_a_wave_that_is_computed_again_names_the_same_nested_execution(engine: Engine) -> None:
    graph_id, _ = await engine.save(doubling())
    outer_id, plan_hash = await engine.save(nesting(graph_id, x=1))
    start = ExecutionStart(
        user_id=OWNER,
        graph_id=outer_id,
        graph_version=1,
        graph_name="outer",
        plan_hash=plan_hash,
        inputs=[{}],
        trigger="api",
        created_at=datetime.now(UTC).isoformat(),
        budget=50,
    )
    execution_id = str(uuid.uuid4())
    activities = make_activities(engine)
    begun = await activities.begin(BeginRequest(execution_id, start))
    assert begun.plan is not None
    scheduler = Scheduler(plan_from_json(begun.plan), max_node_executions=10)
    scheduler.start()
    request = WaveRequest(
        ExecutionRef(execution_id, OWNER, plan_hash), scheduler.wave_snapshot(), max_node_executions=10
    )

    [[*_, first]] = (await activities.wave(request)).steps
    await add_active_version(engine, graph_id)
    [[*_, second]] = (await make_activities(engine).wave(request)).steps

    assert first == second
    assert (first["graph_version"], first["budget"], first["depth"]) == (1, 50, 1)
    [nested] = await nested_of(engine, execution_id)
    assert (nested["status"], nested["graph_version"], nested["budget"]) == ("QUEUED", 1, 50)


def make_activities(engine: Engine) -> PostgresEngineActivities:
    """Return the engine's activities as a process of their own would have them."""
    pool, signatures = engine.pool, engine.registry.signatures
    origins, plans, values = Origins(pool), PlanCache(pool, engine.registry), ValueCache(ValueStore(pool))
    queue, recorder = Queue(engine.client, pool, most_running=0), Recorder(pool)
    couriers = Couriers(engine.client, pool, task_queue=engine.task_queue)
    settling = Settling(engine.client, pool, recorder, queue, couriers, Tallies())
    nested = NestedGraphs(pool, origins, plans, settling, signatures)
    seeding = Seeding(pool, recorder, values, signatures)
    holds: dict[type[Block], Hold] = {NestedGraphBlock: nested}
    return PostgresEngineActivities(
        engine.client,
        pool,
        origins,
        plans,
        values,
        recorder=recorder,
        holds=holds,
        seeding=seeding,
        queue=queue,
        couriers=couriers,
        tallies=Tallies(),
    )


async def add_active_version(engine: Engine, graph_id: str) -> None:
    """Save the same graph once more, as its version 2."""
    columns = "name, description, definition, plan_hash, input_schema, output_schema"
    await engine.pool.execute(
        f"INSERT INTO graph_versions (graph_id, version, {columns}) "
        f"SELECT graph_id, 2, {columns} FROM graph_versions WHERE graph_id = $1",
        graph_id,
    )
    await engine.pool.execute("UPDATE graphs SET active_version = 2 WHERE id = $1", graph_id)
