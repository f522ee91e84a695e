"""One attempt at a remote node execution: the block is run, and what became of it is written before anybody is told."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
import structlog
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from app.activities.attempts import end_task
from app.activities.charging import Charging
from app.activities.contracts.node_calls import NodeResult
from app.activities.failures import (
    UNPAID_ERRORS,
    BlockCrashed,
    BlockTimedOut,
    OutcomeUnknown,
    TooLate,
    WorkerLost,
    unpaid,
)
from app.activities.node_runs import NodeRun
from app.activities.outages import wait_out
from app.activities.recorder import Recorder
from app.activities.value_store import ValueMissing
from app.blocks.base import Emitted, RemoteBlock
from app.blocks.calling import check_output, prepare
from app.blocks.context import BlockContext
from app.errors import BlockError
from app.graph.plan import Call
from app.graph.status import TERMINAL, Status
from app.json_values import to_json
from app.models import recording
from app.models.changes import Changes
from app.models.conversations import TurnRecord
from app.secrecy import has_secrets, note_secrets, scrub, texts_by_secret_name

QUICK_SECONDS = 0.1
"""A block that ends within this is recorded once, at its end; a longer one also when it has begun."""
MAX_UNWRITTEN_BYTES = 32 * 1024 * 1024
"""What a block has emitted is written while it runs once its large values come to more than this."""

log = structlog.get_logger(__name__)


class Attempt:
    """One attempt at a remote node execution."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        recorder: Recorder,
        run: NodeRun,
        block: RemoteBlock,
        options: Call,
        context: BlockContext,
        *,
        owner: str,
        credentials: Mapping[str, str],
    ) -> None:
        """Take what the attempt needs; nothing happens yet.

        Args:
            pool: The record.
            recorder: Writes it.
            run: What is recorded of the node execution.
            block: What to run.
            options: How often it is tried, and for how long.
            context: What the block may use.
            owner: Whose the execution is.
            credentials: Ids of the credentials that were chosen, by input of the block.
        """
        self._pool = pool
        self._recorder = recorder
        self.run = run
        self._block = block
        self._options = options
        self._context = context
        self._owner = owner
        self._credentials = credentials
        self._began = datetime.now(UTC)
        self._announcing: asyncio.Task[None] | None = None
        self._charging = Charging(pool, run, block, owner=owner)
        self.runs_low = False
        """Whether what the call was charged has left few credits."""

    @property
    def limit(self) -> int:
        """How many attempts there are to be at most."""
        return self._options.max_attempts

    async def give_up(self) -> None:
        """Write down that the last attempt was lost with its worker.

        Raises:
            ApplicationError: Always.
        """
        await self._fail(WorkerLost())

    async def find_recorded(self) -> NodeResult | None:
        """Return what an earlier attempt has recorded, or None when this one is to run.

        Raises:
            ApplicationError: An earlier attempt has recorded a failure, or may have taken effect and is not repeated.
        """
        self._charging.expect_earlier()
        async with self._pool.acquire() as connection:
            found = await recording.find_node_record(
                connection, self.run.execution_id, self.run.number, n=self.run.n, owner=self._owner
            )
        if found is None:
            return None
        status, outputs, error, usage, self.run.cost = found
        self.run.meter.raise_to(usage)
        if status not in TERMINAL:
            if status is Status.RUNNING and self._options.is_at_most_once:
                await self._fail(OutcomeUnknown())
            return None
        try:
            opened = await self.run.shelf.open({str(at): output[1] for at, output in enumerate(outputs)})
        except ValueMissing as missing:
            raise ApplicationError(missing.message, [], type=missing.code, non_retryable=True) from missing
        for number, (pin, envelope) in enumerate(outputs):
            self.run.route(pin, opened[str(number)], envelope)
        if status in (Status.COMPLETED, Status.SKIPPED):
            return NodeResult(self.run.fold())
        failure = error or {"message": "The execution has ended", "code": "CANCELLED"}
        raise ApplicationError(failure["message"], self.run.fold(), type=failure["code"], non_retryable=True)

    async def perform(self) -> NodeResult:
        """Run the block, and write down what became of it.

        Raises:
            ApplicationError: The attempt failed.
        """
        if self.run.node.is_skipped(self._credentials):
            await self._record(Status.SKIPPED, is_end=True)
            return NodeResult([])
        data = await self._open_given()
        try:
            given = self._prepare(data)
            await self._charging.reserve()
            async with self._announced():
                await self._run_block(given)
        except BlockError as error:
            await self._fail(error)
        except UNPAID_ERRORS as error:
            raise unpaid(error) from None
        except TooLate:
            raise ApplicationError(
                "The execution has ended", [], type="CANCELLED", non_retryable=True
            ) from None
        except Exception as error:  # a block is foreign code: whatever escapes it is this attempt's failure
            log.exception("block_crashed")
            await self._fail(BlockCrashed(f"{type(error).__name__} in the block"))
        return await self._end()

    async def _end(self) -> NodeResult:
        """Write down that the block has ended."""
        emissions = self.run.fold()
        await self._record(Status.COMPLETED, is_end=True, cost=self._charging.count_open())
        return NodeResult(emissions)

    def _prepare(self, data: dict[str, Any]) -> Any:
        """Return the inputs as the block takes them, and note what the call is estimated to cost."""
        given = prepare(self._block, data, self.run.node.input_default, mask=self._references())
        plain = given.model_dump()
        note_secrets(texts_by_secret_name(plain))
        self._charging.price.read(plain)
        return given

    async def _open_given(self) -> dict[str, Any]:
        try:
            return await wait_out(lambda: self.run.shelf.open(self.run.given))
        except ValueMissing as error:
            self.run.forget(error.hashes)
            await self._fail(error)
            raise

    async def _run_block(self, given: Any) -> None:
        run = self.run
        self._charging.price.begin()
        try:
            async with asyncio.timeout(self._options.timeout_seconds) as limit:
                emitting = cast("AsyncGenerator[Emitted, None]", self._block.run(given, self._context))
                async with contextlib.aclosing(emitting):
                    async for pin, value in emitting:
                        self._take(pin, value)
                        if run.shelf.unwritten_bytes > MAX_UNWRITTEN_BYTES:
                            await self._write_so_far(limit)
        except TimeoutError as error:
            raise BlockTimedOut(
                f"The block did not end within {self._options.timeout_seconds:g} s"
            ) from error

    def _references(self) -> dict[str, Any]:
        """Return what the block sees of its credentials: which they are."""
        chosen = self._credentials
        return {name: {"id": chosen[name]} if name in chosen else None for name in self._block.credentials}

    def _take(self, pin: str, value: Any) -> None:
        """Take what the block emits."""
        jsonable = to_json(value)
        check_output(self._block, pin, jsonable)
        self.run.emit(pin, jsonable)
        self._charging.price.count(jsonable)

    async def _write_so_far(self, limit: asyncio.Timeout) -> None:
        """Write down what the block has emitted: memory may not hold all of it. That is not the block's time."""
        loop = asyncio.get_running_loop()
        left = (limit.when() or math.inf) - loop.time()
        limit.reschedule(None)
        await self._record(Status.RUNNING)
        limit.reschedule(loop.time() + left)

    async def _fail(self, error: BlockError) -> None:
        """Write down that the attempt failed, and tell Temporal whether another is to follow."""
        if self._options.is_at_most_once and error.details.get("outcome_unknown"):
            error = OutcomeUnknown(f"{error.message}; it may have taken effect and is not repeated")
        is_final = not error.is_transient or self._context.is_last_attempt
        status = Status.FAILED if is_final else Status.QUEUED
        emissions = self.run.fold()
        message = scrub(error.message)
        await self._record(status, is_end=is_final, error=(error.code, message))
        pause = error.retry_after_seconds
        raise ApplicationError(
            message,
            emissions,
            type=error.code,
            non_retryable=is_final,
            next_retry_delay=timedelta(seconds=pause) if pause and not is_final else None,
            category=ApplicationErrorCategory.BENIGN,  # a block's failure is data of the graph, not of the worker
            # What it comes from is written into the history with it, and may quote a secret.
        ) from (None if has_secrets() else error)

    async def _record(
        self,
        status: Status,
        *,
        is_end: bool = False,
        error: tuple[str, str] | None = None,
        turn: TurnRecord | None = None,
        cost: int = 0,
    ) -> None:
        """Write the row and its event, and charge what the call has cost.

        Keeps trying while a store is away, since the block has done its work.
        """
        if status is not Status.RUNNING or turn is not None:
            await self._stop_announcing()
        ended = datetime.now(UTC) if is_end else None
        changes = Changes()
        self.run.cost += cost
        if is_end or turn is not None:
            self._charging.settle(changes, cost)
        self.run.write(changes, status, started_at=self._began, ended_at=ended, error=error)
        if turn is not None:
            changes.turns.append(turn)
        await wait_out(lambda: self._write(changes))

    async def _write(self, changes: Changes) -> None:
        changes.values = await self.run.shelf.stow()
        await self._recorder.record(self.run.execution_id, changes, owner=self._owner)
        self.runs_low |= changes.runs_low
        self.run.shelf.note_written(changes.values)

    @contextlib.asynccontextmanager
    async def _announced(self) -> AsyncIterator[None]:
        """Record the begin of a block that takes longer, while it runs; of one that must not run twice, before."""
        if self._options.is_at_most_once:
            await self._record(Status.RUNNING)
        else:
            self._announcing = asyncio.create_task(self._announce())
        try:
            yield
        finally:
            await self._stop_announcing()

    async def _announce(self) -> None:
        await asyncio.sleep(QUICK_SECONDS)
        await self._record(Status.RUNNING)

    async def _stop_announcing(self) -> None:
        """See to it that the begin is recorded before the end, or not at all."""
        announcing, self._announcing = self._announcing, None
        if announcing is not None:
            await end_task(announcing)
