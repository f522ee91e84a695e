"""Secrets that work has noted do not appear in what it writes, in whatever form, cut off or in a log line."""

from __future__ import annotations

import asyncio
import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import MESSAGE_LIMIT
from app.secrecy import (
    Secrets,
    has_secrets,
    keeping_secrets,
    note_secrets,
    scrub,
    scrub_value,
    texts_by_secret_name,
)

SECRET = 'pa"ss/wörd+of=somebody'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        repr(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        quote(SECRET, safe=""),
    ],
)
def test_a_secret_is_hidden_in_every_form_in_which_it_travels(form: str) -> None:
    secrets = Secrets()
    secrets.note([SECRET])
    scrubbed = secrets.scrub(f"before {form} after")
    assert form.strip("\"'") not in scrubbed
    assert scrubbed.startswith("before ")
    assert scrubbed.endswith(" after")
    assert "[hidden]" in scrubbed


@given(st.text(min_size=4, max_size=200), st.text(), st.text())
def test_whatever_the_secret_is_it_is_hidden(secret: str, before: str, after: str) -> None:
    secrets = Secrets()
    secrets.note([secret])
    assert secret not in secrets.scrub(f"{before}{secret}{after}").replace("[hidden]", "\0")


def test_the_beginning_of_a_secret_that_a_limit_has_cut_off_is_hidden() -> None:
    secrets = Secrets()
    secrets.note(["sk-0123456789abcdef"])
    message = ("x" * (MESSAGE_LIMIT - 12) + "sk-0123456789abcdef")[:MESSAGE_LIMIT]
    assert secrets.scrub(message) == "x" * (MESSAGE_LIMIT - 12) + "[hidden]"


def test_a_secret_that_another_begins_with_leaves_no_rest() -> None:
    secrets = Secrets()
    secrets.note(["abcdef", "abcdef-ghij"])
    assert secrets.scrub("abcdef-ghij") == "[hidden]"


def test_short_texts_and_other_texts_are_left_alone() -> None:
    secrets = Secrets()
    secrets.note(["abc", ""])
    assert not secrets
    assert secrets.scrub("abc") == "abc"


def test_outside_of_any_work_nothing_is_noted() -> None:
    note_secrets([SECRET])
    assert scrub(SECRET) == SECRET
    assert not has_secrets()


async def test_what_one_piece_of_work_notes_is_hidden_in_its_tasks_and_in_no_other_work() -> None:
    async def work(secret: str) -> list[str]:
        with keeping_secrets():
            await asyncio.create_task(note(secret))
            return [scrub("first secret"), scrub("second secret")]

    async def note(secret: str) -> None:
        note_secrets([secret])

    found = await asyncio.gather(work("first secret"), work("second secret"))
    assert list(found) == [
        ["[hidden]", "second secret"],
        ["first secret", "[hidden]"],
    ]


def test_values_are_scrubbed_to_their_last_corner() -> None:
    with keeping_secrets() as secrets:
        secrets.note(["hidden away"])
        assert scrub_value({"a": ["hidden away", 5, None], "b": {"c": "hidden away!"}}) == {
            "a": ["[hidden]", 5, None],
            "b": {"c": "[hidden]!"},
        }


def test_texts_under_names_that_sound_secret_are_found() -> None:
    value = {
        "api_key": "one",
        "headers": {"Authorization": "Bearer two", "Accept": "no", "X-Api-Key": "three"},
        "items": [{"password": "four"}],
        "author": "no",
        "max_tokens": 5,
    }
    assert list(texts_by_secret_name(value)) == ["one", "Bearer two", "two", "three", "four"]
