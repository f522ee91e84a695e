"""Starts executions. The order decides what can be left over when something dies in between.

First Postgres is read and large inputs are stored, which binds nobody. Then the workflow is started: from there on the
execution exists. Only then its row is written, so that nothing stands in a list that was never started; should the API
die before, the workflow's first activity writes the same row.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from app.activities.contracts import WORKFLOW_NAME, ExecutionLimits, ExecutionStart
from app.api.engine import RPC_TIMEOUT, Engine, engine_errors
from app.api.schemas.executions import ExecuteBody
from app.api.services.identity import execution_id_of, fingerprint_of, make_execution_id
from app.api.services.limits import limits_for, net_below
from app.api.services.records import ExecutionRecords
from app.api.services.values import Values
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.errors import GraphInvalid, InsufficientCredits, InvalidRequest, NotFound
from app.fairness import make_priority
from app.graph.definition import definition_from_json
from app.graph.envelope import Envelope
from app.graph.interface import check_run_inputs
from app.graph.status import Status
from app.models import executions, graphs, users
from app.models.graphs import SavedGraph
from app.models.tables import Execution

log = structlog.get_logger(__name__)

API_TRIGGER = "api"
SUMMARY_LIMIT = 120
START_TIMEOUT_SECONDS = 10.0
"""Longer than one call: the client tries again when it was refused."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What a caller asks for."""

    owner: str
    graph_id: uuid.UUID
    version: int | None
    """None for the active one."""
    body: ExecuteBody
    idempotency_key: str | None = None

    @property
    def fingerprint(self) -> str:
        """Return what a repeat of this request has in common with it."""
        content = self.body.model_dump(mode="json")
        return fingerprint_of({"graph": str(self.graph_id), "version": self.version, "body": content})


@dataclass(frozen=True, slots=True)
class Started:
    """The execution of a request."""

    execution: Execution
    is_replayed: bool
    """Whether an earlier request under the same key had started it."""


