"""The reconciler's activities: what is open in the record is compared with Temporal, and what differs is put right.

Temporal is asked gently: once for a whole page, and one by one only for what it did not show as running.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import asyncpg
import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError

from app.activities.contracts.execution import WORKFLOW_NAME
from app.activities.contracts.reconciliation import (
    AdoptRequest,
    Found,
    Patience,
    ReconciliationActivities,
    SweepRequest,
    SweepResult,
)
from app.activities.couriers import Couriers
from app.activities.engine import new_execution
from app.activities.funding import fund_execution
from app.activities.parents import release_parent
from app.activities.queue import Queue
from app.activities.settling import Settling, cancel_execution, is_lost
from app.activities.starts import read_start
from app.errors import NotFound
from app.models import deliveries, execution_writes, idempotency, sweeps, unpaid
from app.models.deliveries import DeliveryKey
from app.models.file_collection import collect_files
from app.models.sweeps import QuietExecution, Waiter
from app.models.trial_spending import release_lost_trials
from app.models.value_collection import collect_values
from app.objects import ObjectsAway, ObjectStore
from app.telemetry.series import FINDINGS, RECONCILIATIONS
from app.telemetry.tallies import Tallies

PAGE_SIZE = 200
AT_ONCE = 8
"""Questions to Temporal under way."""
ADOPT_PAGE_SIZE = 500
ADOPT_AT_MOST = 10_000
"""How many open workflows are compared with the record, newest first: what has no record was started just now."""
COLLECTIONS_AT_MOST = 20
"""Calls of the collector in one reconciliation; what is left waits for the next."""
DELIVERIES_AT_MOST = 500
"""Deliveries that are begun in one reconciliation; what is left waits for the next."""
DELIVERIES_KEPT = timedelta(days=30)
"""After their end."""
TRIALS_TAKE = timedelta(hours=1)
"""A call of a block outside executions has long ended by then, or its worker is dead."""
RPC_TIMEOUT = timedelta(seconds=10)

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Reconciling(ReconciliationActivities):
    """Compares the record with Temporal."""

    def __init__(  # noqa: PLR0913 - both sides and all that closes records, each by name
        self,
        client: Client,
        pool: asyncpg.Pool[Any],
        settling: Settling,
        queue: Queue,
        couriers: Couriers,
        *,
        task_queue: str,
        tallies: Tallies,
        objects: ObjectStore | None = None,
        execution_files_kept: timedelta = timedelta(days=30),
    ) -> None:
        """Take both sides, and what closes records.

        Args:
            client: Of Temporal.
            pool: Of the record.
            settling: Closes records.
            queue: Of executions that wait for their turn.
            couriers: Have deliveries begin.
            task_queue: The common queue of our executions; a namespace may hold others'.
            tallies: Where what was found is counted.
            objects: Where large values are kept besides the database, if anywhere.
            execution_files_kept: How long files of an execution are kept after its end.
        """
        self._client = client
        self._pool = pool
        self._settling = settling
        self._queue = queue
        self._couriers = couriers
        self._task_queue = task_queue
        self._tallies = tallies
        self._objects = objects
        self._execution_files_kept = execution_files_kept

    @activity.defn(name="reconcile_page")
    async def reconcile_page(self, request: SweepRequest) -> SweepResult:
        """Compare one page of open executions with Temporal, and put right what differs."""
        patience = request.patience
        async with self._pool.acquire() as connection:
            page = await sweeps.list_quiet_executions(
                connection, after=request.after, quiet_seconds=patience.quiet_seconds, limit=PAGE_SIZE
            )
            waiters = await sweeps.list_waiters(
                connection, [row.id for row in page], quiet_seconds=patience.quiet_seconds
            )
            payable = await unpaid.find_payable(connection, [row.id for row in page])
            uncalled = await self._queue.find_with_room(connection, [row.id for row in page])
        running = await self._list_running([row.id for row in page])
        found = await put_each_right(page, lambda row: self._reconcile(row, row.id in running, patience))
        told = (await put_each_right(waiters, self._release)).plus(await put_each_right(payable, self._fund))
        told = told.plus(await put_each_right(uncalled, self._call))
        if request.after is None:
            told = told.plus(await self._begin_deliveries(patience))
        last = page[-1].id if len(page) == PAGE_SIZE else None
        return SweepResult(count_findings(self._tallies, found.plus(told)), last)

    @activity.defn(name="adopt_unrecorded")
    async def adopt_unrecorded(self, request: AdoptRequest) -> Found:
        """Record executions that run in Temporal without a record."""
        before = datetime.now(UTC) - timedelta(seconds=request.patience.quiet_seconds)
        unrecorded: list[str] = []
        ids: list[str] = []
        async for workflow in self._client.list_workflows(
            f"{self._open} AND StartTime < '{before.isoformat()}'",
            page_size=ADOPT_PAGE_SIZE,
            limit=ADOPT_AT_MOST,
            rpc_timeout=RPC_TIMEOUT,
        ):
            ids.append(workflow.id)
            if len(ids) == ADOPT_PAGE_SIZE:
                unrecorded += await self._find_unrecorded(ids)
                ids = []
        unrecorded += await self._find_unrecorded(ids)
        return count_findings(self._tallies, await put_each_right(unrecorded, self._adopt))

    @activity.defn(name="collect_values")
    async def collect(self) -> Found:
        """Clear away what has had its time: files, idempotency keys, what dead trials reserved, unused values."""
        await sweeps.delete_old_keys(self._pool, kept=idempotency.KEPT)
        await collect_files(self._pool, kept=self._execution_files_kept)
        await deliveries.delete_old(self._pool, kept=DELIVERIES_KEPT)
        await release_lost_trials(self._pool, older_than=TRIALS_TAKE)
        values = 0
        try:
            for _ in range(COLLECTIONS_AT_MOST):
                activity.heartbeat()
                collected = await collect_values(self._pool, self._objects)
                values += collected.values
                if collected.is_all:
                    break
        except ObjectsAway as error:
            log.warning("values_not_collected", reason=str(error))
        # The last step of a reconciliation: it went through.
        self._tallies.count(RECONCILIATIONS)
        return count_findings(self._tallies, Found(values=values))

    @property
    def _open(self) -> str:
        return (
            f"WorkflowType = '{WORKFLOW_NAME}' AND TaskQueue = '{self._task_queue}' "
            "AND ExecutionStatus = 'Running'"
        )

    async def _list_running(self, execution_ids: Sequence[str]) -> set[str]:
        """Return those that Temporal shows as running. It may show too much or too little for a moment."""
        if not execution_ids:
            return set()
        activity.heartbeat()
        names = ", ".join(f"'{execution_id}'" for execution_id in execution_ids)
        query = f"{self._open} AND WorkflowId IN ({names})"
        shown = self._client.list_workflows(query, page_size=len(execution_ids), rpc_timeout=RPC_TIMEOUT)
        try:
            return {workflow.id async for workflow in shown}
        except RPCError as error:
            # Lists are refused sooner than questions about one execution.
            log.info("executions_asked_one_by_one", reason=str(error))
            return set()

    async def _reconcile(self, row: QuietExecution, is_running: bool, patience: Patience) -> Found:
        if not is_running:
            may_be_lost = row.quiet_seconds >= patience.lost_seconds and not row.is_to_be_started
            verdict = await self._settling.settle(row.id, owner=row.user_id, may_be_lost=may_be_lost)
            if verdict is not None:
                return Found(checked=1, lost=1) if is_lost(verdict) else Found(checked=1, settled=1)
        if row.is_orphan:
            await cancel_execution(self._client, row.id)
            log.info("orphan_cancelled", execution_id=row.id)
            return Found(checked=1, orphans=1)
        return Found(checked=1)

    async def _release(self, waiter: Waiter) -> Found:
        await release_parent(self._client, waiter.execution_id, (waiter.node, waiter.n))
        return Found(released=1)

    async def _fund(self, execution_id: str) -> Found:
        # Whoever had the credits come in may not have known that it had stopped, or could not tell it.
        await fund_execution(self._client, execution_id)
        return Found(funded=1)

    async def _call(self, execution_id: str) -> Found:
        await self._queue.call(execution_id)
        return Found(called=1)

    async def _begin_deliveries(self, patience: Patience) -> Found:
        left = await deliveries.take_left(
            self._pool, quiet_seconds=patience.quiet_seconds, limit=DELIVERIES_AT_MOST
        )
        return await put_each_right(left, self._begin_delivery)

    async def _begin_delivery(self, key: DeliveryKey) -> Found:
        # Whoever has written it down could not have it begin, or what went on with it is gone.
        await self._couriers.start(key)
        return Found(delivered=1)

    async def _find_unrecorded(self, workflow_ids: Sequence[str]) -> list[str]:
        activity.heartbeat()
        async with self._pool.acquire() as connection:
            return await sweeps.find_unrecorded(connection, [id for id in workflow_ids if _is_uuid(id)])

    async def _adopt(self, execution_id: str) -> Found:
        try:
            start = await read_start(self._client, execution_id)
        except NotFound:
            return Found()
        async with self._pool.acquire() as connection:
            await execution_writes.insert_execution(connection, new_execution(execution_id, start))
        log.info("execution_adopted", execution_id=execution_id)
        return Found(adopted=1)


def count_findings(tallies: Tallies, found: Found) -> Found:
    """Count what was found, and return it."""
    for kind, number in asdict(found).items():
        if number:
            tallies.count(FINDINGS, kind, by=number)
    return found


async def put_each_right(items: Sequence[T], put_right: Callable[[T], Awaitable[Found]]) -> Found:
    """Put each of some things right, a few at a time, and return what was found together.

    What cannot be put right now must not keep the rest from it, so whatever goes wrong is logged and counted.
    """
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> Found:
        async with limit:
            activity.heartbeat()
            return await put_right(item)

    found = Found()
    results = await asyncio.gather(*map(one, items), return_exceptions=True)
    for item, result in zip(items, results, strict=True):
        if isinstance(result, Found):
            found = found.plus(result)
        else:
            log.warning("not_reconciled", item=str(item), reason=f"{type(result).__name__}: {result}")
            found = found.plus(Found(failed=1))
    return found


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
