"""Blocks that ask a language model, through the engine: what is recorded, what is tried again, what is shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from temporalio.client import Client

from app.graph.definition import GraphDefinition
from app.llm.models import Provider
from app.llm.routing import Routes
from tests.credentials import keep
from tests.e2e.rest import events_of, get, graph, node, nodes_of, save, start, wait
from tests.engine import Engine, make_graph
from tests.rest_api import RestApi, run_api
from tests.stack import eventually
from tests.stubs import LanguageModelStub, QuietServer

USAGE = {"model": "gpt-4o-mini", "input_tokens": 11, "output_tokens": 7, "calls": 1, "microcredits": 883}
SOON = {"metadata": {"retry": {"max_attempts": 3, "initial_seconds": 0.1}}}


@pytest.fixture
async def worker(engine: Engine, language_model: LanguageModelStub) -> AsyncIterator[None]:
    """A worker that asks the stub."""
    async with engine.worker(llm_base_url=language_model.url):
        yield


def one(block: str, **constants: Any) -> GraphDefinition:
    return make_graph({"ask": (block, constants)}, [])


def outputs(record: Any) -> list[tuple[str, Any]]:
    (row,) = record.of("ask")
    return [(pin, envelope[0]) for pin, envelope in row["outputs"]]


async def test_a_text_and_what_it_took_are_recorded(
    alice: httpx.AsyncClient, worker: None, language_model: LanguageModelStub
) -> None:
    nodes = [
        node("a", "ai_text_generator_block", prompt="p"),
        node("b", "ai_text_generator_block"),
        node("sum", "calculator_block", operation="Add", a=1, b=2),
    ]
    body = graph(nodes, ["a.response -> b.prompt"])
    ended = await wait(alice, (await start(alice, await save(alice, body)))["id"])
    assert ended["status"] == "COMPLETED", ended["error"]
    rows = await nodes_of(alice, ended["id"])
    assert [rows[name][0]["usage"] for name in ("a", "b", "sum")] == [USAGE, USAGE, None]
    assert (ended["stats"]["input_tokens"], ended["stats"]["output_tokens"]) == (22, 14)
    assert rows["b"][0]["outputs"]["response"] == ["A short answer."]
    assert language_model.requests[1]["messages"] == [{"role": "user", "content": "A short answer."}]


@pytest.mark.filterwarnings("ignore::pydantic_ai.usage.UsageExtractionFailedWarning")
@pytest.mark.parametrize(
    ("read", "wrote", "charged"),
    [
        (10**30, 10**30, 1_000),
        (10**12, 10**12, 1_000),
        (-5, 7, 1),
        (-5, -5, 1),
        (0, 0, 1),
    ],
)
async def test_whatever_a_provider_says_that_was_used_is_recorded_and_charged_once(
    alice: httpx.AsyncClient,
    worker: None,
    language_model: LanguageModelStub,
    read: int,
    wrote: int,
    charged: int,
) -> None:
    language_model.usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": 1}
    body = graph([node("a", "ai_text_generator_block", prompt="p")], [])
    ended = await wait(alice, (await start(alice, await save(alice, body)))["id"])

    assert ended["status"] == "COMPLETED", ended["error"]
    assert len(language_model.requests) == 1
    assert ended["cost"] == charged
    ((row,),) = (await nodes_of(alice, ended["id"])).values()
    assert (row["cost"], row["attempt"]) == (charged, 1)
    assert min(row["usage"]["input_tokens"], row["usage"]["output_tokens"]) >= 0
    assert (await alice.get("/api/user/credits")).json()["credits"] == 1_000 - charged


async def test_what_an_execution_has_taken_so_far_is_seen_while_it_runs(
    alice: httpx.AsyncClient, worker: None, language_model: LanguageModelStub
) -> None:
    nodes = [node("a", "ai_text_generator_block", prompt="p"), node("b", "ai_text_generator_block")]

    def answer(_: dict[str, Any]) -> str:
        if len(language_model.requests) == 2:
            language_model.let_go.clear()
        return "An answer."

    language_model.answer = answer
    execution = await start(alice, await save(alice, graph(nodes, ["a.response -> b.prompt"])))
    await eventually(lambda: len(language_model.requests) == 2)

    assert (await get(alice, execution["id"]))["stats"]["input_tokens"] == 11
    language_model.let_go.set()
    await wait(alice, execution["id"])


async def test_a_provider_that_is_overloaded_is_asked_again_when_it_says(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.fail(429, retry_after="1")
    record = await engine.run(one("ai_text_generator_block", prompt="p", **SOON))
    (row,) = record.of("ask")
    assert (record.status, row["attempt"]) == ("COMPLETED", 2)
    assert len(language_model.requests) == 2
    assert len(set(language_model.keys)) == 1


async def test_questions_that_were_answered_are_neither_asked_nor_counted_again(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    answers = ["no object", "still none", '{"a": 1}']

    def answer(_: dict[str, Any]) -> str:
        if len(answers) == 2:
            # The third question is not answered in this attempt.
            language_model.fail(503)
        return answers.pop(0)

    language_model.answer = answer
    given = {"prompt": "p", "expected_format": {"a": "a number"}}
    record = await engine.run(one("ai_structured_response_generator_block", **given, **SOON))
    (row,) = record.of("ask")
    assert record.status == "COMPLETED", record.error
    assert outputs(record)[0] == ("response", {"a": 1})
    assert row["usage"] == {
        **USAGE,
        "input_tokens": 33,
        "output_tokens": 21,
        "calls": 3,
        "microcredits": 3 * 883,
    }
    first, second, third, again = language_model.keys
    assert len({first, second, third}) == 3
    assert again == third


async def test_a_large_answer_of_a_step_is_kept_for_the_next_attempt(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    long = "w" * 100_000  # one word, so that it is no more than a part of the next level

    def fail_once(asked: dict[str, Any]) -> str:
        if len(language_model.requests) == 1:
            language_model.fail(503)
        return long if len(language_model.requests) == 1 else "short"

    language_model.answer = fail_once
    given = {"text": "a b", "max_tokens": 1, "chunk_overlap": 0}
    record = await engine.run(one("ai_text_summarizer_block", **given, **SOON))
    assert record.status == "COMPLETED", record.error
    assert record.of("ask")[0]["attempt"] == 2
    # The long one was asked for once: the next attempt went on after it.
    parts = [asked["messages"][1]["content"] for asked in language_model.requests[:3]]
    assert parts == ["a", "b", "b"]


async def test_a_list_goes_out_item_by_item(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = '["x", "y"]'
    record = await engine.run(one("ai_list_generator_block", focus="letters"))
    assert [pin for pin, _ in outputs(record)] == ["generated_list", "prompt", "list_item", "list_item"]


async def test_a_condition_takes_one_branch(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = "false"
    given = {"input_value": 5, "condition": "it is even", "yes_value": "even"}
    record = await engine.run(one("ai_condition_block", **given))
    assert outputs(record) == [("result", False), ("no_output", 5)]


async def test_an_answer_that_cannot_be_read_fails_the_node_on_its_error_pin(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = "perhaps"
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "ask": ("ai_condition_block", {"input_value": 5, "condition": "c"}),
        "out": ("agent_output_block", {"name": "error"}),
    }
    record = await engine.run(make_graph(nodes, ["ask.error -> out.value"]))
    assert record.status == "COMPLETED"
    assert "perhaps" in record.outputs["error"][0]
    assert len(language_model.requests) == 1


@contextlib.asynccontextmanager
async def served(api: RestApi) -> AsyncIterator[str]:
    """Serve an API over real HTTP: the client of the other tests sees no answer before its end."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(api.application, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = QuietServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def test_what_a_model_writes_is_shown_to_its_watchers_meanwhile_and_kept_nowhere(
    api: RestApi, alice: httpx.AsyncClient, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = "Once upon a time, there was an engine."
    language_model.let_go.clear()
    body = graph([node("tell", "ai_text_generator_block", prompt="p")], [])
    async with served(api) as url, httpx.AsyncClient(base_url=url, headers=alice.headers) as client:
        execution = await start(client, await save(client, body))
        path = f"/api/executions/{execution['id']}/events"

        async def follow(**params: Any) -> list[dict[str, str]]:
            """Read a stream to its end; let the model finish when something of its answer is shown."""
            frames = []
            headers = {"Accept": "text/event-stream"}
            async with client.stream("GET", path, params=params, headers=headers, timeout=60) as response:
                async for frame in read_frames(response):
                    frames.append(frame)
                    if frame["event"] == "token":
                        language_model.let_go.set()
            return frames

        frames, without = await asyncio.gather(follow(tokens=True), follow())
        shown = [json.loads(frame["data"]) for frame in frames if frame["event"] == "token"]
        (row,) = (await nodes_of(client, execution["id"]))["tell"]
        assert shown
        assert {(token["node_id"], token["node_execution_id"]) for token in shown} == {("tell", row["id"])}
        assert language_model.answer.startswith("".join(token["text"] for token in shown))
        assert all("id" not in frame for frame in frames if frame["event"] == "token")
        kept = [frame for frame in frames if frame["event"] != "token"]
        assert kept == without
        assert frames[-1] == kept[-1]
        assert [int(frame["id"]) for frame in kept] == list(range(1, len(kept) + 1))
        assert [event["type"] for event in await events_of(client, execution["id"])] == [
            frame["event"] for frame in kept
        ]


