"""Brings an execution to life once it is decided what it is. The order decides what is left over if something dies.

The workflow is started first: from there on the execution exists. Only then its row is written, so that nothing stands
in a list that was never started; should the API die before, the workflow's first activity writes the same row.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from app.activities.contracts.execution import WORKFLOW_NAME, ExecutionStart
from app.api.engine import RPC_TIMEOUT, Engine, engine_errors
from app.api.idempotency import note_done
from app.api.services.identity import execution_id_of, make_execution_id
from app.api.services.records import ExecutionRecords
from app.database import Sessions
from app.errors import InvalidRequest, NotFound
from app.fairness import make_priority
from app.models import executions
from app.models.tables.executions import Execution
from app.starting.launches import (
    Launch,
    make_details,
    make_memo,
    make_search_attributes,
    make_start,
    make_summary,
)
from app.starting.limits import LimitPolicy

log = structlog.get_logger(__name__)

START_TIMEOUT_SECONDS = 10.0
"""Longer than one call: the client tries again when it was refused."""


@dataclass(frozen=True, slots=True)
class Started:
    """The execution of a request."""

    execution: Execution
    is_replayed: bool
    """Whether an earlier request under the same key had started it."""


class Launching:
    """Starts the workflows of executions, each once."""

    def __init__(
        self,
        sessions: Sessions,
        engine: Engine,
        records: ExecutionRecords,
        *,
        task_queue: str,
        limits: LimitPolicy,
        api_url: str | None = None,
    ) -> None:
        """Take what launching needs.

        Args:
            sessions: Where executions are listed.
            engine: Where executions are started.
            records: Finds the execution of an earlier request.
            task_queue: Where workers wait.
            limits: How much an execution may take.
            api_url: Where people reach the API, for links from Temporal's Web UI.
        """
        self._sessions = sessions
        self._engine = engine
        self._records = records
        self._task_queue = task_queue
        self._limits = limits
        self._api_url = api_url

    async def find_earlier(
        self, owner: str, idempotency_key: str | None, *, fingerprint: str
    ) -> tuple[uuid.UUID, Started | None]:
        """Return the id that a request's execution has, and the execution if the request has started it before.

        Raises:
            InvalidRequest: The key was used for another request.
            NotFound: The execution has been deleted since.
        """
        if idempotency_key is None:
            return make_execution_id(), None
        execution_id = execution_id_of(owner, idempotency_key)
        async with self._sessions() as session:
            earlier = await executions.get_execution_of_any_age(session, owner, execution_id)
        return execution_id, None if earlier is None else _replay(earlier, fingerprint)

    async def launch(self, execution: Execution, launch: Launch) -> Started:
        """Start an execution, or find the one that the same request has started at this moment.

        Args:
            execution: Its row, not yet written.
            launch: What else is known.

        Raises:
            InvalidRequest: The key was used for another request.
            EngineUnavailable: Nothing was started.
        """
        start = make_start(execution, launch)
        try:
            execution.run_id = await self._start_workflow(start, execution.id, launch.priority)
        except WorkflowAlreadyStartedError:
            earlier = await self._records.require(execution.user_id, execution.id)
            return _replay(earlier, execution.fingerprint)
        await self._write(execution)
        log.info("execution_started", execution_id=str(execution.id), trigger=execution.trigger)
        return Started(execution, is_replayed=False)

    async def _start_workflow(
        self, start: ExecutionStart, execution_id: uuid.UUID, priority: int | None
    ) -> str:
        """Start the workflow; return Temporal's id of its run."""
        client = await self._engine.client()
        with engine_errors():
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                return await self._send(client, start, execution_id, priority)

    async def _send(
        self, client: Client, start: ExecutionStart, execution_id: uuid.UUID, priority: int | None
    ) -> str:
        handle = await client.start_workflow(
            WORKFLOW_NAME,
            start,
            id=str(execution_id),
            task_queue=self._task_queue,
            execution_timeout=self._limits.net_below(start.limits),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            memo=make_memo(start),
            search_attributes=make_search_attributes(start),
            static_summary=make_summary(start),
            static_details=make_details(start, str(execution_id), api_url=self._api_url),
            priority=make_priority(start.user_id, priority),
            rpc_timeout=RPC_TIMEOUT,
        )
        return handle.first_execution_run_id or ""

    async def _write(self, execution: Execution) -> None:
        try:
            async with self._sessions.begin() as session:
                await executions.insert_queued(session, execution)
                await note_done(session, execution.id)
            async with self._sessions() as session:
                await executions.announce_queued(session, execution)
        except (OSError, SQLAlchemyError):
            # It runs: the answer is yes. The workflow's first activity writes the row as soon as it can be written.
            log.exception("execution_not_listed", execution_id=str(execution.id))


def _replay(earlier: Execution, fingerprint: str) -> Started:
    """Return the execution that the same request had started.

    Raises:
        InvalidRequest: It was another request.
        NotFound: It has been deleted since.
    """
    if earlier.fingerprint != fingerprint:
        raise InvalidRequest("This Idempotency-Key was used for another request")
    if earlier.deleted_at is not None:
        raise NotFound
    return Started(earlier, is_replayed=True)
