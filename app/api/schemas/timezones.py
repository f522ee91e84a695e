"""Time zones on the wire: by their IANA names."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field

NOWHERE = frozenset({"localtime", "Factory"})
"""What is no place: the clock of the machine that is asked, whichever that is."""


@lru_cache(maxsize=1)
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones()) - NOWHERE


def _timezone(name: str) -> str:
    if name not in _timezones():
        raise ValueError("must be an IANA time zone, e.g. Europe/Berlin")
    return name


TimeZone = Annotated[str, Field(max_length=100), AfterValidator(_timezone)]
