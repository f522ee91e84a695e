"""Waiting for a service that is not reachable yet, so that processes can be started in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 5.0

log = structlog.get_logger("app.patience")

T = TypeVar("T")


async def patiently(
    attempt: Callable[[], Awaitable[T]], *, service: str, away: tuple[type[Exception], ...]
) -> T:
    """Repeat an attempt with growing pauses until the service is there; return what the attempt gave.

    Args:
        attempt: What to do.
        service: What is waited for, for the log.
        away: Errors that mean that the service is not there; all others are raised.
    """
    delay = _FIRST_DELAY_SECONDS
    while True:
        try:
            return await attempt()
        except away as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            log.warning("service_away", service=service, reason=reason, retry_in_seconds=delay)
        await asyncio.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY_SECONDS)
