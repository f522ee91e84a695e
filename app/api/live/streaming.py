"""Notices as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from app.api.live.notices import Notice

HEARTBEAT = ": heartbeat\n\n"


async def as_text(batches: AsyncGenerator[Sequence[Notice]]) -> AsyncGenerator[str]:
    """Give batches of notices in the text of server-sent events."""
    async with aclosing(batches):
        async for batch in batches:
            yield "".join(map(_frame, batch)) or HEARTBEAT


def _frame(notice: Notice) -> str:
    # A browser keeps the id of an event without data for when it connects again, and shows nobody the event.
    place = f"id: {notice.place}\n" if notice.place else ""
    if not notice.type:
        return place + HEARTBEAT
    # ASCII, so no line break of any kind can stand in the data.
    return f"{place}event: {notice.type}\ndata: {json.dumps(notice.data, separators=(',', ':'))}\n\n"
