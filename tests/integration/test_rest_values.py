"""Large values over REST: as they are, or as references that are opened one by one."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from app.models.value_collection import collect_values
from app.s3 import S3Objects
from tests.engine import Engine
from tests.object_storage import URL, S3Server, run_s3_server
from tests.rest_api import RestApi, run_api
from tests.stack import eventually

INPUTS = {"text": "0123456789" * 2_000}
ECHO = {
    "name": "echo",
    "nodes": [
        {"id": "in", "block_id": "agent_input_block", "input_default": {"name": "text"}},
        {"id": "out", "block_id": "agent_output_block", "input_default": {"name": "text"}},
    ],
    "links": [{"source_id": "in", "sink_id": "out", "source_name": "result", "sink_name": "value"}],
}


async def start(caller: httpx.AsyncClient, inputs: Any = INPUTS) -> dict[str, Any]:
    graph = await caller.post("/api/graphs", json=ECHO)
    assert graph.status_code == 201, graph.text
    started = await caller.post(f"/api/graphs/{graph.json()['id']}/execute", json={"inputs": inputs})
    assert started.status_code == 200, started.text
    return dict(started.json())


async def reference_to_inputs(caller: httpx.AsyncClient, execution_id: str) -> dict[str, Any]:
    found = await caller.get(f"/api/executions/{execution_id}", params={"refs": True})
    return dict(found.json()["inputs"])


async def test_a_reference_is_opened_by_who_owns_the_execution_alone(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    execution = await start(alice)
    assert execution["inputs"] == INPUTS
    reference = await reference_to_inputs(alice, execution["id"])
    assert reference["size"] == len(json.dumps(INPUTS, separators=(",", ":")))

    value = await alice.get(f"/api/executions/{execution['id']}/values/{reference['$ref']}")
    assert value.status_code == 200
    assert value.headers["content-type"] == "application/json"
    assert value.json() == INPUTS

    another = await start(alice, {"text": "small"})
    nobodys = await alice.get(f"/api/executions/{uuid.uuid4()}/values/{reference['$ref']}")
    for refused in (
        await alice.get(f"/api/executions/{another['id']}/values/{reference['$ref']}"),
        await alice.get(f"/api/executions/{execution['id']}/values/{'0' * 64}"),
        await bob.get(f"/api/executions/{execution['id']}/values/{reference['$ref']}"),
    ):
        assert refused.status_code == 404
        assert refused.json()["error"]["message"] == nobodys.json()["error"]["message"]
    assert (await alice.get(f"/api/executions/{execution['id']}/values/none")).status_code == 422


async def test_a_list_of_references_is_as_long_as_it_may_be(alice: httpx.AsyncClient) -> None:
    for _ in range(3):
        await start(alice, {"text": "x" * 5_000_000})
    short = (await alice.get("/api/executions")).json()
    assert len(short["items"]) == 1
    assert short["next_cursor"]
    page = (await alice.get("/api/executions", params={"refs": True})).json()
    assert len(page["items"]) == 3
    assert {item["inputs"]["size"] for item in page["items"]} == {5_000_011}


@pytest.mark.usefixtures("worker")
async def test_outputs_and_node_executions_refer_to_the_same_values(alice: httpx.AsyncClient) -> None:
    execution = await start(alice)
    path = f"/api/executions/{execution['id']}"

    async def has_ended() -> bool:
        return bool((await alice.get(path)).json()["status"] == "COMPLETED")

    await eventually(has_ended)
    assert (await alice.get(f"{path}/results")).json()["outputs"] == {"text": [INPUTS["text"]]}
    (reference,) = (await alice.get(f"{path}/results?refs=true")).json()["outputs"]["text"]
    assert set(reference) == {"$ref", "size"}
    nodes = (await alice.get(f"{path}/nodes?refs=true&node_id=in")).json()["items"]
    assert nodes[0]["outputs"]["result"] == [reference]
    assert (await alice.get(f"{path}/values/{reference['$ref']}")).json() == INPUTS["text"]
    nodes = (await alice.get(f"{path}/nodes?node_id=in")).json()["items"]
    assert nodes[0]["outputs"]["result"] == [INPUTS["text"]]


@pytest.mark.usefixtures("worker")
async def test_more_values_than_one_answer_may_hold_are_referred_to(
    engine: Engine, alice: httpx.AsyncClient
) -> None:
    """What only reads one execution says how to ask; lists, and answers to what was done, just refer."""
    execution = await start(alice, {"text": "x" * 9_000_000})
    path = f"/api/executions/{execution['id']}"

    async def has_ended() -> bool:
        return await engine.find_status(execution["id"]) == "COMPLETED"

    await eventually(has_ended)
    assert (await alice.get(path)).status_code == 200
    (envelope,) = (
        await engine.pool.fetchval("SELECT outputs FROM executions WHERE id = $1", execution["id"])
    )["text"]
    await engine.pool.execute(
        "UPDATE executions SET outputs = $2 WHERE id = $1", execution["id"], {"text": [envelope] * 4}
    )
    await engine.pool.execute(
        "UPDATE node_executions SET outputs = $2 WHERE execution_id = $1 AND node_id = 'in'",
        execution["id"],
        [["result", envelope]] * 4,
    )
    reference = {"$ref": envelope[0], "size": 9_000_002}

    for where in (path, f"{path}/results"):
        refused = await alice.get(where)
        assert refused.status_code == 413
        error = refused.json()["error"]
        assert error["error_code"] == "PAYLOAD_TOO_LARGE"
        assert (error["details"]["parameter"], error["details"]["limit"]) == ("refs", 32 * 1024 * 1024)
        assert error["details"]["bytes"] >= 4 * 9_000_002
        assert (await alice.get(f"{where}?refs=true")).json()["outputs"] == {"text": [reference] * 4}
    listed = (await alice.get("/api/executions")).json()["items"]
    stopped = (await alice.post(f"{path}/stop")).json()
    (node,) = (await alice.get(f"{path}/nodes?node_id=in")).json()["items"]
    for shown in (listed[0]["outputs"]["text"], stopped["outputs"]["text"], node["outputs"]["result"]):
        assert shown == [reference] * 4


@pytest.mark.usefixtures("worker")
async def test_the_values_of_a_deleted_execution_are_collected(
    engine: Engine, alice: httpx.AsyncClient
) -> None:
    text = {"text": f"{uuid.uuid4()}" * 1_000}
    execution, another = await start(alice, text), await start(alice, text)
    reference = (await reference_to_inputs(alice, another["id"]))["$ref"]
    for path in (f"/api/executions/{execution['id']}", f"/api/executions/{another['id']}"):

        async def is_deleted(path: str = path) -> bool:
            return (await alice.delete(path)).status_code == 204

        async def collects_all() -> bool:
            return (await collect_values(engine.pool, None, grace=timedelta(0))).is_all

        assert await engine.pool.fetchval("SELECT count(*) FROM stored_values WHERE sha256 = $1", reference)
        await eventually(is_deleted)
        await eventually(collects_all)
        assert (await alice.get(f"{path}/values/{reference}")).status_code == 404
    assert not await engine.pool.fetchval("SELECT count(*) FROM stored_values WHERE sha256 = $1", reference)


@pytest.fixture
async def s3(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Server]:
    async with run_s3_server(short_folder / "s3.log") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
async def api_on_s3(engine: Engine, client: Client, s3: S3Server) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    objects = S3Objects(URL)
    async with run_api(
        engine.database_url, connect, task_queue=engine.task_queue, objects=objects
    ) as running:
        yield running


async def test_an_object_store_that_is_away_is_an_outage(api_on_s3: RestApi, s3: S3Server) -> None:
    async with api_on_s3.caller() as caller:
        execution = await start(caller)
        assert await s3.count() == 1
        path = f"/api/executions/{execution['id']}"
        assert (await caller.get(path)).json()["inputs"] == INPUTS
        reference = await reference_to_inputs(caller, execution["id"])

        s3.kill()
        for refused in (
            await caller.get(path),
            await caller.get(f"{path}/values/{reference['$ref']}"),
            await caller.post(
                f"/api/graphs/{execution['graph_id']}/execute", json={"inputs": {"text": "y" * 20_000}}
            ),
        ):
            assert refused.status_code == 503
            assert refused.json()["error"]["error_code"] == "ENGINE_UNAVAILABLE"
        assert await reference_to_inputs(caller, execution["id"]) == reference
        assert len((await caller.get("/api/executions?refs=true")).json()["items"]) == 1
