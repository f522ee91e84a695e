"""A real server that is watched: metrics of API and worker, traces at a collector."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.conftest import Surroundings
from tests.e2e.rest import requests, save, start
from tests.metrics import Page
from tests.processes import ServerProcess
from tests.promql import names_in
from tests.stack import eventually
from tests.stubs import WebStub

FOLDER = Path(__file__).resolve().parents[2] / "monitoring"
ONCE_IT_HAS_HAPPENED = {"temporal_workflow_task_execution_failed_total"}
"""Temporal's SDK shows this with the first failure."""
OF_NOBODY = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}|@|canary")
CANARY = "canary-71c0a5"
WHOLE_TRACE = {
    "POST /api/graphs/{graph_id}/execute",
    "StartWorkflow:GraphExecution",
    "RunWorkflow:GraphExecution",
    "RunActivity:SendWebRequestBlock",
    "CompleteWorkflow:GraphExecution",
}
LABELS = {
    "block",
    "channel",
    "kind",
    "le",
    "method",
    "outcome",
    "reason",
    "route",
    "service",
    "status",
    "trigger",
    "waits_for",
}


def lines_of(server: ServerProcess) -> str:
    """Return all that the server and its worker have logged."""
    logs = [path.read_text() for path in server.home.path.glob("logs/worker-*.log")]
    return "\n".join([server.log, *logs])


async def worker_page(server: ServerProcess) -> Page:
    lines = [json.loads(line) for line in lines_of(server).splitlines() if '"worker_metrics"' in line]
    port = lines[-1]["port"]
    async with httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{port}/metrics")
    return Page(response.text)


async def test_everything_that_dashboard_and_alerts_name_is_shown(
    equipped: ServerProcess, web: WebStub
) -> None:
    async with equipped.client("watched@example.com") as client:
        execution = await start(
            client, await save(client, requests(web.url, "/status/503", f"/{CANARY}")), wait=60
        )
        assert execution["status"] in {"COMPLETED", "FAILED"}

        async def counted() -> Page | None:
            page = Page((await client.get("/metrics")).text)
            has_all = page.value("perdure_executions_total") and page.value("perdure_block_retries_total")
            return page if has_all else None

        of_api = await eventually(counted)
        assert of_api is not None
    of_worker = await worker_page(equipped)

    rules = yaml.safe_load((FOLDER / "perdure.rules.yml").read_text())["groups"][0]["rules"]
    panels = json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]
    expressions = [rule["expr"] for rule in rules]
    expressions += [target["expr"] for panel in panels for target in panel.get("targets", [])]
    named = set().union(*(names_in(each.replace("$__rate_interval", "5m")) for each in expressions))
    assert named - of_api.names - of_worker.names - ONCE_IT_HAS_HAPPENED == set()
    for value in set().union(*(of_api.values_of(label) for label in LABELS)):
        assert not OF_NOBODY.search(value), value
    assert of_api.labels("perdure_") | of_worker.labels("perdure_") <= LABELS
    assert CANARY not in of_api.text + of_worker.text


async def test_traces_reach_the_collector_and_log_lines_name_them(
    surroundings: Surroundings, web: WebStub
) -> None:
    server = surroundings.server
    async with server.client("traced@example.com") as client:
        execution = await start(client, await save(client, requests(web.url, f"/{CANARY}")), wait=60)

    lines = [json.loads(line) for line in server.log.splitlines() if execution["id"] in line]
    [begun] = [line for line in lines if line["action"] == "execution_started"]
    assert begun["request_id"]

    def names() -> set[str]:
        """Return the names of the spans of the trace that the line names."""
        return {
            span.name
            for asked in surroundings.collector.asked
            for resource in ExportTraceServiceRequest.FromString(asked.body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if span.trace_id.hex() == begun["trace_id"]
        }

    await eventually(lambda: names() >= WHOLE_TRACE)
    assert not any(CANARY.encode() in asked.body for asked in surroundings.collector.asked)
    assert {asked.target for asked in surroundings.collector.asked} == {"/v1/traces"}
    assert not any(b"fastapi" in asked.body for asked in surroundings.collector.asked)
    assert CANARY not in lines_of(server)
