"""Published graphs as tools of models: the protocol's own client speaks to the API over HTTP."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.api_keys import make_key
from tests.integration.test_publications import adder, decoding, publish
from tests.rest_api import RestApi
from tests.reviews import asking
from tests.stack import eventually

ERAS = ["legacy", "2026-07-28"]


@pytest.fixture
async def address(api: RestApi) -> AsyncIterator[str]:
    """The API over real HTTP, on a port of its own."""
    config = uvicorn.Config(
        api.application, host="127.0.0.1", port=0, log_level="warning", lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/api/mcp"
    server.should_exit = True
    await serving


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
