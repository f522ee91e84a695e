"""One execution as it is followed: what is so now if that is wanted, then its log without a gap, to its end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import structlog

from app.api.live.notices import OUTAGE, RESET, RETRY_SECONDS, SNAPSHOT, TOKEN, Notice
from app.api.schemas.executions import EventView
from app.api.services.records import ExecutionRecords
from app.api.services.views import Views
from app.api.services.waiting import LogEndsBefore, Waiting
from app.errors import NotFound
from app.models.tables.executions import ExecutionEvent
from app.models.tokens import Token

NO_SUCH_PLACE = "The log ends before: this is of another execution, or the database was restored"

log = structlog.get_logger(__name__)


class Following:
    """Follows executions one by one."""

    def __init__(self, waiting: Waiting, records: ExecutionRecords, views: Views) -> None:
        """Take the logs, and what shows an execution."""
        self._waiting = waiting
        self._records = records
        self._views = views

    async def follow(
        self, owner: str, execution_id: uuid.UUID, *, after: int | None, takes_tokens: bool
    ) -> AsyncGenerator[Sequence[Notice]]:
        """Give notices in batches, until the last event; an empty batch is a sign of life.

        An outage of the database is sat through. When the log ends before what is known, that is told, and a snapshot
        follows.

        Args:
            owner: Whose execution it is.
            execution_id: The execution.
            after: The number of the last event that is known; None to begin with how the execution stands.
            takes_tokens: Whether what models write comes in between.
        """
        yield []
        while True:
            try:
                if after is None:
                    snapshot, after = await self._snapshot(owner, execution_id)
                    yield [snapshot]
                batches = self._waiting.follow(owner, execution_id, after=after, takes_tokens=takes_tokens)
                async with aclosing(batches):
                    async for batch in batches:
                        yield [_notice_of(event) for event in batch]
                        for event in batch:
                            after = event.seq if isinstance(event, ExecutionEvent) else after
                return
            except NotFound:
                return
            except LogEndsBefore:
                after = None
                yield [Notice(RESET, {"reason": NO_SUCH_PLACE})]
                continue
            except OUTAGE as error:
                log.warning("stream_waits", reason=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
            yield []

    async def _snapshot(self, owner: str, execution_id: uuid.UUID) -> tuple[Notice, int]:
        execution = await self._records.read(owner, execution_id)
        view = await self._views.view(execution, refs=True)
        place = execution.event_seq
        return Notice(SNAPSHOT, view.model_dump(mode="json"), str(place)), place


def _notice_of(event: ExecutionEvent | Token) -> Notice:
    if isinstance(event, Token):
        # Without a place: a stream that goes on later does not have it again.
        shown = {
            "node_id": event.node_id,
            "node_execution_id": event.node_execution_id,
            "text": event.text,
        }
        return Notice(TOKEN, shown)
    view = EventView(seq=event.seq, type=event.type, data=event.data, at=event.at)
    return Notice(event.type, view.model_dump(mode="json"), str(event.seq))
