from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from app.blocks.calling import prepare
from app.blocks.credentials import ApiKey, OAuth2Token
from app.blocks.library.tool_servers import MCPToolBlock
from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.outbound.addresses import AddressRefused
from app.outbound.http import OutboundHttp
from app.outbound.tool_servers import ToolServerRefused
from tests.stubs import Served
from tests.unit.blocks.contexts import GivenCredentials, make_context
from tests.unit.blocks.stub_server import Answer, Asked, StubServer, running_server

block = MCPToolBlock()


def make_tools() -> MCPServer:
    tools = MCPServer("tools")

    @tools.tool()
    def add(a: int, b: int) -> int:
        return a + b

    @tools.tool()
    def describe(person: dict[str, Any]) -> str:
        return f"{person['name']} is {person['age']}"

    @tools.tool()
    def fail() -> str:
        raise ToolError("it is Monday")

    @tools.tool(structured_output=False)
    def split(text: str) -> list[str]:
        return text.split()

    return tools


class _Recorded:
    """Notes what an application is asked."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.asked.append((scope["method"], headers))
        await self._app(scope, receive, send)


@asynccontextmanager
async def serving_tools(kind: str) -> AsyncIterator[tuple[str, _Recorded]]:
    # No fixture: what the library opens in one task it has to close in the same.
    app = make_tools().streamable_http_app(json_response=kind == "json", stateless_http=kind == "stateless")
    recorded = _Recorded(app)
    async with app.router.lifespan_context(app), Served(recorded) as served:
        yield f"{served.url}/mcp", recorded


@pytest.fixture
async def stub() -> AsyncIterator[StubServer]:
    async with running_server() as server:
        yield server


async def call(url: str, *, credentials: GivenCredentials | None = None, **given: Any) -> Any:
    http = OutboundHttp(allowed_private_hosts=["127.0.0.1"])
    inputs = prepare(block, {"server_url": url, **given}, {})
    assert isinstance(inputs, MCPToolBlock.Input)
    context = make_context(http=http, credentials=credentials)
    ((pin, result),) = [emitted async for emitted in block.run(inputs, context)]
    assert pin == "result"
    return result


@pytest.mark.parametrize("kind", ["json", "stream", "stateless"])
class TestARealServer:
    async def test_a_tool_is_called_with_what_the_pins_bring(self, kind: str) -> None:
        async with serving_tools(kind) as (url, _):
            assert await call(url, selected_tool="add", a=2, tool_arguments={"a": 1, "b": 3}) == 5

    async def test_an_argument_may_be_put_together_from_several_links(self, kind: str) -> None:
        async with serving_tools(kind) as (url, _):
            given: dict[str, Any] = {"tool_arguments_#_person": {"name": "Anna", "age": 4}}
            assert await call(url, selected_tool="describe", **given) == "Anna is 4"

    async def test_several_parts_come_as_a_list(self, kind: str) -> None:
        async with serving_tools(kind) as (url, _):
            assert await call(url, selected_tool="split", text="one two") == ["one", "two"]

    async def test_a_tool_that_fails_fails_the_node(self, kind: str) -> None:
        async with serving_tools(kind) as (url, _):
            with pytest.raises(BlockError, match="it is Monday"):
                await call(url, selected_tool="fail")

    async def test_a_tool_that_there_is_not_is_an_error(self, kind: str) -> None:
        async with serving_tools(kind) as (url, _):
            with pytest.raises(BlockError, match="nothing"):
                await call(url, selected_tool="nothing")

    async def test_the_token_goes_along_every_time(self, kind: str) -> None:
        async with serving_tools(kind) as (url, recorded):
            for token in (ApiKey("mcp", "t"), OAuth2Token("mcp", "t")):
                await call(
                    url, credentials=GivenCredentials(credentials=token), selected_tool="add", a=1, b=1
                )
            assert {headers.get("authorization") for _, headers in recorded.asked} == {"Bearer t"}

    async def test_a_session_is_ended(self, kind: str) -> None:
        async with serving_tools(kind) as (url, recorded):
            await call(url, selected_tool="add", a=1, b=1)
            sessions = {
                headers["mcp-session-id"] for _, headers in recorded.asked if "mcp-session-id" in headers
            }
            assert [method for method, _ in recorded.asked if method == "DELETE"] == ["DELETE"] * len(
                sessions
            )


async def test_a_server_that_wants_no_greeting_is_asked_at_once(stub: StubServer) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.json()["method"] == "initialize":
            error = {"code": -32601, "message": "There is no such method"}
            return Answer.of_json({"jsonrpc": "2.0", "id": 1, "error": error})
        content = [{"type": "text", "text": "done"}]
        return Answer.of_json({"jsonrpc": "2.0", "id": 1, "result": {"content": content}})

    stub.answers["/mcp"] = answer
    assert await call(f"{stub.url}/mcp", selected_tool="do") == "done"
    asked = stub.asked[1]
    assert asked.headers["mcp-protocol-version"] == "2026-07-28"
    assert (asked.headers["mcp-method"], asked.headers["mcp-name"]) == ("tools/call", "do")
    meta = asked.json()["params"]["_meta"]
    assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"


async def test_words_on_the_way_are_passed_over(stub: StubServer) -> None:
    result = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "7"}]}})
    note = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}})
    body = f": ping\r\n\r\nevent: message\r\ndata: {note}\r\n\r\nid: 4\r\ndata: {result}\r\n\r\n"
    stub.answers["/mcp"] = Answer(body=body.encode(), headers={"content-type": "text/event-stream"})
    assert await call(f"{stub.url}/mcp", selected_tool="do") == 7


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_is_busy_may_be_asked_again(stub: StubServer, status: int) -> None:
    stub.answers["/mcp"] = Answer(status, headers={"retry-after": "3"})
    with pytest.raises(BlockUnavailable) as failure:
        await call(f"{stub.url}/mcp", selected_tool="do")
    assert failure.value.retry_after_seconds == 3


async def test_a_server_that_lets_nobody_in_is_an_error_that_says_so(stub: StubServer) -> None:
    stub.answers["/mcp"] = Answer(401)
    with pytest.raises(ToolServerRefused):
        await call(f"{stub.url}/mcp", selected_tool="do")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"[" * 100_000, b'{"result": 3}'])
async def test_a_server_that_speaks_something_else_is_an_error(stub: StubServer, body: bytes) -> None:
    stub.answers["/mcp"] = Answer(body=body)
    with pytest.raises(BlockError, match="MCP") as failure:
        await call(f"{stub.url}/mcp", selected_tool="do")
    # An error that is its own cause cannot be told to Temporal.
    assert failure.value.__cause__ is None


async def test_a_greeting_that_breaks_off_has_done_nothing(stub: StubServer) -> None:
    stub.answers["/mcp"] = Answer(breaks_off=True)
    with pytest.raises(BlockUnavailable) as failure:
        await call(f"{stub.url}/mcp", selected_tool="do")
    assert not failure.value.details


@pytest.mark.parametrize(
    "given",
    [{}, {"selected_tool": "do", "tool_input_schema": {"required": ["a"]}}],
    ids=["no tool", "no argument"],
)
async def test_what_is_missing_is_said_before_anybody_is_asked(
    stub: StubServer, given: dict[str, Any]
) -> None:
    with pytest.raises(BlockInputInvalid):
        await call(stub.url, **given)
    assert not stub.asked


@pytest.mark.parametrize("url", ["npx some-server", "stdio://server", "file:///bin/sh"])
async def test_a_program_is_no_server(url: str) -> None:
    with pytest.raises(BlockInputInvalid):
        await call(url, selected_tool="do")


async def test_a_private_address_is_refused(stub: StubServer) -> None:
    given = MCPToolBlock.Input(server_url=stub.url, selected_tool="do")
    with pytest.raises(AddressRefused):
        async for _ in block.run(given, make_context()):
            pass
    assert not stub.asked


async def test_a_redirect_does_not_take_the_token_along(stub: StubServer) -> None:
    token = GivenCredentials(credentials=ApiKey("mcp", "t"))
    async with running_server() as other:
        stub.answers["/mcp"] = Answer(307, headers={"location": f"{other.url}/"})
        with pytest.raises(BlockError):
            await call(f"{stub.url}/mcp", credentials=token, selected_tool="do")
    assert other.asked
    assert all("authorization" not in asked.headers for asked in other.asked)


def test_the_block_is_known_by_its_id_and_pins() -> None:
    signature = block.signature
    assert signature.id == "a0a4b1c2-d3e4-4f56-a7b8-c9d0e1f2a3b4"
    assert signature.required == {"server_url"}
    assert signature.outputs == {"result", "error"}
    assert signature.takes_any_input
