"""Stored values that are gone: what needs them fails by name, and nothing waits for them for ever."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from app.activities.contracts.execution import WORKFLOW_NAME, ExecutionStart, Rerun
from tests.engine import FAST, Engine, Record, make_graph
from tests.stack import eventually

PROBE = "probe"
OUTPUT = "agent_output_block"
ECHO = make_graph(
    {"in": ("agent_input_block", {"name": "x"}), "out": (OUTPUT, {"name": "y"})}, ["in.result -> out.value"]
)


async def lose(engine: Engine, execution_id: str) -> None:
    """Take away all stored values of an execution, as no collector ever would."""
    await engine.pool.execute(
        "WITH lost AS (DELETE FROM value_uses WHERE execution_id = $1 RETURNING user_id, sha256) "
        "SELECT * FROM lost",
        execution_id,
    )
    await engine.pool.execute(
        "DELETE FROM stored_values v WHERE user_id = $1 AND NOT EXISTS "
        "(SELECT FROM value_uses u WHERE u.user_id = v.user_id AND u.sha256 = v.sha256)",
        await engine.pool.fetchval("SELECT user_id FROM executions WHERE id = $1", execution_id),
    )


async def start(engine: Engine, owner: str, graph: Any = ECHO, **changes: Any) -> Any:
    """Start an execution as the API does, with a workflow's input of the test's own."""
    graph_id, plan_hash = await engine.save(graph, changes.pop("graph_owner", owner))
    fields: dict[str, Any] = {
        "user_id": owner,
        "graph_id": graph_id,
        "graph_version": 1,
        "graph_name": "test",
        "plan_hash": plan_hash,
        "inputs": [{}],
        "trigger": "api",
        "created_at": datetime.now(UTC).isoformat(),
        "limits": FAST,
    }
    given = ExecutionStart(**{**fields, **changes})
    execution_id = str(uuid.uuid4())
    return await engine.client.start_workflow(
        WORKFLOW_NAME, given, id=execution_id, task_queue=engine.task_queue, result_type=int
    )


async def end(engine: Engine, handle: Any) -> Record:
    async with asyncio.timeout(30):
        return await engine.end(handle)


@pytest.fixture
def owner() -> str:
    """An owner of the test's own, of whom values can be taken away."""
    return f"owner-{uuid.uuid4()}"


async def test_an_accepted_start_whose_inputs_were_collected_fails_and_is_recorded(
    engine: Engine, owner: str
) -> None:
    async with engine.worker():
        record = await end(engine, await start(engine, owner, inputs=["0" * 64, 10_000]))
    assert record.status == "FAILED"
    assert record.error is not None
    assert (record.error["code"], record.nodes) == ("VALUE_MISSING", [])
    assert record.events[-1][1] == "execution_failed"


async def test_the_values_of_somebody_else_are_missing_to_a_forged_start(engine: Engine, owner: str) -> None:
    secret = {"x": f"{uuid.uuid4()}" * 1_000}
    text = json.dumps(secret, separators=(",", ":"))
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    engine.probe.functions["make"] = lambda _value, _context: secret
    makes = make_graph({"make": (PROBE, {"name": "make"})}, [])
    async with engine.worker():
        assert (await end(engine, await start(engine, f"{owner}-victim", makes))).status == "COMPLETED"
        assert await engine.pool.fetchval("SELECT count(*) FROM stored_values WHERE sha256 = $1", sha256) == 1
        record = await end(engine, await start(engine, owner, inputs=[sha256, len(text)]))
    assert record.error is not None
    assert (record.error["code"], record.outputs) == ("VALUE_MISSING", {})


async def test_the_graphs_of_somebody_else_are_missing_to_a_forged_start(engine: Engine, owner: str) -> None:
    victim = f"{owner}-victim"
    _, plan_of_victim = await engine.save(
        make_graph({"n": ("store_value_block", {"input": owner})}, []), victim
    )
    async with engine.worker():
        foreign_graph = await end(engine, await start(engine, owner, graph_owner=victim))
        foreign_plan = await end(engine, await start(engine, owner, plan_hash=plan_of_victim))
    for record in (foreign_graph, foreign_plan):
        assert record.error is not None
        assert (record.error["code"], record.nodes, record.outputs) == ("NOT_FOUND", [], {})


async def test_the_executions_of_somebody_else_are_missing_to_a_forged_rerun(
    engine: Engine, owner: str
) -> None:
    async with engine.worker():
        original = await start(engine, f"{owner}-victim", inputs=[{"x": "secret"}])
        assert (await end(engine, original)).outputs == {"y": ["secret"]}
        record = await end(engine, await start(engine, owner, rerun=Rerun(original.id)))
    assert record.error is not None
    assert (record.error["code"], record.nodes, record.outputs) == ("NOT_FOUND", [], {})


