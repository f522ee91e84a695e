"""Published graphs as tools of models: the protocol's own client speaks to the API over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from temporalio.client import Client as TemporalClient

from app.api.edge.rate_limits import RateRules
from app.api.published import tool_calls
from tests.api_keys import make_key
from tests.e2e.rest import graph, node, save, start
from tests.engine import Engine
from tests.integration.test_publications import adder, decoding, example_of, publish
from tests.rest_api import RestApi, run_api
from tests.reviews import asking
from tests.stack import eventually
from tests.webhooks import ECHO

ERAS = ["legacy", "2026-07-28"]


@pytest.fixture
async def served(api: RestApi) -> AsyncIterator[uvicorn.Server]:
    """The API over real HTTP, on a port of its own."""
    config = uvicorn.Config(
        api.application,
        host="127.0.0.1",
        port=0,
        log_level="critical",
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=0,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    yield server
    server.should_exit = True
    await serving


@pytest.fixture
def address(served: uvicorn.Server) -> str:
    port = served.servers[0].sockets[0].getsockname()[1]
    return f"http://127.0.0.1:{port}/api/mcp"


@asynccontextmanager
async def speaking(address: str, user: httpx.AsyncClient, mode: str = "auto") -> AsyncIterator[Client]:
    """Give the protocol's client, for a user."""
    headers = {"Authorization": user.headers["Authorization"]}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(address, http_client=http), mode=mode) as client,
    ):
        yield client


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("era", ERAS)
async def test_models_list_and_call_what_is_published_as_a_tool(
    address: str, alice: httpx.AsyncClient, era: str
) -> None:
    await publish(alice, adder(), "add", is_tool=True, description="Adds two numbers.")
    await publish(alice, adder(), "no-tool")
    async with speaking(address, alice, era) as client:
        (tool,) = (await client.list_tools()).tools
        assert (tool.name, tool.description) == ("add", "Adds two numbers.")
        assert tool.input_schema["required"] == ["a"]
        heard: list[str | None] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append(message)

        result = await client.call_tool("add", {"a": 2, "b": 3}, progress_callback=hear)
        assert not result.is_error, result
        assert result.structured_content["outputs"] == {"sum": [5]}
        assert heard
        execution = (await alice.get(f"/api/executions/{result.structured_content['execution_id']}")).json()
        assert (execution["status"], execution["trigger"]) == ("COMPLETED", "api")
        for unknown in ("no-tool", "nothing"):
            with pytest.raises(MCPError, match="Unknown tool"):
                await client.call_tool(unknown, {"a": 1})


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_is_taken_back_stops_its_execution(
    address: str, alice: httpx.AsyncClient, era: str
) -> None:
    graph_id = await publish(alice, asking({"a": 1}), "ask", is_tool=True)
    statuses = statuses_of(alice, graph_id)
    async with speaking(address, alice, era) as client:
        call = asyncio.create_task(client.call_tool("ask", {}))
        await eventually(lambda: _is(statuses, ["WAITING"]), timeout_seconds=30)
        call.cancel()
        await eventually(lambda: _is(statuses, ["CANCELLED"]), timeout_seconds=30)
        # Nobody is answered, so the entry may come later than the end.
        await eventually(lambda: is_noted(alice, "execution.start", "execution.stop"))


async def is_noted(client: httpx.AsyncClient, *actions: str) -> bool:
    entries = (await client.get("/api/user/audit")).json()["items"]
    return set(actions) <= {entry["action"] for entry in entries}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("era", ERAS)
async def test_a_server_that_is_stopped_takes_no_call_back(
    served: uvicorn.Server, address: str, alice: httpx.AsyncClient, era: str
) -> None:
    graph_id = await publish(alice, asking({"a": 1}), "ask", is_tool=True)
    statuses = statuses_of(alice, graph_id)
    async with speaking(address, alice, era) as client:
        call = asyncio.create_task(client.call_tool("ask", {}))
        await eventually(lambda: _is(statuses, ["WAITING"]), timeout_seconds=30)
        served.should_exit = True
        with pytest.raises(MCPError):
            await call
    assert await statuses() == ["WAITING"]
    (waiting,) = (await alice.get(f"/api/executions?graph_id={graph_id}")).json()["items"]
    await alice.post(f"/api/executions/{waiting['id']}/stop")


def statuses_of(client: httpx.AsyncClient, graph_id: str) -> Callable[[], Awaitable[list[str]]]:
    async def statuses() -> list[str]:
        listed = await client.get(f"/api/executions?graph_id={graph_id}")
        return [execution["status"] for execution in listed.json()["items"]]

    return statuses


async def _is(look: Any, wanted: Any) -> bool:
    return bool(await look() == wanted)


