"""How long deliveries wait: for a receiver that fails, and for room."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from app.notifying.rules import CROWD, DeliveryRules

RULES = DeliveryRules()
HISTORY_LIMIT = 51_200
"""Events after which Temporal ends a workflow."""
EVENTS_OF_A_LOOP = 12
"""Of one time that a delivery looks for room: an activity, a timer, and the workflow tasks between them."""


def test_attempts_come_ever_later_and_no_sooner_than_was_asked_for() -> None:
    waits = [RULES.wait(failures) for failures in range(1, 30)]
    assert waits[0] < timedelta(seconds=7)
    assert all(later > earlier for earlier, later in pairwise(waits[:9]))
    assert max(waits) <= RULES.longest_wait * 1.2
    assert RULES.wait(1, asked_seconds=900) == timedelta(minutes=15)


def test_many_thousands_that_wait_for_one_receiver_ask_for_room_a_few_times_a_second() -> None:
    waits = [RULES.put_off(0, waiting=CROWD).total_seconds() for _ in range(1_000)]
    assert 10_000 / (sum(waits) / len(waits)) < 15
    assert RULES.put_off(0, waiting=10) < timedelta(seconds=4), "a burst is soon over"


def test_what_never_finds_room_fits_into_the_history_of_its_workflow() -> None:
    a_month = timedelta(days=30)
    times, waited = 0, timedelta()
    while waited < a_month:
        waited += RULES.put_off(times, waiting=1)
        times += 1
    assert times * EVENTS_OF_A_LOOP < HISTORY_LIMIT
