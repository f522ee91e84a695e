"""Cron expressions: what they mean, and what is refused by saying why."""

from __future__ import annotations

import pytest

from app.schedules.clocks import as_intervals
from app.schedules.cron import MACROS, parse_calendar, parse_cron

EVERY_DAY = tuple(range(1, 32))
EVERY_WEEKDAY = tuple(range(7))


@pytest.mark.parametrize(
    ("text", "field", "numbers"),
    [
        ("*/20 * * * *", "minute", (0, 20, 40)),
        ("5/20 * * * *", "minute", (5, 25, 45)),
        ("1,2,30-32 * * * *", "minute", (1, 2, 30, 31, 32)),
        ("0 8-18/5 * * *", "hour", (8, 13, 18)),
        ("0 0 * jan,DEC *", "month", (1, 12)),
        ("0 0 * * 0", "day_of_week", (0,)),
        ("0 0 * * 7", "day_of_week", (0,)),
        ("0 0 * * 5-7", "day_of_week", (0, 5, 6)),
        ("0 0 * * FRI-SUN", "day_of_week", (0, 5, 6)),
        ("0 0 * * sun-tue", "day_of_week", (0, 1, 2)),
        ("0 0 * * */2", "day_of_week", (0, 2, 4, 6)),
    ],
)
def test_a_field_means_what_it_means_in_cron(text: str, field: str, numbers: tuple[int, ...]) -> None:
    [calendar] = parse_cron(text)
    assert getattr(calendar, field) == numbers


def test_either_day_is_enough_unless_one_begins_with_a_star() -> None:
    by_week, by_month = parse_cron("0 0 13 * 5")
    assert (by_week.day_of_month, by_week.day_of_week) == (EVERY_DAY, (5,))
    assert (by_month.day_of_month, by_month.day_of_week) == ((13,), EVERY_WEEKDAY)
    [both] = parse_cron("0 0 */2 * 1")
    assert (both.day_of_month[:2], both.day_of_week) == ((1, 3), (1,))


def test_words_stand_for_expressions() -> None:
    for word, expression in MACROS.items():
        assert parse_cron(word.upper()) == parse_cron(expression)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "0 0 0 * * *",
        "0 0 0 * * * 2027",
        "@every 5m",
        "@reboot",
        "TZ=UTC 0 0 * * *",
        "60 * * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 * 13 *",
        "0 0 * * 8",
        "0 0 L * *",
        "0 0 15W * *",
        "0 0 ? * 1",
        "0 0 * * 1#1",
        "*/0 * * * *",
        "5-1 * * * *",
        "*-5 * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
        "a b c d e",
        "٣ * * * *",
        "- * * * *",
        "0 0 * * MOON",
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|takes|has|does not take|means"):
        parse_cron(text)


def test_the_fields_of_a_calendar_have_to_fit_together() -> None:
    calendar = parse_calendar({"hour": "*", "day_of_month": "1-7", "day_of_week": "MON", "year": "2027"})
    assert (calendar.minute, len(calendar.hour), calendar.year) == ((0,), 24, (2027,))
    assert (calendar.day_of_month, calendar.day_of_week) == (tuple(range(1, 8)), (1,))


@pytest.mark.parametrize(
    ("text", "zone", "intervals"),
    [
        ("* * * * *", "Europe/Berlin", [(60, 0)]),
        ("*/15 * * * *", "Asia/Kathmandu", [(900, 0)]),
        ("0 * * * *", "Asia/Kolkata", [(3600, 1800)]),
        ("5,6 * * * *", "UTC", [(3600, 300), (3600, 360)]),
        ("0 9 * * *", "UTC", None),
        ("0 * * * 1", "UTC", None),
        ("0 * * * *", "Australia/Lord_Howe", None),
    ],
)
def test_what_is_of_every_hour_goes_by_the_time_that_passes(
    text: str, zone: str, intervals: list[tuple[int, int]] | None
) -> None:
    [calendar] = parse_cron(text)
    assert as_intervals(calendar, zone) == intervals
