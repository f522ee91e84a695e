from __future__ import annotations

from typing import Any

import pytest

from app.blocks.calling import prepare
from app.blocks.holds import Question, Verdict
from app.blocks.library.reviews import HumanInTheLoopBlock, ReviewTimedOut
from app.errors import BlockInputInvalid
from app.graph.signature import Lane

block = HumanInTheLoopBlock()


def given(**inputs: Any) -> Any:
    return prepare(block, {"data": 1, "name": "post", **inputs}, {})


def test_the_review_is_known_by_its_id_and_pins() -> None:
    signature = block.signature
    assert signature.id == "8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d"
    assert signature.lane is Lane.HOLD
    assert signature.required == {"data", "name"}
    assert set(signature.inputs) == {
        "data",
        "name",
        "editable",
        "instructions",
        "schema",
        "timeout_seconds",
        "remind_after_seconds",
    }
    assert signature.outputs == {"approved_data", "rejected_data", "review_message", "timed_out", "error"}


def test_a_review_waits_for_ever_and_may_be_edited_unless_it_says_otherwise() -> None:
    assert block.ask(given()) == Question(name="post", data=1, is_editable=True)


def test_a_review_asks_what_it_is_told_to() -> None:
    question = block.ask(
        given(
            editable=False,
            instructions="Look twice",
            schema={"type": "integer"},
            timeout_seconds="60",
            remind_after_seconds=30,
        )
    )
    assert question == Question("post", 1, "Look twice", False, {"type": "integer"}, 60.0, 30.0)


@pytest.mark.parametrize(
    "inputs",
    [
        {"timeout_seconds": 0},
        {"timeout_seconds": -1},
        {"timeout_seconds": 1e12},
        {"remind_after_seconds": "nan"},
        {"name": "x" * 1_001},
    ],
)
def test_a_review_with_inputs_of_no_use_is_refused(inputs: dict[str, Any]) -> None:
    with pytest.raises(BlockInputInvalid):
        given(**inputs)


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(BlockInputInvalid, match="schema"):
        block.ask(given(schema={"type": "nonsense"}))


@pytest.mark.parametrize(
    ("verdict", "emitted"),
    [
        (Verdict(is_approved=True, data=2), [("approved_data", 2)]),
        (Verdict(is_approved=False, data=1), [("rejected_data", 1)]),
        (Verdict(True, None, "good"), [("approved_data", None), ("review_message", "good")]),
    ],
)
def test_an_answer_comes_out_on_its_pin(verdict: Verdict, emitted: list[tuple[str, Any]]) -> None:
    assert list(block.run(given(), verdict)) == emitted


def test_no_answer_is_a_failure_unless_a_link_takes_it() -> None:
    assert list(block.run_late(given(), is_linked=True)) == [("timed_out", 1)]
    with pytest.raises(ReviewTimedOut) as refused:
        list(block.run_late(given(), is_linked=False))
    assert refused.value.code == "REVIEW_TIMED_OUT"
