"""All executions of a user, or of a graph, as they are followed: a snapshot of the newest, then what happens to each.

What happens in single node executions is told by the log of their execution alone.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import struct
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from app.api.live.event_hub import EventHub, Subscription
from app.api.live.notices import OUTAGE, RESET, RETRY_SECONDS, SNAPSHOT, Notice
from app.api.schemas.live import FeedEventView, FeedPageView
from app.api.services.views import Views
from app.api.services.waiting import HEARTBEAT_SECONDS, SHORTEST_REST_SECONDS
from app.api.shared_reads import SharedReads
from app.database import Sessions
from app.errors import InvalidRequest
from app.models.event_feed import FeedEvent, FeedPart, Position, begin_feed, read_feed
from app.models.executions import ExecutionFilter

BATCH = 200
SHOWN = 50
"""Executions in a snapshot, the newest."""
PARTS = 10
"""The most parts of the order in which one call looks for something that is the owner's."""
LONGEST_REST_SECONDS = 1.0
"""Between looks whether an older transaction has ended, which nobody announces."""
RESTORED = "The database was restored: what was told before may not have happened"
_PLACE = struct.Struct(">qQ16sq")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to go on, and in which life of the database that means anything."""

    life: int
    position: Position

    def write(self) -> str:
        """Return it as an opaque text."""
        transaction, execution_id, seq = self.position
        packed = _PLACE.pack(self.life, transaction, execution_id.bytes, seq)
        return base64.urlsafe_b64encode(packed).decode("ascii").rstrip("=")


def read_place(text: str) -> Place:
    """Return the place that a text names.

    Raises:
        InvalidRequest: It names none.
    """
    try:
        packed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        life, transaction, execution_id, seq = _PLACE.unpack(packed)
    except (ValueError, binascii.Error, struct.error) as error:
        raise InvalidRequest("This is no place to go on from") from error
    return Place(life, Position(min(transaction, 2**63 - 1), uuid.UUID(bytes=execution_id), seq))


class _Asked(NamedTuple):
    """What is to be read next, for all who have come as far and follow the same."""

    owner: str
    graph_id: uuid.UUID | None
    place: Place


class Feeds:
    """Follows many executions at once."""

    def __init__(self, sessions: Sessions, hub: EventHub, views: Views) -> None:
        """Take the record, what announces its growth, and what shows executions."""
        self._sessions = sessions
        self._hub = hub
        self._views = views
        self._reads = SharedReads(self._read, rest_seconds=SHORTEST_REST_SECONDS)

    async def follow(
        self, owner: str, *, graph_id: uuid.UUID | None, after: Place | None
    ) -> AsyncGenerator[Sequence[Notice]]:
        """Give notices in batches for as long as they are taken; an empty batch is a sign of life.

        An outage of the database is sat through. When another life of it begins, that is told, and a snapshot follows.

        Args:
            owner: Whose executions.
            graph_id: Only of this graph; None for all.
            after: Where to go on; None to begin with a snapshot.
        """
        yield []
        place = after
        while not self._hub.is_closed:
            try:
                async with self._hub.subscribe_to_user(owner) as subscription:
                    begun = await self._begin(place)
                    if begun != place:
                        if place is not None:
                            yield [Notice(RESET, {"reason": RESTORED})]
                        yield [await self._snapshot(owner, graph_id, begun)]
                    place = begun
                    async for reached, notices in self._read_on(owner, graph_id, begun, subscription):
                        place = reached
                        yield notices or [Notice(place=place.write())]
            except OUTAGE as error:
                log.warning("stream_waits", reason=type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
                yield []

    async def read(
        self, owner: str, *, graph_id: uuid.UUID | None, after: Place | None, limit: int
    ) -> FeedPageView:
        """Return what has happened since a place, in one piece; without one, where things stand now.

        Args:
            owner: Whose executions.
            graph_id: Only of this graph; None for all.
            after: The place.
            limit: The most events.
        """
        begun = await self._begin(after)
        if begun != after:
            return FeedPageView(items=[], after=begun.write(), reset=after is not None)
        async with self._sessions() as session:
            part = await read_feed(session, owner, graph_id=graph_id, after=begun.position, limit=limit)
            for _ in range(1, PARTS):
                if part.events or not part.has_more:
                    break
                part = await read_feed(session, owner, graph_id=graph_id, after=part.position, limit=limit)
        items = [_view_of(event) for event in part.events]
        return FeedPageView(
            items=items, after=Place(begun.life, part.position).write(), has_more=part.has_more
        )

    async def _begin(self, after: Place | None) -> Place:
        """Return the place to go on from, or the present one when there is none that means anything."""
        async with self._sessions() as session:
            now = await begin_feed(session)
        is_known = after is not None and after.life == now.life
        if after is not None and is_known and after.position <= now.position:
            return after
        return Place(now.life, now.position)

    async def _snapshot(self, owner: str, graph_id: uuid.UUID | None, place: Place) -> Notice:
        page = await self._views.view_list(
            owner, ExecutionFilter(graph_id), cursor=None, limit=SHOWN, refs=True
        )
        shown = [view.model_dump(mode="json") for view in page.items]
        return Notice(SNAPSHOT, {"executions": shown, "next_cursor": page.next_cursor}, place.write())

    async def _read_on(
        self, owner: str, graph_id: uuid.UUID | None, place: Place, subscription: Subscription
    ) -> AsyncIterator[tuple[Place, Sequence[Notice]]]:
        """Give what comes next and the place behind it; now and then nothing, with the place that is reached."""
        silent_since = time.monotonic()
        rest_seconds = SHORTEST_REST_SECONDS
        # Behind another connection may be another life of the database, where the place means nothing.
        while not self._hub.is_closed and self._hub.connections == subscription.connection:
            part, notices = await self._reads.get(_Asked(owner, graph_id, place))
            place = Place(place.life, part.position)
            if notices or time.monotonic() - silent_since >= HEARTBEAT_SECONDS:
                silent_since = time.monotonic()
                yield place, notices
            if part.has_more:
                continue
            longest = HEARTBEAT_SECONDS - (time.monotonic() - silent_since)
            if part.is_held:
                rest_seconds = min(2 * rest_seconds, LONGEST_REST_SECONDS)
                longest = min(longest, rest_seconds)
            else:
                rest_seconds = SHORTEST_REST_SECONDS
            await subscription.wait(max(0.0, longest))

    async def _read(self, asked: _Asked) -> tuple[FeedPart, Sequence[Notice]]:
        async with self._sessions() as session:
            part = await read_feed(
                session, asked.owner, graph_id=asked.graph_id, after=asked.place.position, limit=BATCH
            )
        return part, [_notice_of(event, asked.place.life) for event in part.events]


def _view_of(event: FeedEvent) -> FeedEventView:
    return FeedEventView(
        execution_id=event.position.execution_id,
        graph_id=event.graph_id,
        seq=event.position.seq,
        type=event.type,
        data=event.data,
        at=event.at,
    )


def _notice_of(event: FeedEvent, life: int) -> Notice:
    place = Place(life, event.position).write()
    return Notice(event.type, _view_of(event).model_dump(mode="json"), place)
