"""How slowly a body may come: it has some time, and more of it the more has come."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive

from app.errors import SlowRequest

GRACE_SECONDS = 30.0
BYTES_PER_SECOND = 16 * 1024


def in_time(receive: Receive) -> Receive:
    """Return a way to receive a body that gives up when it comes too slowly."""
    deadline = time.monotonic() + GRACE_SECONDS

    async def receive_in_time() -> Message:
        nonlocal deadline
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                message = await receive()
        except TimeoutError as error:
            raise SlowRequest from error
        deadline += len(message.get("body", b"")) / BYTES_PER_SECOND
        return message

    return receive_in_time
