"""What Temporal is told of a schedule: when it fires, what that starts, and what it is found by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from temporalio import client as temporal
from temporalio.client import ScheduleOverlapPolicy, ScheduleRange
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from app.activities.contracts.scheduling import SCHEDULED_START_WORKFLOW, ScheduledFire
from app.fairness import make_priority
from app.models.tables.schedules import Schedule
from app.schedules.clocks import as_intervals
from app.schedules.cron import Calendar, parse_calendar, parse_cron

TRIGGER = "schedule"
OVERLAPS: Mapping[str, ScheduleOverlapPolicy] = {
    "skip": ScheduleOverlapPolicy.SKIP,
    "buffer_one": ScheduleOverlapPolicy.BUFFER_ONE,
    "buffer_all": ScheduleOverlapPolicy.BUFFER_ALL,
    "cancel_other": ScheduleOverlapPolicy.CANCEL_OTHER,
    "terminate_other": ScheduleOverlapPolicy.TERMINATE_OTHER,
    "allow_all": ScheduleOverlapPolicy.ALLOW_ALL,
}
SUMMARY_LIMIT = 120

REVISION = SearchAttributeKey.for_int("ScheduleRevision")
_TRIGGER = SearchAttributeKey.for_keyword("Trigger")


def make_schedule(row: Schedule, *, task_queue: str) -> temporal.Schedule:
    """Return what Temporal is told of a schedule."""
    fire = ScheduledFire(str(row.id), row.user_id, row.revision)
    return temporal.Schedule(
        action=temporal.ScheduleActionStartWorkflow(
            SCHEDULED_START_WORKFLOW,
            fire,
            id=str(row.id),
            task_queue=task_queue,
            typed_search_attributes=TypedSearchAttributes(_named(row)),
            static_summary=_summary(row),
            priority=make_priority(row.user_id, row.priority),
        ),
        spec=_spec(row),
        policy=temporal.SchedulePolicy(
            overlap=OVERLAPS[row.overlap],
            catchup_window=timedelta(seconds=row.catchup_window),
            pause_on_failure=row.pause_on_failure,
        ),
        state=temporal.ScheduleState(
            note=row.note or None,
            paused=row.is_paused,
            limited_actions=row.remaining_actions is not None,
            remaining_actions=row.remaining_actions or 0,
        ),
    )


def _spec(row: Schedule) -> temporal.ScheduleSpec:
    intervals = [(each["every"], each["offset"]) for each in row.intervals]
    calendars = []
    for calendar in _calendars(row):
        hourly = as_intervals(calendar, row.timezone)
        if hourly is None:
            calendars.append(_calendar(calendar))
        else:
            intervals += hourly
    return temporal.ScheduleSpec(
        calendars=calendars,
        intervals=[
            temporal.ScheduleIntervalSpec(timedelta(seconds=every), timedelta(seconds=offset))
            for every, offset in intervals
        ],
        start_at=row.start_at,
        end_at=row.end_at,
        jitter=timedelta(seconds=row.jitter) if row.jitter else None,
        time_zone_name=row.timezone,
    )


def _calendars(row: Schedule) -> list[Calendar]:
    of_cron = [calendar for text in row.cron for calendar in parse_cron(text)]
    return [*of_cron, *(parse_calendar(fields) for fields in row.calendars)]


def _calendar(calendar: Calendar) -> temporal.ScheduleCalendarSpec:
    return temporal.ScheduleCalendarSpec(
        minute=_ranges(calendar.minute),
        hour=_ranges(calendar.hour),
        day_of_month=_ranges(calendar.day_of_month),
        month=_ranges(calendar.month),
        year=_ranges(calendar.year),
        day_of_week=_ranges(calendar.day_of_week),
    )


def _ranges(numbers: tuple[int, ...]) -> list[ScheduleRange]:
    """Return numbers as ranges: one if they are equally far from each other, or else one for each."""
    if len(numbers) > 1:
        step = numbers[1] - numbers[0]
        if numbers == tuple(range(numbers[0], numbers[-1] + 1, step)):
            return [ScheduleRange(numbers[0], numbers[-1], step)]
    return [ScheduleRange(number) for number in numbers]


def _summary(row: Schedule) -> str:
    when = "; ".join(row.cron) or "by calendar or interval"
    return f"{row.name or 'schedule'}: {when} ({row.timezone})"[:SUMMARY_LIMIT]


def _named(row: Schedule) -> list[SearchAttributePair[str]]:
    return [
        SearchAttributePair(SearchAttributeKey.for_keyword("GraphId"), str(row.graph_id)),
        SearchAttributePair(SearchAttributeKey.for_keyword("UserId"), row.user_id),
        SearchAttributePair(_TRIGGER, TRIGGER),
    ]


def make_attributes(row: Schedule) -> TypedSearchAttributes:
    """Return what a schedule is found by."""
    return TypedSearchAttributes([*_named(row), SearchAttributePair(REVISION, row.revision)])
