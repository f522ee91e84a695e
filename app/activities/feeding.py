"""Carries records from where they are kept to where it is decided what is taken over of them, some at a time."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.activities.node_runs import batched
from app.errors import NotFound
from app.graph.changes import Version
from app.graph.envelope import Envelope
from app.graph.reuse import Key, Recorded, Reuse
from app.models.reused import RecordedRow

BATCH = 200
"""Rows that are loaded together. A row holds at most some 64 KiB inline."""


class OriginalDeleted(NotFound):
    """The execution that was to be run again has been deleted."""


class RecordSource(Protocol):
    """Where the record of an execution is read."""

    async def list_ids(self) -> Sequence[uuid.UUID]:
        """Return the ids of all node executions in the order in which they ended."""

    async def load(self, ids: Sequence[uuid.UUID]) -> Sequence[RecordedRow]:
        """Return those of some node executions that there still are, in the same order."""

    async def open(self, envelopes: Iterable[Envelope]) -> Mapping[str, Any]:
        """Return referenced values by hash."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A node execution of a node that there still is."""

    row: RecordedRow
    node: int
    """The node's number in the version that is walked now."""
    is_taken: bool
    """Whether it is taken over. One that is not may be offered again later."""


async def feed(reuse: Reuse, version: Version, source: RecordSource) -> AsyncIterator[list[Offered]]:
    """Offer all records in their order, those that came too early again; give what became of them, batch by batch.

    Raises:
        OriginalDeleted: Records have vanished meanwhile.
    """
    late: dict[Key, uuid.UUID] = {}
    for ids in batched(await source.list_ids(), BATCH):
        yield await _offer(reuse, version, source, ids, late)
        while due := reuse.take_due():
            for keys in batched(due, BATCH):
                yield await _offer(reuse, version, source, [late.pop(key) for key in keys], late)


async def _offer(
    reuse: Reuse,
    version: Version,
    source: RecordSource,
    ids: Sequence[uuid.UUID],
    late: dict[Key, uuid.UUID],
) -> list[Offered]:
    rows = await source.load(ids)
    if len(rows) < len(ids):
        raise OriginalDeleted
    known = [(row, _recorded(row, version)) for row in rows if row.node_id in version.numbers]
    wanted = [recorded for _, recorded in known if reuse.wants(recorded)]
    picked = [envelope for recorded in wanted for envelope in reuse.list_picked_from(recorded)]
    values = await source.open(picked) if picked else {}
    offered = []
    for row, recorded in known:
        is_taken = reuse.offer(recorded, values)
        if not is_taken:
            late[recorded.key] = row.id
        offered.append(Offered(row, recorded.node, is_taken))
    return offered


def _recorded(row: RecordedRow, version: Version) -> Recorded:
    return Recorded(version.numbers[row.node_id], row.n, row.status, row.inputs, row.outputs)
