"""Nodes that a language model uses as tools, on a real Temporal: each call is a node execution of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.activities.contracts.messages import RELEASE_SIGNAL, Decision, Release
from app.blocks.context import BlockContext
from tests.engine import (
    Engine,
    make_graph,
    refuses,
    unavailable_until,
)
from tests.orchestrator import (
    ADD,
    ADDER,
    OUTPUT,
    PROBE,
    TO_ADDER,
    a_graph,
    boss,
    callers,
    calls,
    run,
    says,
    start,
    told,
)
from tests.stack import eventually
from tests.stubs import LanguageModelStub


@pytest.fixture
async def worker(engine: Engine, language_model: LanguageModelStub) -> AsyncIterator[None]:
    """A worker that asks the stub."""
    async with engine.worker(llm_base_url=language_model.url):
        yield


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
    # Two answers of 883 millionths of a credit each: any part of one counts as one, once.
    assert asked["cost"] == 1


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
