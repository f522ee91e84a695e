"""Graphs that use the web or are set off by it, over REST on the real server."""

from __future__ import annotations

from tests.e2e.rest import graph, node, save, start
from tests.processes import ServerProcess

TRIGGERED = graph(
    [
        node("who", "create_dictionary_block", values={"who": "us"}),
        node("hook", "GenericWebhookTriggerBlock"),
        node("out", "agent_output_block", name="sent"),
        node("own", "agent_output_block", name="ours"),
    ],
    ["who.dictionary -> hook.constants", "hook.payload_#_order -> out.value", "hook.constants -> own.value"],
)


async def test_a_triggered_graph_is_executed_with_the_payload_it_is_given(server: ServerProcess) -> None:
    async with server.client() as client:
        graph_id = await save(client, TRIGGERED)
        execution = await start(client, graph_id, {"payload": {"order": 7}}, wait=60)
    assert execution["status"] == "COMPLETED", execution["error"]
    assert execution["outputs"] == {"sent": [7], "ours": [{"who": "us"}]}


async def test_a_triggered_graph_is_not_started_without_a_payload(server: ServerProcess) -> None:
    async with server.client() as client:
        graph_id = await save(client, TRIGGERED)
        refused = await client.post(f"/api/graphs/{graph_id}/execute", json={"inputs": {}})
    assert refused.status_code == 400
    assert set(refused.json()["error"]["details"]["node_errors"]["hook"]) == {"payload"}
