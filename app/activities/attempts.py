"""Attempts as a node execution counts them: one that its worker hands back, because it is asked to stop, is none.

Temporal counts every try. How many were handed back travels from one to the next in the details of the heartbeat.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

HANDED_BACK = "WORKER_STOPPED"
_AT_ONCE = timedelta(milliseconds=1)  # none at all would mean the usual pause


@contextlib.asynccontextmanager
async def counted_attempt(*, heartbeat_seconds: float) -> AsyncIterator[int]:
    """Keep the heartbeat while an attempt is under way, and give its number.

    Args:
        heartbeat_seconds: Pause between two heartbeats.

    Raises:
        ApplicationError: The worker is asked to stop and the attempt has not ended in time. It is handed back: another
            worker tries it under the same number.
    """
    info = activity.info()
    handed_back = count_handed_back()
    beating = asyncio.create_task(_beat(handed_back, heartbeat_seconds))
    try:
        yield info.attempt - handed_back
    except asyncio.CancelledError:
        details = activity.cancellation_details()
        if details is None or not details.worker_shutdown or details.cancel_requested:
            raise
        activity.heartbeat(handed_back + 1)
        raise ApplicationError(
            "The worker was stopped",
            type=HANDED_BACK,
            next_retry_delay=_AT_ONCE,
            category=ApplicationErrorCategory.BENIGN,
        ) from None
    finally:
        await end_task(beating)


def count_handed_back() -> int:
    """Return how many tries of the activity that runs here were no attempts."""
    details = activity.info().heartbeat_details
    return int(details[0]) if details else 0


async def _beat(handed_back: int, every_seconds: float) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        activity.heartbeat(handed_back)


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait until it has ended."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
