"""Names and descriptions: no HTML in them, and nothing that cannot be seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from app.api.schemas.texts import Description, Name, clean

NAME: TypeAdapter[str] = TypeAdapter(Name)
DESCRIPTION: TypeAdapter[str] = TypeAdapter(Description)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("<b>R&D</b> <script>alert(1)</script>", "R&D"),
        ("1 < 2", "1 &lt; 2"),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("safe&#8238;gnp", "safegnp"),
        ("\u2066a\u2069\u200b\ufeff\U000e0041b", "ab"),
        ("two\nlines\tand \x1b[31mred", "two lines and [31mred"),
        ("Bonjour\u00a0!", "Bonjour\u00a0!"),
        ("\u0646\u0627\u0645\u200c\u0647\u0627", "\u0646\u0627\u0645\u200c\u0647\u0627"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        ("\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
    ],
)
def test_a_name_keeps_what_can_be_seen(given: str, kept: str) -> None:
    assert NAME.validate_python(given) == kept


@pytest.mark.parametrize(
    "given",
    ["", " ", "\u200b", "\u3164", "\u2800", "\u00a0", "&nbsp;", "\u200d", "\u0301", "<i></i>", "x" * 101],
)
def test_a_name_that_shows_nothing_or_too_much_is_refused(given: str) -> None:
    with pytest.raises(ValidationError):
        NAME.validate_python(given)


def test_a_description_has_lines() -> None:
    assert DESCRIPTION.validate_python("a\r\nb\tc\u202e\n") == "a\nb\tc"


@given(st.text(max_size=200))
def test_no_angle_bracket_stays(text: str) -> None:
    for keeps_lines in (True, False):
        assert not set("<>\u202e\x00\x1b") & set(clean(text, keeps_lines=keeps_lines))
