"""Conditions and placeholders: what the engine of templates is used for besides templates."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import BlockError, BlockLimitExceeded
from app.templating.templates import fill_placeholders, is_true

VALUES: dict[str, Any] = {"name": "Ada", "n": 3, "yes": True, "none": None, "list": [1, 2, 3], "secret": "s"}


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("n > 2", True),
        ("n > 2 and name == 'Ada'", True),
        ("n > 5 or not yes", False),
        ("name in ['Ada', 'Eve']", True),
        ("list|length == 3", True),
        ("missing is defined", False),
        ("n * 2 == 6", True),
        ("none", False),
        ("(n)", True),
    ],
)
def test_an_expression_holds_or_does_not(expression: str, holds: bool) -> None:
    assert is_true(expression, VALUES) is holds


@pytest.mark.parametrize(
    "expression",
    [
        "",
        " ",
        "missing > 1",
        "n >",
        "1 %}{{ secret }}{% if 1",
        "{{ n }}",
        "name < 1",
        "''.__class__",
        "9 ** (9 ** 9)",
        "1" * 2_001,
    ],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(BlockError):
        is_true(expression, VALUES)


class TestPlaceholders:
    @pytest.mark.parametrize(
        ("text", "filled"),
        [
            ("Summarise: {text}", "Summarise: T"),
            ("{{text}} and {{ text }}", "T and T"),
            ("{unknown} {{ unknown }}", "{unknown} {{ unknown }}"),
            ('{"json": {text}}', '{"json": T}'),
            ('{"a": 1, "b": {}}', '{"a": 1, "b": {}}'),
            ("{number} {dict} {none}", '3 {"a": "é"} null'),
            ("{tricky}", "{text}"),
            ("{{{text}}}", "{T}"),
            ("", ""),
        ],
    )
    def test_what_has_a_value_is_filled(self, text: str, filled: str) -> None:
        values = {"text": "T", "number": 3, "dict": {"a": "é"}, "none": None, "tricky": "{text}"}

        assert fill_placeholders(text, values) == filled

    def test_a_text_cannot_grow_without_end(self) -> None:
        with pytest.raises(BlockLimitExceeded):
            fill_placeholders("{a}" * 1_000, {"a": "x" * 10_000})
