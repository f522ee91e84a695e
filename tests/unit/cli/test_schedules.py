from __future__ import annotations

from typing import Any

import pytest

from app.cli.schedules import next_of


@pytest.mark.parametrize(
    ("is_paused", "moments", "told"),
    [
        (False, ["2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"], "2030-01-01T00:00:00Z"),
        (True, ["2030-01-01T00:00:00Z"], "paused"),
        (False, [], "never again"),
        (False, None, "unknown: Temporal is away"),
    ],
    ids=["fires", "paused", "over", "unasked"],
)
def test_what_cannot_be_asked_is_not_said_to_be_over(
    is_paused: bool, moments: list[str] | None, told: str
) -> None:
    schedule: Any = {"paused": is_paused, "next_fire_times": moments}
    assert next_of(schedule) == told
