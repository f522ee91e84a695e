"""Blocks that reckon with dates. They do not read the clock, so the same date always gives the same answer."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import datetime, timedelta

from pydantic import Field

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, PureBlock
from app.errors import BlockError, BlockInputInvalid

MAX_FORMAT_CHARACTERS = 200
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DATE_CHARACTERS = len("2026-01-31")


class ShiftDateBlock(PureBlock):
    """Move a date by years, months, days or hours, or write it another way."""

    id = "ac0566b9-6a9a-499a-995b-5909a9b0e2dc"
    categories = (BlockCategory.DATA,)

    class Input(BlockInput):
        """A date, how far to move it, and how to write it."""

        date: str
        """A date, or a date and time, by the standard: `2026-01-31` or `2026-01-31T09:30:00+01:00`."""
        years: int = 0
        """Years later; a negative number is earlier, here and below."""
        months: int = 0
        """Months later. A day that the month does not have becomes its last."""
        days: float = 0
        """Days later, after years and months."""
        hours: float = 0
        """Hours later."""
        format: str = Field(default="", max_length=MAX_FORMAT_CHARACTERS)
        """A pattern in the letters of `strftime`; by the standard, with a time only if one is needed, if empty."""

    class Output(BlockOutput):
        """The date, and what is known of it."""

        date: str
        """As the format says."""
        weekday: str
        """Its day of the week, in English."""

    def run(self, given: Input) -> Iterator[Emitted]:
        """Emit the date and its day of the week.

        Raises:
            BlockInputInvalid: The date or the format is none.
            BlockError: The calendar does not reach that far.
        """
        try:
            moment = datetime.fromisoformat(given.date.strip())
        except ValueError:
            raise BlockInputInvalid("`date` is no date by the standard, such as 2026-01-31") from None
        is_date = len(given.date.strip()) <= _DATE_CHARACTERS
        try:
            moved = _add_months(moment, given.years * 12 + given.months)
            moved += timedelta(days=given.days, hours=given.hours)
        except (OverflowError, ValueError):
            raise BlockError("The calendar does not reach that far") from None
        has_time = not is_date or moved.time() != moment.time()
        yield "date", _written(moved, given.format, has_time=has_time)
        yield "weekday", WEEKDAYS[moved.weekday()]


def _add_months(moment: datetime, months: int) -> datetime:
    years, month = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))


def _written(moment: datetime, pattern: str, *, has_time: bool) -> str:
    if not pattern:
        return moment.isoformat() if has_time else moment.date().isoformat()
    try:
        return moment.strftime(pattern)
    except ValueError:
        raise BlockInputInvalid("`format` is a pattern that cannot be written") from None
