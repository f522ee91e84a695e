"""Speaks MCP: one message in, one answer out, by the protocol's own SDK. Nothing is kept between messages.

Clients of the protocol up to 2025 are given a session, which is nothing but a random name that they send along from
then on. Those of 2026 have none, and take a call back by closing its answer. Loading the SDK takes a second: only who
speaks to tools pays for it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mcp_types as types
import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from app.api.json_body import MAX_BYTES
from app.api.live.notices import Notice
from app.api.published.calls import place_of
from app.api.published.tool_calls import ResultTooLarge, ToolCalls
from app.api.schemas.publications import PublicationView, RunView
from app.errors import EngineUnavailable, NotFound, PerdureError
from app.graph.status import Status

log = structlog.get_logger(__name__)

SESSION_HEADER = "Mcp-Session-Id"
VERSION_HEADER = "mcp-protocol-version"
MOST_BYTES = 1_000_000
"""Of what one message tells: the protocol's own client gives up at an event of more than 2**20."""
AWAY = "The server cannot reach what it needs; call again"
INSTRUCTIONS = "Each tool is a graph of blocks. A call executes it durably, and may take minutes."


async def serve(
    calls: ToolCalls, message: Any, body: bytes, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer a message.

    Args:
        calls: What is listed and called.
        message: What the body holds.
        body: The message as it came.
        scope: Of the request.
        receive: Tells of its end alone: the body was read.
        send: Where the answer goes.
    """
    connection = _Connection(receive, body)
    manager = StreamableHTTPSessionManager(
        _make_server(calls), stateless=True, max_request_body_size=MAX_BYTES
    )
    is_greeting = isinstance(message, dict) and message.get("method") == "initialize"
    async with manager.run():
        await manager.handle_request(scope, connection.receive, _with_session(send) if is_greeting else send)
    versions = {
        value.decode("latin-1") for name, value in scope["headers"] if name == VERSION_HEADER.encode()
    }
    if connection.is_closed and versions & set(MODERN_PROTOCOL_VERSIONS):
        await calls.abandon()


class _Connection:
    """Gives a body that was read once more, and notes when the client has gone."""

    def __init__(self, receive: Receive, body: bytes) -> None:
        self._receive = receive
        self._body: bytes | None = body
        self.is_closed = False

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        message = await self._receive()
        self.is_closed = self.is_closed or message["type"] == "http.disconnect"
        return message


def _with_session(send: Send) -> Send:
    async def send_named(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)[SESSION_HEADER] = uuid.uuid4().hex
        await send(message)

    return send_named


def _make_server(calls: ToolCalls) -> Server[Any]:
    async def list_tools(
        _: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        with _edge():
            return _page(await calls.list(), after=(params and params.cursor) or "")

    async def call_tool(
        context: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        with _edge():
            try:
                shown = await calls.call(
                    params.name,
                    params.arguments or {},
                    request_id="" if context.request_id is None else context.request_id,
                    report=_reporting(context),
                )
            except NotFound as error:
                raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:100]}") from error
            except PerdureError as error:
                return _refusal(error)
            except (OSError, SQLAlchemyError) as error:
                log.warning("tool_call_cut", reason=type(error).__name__)
                return _refusal(EngineUnavailable(AWAY))
            return _answer(shown)

    return Server(
        "Perdure",
        version="0.1.0",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


@contextmanager
def _edge() -> Iterator[None]:
    """Tell no client what only the log is to know: the SDK answers with the words of whatever is raised.

    Raises:
        MCPError: Something else was raised.
    """
    try:
        yield
    except MCPError:
        raise
    except PerdureError as error:
        raise MCPError(types.INTERNAL_ERROR, f"{error.code}: {error.message}") from None
    except (OSError, SQLAlchemyError) as error:
        log.warning("tool_message_cut", reason=type(error).__name__)
        raise MCPError(types.INTERNAL_ERROR, AWAY) from None
    except Exception:  # the outermost edge: whatever nobody foresaw is answered, too
        log.exception("tool_message_crashed")
        raise MCPError(types.INTERNAL_ERROR, "Something went wrong on our side") from None


def _reporting(context: ServerRequestContext[Any]) -> Callable[[Notice], Awaitable[None]]:
    async def report(notice: Notice) -> None:
        node = notice.data.get("data", {}).get("node_id")
        await context.session.report_progress(
            float(notice.data.get("seq", 0)), message=f"{notice.type} {node}" if node else notice.type
        )

    return report


def _page(views: Sequence[PublicationView], *, after: str) -> types.ListToolsResult:
    """Return as many tools as a client takes at once. The cursor of a page is the last name of the one before."""
    tools: list[types.Tool] = []
    size = 0
    # Not in the order of the database, whose language may have another one than texts have here.
    for view in sorted(views, key=lambda view: view.slug):
        if view.slug <= after:
            continue
        tool = _tool(view)
        size += len(tool.model_dump_json(by_alias=True).encode())
        if tools and size > MOST_BYTES:
            return types.ListToolsResult(tools=tools, next_cursor=tools[-1].name)
        tools.append(tool)
    return types.ListToolsResult(tools=tools)


def _tool(view: PublicationView) -> types.Tool:
    given = {
        "type": "object",
        "properties": {
            "execution_id": {"type": "string"},
            "status": {"type": "string", "enum": [Status.COMPLETED]},
            "outputs": {key: value for key, value in view.output_schema.items() if key != "$defs"},
            "cost": {"type": "integer", "description": "Credits."},
        },
        "required": ["execution_id", "status", "outputs", "cost"],
    }
    definitions = {key: value for key, value in view.output_schema.items() if key == "$defs"}
    return types.Tool(
        name=view.slug,
        description=view.description,
        input_schema=view.input_schema,
        output_schema={**given, **definitions},
        # What a graph does, nobody knows here.
        annotations=types.ToolAnnotations(open_world_hint=True),
    )


def _answer(shown: RunView) -> types.CallToolResult:
    content = shown.model_dump(mode="json")
    text = json.dumps(content["outputs"], ensure_ascii=False)
    # It goes out twice, once as a text in which every quote and backslash is escaped.
    size = 2 * len(text.encode()) + text.count('"') + text.count("\\")
    if size > MOST_BYTES:
        del content["outputs"]
        return _refusal(ResultTooLarge(details={**content, "url": place_of(shown.execution_id)}))
    return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=content)


def _refusal(error: PerdureError) -> types.CallToolResult:
    told = {"error_code": error.code, "message": error.message, "details": error.details}
    text = f"{error.code}: {error.message}"
    if error.details:
        text += f"\n{json.dumps(error.details, default=str, ensure_ascii=False)}"
    return types.CallToolResult(
        content=[types.TextContent(text=text)], structured_content={"error": told}, is_error=True
    )
