"""What Temporal is told of a schedule, and what its fires ask for: all that the record says."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import ScheduleActionStartWorkflow, ScheduleOverlapPolicy

from app.models.tables.schedules import Schedule
from app.schedules.fires import make_fire_time
from app.schedules.specs import make_schedule
from app.schedules.wants import wanted_of

START, END = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)


def a_schedule(**given: Any) -> Schedule:
    told = {"user_id": "owner", "catchup_window": 600, "overlap": "skip", "cron": ["0 9 * * *"], **given}
    return Schedule(id=uuid.uuid4(), graph_id=uuid.uuid4(), **told)


def test_temporal_is_told_when_how_often_and_how_late_a_schedule_fires() -> None:
    row = a_schedule(
        start_at=START,
        end_at=END,
        jitter=30,
        catchup_window=3600,
        overlap="buffer_one",
        pause_on_failure=True,
        timezone="Europe/Berlin",
        priority=2,
        note="why",
    )
    made = make_schedule(row, task_queue="ours")
    spec, policy, action = made.spec, made.policy, made.action
    assert isinstance(action, ScheduleActionStartWorkflow)
    assert (spec.start_at, spec.end_at, spec.jitter) == (START, END, timedelta(seconds=30))
    assert spec.time_zone_name == "Europe/Berlin"
    assert policy.catchup_window == timedelta(hours=1)
    assert policy.overlap is ScheduleOverlapPolicy.BUFFER_ONE
    assert policy.pause_on_failure
    assert (made.state.note, made.state.paused) == ("why", False)
    assert (action.id, action.task_queue) == (str(row.id), "ours")
    assert action.priority.priority_key == 2


@pytest.mark.parametrize(("remaining", "told"), [(None, (False, 0)), (0, (True, 0)), (3, (True, 3))])
def test_a_schedule_without_a_fire_left_is_not_one_that_fires_for_ever(
    remaining: int | None, told: tuple[bool, int]
) -> None:
    state = make_schedule(a_schedule(remaining_actions=remaining), task_queue="ours").state
    assert (state.limited_actions, state.remaining_actions) == told


def test_no_fire_by_hand_is_named_after_a_second_at_which_one_fires_by_itself() -> None:
    start = datetime(2099, 1, 1, tzinfo=UTC)
    named, moment = [], start
    for _ in range(90):
        moment = make_fire_time(moment)
        named.append(moment)
    assert 0 not in {moment.second for moment in named}
    assert len(set(named)) == 90
    assert named[0] == start + timedelta(seconds=1)


def test_a_fire_asks_for_all_that_the_schedule_says() -> None:
    given: dict[str, Any] = {
        "graph_version": 3,
        "preset_id": uuid.uuid4(),
        "inputs": {"x": 1},
        "credentials_inputs": {"key": "chosen"},
        "budget": 0,
        "on_insufficient_credits": "fail",
        "timeout_seconds": 5.0,
        "max_node_executions": 7,
        "priority": 1,
    }
    row = a_schedule(**given)
    wanted = wanted_of(row)
    named = {"version" if name == "graph_version" else name: value for name, value in given.items()}
    assert {name: getattr(wanted, name) for name in named} == named
    assert (wanted.owner, wanted.graph_id) == (row.user_id, row.graph_id)
    assert (wanted.trigger, wanted.trigger_id) == ("schedule", row.id)
