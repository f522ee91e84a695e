"""Schedules on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    WithJsonSchema,
    model_validator,
)

from app.api.schemas.graphs import JsonObject
from app.api.schemas.texts import Description, Name
from app.api.schemas.timezones import TimeZone
from app.graph.status import Status
from app.models.page import MAX_NUMBER
from app.models.tables.executions import Execution
from app.models.tables.schedules import Schedule
from app.schedules.cron import parse_calendar, parse_cron
from app.schedules.mirror import ITS_OWN_NOTE, Described

MINUTE = 60
DAY = 86_400
MOST = 20
"""Expressions, calendars and intervals of a schedule, of each."""
_TEXT_LENGTH = 200

Overlap = Literal["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all"]


def _cron(text: str) -> str:
    if len(text) > _TEXT_LENGTH:
        raise ValueError(f"must not have more than {_TEXT_LENGTH} characters")
    parse_cron(text)
    return " ".join(text.split())


def _as_list(given: Any) -> Any:
    if given is None:
        return []
    # What is wrong with a text alone is said of the field, not of a list that nobody has given.
    return [_cron(given)] if isinstance(given, str) else given


def _near(moment: datetime) -> datetime:
    if not 1970 <= moment.year < 2200:
        raise ValueError("must be between 1970 and 2199")
    return moment


def _minutes(seconds: int) -> int:
    if seconds % MINUTE:
        raise ValueError("must be whole minutes, in seconds")
    return seconds


def _empty(given: Any) -> Any:
    return "" if given is None else given


CronText = Annotated[str, AfterValidator(_cron)]
Crons = Annotated[
    list[CronText],
    Field(max_length=MOST),
    BeforeValidator(_as_list),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": _TEXT_LENGTH},
                {
                    "type": "array",
                    "items": {"type": "string", "maxLength": _TEXT_LENGTH},
                    "maxItems": MOST,
                },
                {"type": "null"},
            ]
        }
    ),
]
Moment = Annotated[AwareDatetime, Field(strict=False), AfterValidator(_near)]
CalendarField = Annotated[str, Field(min_length=1, max_length=_TEXT_LENGTH)]


class CalendarBody(BaseModel):
    """Moments at which every one of these fits, each in the grammar of a field of cron."""

    model_config = ConfigDict(strict=True, extra="forbid")

    minute: CalendarField = "0"
    hour: CalendarField = "0"
    day_of_month: CalendarField = "*"
    month: CalendarField = "*"
    day_of_week: CalendarField = "*"
    """0 and 7 are Sunday. Unlike in cron it has to fit together with the day of the month."""
    year: CalendarField = "*"

    @model_validator(mode="after")
    def _is_calendar(self) -> CalendarBody:
        parse_calendar(self.model_dump())
        return self


class IntervalBody(BaseModel):
    """Again and again, counted from 1970 on (UTC)."""

    model_config = ConfigDict(strict=True, extra="forbid")

    every: Annotated[int, Field(ge=MINUTE, le=3650 * DAY), AfterValidator(_minutes)]
    """Seconds: whole minutes."""
    offset: Annotated[int, Field(ge=0, le=3650 * DAY), AfterValidator(_minutes)] = 0
    """Seconds later than it would be."""


class ScheduleBody(BaseModel):
    """When a graph is to be executed, and with what. Of a change: what is left out stays."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Annotated[Name, BeforeValidator(_empty)] | Literal[""] = ""
    cron: Crons = Field(default_factory=list)
    """Five fields (minute, hour, day of month, month, day of week), or one of `@hourly`, `@daily`, `@weekly`,
    `@monthly`, `@yearly`; several in a list."""
    calendars: list[CalendarBody] = Field(default_factory=list, max_length=MOST)
    intervals: list[IntervalBody] = Field(default_factory=list, max_length=MOST)
    timezone: TimeZone | None = None
    """IANA name; that of your account when left out."""
    start_at: Moment | None = None
    """Before it nothing is executed."""
    end_at: Moment | None = None
    """After it nothing is executed."""
    jitter: Annotated[int, Field(ge=0, le=DAY)] = 0
    """Seconds that a fire may be late, by chance."""
    catchup_window: Annotated[int, Field(ge=10, le=31 * DAY)] = 10 * MINUTE
    """Seconds after which a fire is left out that was missed because nothing ran."""
    overlap: Overlap = "skip"
    """What becomes of a fire while the execution of an earlier one goes on."""
    remaining_actions: Annotated[int, Field(ge=1, le=MAX_NUMBER)] | None = None
    """After how many fires it rests; those by hand are not counted."""
    pause_on_failure: bool = False
    """Whether it is paused when an execution fails or cannot be started."""
    paused: bool = False
    note: Annotated[Description, BeforeValidator(_empty)] = ""
    """Why it is paused, or whatever else is to be known."""
    graph_version: Annotated[int, Field(ge=1, le=MAX_NUMBER)] | None = None
    """The active one of the moment when left out."""
    preset_id: Annotated[UUID, Strict(False)] | None = None
    """What inputs and credentials are taken from that are not given here."""
    inputs: JsonObject = Field(default_factory=dict)
    credentials_inputs: JsonObject = Field(default_factory=dict)
    """Which credentials to use, by the keys of the graph's `credentials_input_schema`."""
    budget: Annotated[int, Field(ge=0, le=MAX_NUMBER)] | None = None
    """The most credits that each execution may cost."""
    on_insufficient_credits: Literal["pause", "fail"] = "pause"
    timeout_seconds: Annotated[float, Field(ge=1, le=3650 * DAY)] | None = None
    max_node_executions: Annotated[int, Field(ge=1, le=MAX_NUMBER)] | None = None
    priority: Annotated[int, Field(ge=1, le=5)] | None = None


