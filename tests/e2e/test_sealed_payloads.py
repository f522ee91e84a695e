"""What a real server has Temporal store is of no use to whoever looks, and is shown to whom it should be."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sysconfig
import uuid
from pathlib import Path

import httpx
from google.protobuf.json_format import MessageToDict
from temporalio.client import Client

from tests.e2e.rest import graph, node, save, start, sums, wait
from tests.integration.test_encryption import read_history
from tests.processes import ServerProcess
from tests.stubs import WebStub

CANARY = f"canary{uuid.uuid4().hex}"


async def test_nothing_of_a_value_or_an_error_is_found_in_what_temporal_stores(
    server: ServerProcess, web: WebStub
) -> None:
    body = graph(
        [
            node("in", "agent_input_block", name="word"),
            node("echo", "send_web_request_block", url=f"{web.url}/echo", metadata={"title": CANARY}),
            node("lost", "send_web_request_block", url=f"http://{CANARY}.invalid/", method="GET"),
        ],
        ["in.result -> echo.body", "echo.response -> lost.body"],
    )
    async with server.client() as client:
        execution = await start(client, await save(client, body | {"name": CANARY}), {"word": CANARY})
        ended = await wait(client, execution["id"])
    # It was everywhere: in the input, in what a block gave, in a title, in a name, in the message of the failure.
    assert ended["status"] == "FAILED"
    assert CANARY in ended["error"]["message"]
    assert any(CANARY in str(request) for request in web.requests)

    temporal = await Client.connect(server.run_info.temporal_address)
    stored = await read_history(temporal.get_workflow_handle(execution["id"]))
    assert b"BLOCK_UNAVAILABLE" in stored
    assert CANARY.encode() not in stored

    files = b"".join(path.read_bytes() for path in server.home.path.glob("temporal.db*"))
    assert execution["id"].encode() in files
    assert CANARY.encode() not in files
    logs = b"".join(path.read_bytes() for path in (server.home.path / "logs").glob("temporal*"))
    assert CANARY.encode() not in logs + server.log.encode()


async def test_the_embedded_web_ui_shows_payloads_with_nothing_set_up(server: ServerProcess) -> None:
    async with server.client() as client:
        execution = await wait(client, (await start(client, await save(client, sums(2))))["id"])
    temporal = await Client.connect(server.run_info.temporal_address)
    history = await temporal.get_workflow_handle(execution["id"]).fetch_history()
    payloads = history.events[0].workflow_execution_started_event_attributes.input
    assert payloads.payloads[0].metadata["encoding"] == b"binary/encrypted"

    web_ui = server.run_info.temporal_ui_url
    async with httpx.AsyncClient() as browser:
        settings = (await browser.get(f"{web_ui}/api/v1/settings")).json()
        for origin in (web_ui or "", (web_ui or "").replace("127.0.0.1", "localhost")):
            response = await browser.post(
                f"{settings['Codec']['Endpoint']}/decode?preserveStorageRefs=true",
                json=MessageToDict(payloads),
                headers={"Origin": origin, "X-Namespace": "default"},
            )
            assert response.headers["Access-Control-Allow-Origin"] == origin
            shown = json.loads(base64.b64decode(response.json()["payloads"][0]["data"]))
            assert shown["graph_id"] == execution["graph_id"]
    assert settings["Codec"]["Endpoint"] not in server.log


async def test_the_command_line_of_temporal_shows_payloads_to_an_administrator(server: ServerProcess) -> None:
    async with server.client() as client:
        execution = await wait(client, (await start(client, await save(client, sums(2))))["id"])
    command = [
        *(Path(sysconfig.get_path("scripts")) / "temporal", "workflow", "show", "--output", "json"),
        *("--address", server.run_info.temporal_address, "--workflow-id", execution["id"]),
        *("--codec-endpoint", f"{server.run_info.api_url}/api/codec"),
        *("--codec-auth", f"Bearer {server.token(role='admin')}"),
    ]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True, timeout=60)
    started = json.loads(done.stdout)["events"][0]["workflowExecutionStartedEventAttributes"]
    shown = json.loads(base64.b64decode(started["input"]["payloads"][0]["data"]))
    assert shown["graph_id"] == execution["graph_id"]
