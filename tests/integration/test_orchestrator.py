"""Nodes that a language model uses as tools, on a real Temporal: each call is a node execution of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import ActivityEnvironment

from app.activities.contracts import PAUSE_UPDATE, RELEASE_SIGNAL, RESUME_UPDATE, Decision, NodeCall, Release
from app.blocks.context import BlockContext
from app.graph.conversations import Turn
from app.graph.definition import GraphDefinition
from app.workers.config import WorkerConfig
from app.workers.opening import make_workers
from tests.engine import (
    KEYS,
    Engine,
    Many,
    Record,
    has_taken_a_completion,
    limited,
    make_graph,
    refuses,
    unavailable_until,
)
from tests.integration.test_rerun_engine import rerun
from tests.stack import eventually
from tests.stubs import LanguageModelStub

ORCHESTRATOR = "orchestrator_block"
PROBE = "probe"
ADD = "calculator_block"
OUTPUT = "agent_output_block"
ADDER = (ADD, {"operation": "Add", "metadata": {"customized_name": "add"}})
CALM = limited(heartbeat_seconds=60)
"""The first question to a model loads a large library, during which a busy machine may be silent for long."""
TO_ADDER = ["boss.tools -> adder.a", "boss.tools -> adder.b"]


@pytest.fixture
async def worker(engine: Engine, language_model: LanguageModelStub) -> AsyncIterator[None]:
    """A worker that asks the stub."""
    async with engine.worker(llm_base_url=language_model.url):
        yield


def calls(*wanted: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a model's message that calls tools, with ids of its own."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": f"call_{k}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(given)},
            }
            for k, (name, given) in enumerate(wanted)
        ],
    }


def says(*answers: str | dict[str, Any]) -> Callable[[dict[str, Any]], str | dict[str, Any]]:
    """Return a model that gives these answers, each when the conversation has come so far."""

    def answer(asked: dict[str, Any]) -> str | dict[str, Any]:
        turn: int = sum(message["role"] == "assistant" for message in asked["messages"])
        return answers[turn]

    return answer


def boss(**constants: Any) -> tuple[str, dict[str, Any]]:
    return ORCHESTRATOR, {"prompt": "What is 1 + 2?", "agent_mode_max_iterations": -1, **constants}


def a_graph(links: Sequence[str], tools: Mapping[str, tuple[str, Any]], **constants: Any) -> GraphDefinition:
    """Return a graph of an orchestrator, some tools, and an output of its answer."""
    nodes = {"boss": boss(**constants), **tools, "out": (OUTPUT, {"name": "answer"})}
    return make_graph(nodes, [*links, "boss.finished -> out.value"])


async def start(engine: Engine, graph: GraphDefinition, **changes: Any) -> WorkflowHandle[Any, int]:
    """Start an execution, with some limits changed."""
    return await engine.start(graph, limits=limited(CALM, **changes))


async def run(engine: Engine, graph: GraphDefinition, **changes: Any) -> Record:
    """Execute a graph to its end, with some limits changed."""
    return await engine.end(await start(engine, graph, **changes))


def told(stub: LanguageModelStub, turn: int) -> list[Any]:
    """Return what the model was told by tools before a turn."""
    return [
        message["content"] for message in stub.requests[turn - 1]["messages"] if message["role"] == "tool"
    ]


def callers(record: Record, node_id: str) -> set[Any]:
    return {row["called_by"] for row in record.of(node_id)}


async def test_a_model_calls_a_node_and_hears_what_it_gave(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("add", {"a": 1, "b": 2})), "It is 3.")

    record = await run(engine, a_graph(TO_ADDER, {"adder": ADDER}))

    assert record.outputs == {"answer": ["It is 3."]}
    (asked,) = record.of("boss")
    assert callers(record, "adder") == {asked["id"]}
    assert [row["outputs"] for row in record.of("adder")] == [[["result", [3.0]]]]
    assert told(language_model, 2) == ['{"result": 3.0}']
    assert [pin for pin, _ in asked["outputs"]] == ["finished", "conversations"]
    assert asked["cost"] == 2


async def test_calls_of_one_turn_run_at_once_and_are_answered_in_their_order(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    both_run = asyncio.Event()

    async def meets(value: Any, _: BlockContext) -> Any:
        if len(engine.probe.calls) == 2:
            both_run.set()
        await both_run.wait()
        return value

    engine.probe.functions["meets"] = meets
    language_model.answer = says(calls(("ask", {"value": 1}), ("ask", {"value": 2})), "Both.")
    tool = (PROBE, {"name": "meets", "metadata": {"customized_name": "Ask"}})

    record = await run(
        engine, a_graph(["boss.tools -> probe.value"], {"probe": tool}, multiple_tool_calls=True)
    )

    assert record.outputs == {"answer": ["Both."]}
    assert told(language_model, 2) == ['{"out": 1}', '{"out": 2}']


async def test_of_several_calls_the_first_counts_unless_more_are_wanted(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})), "It is 3.")

    record = await run(engine, a_graph(TO_ADDER, {"adder": ADDER}))

    assert told(language_model, 2) == ['{"result": 3.0}']
    assert len(record.of("adder")) == 1


async def test_a_tool_that_fails_is_told_to_the_model_and_fails_nothing_else(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    engine.probe.functions["refuses"] = refuses
    language_model.answer = says(calls(("ask", {"value": "x"})), "It cannot be done.")
    tools = {
        "probe": (PROBE, {"name": "refuses", "metadata": {"customized_name": "ask"}}),
        "hear": (PROBE, {}),
    }

    record = await run(engine, a_graph(["boss.tools -> probe.value", "probe.error -> hear.value"], tools))

    assert record.status == "COMPLETED"
    assert record.outputs == {"answer": ["It cannot be done."]}
    assert json.loads(told(language_model, 2)[0]) == {"error": "x is refused"}
    assert record.of("hear") == []


async def test_a_tool_is_tried_again_by_its_own_policy(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    engine.probe.functions["flaky"] = unavailable_until(3)
    language_model.answer = says(calls(("ask", {"value": 7})), "Seven.")
    tool = (PROBE, {"name": "flaky", "metadata": {"customized_name": "ask"}})

    record = await run(engine, a_graph(["boss.tools -> probe.value"], {"probe": tool}))

    assert [row["attempt"] for row in record.of("probe")] == [3]
    assert told(language_model, 2) == ['{"out": 7}']


async def test_a_nested_graph_is_a_tool_with_its_name_and_inputs(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    inner, _ = await engine.save(
        make_graph(
            {"x": ("agent_input_block", {"name": "x"}), "add": (ADD, {"operation": "Add", "b": 1}),
             "y": (OUTPUT, {"name": "y"})},
            ["x.result => add.a", "add.result -> y.value"],
        )
    )  # fmt: skip
    language_model.answer = says(calls(("test", {"x": 4})), "Five.")
    tool = ("agent_executor_block", {"graph_id": inner, "graph_version": 1})

    record = await run(engine, a_graph(["boss.tools -> agent.x"], {"agent": tool}))

    assert record.outputs == {"answer": ["Five."]}
    assert told(language_model, 2) == ['{"y": 5.0}']


async def test_a_timer_and_a_person_can_be_asked_too(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(
        calls(("wait", {"seconds": 1})), calls(("person", {"data": "May I?"})), "I may."
    )
    tools = {
        "timer": ("countdown_timer_block", {"metadata": {"customized_name": "wait"}}),
        "review": ("human_in_the_loop_block", {"name": "Well?", "metadata": {"customized_name": "person"}}),
    }
    handle = await start(engine, a_graph(["boss.tools -> timer.seconds", "boss.tools -> review.data"], tools))
    await eventually(lambda: _is_asked(engine, handle.id))

    await handle.signal(RELEASE_SIGNAL, Release(2, 1, decision=Decision(approved=True, by="owner")))
    record = await engine.end(handle)

    assert record.outputs == {"answer": ["I may."]}
    assert "timer finished" in told(language_model, 2)[0]
    assert json.loads(told(language_model, 3)[1])["approved_data"] == "May I?"


async def _is_asked(engine: Engine, execution_id: str) -> bool:
    return bool(await engine.pool.fetch("SELECT FROM reviews WHERE execution_id = $1", execution_id))


async def test_turns_that_are_used_up_end_the_conversation(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = lambda _: calls(("add", {"a": 1, "b": 2}))

    record = await run(engine, a_graph(TO_ADDER, {"adder": ADDER}, agent_mode_max_iterations=2))

    assert record.outputs == {"answer": ["The task was not finished within 2 turns"]}
    assert len(language_model.requests) == len(record.of("adder")) == 2
    conversations = dict(record.of("boss")[0]["outputs"])["conversations"][0]
    assert [message["role"] for message in conversations][2:] == ["assistant", "tool"] * 2


async def test_wrong_calls_are_told_to_the_model_and_not_made(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    answers: list[str | dict[str, Any]] = [
        calls(("multiply", {"a": 1})),
        calls(("add", {"c": 1})),
        calls(("add", {"a": 1, "b": 2})),
        "It is 3.",
    ]
    language_model.answer = lambda _: answers[len(language_model.requests) - 1]

    record = await run(engine, a_graph(TO_ADDER, {"adder": ADDER}))

    assert record.outputs == {"answer": ["It is 3."]}
    assert told(language_model, 2) == ["There is no tool 'multiply'; there is add"]
    assert told(language_model, 3)[1] == "The tool 'add' has no argument 'c'; it has a, b"
    assert told(language_model, 4) == ['{"result": 3.0}']


async def test_a_model_that_goes_on_calling_wrongly_fails_its_node(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = lambda _: calls(("multiply", {}))

    record = await run(engine, a_graph(TO_ADDER, {"adder": ADDER}, retry=2))

    assert record.status == "FAILED"
    assert record.error is not None
    assert "There is no tool 'multiply'" in record.error["message"]
    assert len(language_model.requests) == 2


async def test_without_agent_mode_the_graph_itself_closes_the_loop(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(
        calls(("add", {"a": 1, "b": 2}), ("ask", {"value": "well"})),
        calls(("ask", {"value": "again"})),
        "Done.",
    )
    probe = (PROBE, {"metadata": {"customized_name": "ask"}})
    graph = make_graph(
        {
            "prompt": ("store_value_block", {"input": "What is 1 + 2?"}),
            "boss": boss(agent_mode_max_iterations=0, multiple_tool_calls=True),
            "adder": ADDER,
            "probe": probe,
            "out": (OUTPUT, {"name": "answer"}),
        },
        [
            "prompt.output => boss.prompt",
            *TO_ADDER,
            "boss.tools -> probe.value",
            "adder.result -> boss.last_tool_output",
            "probe.out -> boss.last_tool_output",
            "boss.conversations -> boss.conversation_history",
            "boss.finished -> out.value",
        ],
    )

    record = await run(engine, graph)

    assert record.outputs == {"answer": ["Done."]}
    assert len(language_model.requests) == 3
    assert sorted(told(language_model, 2)) == ["3.0", "well"]
    assert len(record.of("boss")) == 4
    first = record.of("boss")[0]
    assert [pin for pin, _ in first["outputs"]] == [
        "tools_^_adder_~_a",
        "tools_^_adder_~_b",
        "tools_^_probe_~_value",
        "conversations",
    ]
    assert callers(record, "adder") == {None}


async def test_large_arguments_and_results_travel_by_reference(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    text = "x" * 50_000
    language_model.answer = says(calls(("ask", {"value": text})), "Long.")
    tool = (PROBE, {"metadata": {"customized_name": "ask"}})

    record = await run(engine, a_graph(["boss.tools -> probe.value"], {"probe": tool}))

    assert record.outputs == {"answer": ["Long."]}
    assert json.loads(told(language_model, 2)[0]) == {"out": text}


async def test_what_a_tool_gives_as_a_tool_is_no_run_output_of_a_leaf(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("add", {"a": 1, "b": 2})), "It is 3.")

    record = await run(engine, make_graph({"boss": boss(), "adder": ADDER}, TO_ADDER))

    assert record.outputs["finished"] == ["It is 3."]
    assert record.outputs.keys() == {"finished", "conversations"}


async def test_an_input_that_waits_for_a_call_goes_with_it(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("add", {"a": 1})), "It is 41.")
    tools = {"adder": ADDER, "forty": ("store_value_block", {"input": 40})}

    record = await run(engine, a_graph(["boss.tools -> adder.a", "forty.output -> adder.b"], tools))

    assert told(language_model, 2) == ['{"result": 41.0}']
    assert record.report is not None
    assert record.report["starved_count"] == 0


async def test_a_conversation_goes_on_over_several_runs(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    turns = [calls(("add", {"a": k, "b": 1}), ("ask", {"value": k})) for k in range(12)]
    language_model.answer = says(*turns, "Enough.")
    tools = {"adder": ADDER, "probe": (PROBE, {"metadata": {"customized_name": "ask"}})}
    graph = a_graph([*TO_ADDER, "boss.tools -> probe.value"], tools, multiple_tool_calls=True)

    handle = await start(engine, graph, events_per_run=40)
    record = await engine.end(handle)

    assert record.outputs == {"answer": ["Enough."]}
    assert len(language_model.requests) == 13
    assert [row["n"] for row in record.of("probe")] == list(range(1, 13))
    description = await engine.client.get_workflow_handle(handle.id).describe()
    assert description.run_id != handle.first_execution_run_id
    assert [seq for seq, _ in record.events] == list(range(1, len(record.events) + 1))


async def test_many_conversations_pass_through_shards(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("add", {"a": 1, "b": 2})), "It is 3.")
    engine.probe.functions["many"] = lambda _value, _context: Many(f"Question {k}" for k in range(30))
    tools = {"adder": ADDER, "many": (PROBE, {"name": "many"})}

    record = await run(engine, a_graph([*TO_ADDER, "many.out -> boss.prompt"], tools), shard_size=5, window=5)

    assert record.outputs == {"answer": ["It is 3."] * 30}
    assert len(language_model.requests) == 60
    assert callers(record, "adder") == {row["id"] for row in record.of("boss")}


async def test_a_conversation_without_end_stops_at_the_limit(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = lambda _: calls(("add", {"a": 1, "b": 2}))

    record = await run(engine, a_graph(TO_ADDER, {"adder": ADDER}), max_node_executions=6)

    assert record.status == "FAILED"
    assert record.error is not None
    assert record.error["code"] == "LIMIT_EXCEEDED"
    assert len(record.of("adder")) == 5


async def test_a_pause_holds_between_two_turns(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    gate = asyncio.Event()

    async def waits(value: Any, _: BlockContext) -> Any:
        await gate.wait()
        return value

    engine.probe.functions["waits"] = waits
    language_model.answer = says(calls(("ask", {"value": 1})), "One.")
    tool = (PROBE, {"name": "waits", "metadata": {"customized_name": "ask"}})
    handle = await start(engine, a_graph(["boss.tools -> probe.value"], {"probe": tool}))
    await eventually(lambda: bool(engine.probe.calls))

    await handle.execute_update(PAUSE_UPDATE)
    gate.set()
    await eventually(lambda: has_taken_a_completion(handle))
    assert len(language_model.requests) == 1
    await handle.execute_update(RESUME_UPDATE)

    assert (await engine.end(handle)).outputs == {"answer": ["One."]}


async def test_a_stop_in_the_middle_of_a_tool_stops_both(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    engine.probe.functions["hangs"] = lambda _value, _context: asyncio.sleep(600)
    language_model.answer = says(calls(("ask", {"value": 1})), "Never said.")
    tool = (PROBE, {"name": "hangs", "metadata": {"customized_name": "ask"}})
    handle = await start(engine, a_graph(["boss.tools -> probe.value"], {"probe": tool}))
    await eventually(lambda: _is_running(engine, handle.id, "probe"))

    await handle.cancel()
    record = await engine.end(handle)

    assert record.status == "CANCELLED"
    assert {row["node_id"]: row["status"] for row in record.nodes} == {
        "boss": "CANCELLED",
        "probe": "CANCELLED",
    }


async def _is_running(engine: Engine, execution_id: str, node_id: str) -> bool:
    return bool(
        await engine.pool.fetch(
            "SELECT FROM node_executions WHERE execution_id = $1 AND node_id = $2 AND status = 'RUNNING'",
            execution_id,
            node_id,
        )
    )


async def test_a_rerun_takes_a_conversation_over_with_all_that_it_called(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("ask", {"value": 1})), calls(("ask", {"value": 2})), "Both.")
    engine.probe.functions["late"] = refuses
    tools = {
        "probe": (PROBE, {"name": "tool", "metadata": {"customized_name": "ask"}}),
        "late": (PROBE, {"name": "late"}),
        "more": (PROBE, {"name": "more"}),
    }
    links = ["boss.tools -> probe.value", "boss.finished -> late.value", "late.out -> more.value"]
    original = await start(engine, a_graph(links, tools))
    first = await engine.end(original)
    del engine.probe.functions["late"]
    engine.probe.calls.clear()

    record = await engine.end(await rerun(engine, original.id))

    assert first.status == "FAILED"
    assert record.status == "COMPLETED"
    assert len(language_model.requests) == 3
    assert [name for name, *_ in engine.probe.calls] == ["late", "more"]
    (asked,) = record.of("boss")
    assert [(row["n"], row["is_reused"], row["called_by"]) for row in record.of("probe")] == [
        (1, True, asked["id"]),
        (2, True, asked["id"]),
    ]


async def test_a_tool_that_is_run_again_has_its_conversation_held_again(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("ask", {"value": 1})), "One.")
    tool = (PROBE, {"name": "tool", "metadata": {"customized_name": "ask"}})
    feeder = (PROBE, {"name": "feeder", "value": "What is it?"})
    links = ["boss.tools -> probe.value", "feeder.out -> boss.prompt"]
    original = await start(engine, a_graph(links, {"probe": tool, "feeder": feeder}))
    await engine.end(original)
    engine.probe.calls.clear()

    record = await engine.end(await rerun(engine, original.id, nodes=[1]))

    assert record.outputs == {"answer": ["One."]}
    assert [name for name, *_ in engine.probe.calls] == ["tool"]
    assert len(language_model.requests) == 4
    assert {row["node_id"]: row["is_reused"] for row in record.nodes} == {
        "feeder": True,
        "boss": False,
        "probe": False,
        "out": False,
    }


async def test_numbers_of_what_was_called_are_not_given_twice(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("ask", {"value": 1})), "One.")
    engine.probe.functions["fails"] = refuses
    tools = {
        "probe": (PROBE, {"name": "tool", "metadata": {"customized_name": "ask"}}),
        "late": (PROBE, {"name": "fails"}),
    }
    links = ["boss.tools -> probe.value", "boss.finished -> late.value", "late.out -> probe.value"]
    original = await start(engine, a_graph(links, tools))
    await engine.end(original)
    del engine.probe.functions["fails"]

    record = await engine.end(await rerun(engine, original.id))

    assert [(row["n"], row["is_reused"]) for row in record.of("probe")] == [(1, True), (2, False)]
    again = await engine.end(await rerun(engine, record_id(record), nodes=[3]))
    assert [(row["n"], row["is_reused"]) for row in again.of("probe")] == [(1, True), (2, True)]


def record_id(record: Record) -> str:
    return str(record.nodes[0]["execution_id"])


async def test_a_turn_that_is_tried_again_is_not_taken_again(
    engine: Engine, worker: None, language_model: LanguageModelStub
) -> None:
    language_model.answer = says(calls(("add", {"a": 1, "b": 2})), calls(("add", {"a": 3, "b": 4})), "Seven.")
    handle = await start(engine, a_graph(TO_ADDER, {"adder": ADDER}))
    await engine.end(handle)
    config = WorkerConfig(
        engine.database_url, f"{engine.task_queue}-2", encryption_keys=KEYS, llm_base_url=language_model.url
    )
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=handle.id)

    async with make_workers(engine.client, config, registry=engine.registry) as workers:
        activities = [each for worker in workers for each in worker.config().get("activities", ())]
        take_turn = next(each for each in activities if name_of(each) == "OrchestratorBlock")
        first = await environment.run(take_turn, NodeCall(0, 1, [], is_repeated=True))
        second = await environment.run(
            take_turn, NodeCall(0, 1, [], is_repeated=True, turn=Turn(2, ((1, 1),)))
        )
        third = await environment.run(
            take_turn, NodeCall(0, 1, [], is_repeated=True, turn=Turn(3, ((1, 2),)))
        )

    assert first.calls == [[1, [[0, [1]], [1, [2]]]]]
    assert second.calls == [[1, [[0, [3]], [1, [4]]]]]
    assert third.calls == []
    assert [source for emission in third.emissions for source, _ in emission] == [2]
    assert len(language_model.requests) == 3


def name_of(function: Any) -> Any:
    return getattr(function, "__temporal_activity_definition").name
