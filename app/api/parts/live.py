"""The parts of the API by which executions are watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.api.live.channels import EXECUTION, GRAPH, Channel
from app.api.live.event_hub import EventHub
from app.api.live.feeds import Feeds
from app.api.live.following import Following
from app.api.live.tickets import TicketSigner
from app.api.services.graphs import Graphs
from app.api.services.records import ExecutionRecords
from app.api.services.views import Views
from app.api.services.waiting import Waiting
from app.database import Sessions
from app.encryption.keys import EncryptionKey


@dataclass(frozen=True, kw_only=True)
class Live:
    """What streams and sockets are served from."""

    following: Following
    feeds: Feeds
    tickets: TicketSigner
    origins: frozenset[str]
    """Whose pages may open sockets."""
    records: ExecutionRecords
    graphs: Graphs

    async def require(self, owner: str, channel: Channel) -> None:
        """Check that what is to be followed is there.

        Raises:
            NotFound: The owner has no such execution or graph.
        """
        if channel.id is None:
            return
        if channel.kind == EXECUTION:
            await self.records.require(owner, channel.id)
        elif channel.kind == GRAPH:
            await self.graphs.require(owner, channel.id)


def make_live(
    sessions: Sessions,
    hub: EventHub,
    *,
    waiting: Waiting,
    records: ExecutionRecords,
    views: Views,
    graphs: Graphs,
    keys: Sequence[EncryptionKey],
    origins: Sequence[str],
) -> Live:
    """Put the parts together.

    Args:
        sessions: The record.
        hub: Announces what is new in it.
        waiting: Follows logs.
        records: Finds executions.
        views: Shows them.
        graphs: Finds graphs.
        keys: What tickets are signed with, newest first.
        origins: Whose pages may open sockets.
    """
    return Live(
        following=Following(waiting, records, views),
        feeds=Feeds(sessions, hub, views),
        tickets=TicketSigner(keys),
        origins=frozenset(origins),
        records=records,
        graphs=graphs,
    )