class Starting:
    """Starts executions."""

    def __init__(  # noqa: PLR0913 - parts that it works with, and bounds that it keeps
        self,
        sessions: Sessions,
        engine: Engine,
        registry: BlockRegistry,
        records: ExecutionRecords,
        values: Values,
        *,
        task_queue: str,
        limits: ExecutionLimits,
        most_node_executions: int,
        timeout_margin_seconds: float,
    ) -> None:
        """Take what starting needs.

        Args:
            sessions: Where graphs are read and executions are listed.
            engine: Where executions are started.
            registry: The blocks there are.
            records: Finds the execution of an earlier request.
            values: Stores large inputs.
            task_queue: Where workers wait.
            limits: Bounds of an execution that asks for none of its own.
            most_node_executions: The most that it may ask for.
            timeout_margin_seconds: How long after its time is up Temporal ends what has not ended by itself.
        """
        self._sessions = sessions
        self._engine = engine
        self._registry = registry
        self._records = records
        self._values = values
        self._task_queue = task_queue
        self._limits = limits
        self._most_node_executions = most_node_executions
        self._timeout_margin_seconds = timeout_margin_seconds

    async def start(self, request: StartRequest) -> Started:
        """Start an execution, or find the one that this request has started before.

        Raises:
            NotFound: The owner has no such graph, version or preset.
            GraphInvalid: The inputs do not fit.
            InsufficientCredits: The owner has no credits.
            InvalidRequest: The key was used for another request, or more was asked for than an execution may take.
            EngineUnavailable: Nothing was started.
        """
        key = request.idempotency_key
        execution_id = make_execution_id() if key is None else execution_id_of(request.owner, key)
        if key is not None:
            async with self._sessions() as session:
                earlier = await executions.get_execution_of_any_age(session, request.owner, execution_id)
            if earlier is not None:
                return _replay(earlier, request)
        limits = limits_for(
            self._limits,
            timeout_seconds=request.body.timeout_seconds,
            max_node_executions=request.body.max_node_executions,
            most_node_executions=self._most_node_executions,
        )
        saved, inputs = await self._read(request)
        execution = self._make_row(execution_id, request, saved, inputs)
        try:
            execution.run_id = await self._start_workflow(
                make_start(execution, saved.version.name, limits), execution.id, request.body.priority
            )
        except WorkflowAlreadyStartedError:
            return _replay(await self._records.require(request.owner, execution_id), request)
        await self._write(execution)
        log.info("execution_started", execution_id=str(execution_id))
        return Started(execution, is_replayed=False)

    async def _read(self, request: StartRequest) -> tuple[SavedGraph, Envelope]:
        owner, body = request.owner, request.body
        async with self._sessions() as session:
            saved = await graphs.require_graph(session, owner, request.graph_id, version=request.version)
            user = await users.require_user(session, owner)
            if user.credits <= 0:
                raise InsufficientCredits(details={"required_credits": 1, "available_credits": user.credits})
            if body.preset_id is not None:
                raise NotFound("There is no preset of that id")
            problems = await asyncio.to_thread(self._check_inputs, saved, body.inputs)
            if problems:
                raise GraphInvalid(problems)
        return saved, await self._values.store(owner, body.inputs)

    def _check_inputs(self, saved: SavedGraph, inputs: dict[str, Any]) -> dict[str, dict[str, str]]:
        graph = definition_from_json(saved.version.definition)
        return check_run_inputs(graph, self._registry.signatures, inputs)

    def _make_row(
        self, execution_id: uuid.UUID, request: StartRequest, saved: SavedGraph, inputs: Envelope
    ) -> Execution:
        return Execution(
            id=execution_id,
            user_id=request.owner,
            graph_id=saved.graph.id,
            graph_version=saved.version.version,
            plan_hash=saved.version.plan_hash,
            status=Status.QUEUED,
            trigger=API_TRIGGER,
            inputs=inputs,
            outputs={},
            fingerprint=request.fingerprint,
            budget=request.body.budget,
            created_at=datetime.now(UTC),
        )

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
            execution_timeout=net_below(start.limits, margin_seconds=self._timeout_margin_seconds),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            memo={
                "user_id": start.user_id,
                "graph_id": start.graph_id,
                "graph_version": start.graph_version,
                "fingerprint": start.fingerprint,
            },
            search_attributes=_search_attributes(start),
            static_summary=f"{start.graph_name} v{start.graph_version} ({start.trigger})"[:SUMMARY_LIMIT],
            priority=make_priority(start.user_id, priority),
            rpc_timeout=RPC_TIMEOUT,
        )
        return handle.first_execution_run_id or ""

    async def _write(self, execution: Execution) -> None:
        try:
            async with self._sessions.begin() as session:
                await executions.insert_queued(session, execution)
        except (OSError, SQLAlchemyError):
            # It runs: the answer is yes. The workflow's first activity writes the row as soon as it can be written.
            log.exception("execution_not_listed", execution_id=str(execution.id))


def make_start(execution: Execution, graph_name: str, limits: ExecutionLimits) -> ExecutionStart:
    """Return the input of the workflow that an execution is."""
    return ExecutionStart(
        user_id=execution.user_id,
        graph_id=str(execution.graph_id),
        graph_version=execution.graph_version,
        graph_name=graph_name,
        plan_hash=execution.plan_hash,
        inputs=execution.inputs,
        trigger=execution.trigger,
        created_at=execution.created_at.isoformat(),
        parent_id=str(execution.parent_id) if execution.parent_id else None,
        budget=execution.budget,
        fingerprint=execution.fingerprint,
        limits=limits,
    )


def _search_attributes(start: ExecutionStart) -> TypedSearchAttributes:
    words = {
        "GraphId": start.graph_id,
        "UserId": start.user_id,
        "Trigger": start.trigger,
        "GraphStatus": Status.QUEUED.value,
    }
    version = SearchAttributeKey.for_int("GraphVersion")
    return TypedSearchAttributes(
        [
            *(
                SearchAttributePair(SearchAttributeKey.for_keyword(name), word)
                for name, word in words.items()
            ),
            SearchAttributePair(version, start.graph_version),
        ]
    )


def _replay(earlier: Execution, request: StartRequest) -> Started:
    """Return the execution that the same request had started.

    Raises:
        InvalidRequest: It was another request.
        NotFound: It has been deleted since.
    """
    if earlier.fingerprint != request.fingerprint:
        raise InvalidRequest("This Idempotency-Key was used for another request")
    if earlier.deleted_at is not None:
        raise NotFound
    return Started(earlier, is_replayed=True)
