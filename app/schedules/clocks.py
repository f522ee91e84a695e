"""Hours that are left out or come twice: what fires in every hour fires then too, as if there were no clock.

Temporal's calendars go by the clock on the wall. East of Greenwich they take the hour that comes twice for one, so what
fires in every hour would leave one out. Its intervals go by the time that passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from app.schedules.cron import Calendar

HOUR, MINUTE = 3_600, 60
_HALF_A_YEAR = timedelta(days=182)


def as_intervals(calendar: Calendar, zone: str) -> Sequence[tuple[int, int]] | None:
    """Return a calendar of every hour as intervals and offsets in seconds from 1970 on; None for any other.

    Args:
        calendar: By the clock.
        zone: IANA name of the clock's time zone.
    """
    if not calendar.is_of_every_hour:
        return None
    now = datetime.now(UTC)
    # Of all zones only Lord Howe's moves its clocks by half an hour.
    shifts = {_shift(zone, moment) for moment in (now, now + _HALF_A_YEAR)}
    if len(shifts) != 1:
        return None
    shift, minutes = shifts.pop(), calendar.minute
    step = 60 // len(minutes)
    if minutes == tuple(range(minutes[0], 60, step)) and 60 % len(minutes) == 0:
        return [(step * MINUTE, (minutes[0] * MINUTE - shift) % (step * MINUTE))]
    return [(HOUR, (minute * MINUTE - shift) % HOUR) for minute in minutes]


def _shift(zone: str, moment: datetime) -> int:
    """Return by how many seconds the minutes of a clock differ from those of UTC."""
    offset = moment.astimezone(ZoneInfo(zone)).utcoffset() or timedelta(0)
    return round(offset.total_seconds()) % HOUR
