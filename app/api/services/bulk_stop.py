"""Stops many executions at once. Cancelling is asynchronous: an answer comes in time, however many there are."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from app.activities.settling import STOP_REASON, cancel_execution
from app.api.engine import RPC_TIMEOUT, Engine, engine_errors
from app.api.services.records import ExecutionRecords
from app.database import Sessions
from app.errors import EngineUnavailable
from app.graph.status import Status
from app.models import executions
from app.models.executions import OpenFilter

AT_ONCE = 32
"""Calls to Temporal under way."""
ANSWER_WITHIN_SECONDS = 20.0
MOST_AT_ONCE = 20_000
LOOK_SECONDS = 0.2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BulkStop:
    """What became of the executions that were to be stopped."""

    matched: int
    requested: int
    stopped: int
    ended: int
    not_found: int


class BulkStopping:
    """Stops what an owner names."""

    def __init__(
        self,
        sessions: Sessions,
        engine: Engine,
        records: ExecutionRecords,
        *,
        stop_deadline_seconds: float,
    ) -> None:
        """Take what it needs.

        Args:
            sessions: Where executions are recorded.
            engine: Where they run.
            records: Has the records closed of those that had to be terminated.
            stop_deadline_seconds: How long nothing may end before the rest is terminated.
        """
        self._sessions = sessions
        self._engine = engine
        self._records = records
        self._stop_deadline_seconds = stop_deadline_seconds

    async def stop(
        self,
        owner: str,
        *,
        ids: Sequence[str] | None = None,
        graph_id: uuid.UUID | None = None,
        status: Status | None = None,
    ) -> BulkStop:
        """Stop those of an owner's open executions that everything given names.

        Raises:
            EngineUnavailable: Nothing can be stopped now.
        """
        deadline = time.monotonic() + ANSWER_WITHIN_SECONDS
        named = None if ids is None else _read_ids(ids)
        wanted = OpenFilter(ids=named, graph_id=graph_id, status=status)
        async with self._sessions() as session:
            known, ended = (0, 0) if named is None else await executions.count_known(session, owner, named)
            matched = await executions.count_open(session, owner, wanted)
            found = await executions.list_open_ids(session, owner, wanted, limit=MOST_AT_ONCE)
        client = await self._engine.client()
        asked = await _all(found, lambda id: cancel_execution(client, str(id)), deadline=deadline)
        left = await self._until_ended(owner, asked, deadline)
        if left and time.monotonic() < deadline:
            log.warning("stop_terminated", executions=len(left))
            # In any order: without a worker nothing ends in the record, so a repeat is to reach other ones.
            order = random.sample(list(left), len(left))
            done = await _all(order, lambda id: self._terminate(client, owner, id), deadline=deadline)
            left -= set(done)
        return BulkStop(
            matched=max(matched, len(found)),
            requested=len(asked),
            stopped=len(asked) - len(left),
            ended=ended,
            not_found=len(set(ids or ())) - known,
        )

    async def _until_ended(self, owner: str, asked: Sequence[uuid.UUID], deadline: float) -> set[uuid.UUID]:
        """Wait as long as executions keep ending; return what is left."""
        left = set(asked)
        patience = time.monotonic() + self._stop_deadline_seconds
        while left and time.monotonic() < min(deadline, patience):
            await asyncio.sleep(LOOK_SECONDS)
            async with self._sessions() as session:
                still = await executions.list_open_ids(
                    session, owner, OpenFilter(ids=list(left)), limit=len(left)
                )
            if len(still) < len(left):
                left = set(still)
                patience = time.monotonic() + self._stop_deadline_seconds
        return left

    async def _terminate(self, client: Client, owner: str, execution_id: uuid.UUID) -> None:
        handle = client.get_workflow_handle(str(execution_id))
        reason = f"{STOP_REASON} not ended in {self._stop_deadline_seconds:g} s"
        try:
            await handle.terminate(reason=reason, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        await self._records.settle(owner, execution_id)


async def _all(
    ids: Iterable[uuid.UUID], do: Callable[[uuid.UUID], Awaitable[None]], *, deadline: float
) -> list[uuid.UUID]:
    """Do something for each of some executions, several at once; return those for which it was done in time."""
    limit = asyncio.Semaphore(AT_ONCE)
    done: list[uuid.UUID] = []

    async def one(execution_id: uuid.UUID) -> None:
        async with limit:
            if time.monotonic() >= deadline:
                return
            try:
                with engine_errors():
                    await do(execution_id)
            except (EngineUnavailable, RPCError) as error:
                log.warning("not_stopped", execution_id=str(execution_id), reason=type(error).__name__)
            else:
                done.append(execution_id)

    await asyncio.gather(*map(one, ids))
    return done


def _read_ids(texts: Sequence[str]) -> list[uuid.UUID]:
    """Return the ids that texts name; what is no id names nothing."""
    ids = set()
    for text in texts:
        try:
            ids.add(uuid.UUID(text))
        except ValueError:
            continue
    return list(ids)
