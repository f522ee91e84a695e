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
from app.models.reused import CalledRow, RecordedRow

BATCH = 200
"""Rows that are loaded together. A row holds at most some 64 KiB inline."""


class OriginalDeleted(NotFound):
    """The execution that was to be run again has been deleted."""


class RecordSource(Protocol):
    """Where the record of an execution is read."""

    async def list_ids(self) -> Sequence[uuid.UUID]:
        """Return the ids of the node executions that links had begun, in the order in which they ended."""

    async def list_called(self) -> Sequence[CalledRow]:
        """Return those that others had called as tools, in the order in which they ended."""

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
    caller: Key | None = None
    """Of one that another had called: that one, by its number in the version that is walked now."""


async def feed(reuse: Reuse, version: Version, source: RecordSource) -> AsyncIterator[list[Offered]]:
    """Offer all records in their order, those that came too early again; give what became of them, batch by batch.

    What had been called as a tool is taken over with whoever had called it, and never offered to links.

    Raises:
        OriginalDeleted: Records have vanished meanwhile.
    """
    called = [row for row in await source.list_called() if row.node_id in version.numbers]
    reuse.begin(reserved={(version.numbers[row.node_id], row.n) for row in called})
    taken: dict[uuid.UUID, Key] = {}
    callers = {row.called_by for row in called}
    async for offered in _feed_links(reuse, version, source):
        taken |= {
            one.row.id: (one.node, one.row.n) for one in offered if one.is_taken and one.row.id in callers
        }
        yield offered
    # A caller ends after all that it has called.
    for row in reversed(called):
        if row.called_by in taken:
            taken[row.id] = (version.numbers[row.node_id], row.n)
    for batch in batched(called, BATCH):
        yield await _take_called(reuse, version, source, batch, taken)


async def _feed_links(reuse: Reuse, version: Version, source: RecordSource) -> AsyncIterator[list[Offered]]:
    late: dict[Key, uuid.UUID] = {}
    for ids in batched(await source.list_ids(), BATCH):
        yield await _offer(reuse, version, source, ids, late)
        while due := reuse.take_due():
            for keys in batched(due, BATCH):
                yield await _offer(reuse, version, source, [late.pop(key) for key in keys], late)


async def _take_called(
    reuse: Reuse,
    version: Version,
    source: RecordSource,
    called: Sequence[CalledRow],
    taken: Mapping[uuid.UUID, Key],
) -> list[Offered]:
    callers = {row.id: taken.get(row.called_by) for row in called}
    rows = await source.load(list(callers))
    if len(rows) < len(callers):
        raise OriginalDeleted
    offered = []
    for row in rows:
        caller, node = callers[row.id], version.numbers[row.node_id]
        if caller is not None:
            reuse.take_called((node, row.n))
        offered.append(Offered(row, node, caller is not None, caller))
    return offered


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
