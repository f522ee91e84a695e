"""Messages about tools, spoken over the protocol's own SDK: what one of them holds, and what none of them tells."""

from __future__ import annotations

import json
from typing import Any

import httpx
from sqlalchemy.exc import OperationalError

from app.api.published import tool_server
from app.api.published.tool_calls import ToolCalls
from app.api.schemas.publications import PublicationView, RunView

SPEAKING = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}


def message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


class Failing(ToolCalls):
    """What goes wrong in a way that is nothing to a client."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def list(self) -> list[PublicationView]:
        raise self.error

    async def call(self, *_: Any, **__: Any) -> RunView:
        raise self.error


class Offering(ToolCalls):
    """A few tools that say a lot."""

    def __init__(self, *slugs: str) -> None:
        self.slugs = slugs

    async def list(self) -> list[PublicationView]:
        given: dict[str, Any] = {
            "description": "x" * 400_000,
            "input_schema": {"type": "object"},
            "output_schema": {},
        }
        return [PublicationView.model_construct(None, slug=slug, **given) for slug in self.slugs]


async def answer_of(calls: ToolCalls, said: dict[str, Any]) -> httpx.Response:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await tool_server.serve(calls, said, json.dumps(said).encode(), scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=answer)) as client:
        return await client.post("http://api.test/", json=said, headers=SPEAKING)


async def test_tools_that_say_too_much_for_one_message_are_listed_in_pages() -> None:
    listed, cursor = [], None
    for count in (2, 2, 1):
        said = message("tools/list", **({"cursor": cursor} if cursor else {}))
        response = await answer_of(Offering("b", "e", "a", "d", "c"), said)
        page = json.loads(response.text.split("data: ")[1])["result"]
        assert len(page["tools"]) == count
        listed += [tool["name"] for tool in page["tools"]]
        cursor = page.get("nextCursor")
    assert (listed, cursor) == (list("abcde"), None)


async def test_a_client_is_told_nothing_of_what_goes_wrong_inside() -> None:
    errors = [KeyError("canary"), OperationalError("SELECT canary", {}, OSError("canary")), OSError("canary")]
    for error in errors:
        for said in (message("tools/list"), message("tools/call", name="add", arguments={})):
            response = await answer_of(Failing(error), said)
            assert response.status_code == 200
            assert "rror" in response.text
            assert "canary" not in response.text
