from __future__ import annotations

from typing import Any

import pytest

from app.blocks.library.inputs import AgentDropdownInputBlock
from app.errors import BlockError, BlockInputInvalid
from tests.unit.blocks.calls import REGISTRY, call, case, refusal

DRIVE_FILE = {"id": "f1", "name": "Plan", "mimeType": "text/plain", "_credentials_id": "c1"}
QUIET = [
    "AgentInputBlock",
    "AgentShortTextInputBlock",
    "AgentLongTextInputBlock",
    "AgentNumberInputBlock",
    "AgentDateInputBlock",
    "AgentTimeInputBlock",
    "AgentDropdownInputBlock",
    "AgentGoogleDriveFileInputBlock",
]


def given(name: str, value: Any, result: Any, **more: Any) -> Any:
    return case(f"{value!r}", name, {"name": "x", "value": value, **more}, ("result", result))


def output(sentence: str, value: Any, *emitted: tuple[str, Any], **more: Any) -> Any:
    return case(sentence, "AgentOutputBlock", {"name": "answer", "value": value, **more}, *emitted)


CASES = [
    *(case("without a value", name, {"name": "x"}) for name in QUIET),
    *(case("with a null", name, {"name": "x", "value": None}) for name in QUIET),
    given("AgentInputBlock", {"a": [1]}, {"a": [1]}),
    given("AgentInputBlock", 0, 0),
    given("AgentInputBlock", "", ""),
    given("AgentShortTextInputBlock", "hi", "hi", placeholder_values=["a"]),
    given("AgentShortTextInputBlock", 5, "5"),
    given("AgentShortTextInputBlock", "", ""),
    given("AgentLongTextInputBlock", "a\nb", "a\nb"),
    given("AgentNumberInputBlock", 42, 42),
    given("AgentNumberInputBlock", "42.9", 42),
    given("AgentNumberInputBlock", 0, 0),
    given("AgentDateInputBlock", "2026-01-31", "2026-01-31"),
    given("AgentTimeInputBlock", "18:30", "18:30:00"),
    given("AgentDropdownInputBlock", "a", "a", options=["a", "b"]),
    given("AgentDropdownInputBlock", "a", "a", placeholder_values=["a", "b"]),
    given("AgentToggleInputBlock", True, True),
    given("AgentToggleInputBlock", "true", True),
    given("AgentToggleInputBlock", "off", False),
    case("off when nothing is said", "AgentToggleInputBlock", {"name": "x"}, ("result", False)),
    given("AgentTableInputBlock", [{"a": 1}, {"b": 2}], [{"a": 1}, {"b": 2}]),
    given("AgentTableInputBlock", None, []),
    case("empty when nothing is said", "AgentTableInputBlock", {"name": "x"}, ("result", [])),
    given("AgentGoogleDriveFileInputBlock", DRIVE_FILE, DRIVE_FILE),
    output("as it is", {"a": 1}, ("output", {"a": 1}), ("name", "answer")),
    output("null", None, ("output", None), ("name", "answer")),
    output("in a template", 42, ("output", "It is 42!"), format="It is {{answer}}!"),
    output("escaped", "<b>", ("output", "&lt;b&gt;"), format="{{answer}}", escape_html=True),
    output("not escaped", "<b>", ("output", "<b>"), format="{{answer}}"),
    output(
        "in a broken template", 1, ("output", "Error: The template has a syntax error in line 1"), format="{{"
    ),
    output(
        "in an attack",
        1,
        ("output", "Error: The template asks for something that is not allowed"),
        format="{{ ''.__class__.x }}",
    ),
]

REFUSALS = [
    *(refusal("without a name", name, {"value": None}, BlockInputInvalid, "`name`") for name in QUIET),
    refusal(
        "no day", "AgentDateInputBlock", {"name": "x", "value": "tomorrow"}, BlockInputInvalid, "`value`"
    ),
    refusal("no time", "AgentTimeInputBlock", {"name": "x", "value": "noon"}, BlockInputInvalid, "`value`"),
    refusal(
        "no file",
        "AgentGoogleDriveFileInputBlock",
        {"name": "x", "value": {"name": "y"}},
        BlockInputInvalid,
        "`value",
    ),
    refusal("without a name", "AgentOutputBlock", {"value": 1}, BlockInputInvalid, "`name`"),
]


@pytest.mark.parametrize(("name", "data", "emitted"), CASES)
def test_it_emits_exactly(name: str, data: dict[str, Any], emitted: list[tuple[str, Any]]) -> None:
    assert call(name, data) == emitted


@pytest.mark.parametrize(("name", "data", "error", "match"), REFUSALS)
def test_it_refuses(name: str, data: dict[str, Any], error: type[BlockError], match: str | None) -> None:
    with pytest.raises(error, match=match):
        call(name, data)


def test_a_run_input_wins_over_the_default() -> None:
    assert call("AgentInputBlock", {"value": 2}, {"name": "x", "value": 1}) == [("result", 2)]
    assert call("AgentInputBlock", {}, {"name": "x", "value": 1}) == [("result", 1)]


def test_old_graphs_call_the_options_of_a_dropdown_by_another_name() -> None:
    block = REGISTRY.require("AgentDropdownInputBlock")
    assert isinstance(block, AgentDropdownInputBlock)

    assert block.Input.model_validate({"name": "x", "placeholder_values": ["a"]}).options == ["a"]
    assert block.Input.model_validate(
        {"name": "x", "placeholder_values": ["a"], "options": ["b"]}
    ).options == ["b"]