@pytest.mark.usefixtures("worker")
async def test_what_goes_wrong_is_told_with_its_code(
    address: str, alice: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(alice, decoding(), "decode", is_tool=True)
    await publish(alice, asking({"a": 1}), "ask", is_tool=True)
    await publish(alice, ECHO, "echo", is_tool=True)
    monkeypatch.setattr(tool_calls, "MAX_WAIT_SECONDS", 0.2)
    async with speaking(address, alice) as client:
        refused = await client.call_tool("decode", {"txt": "x"})
        goes_on = await client.call_tool("ask", {})
        monkeypatch.undo()
        failed = await client.call_tool("decode", {"text": "\\x"})
    # One that is answered with events, of which it takes 2**20 bytes.
    async with speaking(address, alice, "legacy") as client:
        large = await client.call_tool("echo", {"x": "\\" * 160_000})
        too_large = await client.call_tool("echo", {"x": "\\" * 170_000})
    assert len(large.structured_content["outputs"]["y"][0]) == 160_000
    codes = []
    for result in (refused, goes_on, failed, too_large):
        assert result.is_error
        error = result.structured_content["error"]
        assert error["error_code"] in str(result.content[0])
        codes.append(error["error_code"])
    assert codes == ["GRAPH_VALIDATION_ERROR", "STILL_RUNNING", "EXECUTION_FAILED", "RESULT_TOO_LARGE"]
    url = too_large.structured_content["error"]["details"]["url"]
    assert (await alice.get(url)).json()["outputs"] == {"y": ["\\" * 170_000]}
    assert failed.structured_content["error"]["details"]["error"]["node_id"] == "decode"
    execution_id = goes_on.structured_content["error"]["details"]["execution_id"]
    assert (await alice.post(f"/api/executions/{execution_id}/stop")).json()["status"] == "CANCELLED"


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


SPEAKING = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


@pytest.mark.usefixtures("worker")
async def test_a_call_that_is_repeated_is_carried_out_once(alice: httpx.AsyncClient) -> None:
    graph_id = await publish(alice, adder(), "add", is_tool=True)
    call = message("tools/call", name="add", arguments={"a": 1})
    sessions = [{"Mcp-Session-Id": "one"}, {"Mcp-Session-Id": "two"}, {"Idempotency-Key": "k"}]
    named = [(headers, call) for headers in sessions]
    named += [({"Mcp-Session-Id": "one"}, {**call, "id": other}) for other in (0, "", "7")]
    for headers, body in named:
        answers = [await alice.post("/api/mcp", json=body, headers=SPEAKING | headers) for _ in range(2)]
        assert answers[0].text == answers[1].text
        assert '"sum":[2.0]' in answers[0].text
    listed = (await alice.get(f"/api/executions?graph_id={graph_id}")).json()["items"]
    assert len(listed) == len(named)


async def test_a_call_of_a_tool_is_counted_as_a_start(engine: Engine, client: TemporalClient) -> None:
    async def connect() -> TemporalClient:
        return client

    rates = RateRules(starts_per_user="1/day")
    async with run_api(engine.database_url, connect, rates=rates) as api, api.caller() as user:
        await publish(user, adder(), "add", is_tool=True)
        call = message("tools/call", name="add", arguments={})
        answers = [(await user.post("/api/mcp", json=call, headers=SPEAKING)).text for _ in range(2)]
    assert "GRAPH_VALIDATION_ERROR" in answers[0]
    assert "RATE_LIMITED" in answers[1]


async def test_tools_are_for_callers_with_a_token_and_for_pages_of_no_unknown_origin(
    api: RestApi, alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    await publish(alice, adder(), "add", is_tool=True)
    call = message("tools/call", name="add", arguments={"a": 1})
    async with api.caller(token="") as nobody:
        for headers in (
            {},
            {"Host": "localhost"},
            {"Origin": "http://localhost"},
            {"X-Forwarded-For": "127.0.0.1"},
        ):
            refused = await nobody.post("/api/mcp", json=call, headers=SPEAKING | headers)
            assert refused.status_code == (403 if "Origin" in headers else 401)
            if refused.status_code == 401:
                assert refused.headers["WWW-Authenticate"] == "Bearer"
    page = await alice.post("/api/mcp", json=call, headers=SPEAKING | {"Origin": "http://evil.test"})
    assert page.status_code == 403
    theirs = await bob.post("/api/mcp", json=call, headers=SPEAKING)
    nothing = await bob.post(
        "/api/mcp", json=message("tools/call", name="none", arguments={}), headers=SPEAKING
    )
    assert "Unknown tool: add" in theirs.text
    assert theirs.text.replace("add", "none") == nothing.text
    assert (await bob.post("/api/mcp", json=message("tools/list"), headers=SPEAKING)).text.count('"tools":[]')
    for method in ("GET", "DELETE"):
        assert (await alice.request(method, "/api/mcp", headers=SPEAKING)).status_code == 405
    # Whoever takes back a call of somebody else takes back none.
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    quiet = await bob.post("/api/mcp", json=cancelled, headers=SPEAKING | {"Mcp-Session-Id": "one"})
    assert quiet.status_code == 202


async def test_a_message_that_is_none_is_refused(alice: httpx.AsyncClient) -> None:
    for body in ([], 5, "x", {}, {"jsonrpc": "2.0"}, [message("tools/list")], {"method": 5, "id": {}}):
        for version in ("2025-11-25", "2026-07-28", "1999-01-01", "\x7f"):
            headers = SPEAKING | {"MCP-Protocol-Version": version}
            response = await alice.post("/api/mcp", json=body, headers=headers)
            assert 400 <= response.status_code < 500, (body, version, response.text)
    assert (await alice.post("/api/mcp", content=b"{", headers=SPEAKING)).status_code == 422
    plain = {"Accept": "text/html"}
    assert (await alice.post("/api/mcp", json=message("tools/list"), headers=plain)).status_code == 406


@pytest.mark.usefixtures("worker")
async def test_a_graph_calls_tools_of_this_machine_only_where_private_hosts_are_allowed(
    address: str, alice: httpx.AsyncClient
) -> None:
    await publish(alice, adder(), "add", is_tool=True)
    tool = node("tool", "mcp_tool_block", server_url=address, selected_tool="add", a=1)
    execution = await start(alice, await save(alice, graph([tool], [])), wait=30)
    assert (execution["status"], execution["error"]["code"]) == ("FAILED", "ADDRESS_REFUSED")


@pytest.mark.usefixtures("worker")
async def test_the_example_of_the_page_about_tools_works(address: str, alice: httpx.AsyncClient) -> None:
    await publish(alice, adder(), "add", is_tool=True)
    key = (await make_key(alice, "executions:run"))["key"]
    assert await example_of("mcp.md")["add"](address, key) == 5
