"""Prepares a rerun: records what it reuses of another execution, and makes the state that it begins with."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import structlog

from app.activities.contracts.engine import SeedRequest
from app.activities.contracts.execution import ExecutionStart, Rerun, StoredState
from app.activities.feeding import Offered, OriginalDeleted, feed
from app.activities.node_runs import dump, node_execution_id
from app.activities.recorder import Recorder
from app.activities.value_store import ValueMissing
from app.activities.values import Shelf, ValueCache
from app.graph.changes import Version, Walked, find_cone
from app.graph.envelope import Envelope
from app.graph.packing import count_parts, pack
from app.graph.reuse import Reuse
from app.graph.scheduler import Scheduler
from app.graph.validation import Signatures
from app.graph.walk_state import Failure
from app.models import reused
from app.models.changes import Changes, EventRecord
from app.models.event_types import EventType
from app.models.reused import CalledRow, Original, RecordedRow, ReusedRow
from app.models.value_uses import copy_uses

STATE_FORMAT = 1
NAMED_AT_MOST = 100
"""How many nodes the event names; it counts the rest."""

log = structlog.get_logger(__name__)


class Seeding:
    """Prepares reruns. Everything may be repeated: it comes out the same, and is written once."""

    def __init__(
        self, pool: asyncpg.Pool[Any], recorder: Recorder, values: ValueCache, signatures: Signatures
    ) -> None:
        """Take what preparing needs.

        Args:
            pool: The database.
            recorder: Writes records.
            values: The values met so far.
            signatures: The blocks there are.
        """
        self._pool = pool
        self._recorder = recorder
        self._values = values
        self._signatures = signatures

    async def seed(self, request: SeedRequest) -> StoredState:
        """Record what a rerun reuses, and store the state that it begins with."""
        owner = request.execution.user_id
        shelf = Shelf(owner, self._values)
        try:
            return await self._prepare(request, shelf)
        except (OriginalDeleted, ValueMissing) as error:
            # Without the whole record nobody can say what has been done before, so nothing is done at all.
            scheduler = Scheduler((await self._load(request.start.plan_hash)).plan, max_node_executions=0)
            scheduler.failure = Failure(None, error.code, error.message)
            return await self._store(request, shelf, scheduler.snapshot(), [])

    async def _prepare(self, request: SeedRequest, shelf: Shelf) -> StoredState:
        execution, rerun = request.execution, _require_rerun(request.start)
        original = await self._require_original(rerun, execution.user_id)
        version, cone = await self._compare(original, request.start, rerun, shelf)
        async with self._pool.acquire() as connection:
            await copy_uses(connection, rerun.execution_id, execution.execution_id, owner=execution.user_id)
        reuse = Reuse(
            version,
            cone=cone,
            is_strict=rerun.nodes is None,
            max_node_executions=request.start.limits.max_node_executions,
            wrap=lambda value: shelf.wrap(value)[0],
        )
        source = PostgresRecords(self._pool, rerun.execution_id, shelf, owner=execution.user_id)
        async for offered in feed(reuse, version, source):
            if not await self._take_over(request, rerun, offered):
                break
        # Whoever deletes it meanwhile takes rows away that were to be copied.
        await self._require_original(rerun, execution.user_id)
        log.info("execution_seeded", execution_id=execution.execution_id, reused=reuse.reused.total())
        event = _event_of(rerun, version, reuse.reused)
        return await self._store(request, shelf, reuse.snapshot(shelf.store), [event])

    async def _require_original(self, rerun: Rerun, owner: str) -> Original:
        original = await reused.find_original(self._pool, rerun.execution_id, owner=owner)
        if original is None:
            raise OriginalDeleted
        return original

    async def _compare(
        self, original: Original, start: ExecutionStart, rerun: Rerun, shelf: Shelf
    ) -> tuple[Version, set[int]]:
        """Return what is walked, and which of its nodes are executed again in any case."""
        inputs = await shelf.open({"before": original.inputs, "now": start.inputs})
        version = await self._load(start.plan_hash)
        before = version if original.plan_hash == start.plan_hash else await self._load(original.plan_hash)
        cone = find_cone(
            Walked(before, inputs["before"]), Walked(version, inputs["now"]), chosen=rerun.nodes or ()
        )
        return version, cone

    async def _load(self, plan_hash: str) -> Version:
        plan, configuration = await reused.require_compiled(self._pool, plan_hash)
        return Version.from_json(plan, configuration, self._signatures)

    async def _take_over(self, request: SeedRequest, rerun: Rerun, offered: Iterable[Offered]) -> bool:
        """Copy the records that are taken over; answer whether the rerun is still open."""
        execution = request.execution
        rows = [
            ReusedRow(
                one.row.id,
                node_execution_id(execution.execution_id, one.node, one.row.n),
                one.node,
                node_execution_id(execution.execution_id, *one.caller) if one.caller else None,
            )
            for one in offered
            if one.is_taken
        ]
        if not rows:
            return True
        async with self._pool.acquire() as connection:
            return await reused.copy_rows(
                connection, rerun.execution_id, execution.execution_id, rows, owner=execution.user_id
            )

    async def _store(
        self, request: SeedRequest, shelf: Shelf, scheduler: dict[str, Any], events: list[EventRecord]
    ) -> StoredState:
        execution = request.execution
        document = {"v": STATE_FORMAT, "scheduler": scheduler}
        envelope = shelf.store(document)
        changes = Changes(values=await shelf.stow(), events=events)
        await self._recorder.record(execution.execution_id, changes, owner=execution.user_id)
        return StoredState(envelope, count_parts(pack(document)))


class PostgresRecords:
    """The record of an execution, for an activity."""

    def __init__(self, pool: asyncpg.Pool[Any], execution_id: str, shelf: Shelf, *, owner: str) -> None:
        """Take whose record it is, and where its values are."""
        self._pool = pool
        self._owner = owner
        self._execution_id = execution_id
        self._shelf = shelf

    async def list_ids(self) -> Sequence[uuid.UUID]:
        """Return the ids of the node executions that links had begun, in the order in which they ended."""
        return await reused.list_row_ids(self._pool, self._execution_id, owner=self._owner)

    async def list_called(self) -> Sequence[CalledRow]:
        """Return those that others had called as tools, in the order in which they ended."""
        return await reused.list_called(self._pool, self._execution_id, owner=self._owner)

    async def load(self, ids: Sequence[uuid.UUID]) -> Sequence[RecordedRow]:
        """Return those of some node executions that there still are, in the same order."""
        return await reused.load_rows(self._pool, self._execution_id, ids, owner=self._owner)

    async def open(self, envelopes: Iterable[Envelope]) -> Mapping[str, Any]:
        """Return referenced values by hash."""
        return await self._shelf.open({envelope[0]: envelope for envelope in envelopes})


def _require_rerun(start: ExecutionStart) -> Rerun:
    if start.rerun is None:
        raise RuntimeError("Only a rerun begins with what another execution has done")
    return start.rerun


def _event_of(rerun: Rerun, version: Version, counts: Counter[int]) -> EventRecord:
    nodes = {version.nodes[number].id: counts[number] for number in sorted(counts)[:NAMED_AT_MOST]}
    data = {"execution_id": rerun.execution_id, "node_executions": counts.total(), "nodes": nodes}
    return EventRecord("reused", EventType.EXECUTION_REUSED, dump(data))
