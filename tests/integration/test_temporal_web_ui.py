"""What a person sees of an execution in Temporal's Web UI: the list in docs/howto/temporal-web-ui.md, read back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle

from app.activities.contracts.execution import ExecutionStart
from app.blocks.context import BlockContext
from app.starting.launches import make_details
from tests.admin import id_of
from tests.e2e.rest import graph, node, save, start, wait
from tests.engine import Engine
from tests.rest_api import run_api
from tests.stack import eventually

PAGE = Path(__file__).resolve().parents[2] / "docs/howto/temporal-web-ui.md"
QUERIES = PAGE.read_text().split("```")[1].strip().splitlines()
API, WEB_UI = "https://perdure.example.org", "http://ui.test"


def titled(name: str, block: str, title: str, /, **constants: Any) -> dict[str, Any]:
    return node(name, block, metadata={"customized_name": title}, **constants)


async def summaries_of(client: Client, handle: WorkflowHandle[Any, Any]) -> dict[str, set[str]]:
    """Return the summaries of all events, by the kind of event, and the ids of activities."""
    found: dict[str, set[str]] = {}
    converter = client.data_converter
    async for event in handle.fetch_history_events():
        kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
        if event.HasField("user_metadata"):
            [summary] = await converter.decode([event.user_metadata.summary])
            found.setdefault(kind, set()).add(summary)
        if kind == "ACTIVITY_TASK_SCHEDULED":
            scheduled = event.activity_task_scheduled_event_attributes
            found.setdefault("types", set()).add(scheduled.activity_type.name)
            found.setdefault("ids", set()).add(scheduled.activity_id)
    return found


async def test_an_execution_reads_like_its_graph(client: Client, engine: Engine, database_url: str) -> None:
    nodes = [
        titled("fetch", "probe", "Fetch invoices", name="gate", value=1),
        titled("pause", "countdown_timer_block", "Let it settle", seconds=1),
        node("out", "agent_output_block", name="result"),
    ]
    body = graph(nodes, ["fetch.out -> pause.input_message", "pause.output_message -> out.value"])
    opened = asyncio.Event()

    async def gate(value: Any, _: BlockContext) -> Any:
        await opened.wait()
        return value

    async def connect() -> Client:
        return client

    engine.probe.functions["gate"] = gate
    async with (
        engine.worker(),
        run_api(
            database_url,
            connect,
            registry=engine.registry,
            task_queue=engine.task_queue,
            temporal_ui_url=WEB_UI,
            api_url=API,
        ) as api,
        api.caller() as caller,
    ):
        execution = await start(caller, await save(caller, body))
        handle = client.get_workflow_handle(execution["id"])

        async def details() -> str:
            metadata = await handle.query("__temporal_workflow_metadata")
            return str(metadata.current_details)

        await eventually(lambda: engine.probe.calls)
        assert await details() == "0 of 1 node executions done, 1 running: Fetch invoices"
        opened.set()
        ended = await wait(caller, execution["id"])
        user_id = await id_of(caller)

    description = await handle.describe()
    assert description.workflow_type == "GraphExecution"
    assert await description.static_summary() == "test v1 (api)"
    static_details = str(await description.static_details())
    assert f"Requested by `{user_id}`" in static_details
    assert f"[Execution]({API}/api/executions/{execution['id']})" in static_details
    attributes = {pair.key.name: pair.value for pair in description.typed_search_attributes}
    assert (
        attributes.items()
        >= {
            "GraphId": execution["graph_id"],
            "GraphVersion": 1,
            "UserId": user_id,
            "Trigger": "api",
        }.items()
    )
    seen = await summaries_of(client, handle)
    assert seen["types"] == {"Probe"}
    assert seen["ids"] == {"fetch#1"}
    assert seen["ACTIVITY_TASK_SCHEDULED"] == {"Fetch invoices"}
    assert "Let it settle" in seen["TIMER_STARTED"]
    assert seen["MARKER_RECORDED"] >= {"begin", "pure blocks, timers and records", "end"}
    assert ended["temporal"]["web_url"].startswith(f"{WEB_UI}/namespaces/default/workflows/{execution['id']}")
    assert (await handle.describe()).id == execution["id"]
    for query in QUERIES:
        await client.count_workflows(query)


def test_the_details_lead_to_what_has_started_an_execution() -> None:
    start = ExecutionStart("u", "g", 1, "graph", "hash", [], "schedule", "2026-01-01T00:00:00+00:00")
    started = replace(start, trigger_id="s1", preset_id="p1")
    linked = make_details(started, "e1", api_url=API)
    assert "Started by schedule `s1`" in linked
    for link in (f"[Schedule]({API}/api/schedules/s1)", f"[Preset]({API}/api/presets/p1)"):
        assert link in linked
        assert link not in make_details(start, "e1", api_url=API)
    by_webhook = make_details(replace(started, trigger="webhook", preset_id=None), "e1", api_url=API)
    assert f"[Webhook]({API}/api/webhooks/s1)" in by_webhook
    assert "](" not in make_details(started, "e1")
