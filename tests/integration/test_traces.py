"""Traces: one an execution, from the request to its blocks, whatever became of workers meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from temporalio.client import Client

from app.activities.contracts.execution import ExecutionLimits
from app.api.metrics import route_of
from app.blocks.context import BlockContext
from app.errors import BlockError
from app.telemetry.tracing import Tracing, carrier_of
from tests.e2e.rest import graph, node, save, start, wait
from tests.engine import Engine, make_engine
from tests.rest_api import run_api
from tests.stack import eventually

CANARY = "canary-5b1f9d"
FEW_EVENTS = ExecutionLimits(events_per_run=50, heartbeat_seconds=5)


class Traced:
    """Traces that are kept in memory."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        self.tracing = Tracing(self._kept, process="test")

    def client(self, client: Client) -> Client:
        """Return a client whose calls are traced."""
        config = client.config()
        config["interceptors"] = [self.tracing.interceptor]
        return Client(**config)

    def spans(self) -> Sequence[ReadableSpan]:
        """Return what has ended."""
        self.tracing.flush()
        return self._kept.get_finished_spans()

    def of(self, execution_id: str) -> Sequence[ReadableSpan]:
        """Return what is about an execution."""
        return [
            span
            for span in self.spans()
            if str((span.attributes or {}).get("temporalWorkflowID", "")).startswith(execution_id)
        ]


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced()
    yield made
    made.tracing.close()


def trace_ids(spans: Sequence[ReadableSpan]) -> set[int]:
    return {span.context.trace_id for span in spans if span.context}


def chain(size: int) -> dict[str, Any]:
    """Return a graph whose probes follow each other; the last one fails, and says why."""
    names = [f"p{number}" for number in range(size)]
    nodes = [node(name, "probe", value=CANARY) for name in names]
    nodes[size // 2] = node(names[size // 2], "probe", name="gate", value=CANARY)
    nodes[-1] = node(names[-1], "probe", name="crash", value=CANARY)
    return graph(nodes, [f"{a}.out -> {b}.value" for a, b in itertools.pairwise(names)])


async def test_an_execution_is_one_trace_through_runs_and_workers(
    client: Client, database_url: str, traced: Traced
) -> None:
    opened = asyncio.Event()

    async def gate(value: Any, _: BlockContext) -> Any:
        await opened.wait()
        return value

    def crash(value: Any, _: BlockContext) -> Any:
        raise BlockError(value)

    async def connect() -> Client:
        return traced.client(client)

    async with (
        make_engine(traced.client(client), database_url) as engine,
        run_api(
            database_url,
            connect,
            registry=engine.registry,
            task_queue=engine.task_queue,
            limits=FEW_EVENTS,
            request_tracing=traced.tracing.requests_of(route_of),
        ) as api,
        api.caller() as caller,
    ):
        engine.probe.functions |= {"gate": gate, "crash": crash}
        async with engine.worker():
            execution = await start(caller, await save(caller, chain(24)))
            await eventually(lambda: any(name == "gate" for name, *_ in engine.probe.calls))
        opened.set()
        async with engine.worker():
            assert (await wait(caller, execution["id"]))["status"] == "FAILED"

    spans = traced.of(execution["id"])
    [started] = [span for span in spans if span.name == "StartWorkflow:GraphExecution"]
    [request] = [span for span in traced.spans() if span.name == "POST /api/graphs/{graph_id}/execute"]
    assert started.parent is not None
    assert request.context is not None
    assert started.parent.span_id == request.context.span_id
    assert trace_ids(spans) == trace_ids([request])
    names = Counter(span.name for span in spans)
    assert names["RunWorkflow:GraphExecution"] > 1, "it has moved from run to run"
    assert names["CompleteWorkflow:GraphExecution"] == 1
    # A replay makes no span again.
    assert names["StartActivity:Probe"] == 24
    everything = "".join(span.to_json() for span in traced.spans())
    assert CANARY not in everything
    assert {key for span in traced.spans() for key in span.attributes or {}} <= {
        "temporalWorkflowID",
        "temporalRunID",
        "temporalActivityID",
        "temporalUpdateID",
        "temporalActivityType",
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "perdure.request_id",
    }


async def test_an_execution_that_a_schedule_has_started_is_one_trace_too(
    client: Client, database_url: str, traced: Traced
) -> None:
    body = graph([node("a", "probe", value=1), node("b", "probe")], ["a.out -> b.value"])

    async def connect() -> Client:
        return client

    async with (
        make_engine(client, database_url) as engine,
        run_api(database_url, connect, registry=engine.registry, task_queue=engine.task_queue) as api,
        api.caller() as caller,
    ):
        worker = Engine(traced.client(client), engine.pool, database_url)
        worker.task_queue, worker.registry = engine.task_queue, engine.registry
        graph_id = await save(caller, body)
        made = (await caller.post(f"/api/graphs/{graph_id}/schedules", json={"cron": "0 0 1 1 *"})).json()
        async with worker.worker():
            await caller.post(f"/api/schedules/{made['id']}/trigger")

            async def started() -> list[dict[str, Any]]:
                listed = await caller.get("/api/executions", params={"trigger": "schedule"})
                items: list[dict[str, Any]] = listed.json()["items"]
                return items

            [execution] = await eventually(started)
            await wait(caller, execution["id"])
        await caller.delete(f"/api/schedules/{made['id']}")
    spans = traced.of(execution["id"])
    assert Counter(span.name for span in spans)["RunActivity:Probe"] == 2
    assert trace_ids([*spans, *traced.of(made["id"])]) == {uuid.UUID(execution["id"]).int}


def test_an_executions_own_trace_is_the_same_everywhere() -> None:
    execution_id = str(uuid.uuid4())
    assert carrier_of(execution_id) == carrier_of(f"{execution_id}/shard/1")
    assert carrier_of(execution_id) != carrier_of(str(uuid.uuid4()))
    assert len(str(carrier_of("reconciler-of-a-queue")["traceparent"])) == 55
