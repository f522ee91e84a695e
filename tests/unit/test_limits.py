"""How much an execution may ask for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.activities.contracts.execution import ExecutionLimits
from app.errors import InvalidRequest
from app.starting.limits import LimitPolicy

ALLOWED = ExecutionLimits(timeout_seconds=3600, max_node_executions=100)
POLICY = LimitPolicy(ALLOWED, most_node_executions=1_000)


def asked(timeout_seconds: float | None = None, max_node_executions: int | None = None) -> ExecutionLimits:
    return POLICY.of(timeout_seconds=timeout_seconds, max_node_executions=max_node_executions)


def test_who_asks_for_nothing_gets_what_the_server_gives() -> None:
    assert asked() == ALLOWED


def test_less_time_and_more_node_executions_may_be_asked_for() -> None:
    limits = asked(timeout_seconds=10, max_node_executions=1_000)

    assert (limits.timeout_seconds, limits.max_node_executions) == (10, 1_000)
    assert limits.window == ALLOWED.window


@pytest.mark.parametrize("wish", [{"timeout_seconds": 3601}, {"max_node_executions": 1_001}])
def test_more_than_the_server_allows_is_refused(wish: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match="at most"):
        asked(**wish)


def test_temporal_ends_it_a_moment_after_its_own_time_out() -> None:
    assert POLICY.net_below(asked(timeout_seconds=10)) == timedelta(seconds=70)
    assert POLICY.net_below(ExecutionLimits()) is None