async def test_a_forged_start_touches_no_record_of_somebody_else(engine: Engine, owner: str) -> None:
    released = asyncio.Event()

    async def waits(value: Any, _context: Any) -> Any:
        await released.wait()
        return value

    engine.probe.functions["wait"] = waits
    graph = make_graph({"n": (PROBE, {"name": "wait", "value": 1})}, [])
    victim = f"{owner}-victim"
    graph_id, plan_hash = await engine.save(graph, victim)
    own_graph_id, _ = await engine.save(graph, owner)
    execution_id = str(uuid.uuid4())
    # A record of the victim's whose workflow Temporal has forgotten.
    await engine.pool.execute(
        "INSERT INTO executions (id, user_id, graph_id, graph_version, plan_hash, status, trigger, inputs, created_at) "
        "VALUES ($1, $2, $3, 1, $4, 'RUNNING', 'api', '[{}]', now())",
        execution_id,
        victim,
        graph_id,
        plan_hash,
    )
    await engine.pool.execute(
        "INSERT INTO node_executions (id, execution_id, node, node_id, block_id, n, status, attempt, inputs, outputs, "
        "cost, seq) VALUES ($1, $2, 0, 'n', 'b', 1, 'WAITING', 1, '{}', '[]', 0, 1)",
        str(uuid.uuid4()),
        execution_id,
    )
    forged = ExecutionStart(
        owner, own_graph_id, 1, "test", plan_hash, [{}], "api", datetime.now(UTC).isoformat(), limits=FAST
    )
    async with engine.worker():
        handle = await engine.client.start_workflow(
            WORKFLOW_NAME, forged, id=execution_id, task_queue=engine.task_queue, result_type=int
        )
        record = await end(engine, handle)
    assert (record.status, [row["status"] for row in record.nodes], record.events) == (
        "RUNNING",
        ["WAITING"],
        [],
    )
    assert engine.probe.calls == []


async def test_a_remote_node_whose_value_is_gone_fails_and_its_error_is_handled(
    engine: Engine, owner: str
) -> None:
    released = asyncio.Event()

    async def passes(value: Any, _context: Any) -> Any:
        await released.wait()
        return value

    engine.probe.functions |= {"make": lambda _v, _c: "x" * 20_000, "pass": passes}
    graph = make_graph(
        {
            "make": (PROBE, {"name": "make"}),
            "gate": (PROBE, {"name": "pass", "value": "go"}),
            "take": (PROBE, {}),
            "pure": ("store_value_block", {}),
            "remote_error": (OUTPUT, {"name": "remote"}),
            "pure_error": (OUTPUT, {"name": "pure"}),
        },
        [
            "make.out -> take.value",
            "gate.out -> take.name",
            "make.out -> pure.data",
            "gate.out -> pure.input",
            "take.error -> remote_error.value",
            "pure.error -> pure_error.value",
        ],
    )
    handle = await start(engine, owner, graph)

    async def has_made() -> bool:
        rows = await engine.pool.fetch(
            "SELECT node_id FROM node_executions WHERE execution_id = $1 AND status = 'COMPLETED'", handle.id
        )
        return [row["node_id"] for row in rows] == ["make"]

    async with engine.worker():
        await eventually(has_made)
    await lose(engine, handle.id)
    released.set()
    async with engine.worker():  # which has nothing in its memory
        record = await end(engine, handle)
    assert record.status == "COMPLETED", record.error
    assert record.outputs == {
        "remote": ["A stored value is no longer there."],
        "pure": ["A stored value is no longer there."],
    }
    for name in ("take", "pure"):
        (row,) = record.of(name)
        assert (row["status"], row["attempt"], row["error"]["code"]) == ("FAILED", 1, "VALUE_MISSING")
        # The record refers to nothing that is not there, so it can be read.
        assert [None] in row["inputs"].values()


async def test_a_rerun_of_what_has_lost_its_inputs_fails(engine: Engine, owner: str) -> None:
    async with engine.worker():
        original = await start(engine, owner)
        assert (await end(engine, original)).status == "COMPLETED"
        await engine.pool.execute(
            "UPDATE executions SET inputs = $2 WHERE id = $1", original.id, ["0" * 64, 10_000]
        )
        record = await end(engine, await start(engine, owner, rerun=Rerun(original.id)))
    assert record.error is not None
    assert record.error["code"] == "VALUE_MISSING"
