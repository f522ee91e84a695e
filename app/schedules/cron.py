"""Reads cron expressions: which minutes of which days they mean. Knows neither time zones nor Temporal.

Weekdays are those of cron: 0 and 7 are Sunday. Where both the day of the month and the day of the week are restricted,
either of them is enough, as in cron; so one expression may be two calendars.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MACROS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ITEM = re.compile(r"(\*|[0-9]{1,4}|[A-Z]{3})(?:-([0-9]{1,4}|[A-Z]{3}))?(?:/([0-9]{1,4}))?")
_FIVE = "must have five fields: minute, hour, day of month, month, day of week"


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    first: int
    last: int
    names: Mapping[str, int]


_NO_NAMES: Mapping[str, int] = {}
_FIELDS: Mapping[str, _Field] = {
    "minute": _Field("minute", 0, 59, _NO_NAMES),
    "hour": _Field("hour", 0, 23, _NO_NAMES),
    "day_of_month": _Field("day of month", 1, 31, _NO_NAMES),
    "month": _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    "day_of_week": _Field("day of week", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
    "year": _Field("year", 1970, 2199, _NO_NAMES),
}
_OF_CRON = ("minute", "hour", "day_of_month", "month", "day_of_week")


@dataclass(frozen=True, slots=True)
class Calendar:
    """Moments that are in every one of these; what is left out is all."""

    minute: tuple[int, ...] = (0,)
    hour: tuple[int, ...] = (0,)
    day_of_month: tuple[int, ...] = tuple(range(1, 32))
    month: tuple[int, ...] = tuple(range(1, 13))
    day_of_week: tuple[int, ...] = tuple(range(7))
    """0 is Sunday."""
    year: tuple[int, ...] = ()
    """Empty for every one."""

    @property
    def is_of_every_hour(self) -> bool:
        """Answer whether the minutes alone are restricted."""
        return (len(self.hour), len(self.day_of_month), len(self.month), len(self.day_of_week)) == (
            24,
            31,
            12,
            7,
        ) and not self.year

    @property
    def is_possible(self) -> bool:
        """Answer whether there is such a day."""
        return any(self.day_of_month[0] <= _LONGEST[month - 1] for month in self.month)


def parse_cron(text: str) -> list[Calendar]:
    """Return the calendars that a cron expression means.

    Raises:
        ValueError: It is none; the message says what is wrong with it.
    """
    words = text.upper().split()
    if words and words[0].startswith("@"):
        return parse_cron(_expand(" ".join(words)))
    if words and "=" in words[0]:
        raise ValueError("must not name a time zone: say it in `timezone`")
    if len(words) in {6, 7}:
        raise ValueError(f"{_FIVE}; seconds and years are not taken")
    if len(words) != len(_OF_CRON):
        raise ValueError(_FIVE)
    fields = {name: _parse(name, word) for name, word in zip(_OF_CRON, words, strict=True)}
    everyday = {
        "day_of_month": tuple(range(1, 32)),
        "day_of_week": tuple(range(7)),
    }
    # As in cron, it is the star at the beginning that counts, not what the field comes to.
    stars = [name for name, word in zip(_OF_CRON, words, strict=True) if word.startswith("*")]
    if everyday.keys().isdisjoint(stars):
        days = [{**fields, name: every} for name, every in everyday.items()]
    else:
        days = [fields]
    found = [calendar for each in days if (calendar := Calendar(**each)).is_possible]
    if not found:
        raise ValueError("means a day that does not exist")
    return found


def parse_calendar(fields: Mapping[str, str]) -> Calendar:
    """Return the calendar whose fields are given by name, each in the grammar of cron. All of them have to fit.

    Raises:
        ValueError: It is none; the message says what is wrong with it.
    """
    parsed = {name: _parse(name, text.upper()) for name, text in fields.items() if text != "*"}
    for name in ("minute", "hour"):
        if fields.get(name) == "*":
            parsed[name] = tuple(range(_FIELDS[name].last + 1))
    calendar = Calendar(**parsed)
    if not calendar.is_possible:
        raise ValueError("means a day that does not exist")
    return calendar


def _expand(macro: str) -> str:
    expression = MACROS.get(macro.lower())
    if expression is None:
        known = ", ".join(MACROS)
        raise ValueError(f"takes of these words only {known}; for anything else there are `intervals`")
    return expression


def _parse(name: str, text: str) -> tuple[int, ...]:
    field = _FIELDS[name]
    found: set[int] = set()
    for item in text.split(","):
        found.update(_parse_item(field, item))
    if name == "day_of_week":
        found = {number % 7 for number in found}
    return tuple(sorted(found))


def _parse_item(field: _Field, item: str) -> range:
    match = _ITEM.fullmatch(item)
    if match is None or (match[1] == "*" and match[2]):
        raise ValueError(f"does not take {item[:40]!r} as a {field.name}")
    step = int(match[3]) if match[3] else 1
    if step < 1:
        raise ValueError(f"has a step of 0 in the {field.name}")
    if match[1] == "*":
        # Sunday has two numbers, of which a star means the first.
        last = 6 if field.name == "day of week" else field.last
        return range(field.first, last + 1, step)
    first = _number(field, match[1])
    # A range that ends on a Sunday ends the week.
    if match[2] == "SUN":
        return range(first, field.last + 1, step)
    # `5/15` begins at 5 and goes on to the end of the field.
    last = _number(field, match[2]) if match[2] else field.last if match[3] else first
    if first > last:
        raise ValueError(f"has a range that ends before it begins in the {field.name}: {item[:40]!r}")
    return range(first, last + 1, step)


def _number(field: _Field, word: str) -> int:
    number = field.names.get(word) if word.isalpha() else int(word)
    if number is None or not field.first <= number <= field.last:
        raise ValueError(f"has no {field.name} {word!r}: they go from {field.first} to {field.last}")
    return number
