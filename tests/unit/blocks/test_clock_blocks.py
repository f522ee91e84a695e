from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from app.blocks.base import RemoteBlock
from app.blocks.calling import check_output, prepare
from app.blocks.context import BlockContext
from app.blocks.library.time import (
    GetCurrentDateAndTimeBlock,
    GetCurrentDateBlock,
    GetCurrentTimeBlock,
    read_clock,
)
from app.errors import BlockError, BlockInputInvalid
from app.graph.signature import Effect, Lane

NOW = datetime(2026, 1, 31, 23, 30, 5, 250_000, tzinfo=UTC)
BERLIN = {"discriminator": "strftime", "timezone": "Europe/Berlin"}


async def call(block: RemoteBlock, **data: Any) -> list[tuple[str, Any]]:
    given = prepare(block, {"trigger": "go", **data}, {})
    # The clock is all that these blocks read of the world.
    context = cast("BlockContext", None)
    return [(pin, check_output(block, pin, value)) async for pin, value in block.run(given, context)]


def iso(**more: Any) -> dict[str, Any]:
    return {"discriminator": "iso8601", **more}


def pattern(text: str, **more: Any) -> dict[str, Any]:
    return {"discriminator": "strftime", "format": text, **more}


@pytest.mark.parametrize(
    ("format_type", "text"),
    [
        (None, "23:30:05"),
        (pattern("%H-%M"), "23-30"),
        (BERLIN, "00:30:05"),
        (BERLIN | {"use_user_timezone": True}, "00:30:05"),
        (iso(), "23:30:05+00:00"),
        (iso(timezone="Asia/Kolkata"), "05:00:05+05:30"),
        (iso(include_microseconds=True), "23:30:05.250000+00:00"),
    ],
)
async def test_the_time_is_told(format_type: Any, text: str) -> None:
    data = {"format_type": format_type} if format_type else {}

    assert await call(GetCurrentTimeBlock(lambda: NOW), **data) == [("time", text)]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({}, "2026-01-31"),
        ({"offset": 1}, "2026-01-30"),
        ({"offset": "31"}, "2025-12-31"),
        ({"offset": -1}, "2026-02-01"),
        ({"offset": "nonsense"}, "2026-01-31"),
        ({"offset": ""}, "2026-01-31"),
        ({"format_type": BERLIN}, "2026-02-01"),
        ({"format_type": pattern("%d.%m.%y"), "offset": 1}, "30.01.26"),
        ({"format_type": iso(timezone="Europe/Berlin")}, "2026-02-01"),
    ],
)
async def test_the_date_is_told(data: dict[str, Any], text: str) -> None:
    assert await call(GetCurrentDateBlock(lambda: NOW), **data) == [("date", text)]


@pytest.mark.parametrize(
    ("format_type", "text"),
    [
        (None, "2026-01-31 23:30:05"),
        (pattern("%A, %d %B %Y"), "Saturday, 31 January 2026"),
        (iso(), "2026-01-31T23:30:05+00:00"),
        (iso(include_microseconds=True, timezone="Europe/Berlin"), "2026-02-01T00:30:05.250000+01:00"),
    ],
)
async def test_the_date_and_time_are_told(format_type: Any, text: str) -> None:
    data = {"format_type": format_type} if format_type else {}

    assert await call(GetCurrentDateAndTimeBlock(lambda: NOW), **data) == [("date_time", text)]


@pytest.mark.parametrize(
    "data",
    [
        {"format_type": pattern("%H", timezone="Mars/Olympus")},
        {"format_type": pattern("%H", timezone="../../etc/passwd")},
        {"format_type": pattern("%H", timezone="")},
        {"format_type": pattern("%H" * 101)},
        {"format_type": {"discriminator": "other"}},
        {"trigger": None},
    ],
)
async def test_a_format_that_cannot_be_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(BlockInputInvalid):
        await call(GetCurrentTimeBlock(lambda: NOW), **data)


@pytest.mark.parametrize("offset", [10**7, -(10**7), 10**30, "9" * 400])
async def test_a_day_beyond_the_calendar_is_refused(offset: Any) -> None:
    with pytest.raises(BlockError, match="calendar"):
        await call(GetCurrentDateBlock(lambda: NOW), offset=offset)


def test_the_clock_runs_in_utc() -> None:
    assert read_clock().utcoffset() is not None


@pytest.mark.parametrize(
    "block", [GetCurrentTimeBlock(), GetCurrentDateBlock(), GetCurrentDateAndTimeBlock()]
)
def test_a_clock_is_read_once_and_recorded(block: RemoteBlock) -> None:
    assert (block.signature.lane, block.signature.effect) == (Lane.REMOTE, Effect.PURE)
    assert block.signature.timeout_seconds <= 10
