"""Canaries: secrets planted as credentials are found nowhere that anybody reads, whatever blocks do with them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import sys
import traceback
import uuid
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import structlog
from google.protobuf.json_format import MessageToJson
from temporalio.client import ActivityFailureError, Client

from app.log import configure_log
from tests.credentials import KEYS, PROBES, keep, make_registry
from tests.e2e.rest import graph, node, save, wait
from tests.engine import Engine, make_engine
from tests.rest_api import RestApi, run_api
from tests.stack import eventually

ACTS = ("show", "fail", "fail for a while", "crash", "say so")


class Log(io.StringIO):
    """Everything that API and worker write."""


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """The log of this process as it is written in production, from the lowest level on."""
    written = Log()
    root = logging.getLogger()
    before, configured = (root.handlers[:], root.level), structlog.get_config()
    monkeypatch.setattr(sys, "stderr", written)
    configure_log("json", process="tests", level=logging.DEBUG)
    # A logger that is first used here would otherwise write to this log for ever.
    structlog.configure(cache_logger_on_first_use=False)
    yield written
    root.handlers[:], root.level = before
    structlog.configure(**configured)


@pytest.fixture
async def engine(client: Client, own_database_url: str, log: Log) -> AsyncIterator[Engine]:
    """An engine with the probes, over a database that nobody else writes to."""
    async with make_engine(client, own_database_url) as running:
        running.registry = make_registry()
        yield running


@pytest.fixture
async def api(engine: Engine, client: Client) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url, connect, registry=engine.registry, task_queue=engine.task_queue
    ) as running:
        yield running


def canaries() -> dict[str, str]:
    """Return a secret of each type that nothing else holds."""
    return {kind: f"canary-{kind}-{uuid.uuid4().hex}" for kind in KEYS}


def forms_of(secret: str) -> list[str]:
    """Return what would give a secret away."""
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return [secret, secret[:24], encoded, quote(secret), secret.encode().hex()]


def all_acts() -> dict[str, Any]:
    """Return a graph in which every probe does everything it can with its secret, and the failures are passed on."""
    nodes, links = [], []
    for number, block in enumerate(PROBES):
        for step, act in enumerate(ACTS):
            name = f"n{number}-{step}"
            nodes.append(node(name, block.id, act=act))
            nodes.append(node(f"{name}-error", "agent_output_block", name=f"error of {name}"))
            links.append(f"{name}.error -> {name}-error.value")
    return graph(nodes, links)


async def everything_in(engine: Engine) -> str:
    """Return all rows of all tables as text, bytes also unpacked and as hexadecimal digits."""
    tables = await engine.pool.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    texts: list[str] = []
    for (table,) in tables:
        for row in await engine.pool.fetch(f'SELECT * FROM "{table}"'):
            for value in row.values():
                texts += texts_of(value) if isinstance(value, bytes) else [str(value)]
    return "\n".join(texts)


def texts_of(value: bytes) -> list[str]:
    texts = [value.decode("latin-1"), value.hex()]
    with contextlib.suppress(zlib.error):
        texts.append(zlib.decompress(value).decode("latin-1"))
    return texts


async def history_of(client: Client, workflow_id: str) -> str:
    """Return a workflow's history with everything in it decrypted."""
    handle = client.get_workflow_handle(workflow_id)
    texts = [MessageToJson(event) async for event in handle.fetch_history_events()]
    return "\n".join([*texts, json.dumps(await decoded_payloads(client, workflow_id), default=str)])


async def decoded_payloads(client: Client, workflow_id: str) -> list[Any]:
    found: list[Any] = []
    async for event in client.get_workflow_handle(workflow_id).fetch_history_events():
        for payload in payloads_in(event):
            codec = client.data_converter.payload_codec
            plain = [payload] if codec is None else await codec.decode([payload])
            found.append(plain[0].data.decode("utf-8", "replace"))
    return found


def payloads_in(message: Any) -> Iterator[Any]:
    """Return every payload in a protobuf message."""
    if message.DESCRIPTOR.full_name == "temporal.api.common.v1.Payload":
        yield message
        return
    for _, value in message.ListFields():
        if hasattr(value, "DESCRIPTOR"):
            yield from payloads_in(value)
        elif hasattr(value, "values"):
            for inner in value.values():
                if hasattr(inner, "DESCRIPTOR"):
                    yield from payloads_in(inner)
        elif hasattr(value, "__iter__") and not isinstance(value, str | bytes):
            for inner in value:
                if hasattr(inner, "DESCRIPTOR"):
                    yield from payloads_in(inner)


