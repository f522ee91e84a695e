"""Executions' logs as server-sent events."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.api.schemas.executions import EventView
from app.api.services.waiting import Waiting
from app.errors import NotFound
from app.models.tables.executions import ExecutionEvent
from app.models.tokens import Token

log = structlog.get_logger(__name__)

HEARTBEAT = ": heartbeat\n\n"
TOKEN = "token"  # noqa: S105 - the name of an event
RETRY_SECONDS = 1.0


async def stream_events(
    waiting: Waiting, owner: str, execution_id: uuid.UUID, *, after: int, takes_tokens: bool
) -> AsyncGenerator[str]:
    """Give the events of an execution in the text of server-sent events, until its last one.

    With `takes_tokens` what models write comes in between. An outage of the database is sat through.
    """
    yield HEARTBEAT
    while True:
        try:
            async for batch in waiting.follow(owner, execution_id, after=after, takes_tokens=takes_tokens):
                yield "".join(map(_frame, batch)) or HEARTBEAT
                for event in batch:
                    after = event.seq if isinstance(event, ExecutionEvent) else after
            return
        except NotFound:
            return
        except (OSError, SQLAlchemyError) as error:
            log.warning("stream_waits", reason=type(error).__name__)
        await asyncio.sleep(RETRY_SECONDS)
        yield HEARTBEAT


def _frame(event: ExecutionEvent | Token) -> str:
    if isinstance(event, Token):
        # Without an id: a stream that goes on later does not have it again.
        shown = {
            "node_id": event.node_id,
            "node_execution_id": event.node_execution_id,
            "text": event.text,
        }
        return f"event: {TOKEN}\ndata: {json.dumps(shown)}\n\n"
    view = EventView(seq=event.seq, type=event.type, data=event.data, at=event.at)
    # ASCII, so no line break of any kind can stand in the data.
    text = json.dumps(view.model_dump(mode="json"), separators=(",", ":"))
    return f"id: {event.seq}\nevent: {event.type}\ndata: {text}\n\n"