async def read_frames(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """Give the frames of a stream of events, comments left out."""
    frame: dict[str, str] = {}
    async for line in response.aiter_lines():
        if not line and frame:
            yield frame
            frame = {}
        name, separator, value = line.partition(": ")
        if separator and name:
            frame[name] = value


async def test_the_models_are_listed_with_what_they_cost_and_who_is_configured(
    engine: Engine, client: Client
) -> None:
    async def connect() -> Client:
        return client

    routes = Routes({Provider.ANTHROPIC}, model_map={"o1": "claude-opus-4-5"})
    async with run_api(engine.database_url, connect, models=routes) as api, api.caller() as caller:
        answer = await caller.get("/api/models")
    providers = {provider["name"]: provider for provider in answer.json()["providers"]}
    configured = {name for name, provider in providers.items() if provider["is_configured"]}
    assert configured == {"anthropic"}
    of_openai = {model["name"]: model for model in providers["openai"]["models"]}
    assert of_openai["gpt-4o"] == {
        "name": "gpt-4o",
        "credits": 3,
        "input_credits": 375,
        "output_credits": 1500,
        "context_tokens": 128_000,
        "asked": "claude-haiku-4-5",
    }
    assert of_openai["o1"]["asked"] == "claude-opus-4-5"


async def test_a_server_without_any_provider_asks_no_model(alice: httpx.AsyncClient) -> None:
    providers = (await alice.get("/api/models")).json()["providers"]
    assert not any(provider["is_configured"] for provider in providers)
    assert {model["asked"] for provider in providers for model in provider["models"]} == {None}


@pytest.fixture
async def provider(
    engine: Engine, language_model: LanguageModelStub, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """A worker without keys, for which the stub is OpenAI."""
    monkeypatch.setenv("OPENAI_BASE_URL", language_model.url)
    async with engine.worker():
        yield


async def test_a_call_is_charged_what_its_tokens_cost_and_not_what_was_reserved(
    alice: httpx.AsyncClient, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.usage = {"prompt_tokens": 10_000, "completion_tokens": 1_000, "total_tokens": 11_000}
    nodes = [
        node("long", "ai_text_generator_block", prompt="p", model="gpt-4o"),
        node("free", "calculator_block", operation="Add", a=1, b=2),
    ]
    ended = await wait(alice, (await start(alice, await save(alice, graph(nodes, []))))["id"])
    rows = await nodes_of(alice, ended["id"])
    # 10,000 of 375 and 1,000 of 1,500 credits per million, 3 credits were reserved.
    assert {name: row["cost"] for name, (row,) in rows.items()} == {"long": 6, "free": 0}
    assert ended["cost"] == 6


async def test_a_key_of_the_owners_is_used_and_the_call_costs_nothing(
    alice: httpx.AsyncClient, provider: None, language_model: LanguageModelStub
) -> None:
    kept = await keep(alice, "api_key", "sk-own", provider="openai")
    own = node("own", "ai_text_generator_block", prompt="p", model="gpt-4o", credentials={"id": kept})
    ended = await wait(alice, (await start(alice, await save(alice, graph([own], []))))["id"])
    assert (ended["status"], ended["cost"]) == ("COMPLETED", 0), ended["error"]
    assert language_model.authorizations == ["Bearer sk-own"]


async def test_a_key_of_the_owners_is_not_sent_to_the_server_of_all_models_and_the_call_costs(
    alice: httpx.AsyncClient, worker: None, language_model: LanguageModelStub
) -> None:
    kept = await keep(alice, "api_key", "sk-own", provider="openai")
    own = node("own", "ai_text_generator_block", prompt="p", model="gpt-4o", credentials={"id": kept})
    ended = await wait(alice, (await start(alice, await save(alice, graph([own], []))))["id"])
    assert (ended["status"], ended["cost"]) == ("COMPLETED", 1), ended["error"]
    assert language_model.authorizations == ["Bearer none"]


async def test_a_key_may_be_chosen_when_the_graph_is_executed(
    alice: httpx.AsyncClient, provider: None, language_model: LanguageModelStub
) -> None:
    kept = await keep(alice, "api_key", "sk-own", provider="openai")
    body = graph([node("ask", "ai_condition_block", input_value=1, condition="c", model="gpt-4o")], [])
    language_model.answer = "true"
    graph_id = await save(alice, body)
    schema = (await alice.get(f"/api/graphs/{graph_id}")).json()["credentials_input_schema"]
    (key,) = schema["properties"]
    assert schema["required"] == []
    chosen = {"inputs": {}, "credentials_inputs": {key: {"id": kept}}}
    started = (await alice.post(f"/api/graphs/{graph_id}/execute", json=chosen)).json()
    ended = await wait(alice, started["id"])
    assert (ended["status"], ended["cost"]) == ("COMPLETED", 0)
    assert language_model.authorizations == ["Bearer sk-own"]


async def test_steps_go_with_their_execution(
    engine: Engine, alice: httpx.AsyncClient, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = "short"
    body = graph([node("sum", "ai_text_summarizer_block", text="a b", max_tokens=1)], [])
    ended = await wait(alice, (await start(alice, await save(alice, body)))["id"])
    count = "SELECT count(*) FROM node_steps WHERE execution_id = $1"
    assert await engine.pool.fetchval(count, ended["id"]) == len(language_model.requests) > 0
    assert (await alice.delete(f"/api/executions/{ended['id']}")).status_code == 204
    assert await engine.pool.fetchval(count, ended["id"]) == 0
