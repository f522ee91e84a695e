"""Blocks that tell the time. They read the clock, so they run once and their answer is recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.errors import BlockError, BlockInputInvalid
from app.graph.signature import Effect

if TYPE_CHECKING:
    from app.blocks.context import BlockContext

Clock: TypeAlias = Callable[[], datetime]

MAX_FORMAT_CHARACTERS = 200


def read_clock() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


class TimeFormat(BaseModel):
    """What every format says."""

    timezone: str = "UTC"
    """A zone by its name in the time zone database, as `Europe/Berlin`."""
    use_user_timezone: bool = False
    """Whether the user's own zone goes before; `timezone` holds while none is known."""


class TimeStrftimeFormat(TimeFormat):
    """A time written by a pattern."""

    discriminator: Literal["strftime"]
    format: str = Field(default="%H:%M:%S", max_length=MAX_FORMAT_CHARACTERS)
    """The pattern, in the letters of `strftime`."""


class TimeISO8601Format(TimeFormat):
    """A time written by the standard, with its distance from UTC."""

    discriminator: Literal["iso8601"]
    include_microseconds: bool = False
    """Whether to write parts of a second."""


class DateStrftimeFormat(TimeFormat):
    """A date written by a pattern."""

    discriminator: Literal["strftime"]
    format: str = Field(default="%Y-%m-%d", max_length=MAX_FORMAT_CHARACTERS)
    """The pattern, in the letters of `strftime`."""


class DateISO8601Format(TimeFormat):
    """A date written by the standard."""

    discriminator: Literal["iso8601"]


class StrftimeFormat(TimeFormat):
    """A date and time written by a pattern."""

    discriminator: Literal["strftime"]
    format: str = Field(default="%Y-%m-%d %H:%M:%S", max_length=MAX_FORMAT_CHARACTERS)
    """The pattern, in the letters of `strftime`."""


class ISO8601Format(TimeISO8601Format):
    """A date and time written by the standard, with its distance from UTC."""


class _ClockBlock(RemoteBlock):
    """What the blocks that read the clock have in common."""

    categories = (BlockCategory.TEXT,)
    effect = Effect.PURE
    timeout_seconds = 10.0

    def __init__(self, clock: Clock = read_clock) -> None:
        self._clock = clock

    def _now(self, format_type: TimeFormat) -> datetime:
        try:
            return self._clock().astimezone(ZoneInfo(format_type.timezone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise BlockInputInvalid("`format_type` names a time zone that does not exist") from None


class GetCurrentTimeBlock(_ClockBlock):
    """Tell the time of the day."""

    id = "a892b8d9-3e4e-4e9c-9c1e-75f8efcf1bfa"

    class Input(BlockInput):
        """When and how."""

        trigger: str
        """Any text; makes the block run."""
        format_type: Annotated[
            TimeStrftimeFormat | TimeISO8601Format, Field(discriminator="discriminator")
        ] = TimeStrftimeFormat(discriminator="strftime")
        """How to write it."""

    class Output(BlockOutput):
        """The time."""

        time: str
        """As the format says."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the time.

        Raises:
            BlockInputInvalid: The time zone does not exist.
        """
        now = self._now(given.format_type)
        if isinstance(given.format_type, TimeStrftimeFormat):
            yield "time", _written(now, given.format_type.format)
        else:
            # Cut out of the whole: a zone has a distance from UTC on a given day only.
            yield "time", now.isoformat(timespec=_precision(given.format_type)).partition("T")[2]


class GetCurrentDateBlock(_ClockBlock):
    """Tell the date, today's or that of some days ago."""

    id = "b29c1b50-5d0e-4d9f-8f9d-1b0e6fcbf0b1"

    class Input(BlockInput):
        """When and how."""

        trigger: str
        """Any text; makes the block run."""
        offset: int | str = 0
        """How many days ago; a negative number lies ahead, and what is no number is 0."""
        format_type: Annotated[
            DateStrftimeFormat | DateISO8601Format, Field(discriminator="discriminator")
        ] = DateStrftimeFormat(discriminator="strftime")
        """How to write it."""

    class Output(BlockOutput):
        """The date."""

        date: str
        """As the format says."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the date.

        Raises:
            BlockInputInvalid: The time zone does not exist.
            BlockError: The calendar does not reach that far.
        """
        now = self._now(given.format_type)
        try:
            day = now - timedelta(days=_days(given.offset))
        except OverflowError:
            raise BlockError("The calendar does not reach as far as `offset`") from None
        if isinstance(given.format_type, DateStrftimeFormat):
            yield "date", _written(day, given.format_type.format)
        else:
            yield "date", day.date().isoformat()


class GetCurrentDateAndTimeBlock(_ClockBlock):
    """Tell the date and the time."""

    id = "716a67b3-6760-42e7-86dc-18645c6e00fc"

    class Input(BlockInput):
        """When and how."""

        trigger: str
        """Any text; makes the block run."""
        format_type: Annotated[StrftimeFormat | ISO8601Format, Field(discriminator="discriminator")] = (
            StrftimeFormat(discriminator="strftime")
        )
        """How to write it."""

    class Output(BlockOutput):
        """The date and time."""

        date_time: str
        """As the format says."""

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the date and time.

        Raises:
            BlockInputInvalid: The time zone does not exist.
        """
        now = self._now(given.format_type)
        if isinstance(given.format_type, StrftimeFormat):
            yield "date_time", _written(now, given.format_type.format)
        else:
            yield "date_time", now.isoformat(timespec=_precision(given.format_type))


def _written(moment: datetime, pattern: str) -> str:
    try:
        return moment.strftime(pattern)
    except ValueError:
        raise BlockInputInvalid("`format_type` holds a pattern that cannot be written") from None


def _precision(format_type: TimeISO8601Format) -> str:
    return "microseconds" if format_type.include_microseconds else "seconds"


def _days(offset: Any) -> int:
    try:
        return int(offset)
    except (TypeError, ValueError):
        return 0
