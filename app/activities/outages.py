"""Waits out outages of the stores: for what has been done and must not be done again because it cannot be noted now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from app.database import AWAY
from app.models.changes import ValueCollected
from app.objects import ObjectsAway
from app.patience import patiently

T = TypeVar("T")

# Of transactions that wait for each other Postgres undoes one. None of ours should, but no call is to be repeated for
# that.
_PASSING = (*AWAY, ObjectsAway, ValueCollected, asyncpg.DeadlockDetectedError)


async def wait_out(attempt: Callable[[], Awaitable[T]]) -> T:
    """Do something that needs a store, as often as it takes, and return what it gave."""
    return await patiently(attempt, service="stores", away=_PASSING)
