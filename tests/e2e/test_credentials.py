"""Credentials on the real server: kept over REST, sent by a block in another process, and not seen again."""

from __future__ import annotations

import uuid

from tests.e2e.rest import graph, node, save, wait
from tests.processes import ServerProcess
from tests.stubs import WebStub

BLOCK = "fff86bcd-e001-4bad-a7f6-2eae4720c8dc"


async def test_stored_headers_go_to_their_host_and_to_no_other(server: ServerProcess, web: WebStub) -> None:
    secret, host = f"canary-{uuid.uuid4().hex}", f"127.0.0.1:{web.port}"
    elsewhere = web.url.replace("127.0.0.1", "localhost")
    nodes = [
        node("there", BLOCK, url=f"{web.url}/status/204", method="GET"),
        node("moved", BLOCK, url=f"{web.url}/redirect?to={elsewhere}/status/200", method="GET"),
        node("out", "agent_output_block", name="answer"),
    ]
    async with server.client() as client:
        body = {"provider": "http", "type": "host_scoped", "host": host, "headers": {"X-Acme": secret}}
        kept = (await client.post("/api/credentials", json=body)).json()["id"]
        graph_id = await save(client, graph(nodes, ["there.response -> out.value"]))
        saved = (await client.get(f"/api/graphs/{graph_id}")).json()
        key = f"{host}-http_host_scoped_credentials"
        assert saved["credentials_input_schema"]["required"] == [key]
        chosen = {"inputs": {}, "credentials_inputs": {key: {"id": kept}}}
        started = await client.post(f"/api/graphs/{graph_id}/execute", json=chosen)
        execution = await wait(client, started.json()["id"])
        assert execution["status"] == "COMPLETED", execution
        recorded = (await client.get(f"/api/executions/{execution['id']}/nodes")).text
        deleted = await client.delete(f"/api/credentials/{kept}")
        refused = await client.post(f"/api/graphs/{graph_id}/execute", json=chosen)
    assert [(deleted.status_code, refused.status_code)] == [(204, 400)]
    sent = {
        (request["headers"]["host"].partition(":")[0], request["path"]): request for request in web.requests
    }
    assert sent["127.0.0.1", "/status/204"]["headers"]["x-acme"] == secret
    assert "x-acme" not in sent["localhost", "/status/200"]["headers"]
    assert secret not in server.log
    assert secret not in recorded