class NoteBody(BaseModel):
    """Why a schedule is paused or goes on."""

    model_config = ConfigDict(strict=True, extra="forbid")

    note: Annotated[Description, BeforeValidator(_empty)] = ""


class TriggerBody(BaseModel):
    """How a schedule is to fire now."""

    model_config = ConfigDict(strict=True, extra="forbid")

    overlap: Overlap | None = None
    """Instead of that of the schedule."""


class BackfillBody(BaseModel):
    """Which past fires are to be made up for."""

    model_config = ConfigDict(strict=True, extra="forbid")

    start_at: Moment
    end_at: Moment
    overlap: Overlap = "buffer_all"
    """One after the other when left out."""


class BackfillView(BaseModel):
    """What was asked for."""

    schedule_id: UUID
    fires: int
    """How many there are in that time."""


class ScheduledExecutionView(BaseModel):
    """An execution that a schedule has started, or could not."""

    id: UUID
    status: Status
    error: dict[str, Any] | None
    created_at: datetime
    ended_at: datetime | None


class ScheduleView(BaseModel):
    """When a graph is executed by itself."""

    id: UUID
    user_id: str
    graph_id: UUID
    graph_version: int | None
    preset_id: UUID | None
    name: str
    cron: str | Sequence[str] | None
    """A text if there is one, a list if there are several."""
    calendars: Sequence[dict[str, str]]
    intervals: Sequence[dict[str, int]]
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    jitter: int
    catchup_window: int
    overlap: Overlap
    remaining_actions: int | None
    """How many fires are left; null for any number."""
    pause_on_failure: bool
    paused: bool
    note: str
    """Why it is paused, or whatever else whoever has changed it has noted."""
    inputs: dict[str, Any]
    credentials_inputs: dict[str, Any]
    budget: int | None
    on_insufficient_credits: Literal["pause", "fail"]
    timeout_seconds: float | None
    max_node_executions: int | None
    priority: int | None
    next_fire_times: Sequence[datetime] | None
    """The next ten, as if it were not paused; null when Temporal cannot be asked."""
    fires_missed: int | None
    """Left out because nothing ran at their time, nor in the catch-up window after it."""
    fires_overlapped: int | None
    """Left out because the execution of an earlier one went on."""
    last_executions: Sequence[ScheduledExecutionView]
    """The last five, newest first."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Schedule, found: Described | None, last: Sequence[Execution]) -> ScheduleView:
        """Show a schedule.

        Args:
            row: Its record.
            found: What Temporal says of it; None if it cannot be asked.
            last: What it has started.
        """
        same = set(cls.model_fields) & set(type(row).model_fields)
        shown: dict[str, Any] = {name: getattr(row, name) for name in same}
        shown["cron"] = row.cron if len(row.cron) > 1 else next(iter(row.cron), None)
        if found is not None:
            # It may have been paused by Temporal, or in its Web UI.
            shown |= {"note": _said(found.note, last), "remaining_actions": found.remaining_actions}
        return cls(
            **shown,
            paused=found.is_paused if found else row.is_paused,
            next_fire_times=found.next_times if found else None,
            fires_missed=found.missed if found else None,
            fires_overlapped=found.overlapped if found else None,
            last_executions=[
                ScheduledExecutionView(
                    id=each.id,
                    status=Status(each.status),
                    error=each.error,
                    created_at=each.created_at,
                    ended_at=each.ended_at,
                )
                for each in last
            ],
        )


def _said(note: str, last: Sequence[Execution]) -> str:
    """Return a note; that of Temporal when an execution has failed, in words that say which."""
    if not note.startswith(ITS_OWN_NOTE):
        return note
    failed = next((each for each in last if each.status == Status.FAILED and each.error), None)
    if failed is None or failed.error is None:
        return "An execution has failed"
    return f"Execution {failed.id} has failed: {failed.error['message']}"
