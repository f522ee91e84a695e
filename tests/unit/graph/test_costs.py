from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.graph.costs import Cost, Use


@pytest.mark.parametrize(
    ("cost", "used", "charge"),
    [
        (Cost(credits=3), Use(milliseconds=10**9, items=9), 3),
        (Cost(type="second", amount=2), Use(milliseconds=1), 1),
        (Cost(type="second", amount=2), Use(milliseconds=1_500), 3),
        (Cost(type="second", amount=1, divisor=10), Use(milliseconds=10_001), 2),
        (Cost(type="byte", amount=1, divisor=1_000), Use(bytes=1_001), 2),
        (Cost(type="items", amount=1, divisor=5), Use(items=5), 1),
        (Cost(type="items", amount=1, divisor=5), Use(items=0), 0),
        (Cost(type="tokens", credits=9), Use(microcredits=1), 1),
        (Cost(type="tokens", credits=9), Use(microcredits=2_000_000), 2),
        (Cost(type="tokens", credits=9), Use(), 0),
        (Cost(type="cost_usd", amount=150), Use(microdollars=10_000), 2),
    ],
)
def test_a_call_costs_what_was_measured_rounded_up_to_a_whole_credit(
    cost: Cost, used: Use, charge: int
) -> None:
    assert cost.charge(used) == charge


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 1_000), st.integers(1, 1_000))
def test_more_never_costs_less(one: int, other: int, amount: int, divisor: int) -> None:
    cost = Cost(type="byte", amount=amount, divisor=divisor)
    assert cost.charge(Use(bytes=max(one, other))) >= cost.charge(Use(bytes=min(one, other))) >= 0


def test_something_is_reserved_for_whatever_may_cost_something() -> None:
    assert Cost(type="second", amount=1).estimate == 1
    assert Cost(type="tokens", credits=9).estimate == 9
    assert Cost(credits=0).estimate == 0
