"""Agents of every shape: files as other platforms export them, imported and executed over REST on a real server.

Language model, web and search engine are stand-ins on this machine; everything else is real.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Surroundings
from tests.e2e.rest import assert_whole_log, nodes_of, start, wait
from tests.preloaded import ROOT
from tests.processes import ServerProcess
from tests.reviews import answer, asked
from tests.stubs import LanguageModelStub, MailStub, WebStub

AGENTS = ROOT / "tests/fixtures/agents"


@pytest.fixture
async def caller(equipped: ServerProcess) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the server."""
    async with equipped.client("agents@example.com") as client:
        yield client


async def take_in(client: httpx.AsyncClient, name: str) -> str:
    """Import an agent file; return the id of its graph."""
    response = await client.post("/api/graphs/import", json=json.loads((AGENTS / f"{name}.json").read_text()))
    assert response.status_code == 201, response.text
    assert response.json()["report"]["missing_blocks"] == []
    graph_id: str = response.json()["graph"]["id"]
    return graph_id


async def run(client: httpx.AsyncClient, name: str, **inputs: Any) -> dict[str, Any]:
    """Import an agent file and execute it to its end; check that its log is whole."""
    execution = await start(client, await take_in(client, name), inputs)
    ended = await wait(client, execution["id"], timeout_seconds=100)
    await assert_whole_log(client, ended["id"])
    return ended


def said(request: dict[str, Any]) -> str:
    """Return what a model was asked last."""
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else json.dumps(content)


def calls(*called: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the message of a model that calls tools."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{name}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(given)},
            }
            for name, given in called
        ],
    }


def tool_of(request: dict[str, Any], word: str) -> str:
    """Return the name of the offered tool that has a word in it."""
    (name,) = [
        tool["function"]["name"] for tool in request["tools"] if word in tool["function"]["name"].lower()
    ]
    return str(name)


def told(request: dict[str, Any]) -> list[str]:
    """Return what tools have given so far."""
    return [str(message["content"]) for message in request["messages"] if message["role"] == "tool"]


async def test_two_hundred_items_fan_out_over_a_model_and_come_back_in_order(
    caller: httpx.AsyncClient, model: LanguageModelStub
) -> None:
    model.answer = lambda request: said(request).removeprefix("Write one line about ").removesuffix(".")
    subjects = [f"subject {number}" for number in range(200)]

    ended = await run(caller, "a_line_for_each", subjects=subjects)

    assert ended["status"] == "COMPLETED", ended["error"]
    assert ended["outputs"]["line"] == subjects
    assert ended["outputs"]["all"] == [subjects]
    assert len(model.requests) == 200


async def test_an_accumulator_that_feeds_itself_gathers_everything_once(caller: httpx.AsyncClient) -> None:
    ended = await run(caller, "accumulator", items=[3, 4, 5, 6])

    assert ended["status"] == "COMPLETED", ended["error"]
    assert ended["outputs"] == {"squares": [[9, 16, 25, 36]]}


async def test_a_loop_tries_again_after_an_error_until_it_succeeds(caller: httpx.AsyncClient) -> None:
    ended = await run(caller, "retry_loop", index=7)

    assert ended["status"] == "COMPLETED", ended["error"]
    assert ended["outputs"]["item"] == ["b"]
    assert len(ended["outputs"]["failures"]) == 2


async def test_a_retry_loop_that_feeds_itself_ends_by_its_cap(
    caller: httpx.AsyncClient, model: LanguageModelStub
) -> None:
    graph_id = await take_in(caller, "tries_again_without_end")
    model.fail(400, times=10)

    response = await caller.post(
        f"/api/graphs/{graph_id}/execute", json={"inputs": {}, "max_node_executions": 200}
    )
    ended = await wait(caller, response.json()["id"])

    assert ended["status"] == "FAILED"
    assert ended["error"]["code"] == "LIMIT_EXCEEDED"
    assert 190 < ended["stats"]["node_executions"] <= 200
    assert len(ended["outputs"]["gave_up"]) > 10
    assert 1 <= len(model.requests) <= 3
    await assert_whole_log(caller, ended["id"])


async def test_agents_with_loops_of_their_own_run_once_for_each_item(caller: httpx.AsyncClient) -> None:
    ended = await run(caller, "counts_for_each", numbers=[5, 1, 3])

    assert ended["status"] == "COMPLETED", ended["error"]
    assert ended["outputs"]["counted"] == [5, 1, 3]
    assert ended["outputs"]["so_far"][-1] == [5, 1, 3]
    children = (await caller.get("/api/executions", params={"parent_id": ended["id"]})).json()["items"]
    assert [child["status"] for child in children] == ["COMPLETED"] * 3


async def test_agents_inside_agents_inside_agents_pass_their_results_up(caller: httpx.AsyncClient) -> None:
    ended = await run(caller, "nested_agents", n=2)

    assert ended["status"] == "COMPLETED", ended["error"]
    assert len(ended["outputs"]["result"]) == 1


async def test_a_person_decides_in_the_middle(
    caller: httpx.AsyncClient, model: LanguageModelStub, web: WebStub
) -> None:
    model.answer = "Spring is here."
    graph_id = await take_in(caller, "asks_before_it_posts")
    inputs = {"topic": "spring", "address": f"{web.url}/echo"}

    yes, no = [await start(caller, graph_id, inputs) for _ in range(2)]
    first, second = [await asked(caller, execution["id"]) for execution in (yes, no)]
    await answer(caller, first, approved=True, data="Spring has come.", message="Shorter.")
    await answer(caller, second, approved=False)
    approved, rejected = [await wait(caller, execution["id"]) for execution in (yes, no)]

    assert approved["status"] == rejected["status"] == "COMPLETED", (approved["error"], rejected["error"])
    (posted,) = web.requests
    assert json.loads(posted["body"]) == {"text": "Spring has come."}
    assert posted["headers"]["x-sent-by"] == "an agent"
    assert approved["outputs"]["remark"] == ["Shorter."]
    assert len(approved["outputs"]["sent"]) == 1
    assert rejected["outputs"] == {"dropped": ["Spring is here."]}


