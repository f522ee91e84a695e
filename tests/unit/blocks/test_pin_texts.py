from __future__ import annotations

from pydantic import Field

from app.blocks.base import BlockInput
from app.blocks.library.calculation import CalculatorBlock
from app.blocks.pin_texts import pin_texts
from app.blocks.tools import Callee, make_tools


class Parcel(BlockInput):
    address: str
    """Where it goes,
    in one line."""
    format_: str = Field("large", alias="format")
    """How large it is."""
    weight: int = Field(description="In grams.")
    """Unseen beside what is said in the field itself."""
    sender: str = ""


class Letter(Parcel):
    format_: str = Field("small", alias="format")


def test_a_pin_is_described_by_what_stands_under_its_field() -> None:
    assert pin_texts(Parcel) == {
        "address": "Where it goes,\nin one line.",
        "format": "How large it is.",
        "weight": "In grams.",
    }


def test_a_field_that_is_declared_anew_has_no_words_of_the_old_one() -> None:
    assert pin_texts(Letter) == {"address": "Where it goes,\nin one line.", "weight": "In grams."}


def test_the_schema_of_a_class_within_a_function_has_the_words_too() -> None:
    class Card(BlockInput):
        greeting: str
        """What it says."""

    assert Card.model_json_schema()["properties"]["greeting"]["description"] == "What it says."


def test_a_model_is_told_what_the_arguments_of_a_tool_are_for() -> None:
    (tool,) = make_tools([Callee("n", CalculatorBlock(), {}, ["operation"])])
    assert tool.parameters["properties"]["operation"]["description"] == "What to calculate."
