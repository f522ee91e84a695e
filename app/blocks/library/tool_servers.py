"""The block that calls a tool of an MCP server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.credentials import ApiKey, CredentialsRef, OAuth2Token
from app.blocks.library.web import complete_url
from app.errors import BlockError, BlockInputInvalid
from app.graph.credentials import CredentialsNeed, CredentialsType
from app.graph.signature import Effect
from app.json_values import to_json
from app.outbound.tool_servers import CALL_TIMEOUT_SECONDS, ToolServer

if TYPE_CHECKING:
    from app.blocks.context import BlockContext


class MCPToolBlock(RemoteBlock):
    """Call a tool of an MCP server that is reached over HTTP.

    The arguments are `tool_arguments` and whatever else the node is given: each argument is a pin of its own name. An
    argument that is called like one of the block's own pins goes by `tool_arguments_#_` and its name.
    """

    id = "a0a4b1c2-d3e4-4f56-a7b8-c9d0e1f2a3b4"
    slug = "mcp_tool_block"
    categories = (BlockCategory.DEVELOPER_TOOLS,)
    timeout_seconds = CALL_TIMEOUT_SECONDS + 60
    # What a tool does, nobody knows here.
    effect = Effect.UNKEYED
    takes_any_input = True
    credentials = MappingProxyType(
        {
            "credentials": CredentialsNeed(
                providers=("mcp",),
                types=(CredentialsType.OAUTH2, CredentialsType.API_KEY),
                is_required=False,
                discriminator="server_url",
            )
        }
    )

    class Input(BlockInput):
        """The server, the tool, and its arguments."""

        model_config = ConfigDict(extra="allow")

        server_url: str
        """Where the server takes messages. No other kind of server is offered, in particular none that is a program."""
        credentials: CredentialsRef | None = None
        """Sent as a bearer token, if the server wants one."""
        selected_tool: str = ""
        """The name of the tool."""
        tool_input_schema: dict[str, Any] = Field(default={})
        """JSON schema of the tool's arguments; those that it requires have to be there."""
        tool_description: str = ""
        """What the tool does, for people."""
        tool_arguments: dict[str, Any] = Field(default={})
        """Arguments by name. One that comes over a pin of its own wins."""

    class Output(BlockOutput):
        """What the tool answered."""

        result: Any
        """A text, or what it says in JSON; a list when the answer has several parts; null when it has none."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Call the tool.

        Raises:
            BlockInputInvalid: No tool was chosen, or a required argument is missing.
            AddressRefused: The server is at an address that blocks may not reach.
            BlockUnavailable: The server cannot be reached.
            BlockError: The tool failed, or the server refuses.
        """
        if not given.selected_tool:
            raise BlockInputInvalid("No tool was chosen: `selected_tool` is empty")
        arguments = {**given.tool_arguments, **to_json(given.model_extra or {})}
        required = given.tool_input_schema.get("required") or []
        missing = [str(name) for name in required if name not in arguments]
        if missing:
            raise BlockInputInvalid(f"The tool needs {', '.join(f'`{name}`' for name in missing)[:200]}")
        server = ToolServer(
            context.http, complete_url(given.server_url), await _token(context), context.idempotency_key
        )
        answer = await server.call(given.selected_tool, arguments)
        content = answer.get("content") or []
        parts = [_read_part(part) for part in content if isinstance(part, dict)]
        if answer.get("isError"):
            said = "; ".join(part if isinstance(part, str) else json.dumps(part) for part in parts)
            raise BlockError(f"The tool failed: {said}" if said else "The tool failed and does not say why")
        if not parts:
            yield "result", answer.get("structuredContent")
        else:
            yield "result", parts[0] if len(parts) == 1 else parts


async def _token(context: BlockContext) -> str:
    stored = await context.credentials.find("credentials")
    if isinstance(stored, OAuth2Token):
        return stored.access_token
    return stored.key if isinstance(stored, ApiKey) else ""


def _read_part(part: Mapping[str, Any]) -> Any:
    if part.get("type") != "text":
        return dict(part)
    text = part.get("text")
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return text
