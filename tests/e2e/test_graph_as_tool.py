"""A graph that calls another graph as a tool of this very server, as a graph of anybody calls tools of any server."""

from __future__ import annotations

from tests.api_keys import make_key
from tests.e2e.rest import graph, node, save, start
from tests.integration.test_publications import adder, publish
from tests.processes import ServerProcess


async def test_a_graph_calls_another_one_as_a_tool_of_its_own_server(server: ServerProcess) -> None:
    async with server.client() as client:
        adder_id = await publish(client, adder(), "add", is_tool=True)
        key = (await make_key(client, "executions:run"))["key"]
        given = {"provider": "mcp", "type": "api_key", "title": "ours", "api_key": key}
        kept = (await client.post("/api/credentials", json=given)).json()
        chosen = {"id": kept["id"], "provider": "mcp", "type": "api_key", "title": "ours"}
        address = f"{str(client.base_url).rstrip('/')}/api/mcp"
        nodes = [
            node(
                "tool",
                "mcp_tool_block",
                server_url=address,
                selected_tool="add",
                credentials=chosen,
                a=2,
                b=3,
            ),
            node("out", "agent_output_block", name="out"),
        ]
        graph_id = await save(client, graph(nodes, ["tool.result -> out.value"]))
        execution = await start(client, graph_id, wait=60)
        called = (await client.get("/api/executions", params={"graph_id": adder_id})).json()["items"]
    assert execution["status"] == "COMPLETED", execution["error"]
    assert execution["outputs"] == {"out": [{"sum": [5]}]}
    assert [each["status"] for each in called] == ["COMPLETED"]
