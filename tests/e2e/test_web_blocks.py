"""Graphs that use the web or are set off by it, over REST on the real server."""

from __future__ import annotations

import httpx
from mcp.server.mcpserver import MCPServer

from tests.browser import has_browser
from tests.e2e.conftest import Surroundings
from tests.e2e.rest import graph, node, save, start
from tests.processes import ServerProcess
from tests.stubs import Served, WebStub
from tests.unit.blocks.stub_server import Answer, running_server
from tests.unit.blocks.test_feeds import feed, item, titles

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


def one_block(block: str, pin: str, /, **constants: object) -> dict[str, object]:
    """Return a graph that gives what one block gives."""
    nodes = [node("it", block, **constants), node("out", "agent_output_block", name="out")]
    return graph(nodes, [f"it.{pin} -> out.value"])


async def test_a_request_carries_stored_headers_and_an_uploaded_file(
    server: ServerProcess, web: WebStub
) -> None:
    async with server.client() as client:
        stored = await client.post(
            "/api/credentials",
            json={
                "provider": "http",
                "type": "host_scoped",
                "host": f"127.0.0.1:{web.port}",
                "headers": {"X-Mine": "stored"},
            },
        )
        assert stored.status_code == 201, stored.text
        sent = await client.post("/api/files", files={"file": ("hello.txt", b"hello there")})
        body = one_block(
            "SendAuthenticatedWebRequestBlock",
            "response",
            url=f"{web.url}/echo",
            body={"field": "value"},
            files=[sent.json()["reference"]],
            credentials={"id": stored.json()["id"], "provider": "http", "type": "host_scoped"},
        )
        execution = await start(client, await save(client, body), wait=60)
    assert execution["status"] == "COMPLETED", execution["error"]
    (echoed,) = execution["outputs"]["out"]
    assert echoed["headers"]["x-mine"] == "stored"
    assert 'name="field"' in echoed["body"]
    assert 'filename="hello.txt"' in echoed["body"]
    assert "hello there" in echoed["body"]


async def test_each_execution_of_a_graph_gets_what_is_new_in_a_feed(server: ServerProcess) -> None:
    async with server.client() as client, running_server() as news:
        body = one_block("ReadRSSFeedBlock", "entries", rss_url=f"{news.url}/feed", polling_rate=300)
        graph_id = await save(client, body)
        emitted = []
        for items in (["a"], ["b", "a"], ["b", "a"]):
            news.answers["/feed"] = feed(*map(item, items))
            execution = await start(client, graph_id, wait=60)
            assert execution["status"] == "COMPLETED", execution["error"]
            emitted += execution["outputs"]["out"]
    assert [titles(entries) for entries in emitted] == [["a"], ["b"], []]


async def test_a_picture_of_a_page_is_a_file(server: ServerProcess) -> None:
    async with server.client() as client, running_server() as site:
        site.answers["/"] = Answer(body=b"<h1>Hello", headers={"content-type": "text/html"})
        graph_id = await save(client, one_block("ScreenshotWebPageBlock", "image", url=site.url))
        execution = await start(client, graph_id, wait=110)
        if not has_browser():
            assert execution["status"] == "FAILED"
            assert "browser" in execution["error"]["message"]
            return
        assert execution["status"] == "COMPLETED", execution["error"]
        (reference,) = execution["outputs"]["out"]
        picture = await contents_of(client, reference)
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")


async def contents_of(client: httpx.AsyncClient, reference: str) -> httpx.Response:
    """Return a stored file."""
    return await client.get(f"/api/files/{reference.removeprefix('workspace://')}")


async def test_a_tool_of_a_real_server_is_called(server: ServerProcess) -> None:
    tools = MCPServer("tools")

    @tools.tool()
    def add(a: int, b: int) -> int:
        return a + b

    app = tools.streamable_http_app()
    async with server.client() as client, app.router.lifespan_context(app), Served(app) as served:
        nodes = [
            node("sum", "calculator_block", operation="Add", a=1, b=2),
            node("tool", "mcp_tool_block", server_url=f"{served.url}/mcp", selected_tool="add", b=4),
            node("out", "agent_output_block", name="out"),
        ]
        body = graph(nodes, ["sum.result -> tool.a", "tool.result -> out.value"])
        execution = await start(client, await save(client, body), wait=60)
    assert execution["status"] == "COMPLETED", execution["error"]
    assert execution["outputs"] == {"out": [7]}


async def test_the_search_engine_and_the_encyclopedia_are_those_of_the_settings(
    surroundings: Surroundings,
) -> None:
    page = "/api/rest_v1/page/summary/Snail"
    surroundings.encyclopedia.answers[page] = Answer.of_json({"extract": "A tower that crawls."})
    nodes = [
        node("look", "GetWikipediaSummaryBlock", topic="Snail"),
        node("search", "SearchTheWebBlock"),
        node("out", "agent_output_block", name="out"),
    ]
    body = graph(nodes, ["look.summary -> search.query", "search.results -> out.value"])
    async with surroundings.server.client() as client:
        execution = await start(client, await save(client, body), wait=60)
    assert execution["status"] == "COMPLETED", execution["error"]
    found = f"[1] The town hall\n{surroundings.search.url}/page\nAll about its tower"
    assert execution["outputs"] == {"out": [found]}
    assert surroundings.search.queries[-1] == "A tower that crawls."
