from __future__ import annotations

from typing import Any

import pytest

from app.errors import BlockError, BlockInputInvalid
from app.graph.signature import Kind
from tests.unit.blocks.calls import REGISTRY, call, case, refusal

HELLO = "data:text/plain;charset=utf-8;base64,aMOpbGxv"


def process(operation: str, text: Any, result: Any) -> Any:
    return case(
        f"{operation} of {text!r}",
        "text_processing_block",
        {"operation": operation, "text": text},
        ("result", result),
        ("text", str(result)),
    )


def decide(condition: str, result: bool, branch: Any, **inputs: Any) -> Any:
    return case(
        f"{condition} with {inputs}",
        "conditional_block",
        {"condition": condition, **inputs},
        ("result", result),
        ("true" if result else "false", branch),
    )


CASES = [
    case("each run input", "text_input_block", {"text": "T", "n": 0, "none": None}, ("text", "T"), ("n", 0)),
    case("nothing", "text_input_block", {}),
    process("upper", "aé", "AÉ"),
    process("lower", "AB", "ab"),
    process("title", "a tale", "A Tale"),
    process("capitalize", "a TALE", "A tale"),
    process("strip", " a ", "a"),
    process("reverse", "abc", "cba"),
    process("length", "abc", 3),
    process("word_count", "a b  c", 3),
    process("line_count", "a\nb", 2),
    process("length", 1234, 4),
    case(
        "read",
        "file_operation_block",
        {"operation_type": "read", "file": HELLO},
        ("content", "héllo"),
        ("size", 6),
    ),
    case(
        "write",
        "file_operation_block",
        {"operation_type": "write", "content": "héllo"},
        ("file", HELLO),
        ("size", 6),
    ),
    decide("score > 5", True, True, score=7),
    decide("score > 5", False, False, score=3),
    decide("value > 5 and name != ''", True, 7, value=7, name="x"),
    decide("name in ['a', 'b']", False, {"k": 1}, name="c", value={"k": 1}),
    decide("text|length > 3", True, "yes", text="long", true_value="yes", false_value="no"),
    decide("text|length > 9", False, "no", text="long", true_value="yes", false_value="no"),
    decide("limit is defined", False, False),
    decide("items[0].price < 10", True, True, items=[{"price": 5}]),
]

REFUSALS = [
    refusal(
        "an unknown operation",
        "text_processing_block",
        {"operation": "x", "text": "a"},
        BlockInputInvalid,
        "operation",
    ),
    refusal("no text", "text_processing_block", {"operation": "upper"}, BlockInputInvalid, "`text`"),
    refusal(
        "a path",
        "file_operation_block",
        {"operation_type": "read", "file": "/etc/passwd"},
        BlockError,
        "no disk",
    ),
    refusal(
        "a URL",
        "file_operation_block",
        {"operation_type": "read", "file": "https://a.example"},
        BlockError,
        "URL",
    ),
    refusal("no file", "file_operation_block", {"operation_type": "read"}, BlockInputInvalid, "`file`"),
    refusal(
        "delete", "file_operation_block", {"operation_type": "delete"}, BlockInputInvalid, "operation_type"
    ),
    refusal("no condition", "conditional_block", {"value": 1}, BlockInputInvalid, "`condition`"),
    refusal("an unknown name", "conditional_block", {"condition": "score > 5"}, BlockError),
    refusal("text and number", "conditional_block", {"condition": "score > 5", "score": "7"}, BlockError),
    refusal("an attack", "conditional_block", {"condition": "''.__class__.__mro__"}, BlockError),
    refusal("two statements", "conditional_block", {"condition": "1 %}{{ 2 }}{% if 1"}, BlockInputInvalid),
]


@pytest.mark.parametrize(("name", "data", "emitted"), CASES)
def test_it_emits_exactly(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert call(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
def test_it_refuses(name: str, data: dict[str, Any], error: type[BlockError], match: str | None) -> None:
    with pytest.raises(error, match=match):
        call(name, data)


def test_the_text_input_takes_and_gives_every_name() -> None:
    signature = REGISTRY.require("text_input_block").signature

    assert signature.kind is Kind.INPUT
    assert (signature.takes_any_input, signature.gives_any_output, signature.is_static) == (True, True, True)
