"""Workers that die in the middle of a conversation with a model: what was said and done is not said and done again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.e2e.rest import assert_whole_log, graph, node, nodes_of, save, start, wait
from tests.fault.mortals import calling
from tests.processes import WorkerProcess
from tests.stack import Stack, eventually
from tests.stubs import LanguageModelStub, WebStub

CALLS = ("first", "second")

StartWorker = Callable[[], WorkerProcess]


@pytest.fixture
def start_worker(
    worker_process: Callable[..., WorkerProcess], language_model: LanguageModelStub
) -> StartWorker:
    """Start a worker that asks the model."""
    return lambda: worker_process(LLM_BASE_URL=language_model.url)


@pytest.fixture
async def caller(stack: Stack, task_queue: str) -> AsyncIterator[httpx.AsyncClient]:
    """A user whose executions are left to these workers."""
    async with calling(stack, task_queue=task_queue) as client:
        yield client


def _asks_one_after_the_other(asked: dict[str, Any]) -> str | dict[str, Any]:
    turn = sum(message["role"] == "assistant" for message in asked["messages"])
    if turn == len(CALLS):
        return "Both have answered."
    function = {"name": CALLS[turn], "arguments": json.dumps({"body": {"turn": turn}})}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": f"call_{turn}", "type": "function", "function": function}],
    }


async def _converse(client: httpx.AsyncClient, web: WebStub, second: str) -> dict[str, Any]:
    """Start a conversation whose tools are web requests."""
    web_request, boss = "send_web_request_block", "orchestrator_block"
    nodes = [
        node("boss", boss, prompt="Ask both.", agent_mode_max_iterations=-1),
        *(
            node(name, web_request, url=web.url + path, method="POST", metadata={"customized_name": name})
            for name, path in zip(CALLS, ("/echo", second), strict=True)
        ),
        node("out", "agent_output_block", name="answer"),
    ]
    links = ["boss.tools -> first.body", "boss.tools -> second.body", "boss.finished -> out.value"]
    return await start(client, await save(client, graph(nodes, links)))


async def _assert_ended_well(client: httpx.AsyncClient, execution_id: str) -> dict[str, list[dict[str, Any]]]:
    ended = await wait(client, execution_id)
    assert ended["status"] == "COMPLETED", ended["error"]
    assert ended["outputs"] == {"answer": ["Both have answered."]}
    rows = await nodes_of(client, execution_id)
    (boss,) = rows["boss"]
    assert [row["called_by"] for name in CALLS for row in rows[name]] == [boss["id"]] * 2
    await assert_whole_log(client, execution_id)
    return rows


async def test_a_worker_killed_in_the_middle_of_a_tool_repeats_that_call_alone(
    caller: httpx.AsyncClient,
    start_worker: StartWorker,
    web: WebStub,
    language_model: LanguageModelStub,
) -> None:
    language_model.answer = _asks_one_after_the_other
    worker = await start_worker().ready()
    execution = await _converse(caller, web, "/held")
    await eventually(lambda: len(web.requests) == 2)
    worker.kill()
    web.let_go.set()
    start_worker()

    rows = await _assert_ended_well(caller, execution["id"])

    assert [request["path"] for request in web.requests] == ["/echo", "/held", "/held"]
    assert len(set(web.calls)) == 2
    assert [row["attempt"] for row in rows["second"]] == [2]
    assert len(language_model.requests) == 3


async def test_a_worker_killed_in_the_middle_of_a_turn_repeats_that_turn_alone(
    caller: httpx.AsyncClient,
    start_worker: StartWorker,
    web: WebStub,
    language_model: LanguageModelStub,
) -> None:
    def answers_the_second_time_half(asked: dict[str, Any]) -> str | dict[str, Any]:
        if len(language_model.requests) == 2:
            language_model.let_go.clear()
        return _asks_one_after_the_other(asked)

    language_model.answer = answers_the_second_time_half
    worker = await start_worker().ready()
    execution = await _converse(caller, web, "/echo")
    await eventually(lambda: not language_model.let_go.is_set())
    worker.kill()
    language_model.let_go.set()
    start_worker()

    await _assert_ended_well(caller, execution["id"])

    assert [request["path"] for request in web.requests] == ["/echo", "/echo"]
    said = [[message["role"] for message in asked["messages"]] for asked in language_model.requests]
    assert [roles.count("assistant") for roles in said] == [0, 1, 1, 2]
    assert language_model.keys[1] == language_model.keys[2]
    assert len(set(language_model.keys)) == 3
