"""Schedules as they are asked for."""

from __future__ import annotations

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
from app.models.page import MAX_NUMBER
from app.schedules.cron import parse_calendar, parse_cron

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

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin", "inputs": {"topic": "news"}}]
        },
    )

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

    def list_given(self) -> dict[str, Any]:
        """Return what is not left out, each as a whole."""
        return self.model_dump(include=self.model_fields_set)


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

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"start_at": "2030-01-01T00:00:00Z", "end_at": "2030-01-31T00:00:00Z"}]
        },
    )

    start_at: Moment
    end_at: Moment
    overlap: Overlap = "buffer_all"
    """One after the other when left out."""
