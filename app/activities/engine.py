"""The engine's own activities. All run as local activities beside the workflow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import asyncpg
import structlog
from temporalio import activity
from temporalio.client import Client

from app.activities.contracts.engine import (
    BeginRequest,
    BeginResult,
    EngineActivities,
    FinishRequest,
    PartRequest,
    SeedRequest,
    StoreRequest,
)
from app.activities.contracts.execution import ErrorRecord, ExecutionStart, StoredState
from app.activities.contracts.waves import WaveRequest, WaveResult
from app.activities.couriers import Couriers
from app.activities.finishing import finish_execution
from app.activities.holds import Hold
from app.activities.origins import Origin, Origins
from app.activities.parents import release_parent
from app.activities.plans import PlanCache
from app.activities.queue import Queue
from app.activities.recorder import Recorder
from app.activities.seeding import Seeding
from app.activities.settling import count_end
from app.activities.value_store import ValueMissing
from app.activities.values import Shelf, ValueCache
from app.activities.waves import Wave
from app.blocks.base import Block
from app.errors import NotFound
from app.graph.packing import count_parts, pack, part_of
from app.graph.status import Status
from app.models import execution_writes
from app.models.changes import Changes, NewExecution, ValueCollected
from app.telemetry.series import BLOCK_CALLS
from app.telemetry.tallies import Tallies

RUN_INPUTS_KEPT = 512

log = structlog.get_logger(__name__)


class PostgresEngineActivities(EngineActivities):
    """The helper activities over a Postgres pool."""

    def __init__(  # noqa: PLR0913 - what all executions share, each by name
        self,
        client: Client,
        pool: asyncpg.Pool[Any],
        origins: Origins,
        plans: PlanCache,
        values: ValueCache,
        *,
        recorder: Recorder,
        holds: Mapping[type[Block], Hold],
        seeding: Seeding,
        queue: Queue,
        couriers: Couriers,
        tallies: Tallies,
    ) -> None:
        """Take what all executions share in this process.

        Args:
            client: Of the Temporal that the executions run in.
            pool: The database.
            origins: Whose executions are.
            plans: The plans met so far.
            values: The values met so far.
            recorder: Writes records.
            holds: What waits for something outside, by class of block.
            seeding: Prepares reruns.
            queue: Of executions that wait for their turn.
            couriers: Have users be told.
            tallies: Where what has happened is counted.
        """
        self._client = client
        self._pool = pool
        self._origins = origins
        self._plans = plans
        self._values = values
        self._recorder = recorder
        self._holds = holds
        self._seeding = seeding
        self._queue = queue
        self._couriers = couriers
        self._tallies = tallies
        self._run_inputs: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    @activity.defn(name="begin")
    async def begin(self, request: BeginRequest) -> BeginResult:
        """Record that the execution has begun, check its owner, and return the plan."""
        start = request.start
        try:
            async with self._pool.acquire() as connection:
                is_owned = await execution_writes.begin_execution(
                    connection,
                    new_execution(request.execution_id, start),
                    most_running=self._queue.most_running,
                    is_first_run=start.state is None,
                )
            # One that is sent to the queue may have been written down just now.
            status = Status.RUNNING if is_owned is not None and start.state is None else None
            self._recorder.tell(request.execution_id, status, owner=start.user_id)
            if is_owned is None:
                return BeginResult(is_admitted=False)
            if not is_owned:
                return BeginResult(refusal=ErrorRecord("NOT_FOUND", "The graph version does not exist"))
            plan = await self._plans.require(start.plan_hash)
            opened = await Shelf(start.user_id, self._values).open({"inputs": start.inputs})
        except (NotFound, ValueMissing) as error:
            return BeginResult(refusal=ErrorRecord(error.code, error.message))
        except ValueCollected:
            # Accepted, but begun so late that nobody remembers with what.
            return BeginResult(refusal=ErrorRecord(ValueMissing.code, "The inputs are no longer stored"))
        self._keep_run_inputs(request.execution_id, opened["inputs"])
        self._origins.put(request.execution_id, Origin.of(start))
        log.debug("execution_began", execution_id=request.execution_id)
        if plan.packed:
            return BeginResult(plan_parts=count_parts(plan.packed))
        return BeginResult(plan=plan.document)

    @activity.defn(name="seed")
    async def seed(self, request: SeedRequest) -> StoredState:
        """Record what a rerun reuses, and store the state that it begins with."""
        return await self._seeding.seed(request)

    @activity.defn(name="store")
    async def store(self, request: StoreRequest) -> StoredState:
        """Store a value, however small."""
        execution = request.execution
        shelf = Shelf(execution.user_id, self._values)
        envelope = shelf.store(request.value)
        changes = Changes(values=await shelf.stow())
        await self._recorder.record(execution.execution_id, changes, owner=execution.user_id)
        return StoredState(envelope, count_parts(pack(request.value)))

    @activity.defn(name="fetch_part")
    async def fetch_part(self, request: PartRequest) -> str:
        """Return a piece of a compressed document, in base64."""
        execution = request.execution
        if request.document is None:
            return part_of((await self._plans.require(execution.plan_hash)).packed, request.part)
        shelf = Shelf(execution.user_id, self._values)
        return part_of(pack((await shelf.open({"document": request.document}))["document"]), request.part)

    @activity.defn(name="wave")
    async def wave(self, request: WaveRequest) -> WaveResult:
        """Walk what is pure, and record it."""
        execution = request.execution
        shelf = Shelf(execution.user_id, self._values)
        plan = await self._plans.require(execution.plan_hash)
        run_inputs = await self._load_run_inputs(execution.execution_id, execution.user_id, shelf)
        wave = Wave(request, plan, run_inputs=run_inputs, shelf=shelf, holds=self._holds)
        result = await wave.walk()
        await self._recorder.record(execution.execution_id, wave.changes, owner=execution.user_id)
        for (block, status), number in wave.ended.items():
            self._tallies.count(BLOCK_CALLS, block, status, by=number)
        if request.marks and request.depth == 0:
            # What is paused or waits for a person gives its place away.
            await self._queue.call_next(execution.user_id)
        if wave.changes.reviews or wave.changes.paused_for:
            self._couriers.send_new(execution.execution_id, owner=execution.user_id)
        return result

    @activity.defn(name="finish")
    async def finish(self, request: FinishRequest) -> None:
        """Record how the execution ended, and tell the one that it is nested in. A repeat changes nothing."""
        plan = await self._plans.find(request.start.plan_hash)
        shelf = Shelf(request.start.user_id, self._values)
        async with self._pool.acquire() as connection:
            new = new_execution(request.execution_id, request.start)
            closed = await finish_execution(connection, request, new, plan, shelf=shelf)
        # Also when it was closed before: whoever did it may have died before this.
        self._recorder.tell(request.execution_id, Status(request.status), owner=request.start.user_id)
        if closed is not None:
            count_end(self._tallies, closed)
            self._couriers.send(closed.deliveries)
        self._run_inputs.pop(request.execution_id, None)
        if request.start.parent_node is None:
            await self._queue.call_next(request.start.user_id)
        # The run that started this execution hears of its end from Temporal, a later run of the same parent does not.
        await release_parent(self._client, request.start.parent_id, request.start.parent_node)

    async def _load_run_inputs(self, execution_id: str, owner: str, shelf: Shelf) -> Mapping[str, Any] | None:
        """Return the inputs of an execution, or None when they are not stored any more."""
        if execution_id not in self._run_inputs:
            async with self._pool.acquire() as connection:
                envelope = await execution_writes.require_inputs(connection, execution_id, owner=owner)
            try:
                opened = await shelf.open({"inputs": envelope})
            except ValueMissing:
                return None
            self._keep_run_inputs(execution_id, opened["inputs"])
        self._run_inputs.move_to_end(execution_id)
        return self._run_inputs[execution_id]

    def _keep_run_inputs(self, execution_id: str, run_inputs: Mapping[str, Any]) -> None:
        self._run_inputs[execution_id] = run_inputs
        if len(self._run_inputs) > RUN_INPUTS_KEPT:
            self._run_inputs.popitem(last=False)


def new_execution(execution_id: str, start: ExecutionStart) -> NewExecution:
    """Return the record of an execution as it was started."""
    return NewExecution(
        id=execution_id,
        user_id=start.user_id,
        graph_id=start.graph_id,
        graph_version=start.graph_version,
        plan_hash=start.plan_hash,
        trigger=start.trigger,
        inputs=start.inputs,
        created_at=datetime.fromisoformat(start.created_at),
        parent_id=start.parent_id,
        parent_node=start.parent_node,
        fingerprint=start.fingerprint,
        budget=start.budget,
        root_id=start.root_id,
        on_insufficient_credits=start.on_insufficient_credits,
        trigger_id=start.trigger_id,
        preset_id=start.preset_id,
        credentials=start.credentials,
    )
