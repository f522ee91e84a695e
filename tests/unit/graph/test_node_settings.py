from __future__ import annotations

from typing import Any

import pytest

from app.graph.signature import RetryPolicy
from app.graph.validation import Delivery, SettingInvalid, parse_delivery, parse_retry, parse_timeout

DEFAULT = RetryPolicy(max_attempts=3, initial_seconds=1.0, backoff=2.0, maximum_seconds=60.0)


@pytest.mark.parametrize(
    ("retry", "policy"),
    [
        (None, DEFAULT),
        ({}, DEFAULT),
        ({"max_attempts": None}, DEFAULT),
        ({"max_attempts": 100}, RetryPolicy(100, 1.0, 2.0, 60.0)),
        ({"backoff": 1}, RetryPolicy(3, 1.0, 1.0, 60.0)),
        ({"initial_seconds": 90}, RetryPolicy(3, 90.0, 2.0, 90.0)),
        ({"maximum_seconds": 0.5}, RetryPolicy(3, 0.5, 2.0, 0.5)),
        ({"initial_seconds": 5, "maximum_seconds": 5}, RetryPolicy(3, 5.0, 2.0, 5.0)),
    ],
)
def test_a_node_changes_parts_of_the_retry_policy_of_its_block(retry: Any, policy: RetryPolicy) -> None:
    assert parse_retry({"retry": retry}, DEFAULT) == policy


@pytest.mark.parametrize(
    "retry",
    [
        3,
        [],
        {"max_attempts": 101},
        {"max_attempts": 1.5},
        {"max_attempts": 2.0},
        {"max_attempts": True},
        {"max_attempts": "3"},
        {"initial_seconds": 0},
        {"initial_seconds": float("nan")},
        {"backoff": 0.9},
        {"backoff": float("inf")},
        {"maximum_seconds": -1},
        {"maximum_seconds": 10**400},
        {"initial_seconds": 10, "maximum_seconds": 5},
    ],
    ids=lambda retry: repr(retry)[:40],
)
def test_a_retry_setting_out_of_bounds_is_refused(retry: Any) -> None:
    with pytest.raises(SettingInvalid):
        parse_retry({"retry": retry}, DEFAULT)


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 60.0), (1, 1.0), (0.5, 0.5), (604_800, 604_800.0)])
def test_a_node_sets_its_own_timeout(timeout: Any, seconds: float) -> None:
    assert parse_timeout({"timeout_seconds": timeout}, 60.0) == seconds


@pytest.mark.parametrize("timeout", [0, -1, 604_801, "5", True, [], float("nan"), float("inf")])
def test_a_timeout_out_of_bounds_is_refused(timeout: Any) -> None:
    with pytest.raises(SettingInvalid, match="timeout_seconds"):
        parse_timeout({"timeout_seconds": timeout}, 60.0)


def test_the_delivery_is_read_from_its_word() -> None:
    assert parse_delivery({}) is Delivery.AT_LEAST_ONCE
    assert parse_delivery({"delivery": "at_least_once"}) is Delivery.AT_LEAST_ONCE
    assert parse_delivery({"delivery": "at_most_once"}) is Delivery.AT_MOST_ONCE
    with pytest.raises(SettingInvalid, match="at_least_once, at_most_once"):
        parse_delivery({"delivery": ["at_most_once"]})
