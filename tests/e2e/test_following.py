"""`perdure run --follow` in a terminal and without one, against a real server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.e2e.commands import invoke, perdure
from tests.e2e.rest import get, graph, node, requests, save, start, wait
from tests.e2e.terminal import CTRL_C, Terminal
from tests.processes import ServerProcess
from tests.stack import eventually
from tests.stubs import LanguageModelStub, WebStub

USER = "follower@example.org"


def api_of(server: ServerProcess) -> dict[str, str]:
    return {"PERDURE_API_URL": server.run_info.api_url, "PERDURE_API_KEY": server.token(USER)}


def flaky_and_failing(url: str) -> dict[str, Any]:
    """Return a graph whose first request works at the second attempt, and whose second node cannot work."""
    titled = {"title": "Ask in vain"}
    soon = {"retry": {"initial_seconds": 0.1}}
    nodes = [
        node("flaky", "send_web_request_block", url=url + "/flaky/1", method="GET", metadata=soon),
        node("vain", "remove_from_dictionary_block", key="nothing of that name", metadata=titled),
    ]
    return graph(nodes, ["flaky.response -> vain.dictionary"])


async def test_a_terminal_shows_attempts_and_what_has_failed(equipped: ServerProcess, web: WebStub) -> None:
    async with equipped.client(USER) as client:
        graph_id = await save(client, flaky_and_failing(web.url))

    async with Terminal("run", graph_id, "--follow", **api_of(equipped)) as terminal:
        code = await terminal.ended()
        seen = terminal.text
    assert code == 1
    assert "attempt 2" in seen
    assert "✓ flaky" in seen
    assert "✗ Ask in vain" in seen
    assert "2/2 nodes" in seen
    assert "FAILED after" in seen
    assert "(vain): " in seen
    assert "/workflows/" in seen


async def test_ctrl_c_stops_what_is_followed_when_that_is_wanted(
    equipped: ServerProcess, web: WebStub
) -> None:
    async with equipped.client(USER) as client:
        graph_id = await save(client, requests(web.url, "/held"))

    async with Terminal("run", graph_id, "--follow", **api_of(equipped)) as terminal:
        await eventually(lambda: bool(web.requests))
        await terminal.shows("0/2 nodes")
        terminal.type(CTRL_C)
        await terminal.shows("[s]top")
        terminal.type("s\n")
        code = await terminal.ended()
        seen = terminal.text
    assert code == 130
    assert "CANCELLED after" in seen


async def test_ctrl_c_leaves_an_execution_alone_when_that_is_wanted(
    equipped: ServerProcess, web: WebStub
) -> None:
    async with equipped.client(USER) as client:
        execution = await start(client, await save(client, requests(web.url, "/held")))
        async with Terminal("executions", "watch", execution["id"], **api_of(equipped)) as terminal:
            await terminal.shows("0/2 nodes")
            terminal.type(CTRL_C)
            await terminal.shows("[s]top")
            terminal.type("c\n")
            await eventually(lambda: "0/2 nodes" in terminal.text.rpartition("to watch? ")[2])
            terminal.type(CTRL_C)
            await eventually(lambda: terminal.text.count("[s]top") == 2)
            terminal.type("d\n")
            code = await terminal.ended()
            seen = terminal.text
        assert code == 4
        assert f"It goes on: perdure executions watch {execution['id']}" in seen
        assert (await get(client, execution["id"]))["status"] == "RUNNING"

        web.let_go.set()
        assert (await wait(client, execution["id"]))["status"] == "COMPLETED"


async def test_a_terminal_shows_what_a_model_is_writing(
    equipped: ServerProcess, model: LanguageModelStub
) -> None:
    model.answer = "This is being written \x1b[31mright now, word for word."
    model.held, model.hold_after = 0, 0
    model.let_go.clear()
    nodes = [node("ask", "llm_call_block", prompt="Write.", model="gpt-4")]
    async with equipped.client(USER) as client:
        graph_id = await save(client, graph(nodes, []))

    async with Terminal("run", graph_id, "--follow", **api_of(equipped)) as terminal:
        try:
            await terminal.shows("0/1 nodes")
            await eventually(lambda: model.held == 1)
            # Only who is there when words are written sees them. It now writes, and is held again before the last one.
            model.let_go.set()
            model.let_go.clear()
            await terminal.shows("being written")
        finally:
            model.hold_after = None
            model.let_go.set()
        code = await terminal.ended()
        seen = terminal.text
    assert code == 0, seen
    assert "response: This is being written \ufffd[31mright now" in seen
    assert " credits" in seen


async def test_without_a_terminal_there_is_a_line_or_a_document_for_each_event(
    equipped: ServerProcess, web: WebStub
) -> None:
    async with equipped.client(USER) as client:
        graph_id = await save(client, flaky_and_failing(web.url))

    code, out, _ = await perdure("run", graph_id, "--follow", **api_of(equipped))
    assert code == 1
    assert "node retrying: flaky" in out
    assert "node failed: Ask in vain: " in out

    command = ("run", graph_id, "--follow", "--json")
    code, out, err = await asyncio.to_thread(lambda: invoke(*command, **api_of(equipped)))
    documents = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (1, "")
    assert [document["seq"] for document in documents[:-1]] == list(range(1, len(documents)))
    assert documents[-2]["type"] == "execution_failed"
    assert documents[-1]["data"]["status"] == "FAILED"