def assert_silent(where: str, text: str, planted: dict[str, str]) -> None:
    assert text, where
    for kind, secret in planted.items():
        for form in forms_of(secret):
            assert form not in text, (where, kind, text[max(0, text.find(form) - 200) :][:400])


@pytest.mark.usefixtures("worker")
async def test_a_planted_secret_is_found_nowhere(
    alice: httpx.AsyncClient, engine: Engine, client: Client, log: Log
) -> None:
    planted = canaries()
    chosen = {KEYS[kind]: await keep(alice, kind, secret) for kind, secret in planted.items()}
    graph_id = await save(alice, all_acts())
    answer = await alice.post(
        f"/api/graphs/{graph_id}/execute", json={"inputs": {}, "credentials_inputs": chosen}
    )
    execution = await wait(alice, answer.json()["id"])
    path = f"/api/executions/{execution['id']}"
    messages = [values[0] for name, values in execution["outputs"].items() if name.startswith("error")]
    assert len(messages) == len(PROBES) * (len(ACTS) - 1)
    assert sum("[hidden]" in message for message in messages) >= len(PROBES) * 3
    trials = [
        await alice.post(
            f"/api/blocks/{block.id}/execute",
            json={"inputs": {"act": act, "credentials": {"id": chosen[KEYS[kind]]}}},
        )
        for kind, block in zip(KEYS, PROBES, strict=True)
        for act in ACTS
    ]
    assert [trial.status_code for trial in trials].count(200) == len(PROBES)
    for reading in (path, f"{path}/nodes?limit=200", f"{path}/events?limit=200", f"/api/graphs/{graph_id}"):
        assert_silent(reading, (await alice.get(reading)).text, planted)
    streamed = await alice.get(f"{path}/events", headers={"Accept": "text/event-stream"})
    assert_silent("the stream", streamed.text, planted)
    assert_silent("the export", (await alice.get(f"/api/graphs/{graph_id}/export")).text, planted)
    assert_silent("trials", "\n".join(trial.text for trial in trials), planted)
    assert_silent("the history", await history_of(client, execution["id"]), planted)
    assert_silent("the tables", await everything_in(engine), planted)
    assert_silent("the log", log.getvalue(), planted)
    assert "block_crashed" in log.getvalue()


@pytest.mark.usefixtures("worker")
async def test_secrets_among_the_constants_of_a_node_stay_out_of_failures_and_logs(
    alice: httpx.AsyncClient, log: Log
) -> None:
    secret = f"canary-{uuid.uuid4().hex}"
    given = {
        "url": f"http://127.0.0.1:1/{secret}",
        "method": "GET",
        "headers": {"Authorization": f"Bearer {secret}", "X-Api-Key": secret},
    }
    graph_id = await save(alice, graph([node("send", "send_web_request_block", **given)], []))
    answer = await alice.post(f"/api/graphs/{graph_id}/execute", json={"inputs": {}})
    execution = await wait(alice, answer.json()["id"])
    assert execution["status"] == "FAILED"
    assert_silent("the failure", json.dumps(execution["error"]), {"header": secret})
    assert_silent("the log", log.getvalue(), {"header": secret})
    refused = await alice.post(
        "/api/graphs",
        json=graph([node("in", "agent_number_input_block", name="n", value=secret, secret=True)], []),
    )
    assert refused.status_code == 400
    assert_silent("the refusal", refused.text, {"constant": secret})


@pytest.mark.usefixtures("worker")
async def test_a_trial_that_fails_leaves_no_secret_in_temporal(
    alice: httpx.AsyncClient, client: Client
) -> None:
    planted = canaries()
    kept = await keep(alice, "api_key", planted["api_key"])
    for act in ACTS:
        await alice.post(
            f"/api/blocks/{PROBES[0].id}/execute", json={"inputs": {"act": act, "credentials": {"id": kept}}}
        )

    async def failures() -> list[BaseException]:
        query = "ActivityType = 'execute_block'"
        ids = [found.activity_id async for found in client.list_activities(query)]
        results = [client.get_activity_handle(found).result() for found in ids]
        outcomes = await asyncio.gather(*results, return_exceptions=True)
        failed = [outcome for outcome in outcomes if isinstance(outcome, ActivityFailureError)]
        return [*failed] if len(failed) >= len(ACTS) - 1 else []

    texts = ["".join(traceback.format_exception(failure)) for failure in await eventually(failures)]
    assert any("[hidden]" in text for text in texts)
    assert_silent("what Temporal keeps of trials", "\n".join(texts), planted)
