from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.responses import Response

from app.api.review_page import SHOWN_CHARACTERS, notice_page, question_page
from app.api.schemas.reviews import QuestionView
from app.models.review_writes import ReviewStatus

HOSTILE = "</textarea></pre></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;"


def page(**changes: Any) -> Response:
    fields = {
        "name": "Send it?",
        "instructions": "",
        "data": 1,
        "editable": True,
        "schema": None,
        "requested_at": datetime.now(UTC),
        "due_at": None,
        "status": ReviewStatus.OPEN,
    }
    return question_page(QuestionView(**{**fields, **changes}))


def html_of(response: Response) -> str:
    return bytes(response.body).decode()


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("editable", [True, False])
def test_nothing_that_is_shown_becomes_part_of_the_page(editable: bool) -> None:
    plain = Tags(html_of(page(editable=editable, instructions="x")))
    hostile = Tags(
        html_of(page(name=HOSTILE, instructions=HOSTILE, data={HOSTILE: [HOSTILE]}, editable=editable))
    )
    assert hostile.tags == plain.tags
    assert hostile.attributes == plain.attributes
    assert hostile.text.count("<script>alert(1)</script>") == 5


def test_the_page_allows_no_script_no_frame_and_no_other_host() -> None:
    given = page()
    policy = given.headers["content-security-policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == ["'none'"]
    assert rules["form-action"] == ["'self'"]
    assert "script-src" not in rules
    style = re.search("<style>(.*)</style>", html_of(given))
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert rules["style-src"] == [f"'sha256-{digest}'"]
    assert given.headers["referrer-policy"] == "no-referrer"
    assert "script" not in Tags(html_of(given)).tags


def test_a_value_that_is_too_long_is_cut_and_cannot_be_edited_on_the_page() -> None:
    text = html_of(page(data="x" * (SHOWN_CHARACTERS + 1)))
    assert "This is not all of it" in text
    assert 'name="data"' not in text


def test_half_a_surrogate_pair_does_not_break_the_page() -> None:
    assert page(data="\ud800", name="\udfff").status_code == 200


def test_a_notice_says_what_it_is_told() -> None:
    given = notice_page(HOSTILE, status_code=409)
    assert given.status_code == 409
    assert "script" not in Tags(html_of(given)).tags