async def test_a_model_calls_a_tool_over_links_until_it_is_done(
    caller: httpx.AsyncClient, model: LanguageModelStub
) -> None:
    def reckon(request: dict[str, Any]) -> str | dict[str, Any]:
        results = told(request)
        if len(results) == 2:
            return f"Together: {results[-1]}"
        return calls((tool_of(request, "add"), {"a": len(results) * 5, "b": 2}))

    model.answer = reckon

    ended = await run(caller, "calls_a_tool_and_listens", question="What is 0 + 2, and 5 + 2?")

    assert ended["status"] == "COMPLETED", ended["error"]
    (text,) = ended["outputs"]["answer"]
    assert "7" in text
    assert len(model.requests) == 3
    by_node = await nodes_of(caller, ended["id"])
    assert sorted(len(rows) for rows in by_node.values()) == [1, 1, 2, 3]


async def test_a_model_works_by_itself_with_blocks_and_agents_as_its_tools(
    caller: httpx.AsyncClient, model: LanguageModelStub, web: WebStub
) -> None:
    def work(request: dict[str, Any]) -> str | dict[str, Any]:
        results = told(request)
        if not results:
            return calls((tool_of(request, "add"), {"a": 20, "b": 22}), (tool_of(request, "count"), {"n": 4}))
        if len(results) == 2:
            return calls((tool_of(request, "service"), {"url": f"{web.url}/echo"}))
        return "Done: " + " / ".join(results[:2])

    model.answer = work

    ended = await run(caller, "works_by_itself", task="Find out")

    assert ended["status"] == "COMPLETED", ended["error"]
    (text,) = ended["outputs"]["answer"]
    assert "42" in text
    assert "4" in text.split("/")[1]
    assert len(model.requests) == 3
    assert [request["method"] for request in web.requests] == ["GET"]
    children = (await caller.get("/api/executions", params={"parent_id": ended["id"]})).json()["items"]
    assert [child["outputs"] for child in children] == [{"count": [4]}]


async def test_an_answer_is_looked_up_on_the_web(
    caller: httpx.AsyncClient, model: LanguageModelStub, surroundings: Surroundings
) -> None:
    model.answer = lambda request: "61 metres" if surroundings.search.text in said(request) else "Unknown"

    ended = await run(caller, "researches_a_question", question="How high is the tower?")
    nothing = await run(caller, "researches_a_question", question="How deep is the well?")

    assert ended["status"] == nothing["status"] == "COMPLETED", (ended["error"], nothing["error"])
    assert ended["outputs"] == {"answer": ["61 metres"], "source": [f"{surroundings.search.url}/page"]}
    assert nothing["outputs"] == {"nothing_found": [""]}
    assert surroundings.search.queries[-2:] == ["How high is the tower?", "How deep is the well?"]


async def test_a_file_comes_in_and_a_file_goes_out(
    caller: httpx.AsyncClient, model: LanguageModelStub, surroundings: Surroundings
) -> None:
    model.answer = lambda request: f"{len(said(request).splitlines()) - 1} lines"
    content = "one\ntwo\nthree"
    sent = await caller.post("/api/files", files={"file": ("notes.txt", content.encode(), "text/plain")})

    ended = await run(caller, "report_on_a_file", file=sent.json()["reference"])

    assert ended["status"] == "COMPLETED", ended["error"]
    (report,) = ended["outputs"]["report"]
    written = await caller.get(f"/api/files/{report.removeprefix('workspace://')}")
    assert written.text.startswith("# Report\n\n3 lines\n\n13 characters")
    async with surroundings.server.client("somebody-else@example.com") as other:
        assert (await other.get(written.url.path)).status_code == 404


async def test_an_agent_sends_mail_with_credentials_that_are_chosen_for_the_execution(
    caller: httpx.AsyncClient, model: LanguageModelStub
) -> None:
    model.answer = "All is well."
    graph_id = await take_in(caller, "mails_a_summary")
    wanted = (await caller.get(f"/api/graphs/{graph_id}")).json()["credentials_input_schema"]["properties"]
    (key,) = [name for name, field in wanted.items() if "smtp" in field["credentials_provider"]]
    kept = await caller.post(
        "/api/credentials",
        json={
            "type": "user_password",
            "provider": "smtp",
            "username": "me@example.org",
            "password": "a secret",
        },
    )

    async with MailStub("me@example.org", "a secret") as mail:
        inputs = {"text": "A long story.", "server": {"smtp_server": "127.0.0.1", "smtp_port": mail.port}}
        chosen = {key: {"id": kept.json()["id"]}}
        response = await caller.post(
            f"/api/graphs/{graph_id}/execute", json={"inputs": inputs, "credentials_inputs": chosen}
        )
        assert response.status_code == 200, response.text
        ended = await wait(caller, response.json()["id"])

    assert ended["status"] == "COMPLETED", ended["error"]
    assert len(ended["outputs"]["status"]) == 1
    (message,) = mail.messages
    assert (message["To"], message["From"], message["Subject"]) == (
        "team@example.org",
        "me@example.org",
        "A summary",
    )
    assert "All is well." in message.get_payload()
    shown = (await caller.get(f"/api/executions/{ended['id']}/nodes")).text
    assert "a secret" not in shown
