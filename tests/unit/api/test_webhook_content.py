"""Which deliveries start something: those that tell of an event that was asked for, by name or by its beginning."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import Headers

from app.api.webhooks.content import events_of, is_wanted
from app.api.webhooks.signatures import Scheme

EVENTS: list[tuple[Scheme, Any, dict[str, str], list[str]]] = [
    (Scheme.STANDARD, {"type": "order.paid"}, {}, ["order.paid"]),
    (Scheme.STRIPE, {"type": "invoice.paid"}, {}, ["invoice.paid"]),
    (Scheme.TOKEN, {"type": "begun"}, {"X-GitHub-Event": "issues"}, ["begun"]),
    (Scheme.SLACK, {"type": "event_callback", "event": {"type": "message"}}, {}, ["message"]),
    (Scheme.SLACK, {"type": "block_actions"}, {}, ["block_actions"]),
    (Scheme.GITHUB, {"action": "opened"}, {"X-GitHub-Event": "issues"}, ["issues", "issues.opened"]),
    (Scheme.GITHUB, {"action": 5}, {"X-GitHub-Event": "push"}, ["push"]),
    (Scheme.GITHUB, {"action": "opened"}, {}, []),
    (Scheme.STANDARD, {"type": "with blanks"}, {}, []),
    (Scheme.STANDARD, {"type": "x" * 101}, {}, []),
    (Scheme.STANDARD, {"type": ["a"]}, {}, []),
    (Scheme.STANDARD, ["type"], {}, []),
]
WANTED: list[tuple[Scheme, list[str], list[str], bool]] = [
    (Scheme.STANDARD, [], ["order.paid"], True),
    (Scheme.STANDARD, [], [], True),
    (Scheme.STANDARD, ["order.paid"], [], False),
    (Scheme.STANDARD, ["order.paid"], ["order.paid"], True),
    (Scheme.STANDARD, ["order"], ["order.paid"], False),
    (Scheme.STANDARD, ["other", "order.*"], ["order.paid"], True),
    (Scheme.STANDARD, ["order.paid.*"], ["order.paid"], False),
    (Scheme.STANDARD, ["*"], ["order.paid"], True),
    (Scheme.STANDARD, [], ["ping"], True),
    (Scheme.GITHUB, ["issues"], ["issues", "issues.opened"], True),
    (Scheme.GITHUB, ["issues.closed"], ["issues", "issues.opened"], False),
    (Scheme.GITHUB, [], ["ping"], False),
    (Scheme.GITHUB, ["*"], ["ping"], False),
    (Scheme.GITHUB, ["p*", "ping"], ["ping"], True),
]


@pytest.mark.parametrize(("scheme", "content", "headers", "names"), EVENTS)
def test_what_has_happened_is_said_where_each_sender_says_it(
    scheme: Scheme, content: Any, headers: dict[str, str], names: list[str]
) -> None:
    assert events_of(scheme, Headers(headers), content) == names


@pytest.mark.parametrize(("scheme", "wanted", "events", "is_right"), WANTED)
def test_what_was_not_asked_for_is_not_wanted(
    scheme: Scheme, wanted: list[str], events: list[str], is_right: bool
) -> None:
    assert is_wanted(scheme, wanted, events) is is_right
