"""Decides what an execution is that a caller asks for, and has it launched.

Postgres is read and large inputs are stored, which binds nobody; launching comes last.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.api.schemas.executions import ExecuteBody
from app.api.services.choosing import Choosing
from app.api.services.identity import fingerprint_of
from app.api.services.launching import Launch, Launching, Started
from app.api.services.values import Values
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.errors import GraphInvalid, InsufficientCredits, NotFound
from app.graph.definition import definition_from_json
from app.graph.envelope import Envelope
from app.graph.interface import check_run_inputs
from app.graph.status import Status
from app.models import graphs, users
from app.models.graphs import SavedGraph
from app.models.tables.executions import Execution

API_TRIGGER = "api"


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


class Starting:
    """Starts executions."""

    def __init__(
        self,
        sessions: Sessions,
        registry: BlockRegistry,
        values: Values,
        choosing: Choosing,
        launching: Launching,
    ) -> None:
        """Take what starting needs.

        Args:
            sessions: Where graphs are read.
            registry: The blocks there are.
            values: Stores large inputs.
            choosing: Checks which credentials are to be used.
            launching: Starts what has been decided.
        """
        self._sessions = sessions
        self._registry = registry
        self._values = values
        self._choosing = choosing
        self._launching = launching

    async def start(self, request: StartRequest) -> Started:
        """Start an execution, or find the one that this request has started before.

        Raises:
            NotFound: The owner has no such graph, version or preset.
            GraphInvalid: The inputs or the chosen credentials do not fit.
            InsufficientCredits: The owner has no credits.
            InvalidRequest: The key was used for another request, or more was asked for than an execution may take.
            EngineUnavailable: Nothing was started.
        """
        body = request.body
        execution_id, earlier = await self._launching.find_earlier(
            request.owner, request.idempotency_key, fingerprint=request.fingerprint
        )
        if earlier is not None:
            return earlier
        limits = self._launching.limits_for(
            timeout_seconds=body.timeout_seconds, max_node_executions=body.max_node_executions
        )
        saved, inputs = await self._read(request)
        credentials = await self._choosing.choose(request.owner, saved, body.credentials_inputs)
        execution = self._make_row(execution_id, request, saved, inputs)
        execution.credentials = credentials
        return await self._launching.launch(execution, Launch(saved.version.name, limits, body.priority))

    async def _read(self, request: StartRequest) -> tuple[SavedGraph, Envelope]:
        owner, body = request.owner, request.body
        async with self._sessions() as session:
            saved = await graphs.require_graph(session, owner, request.graph_id, version=request.version)
            user = await users.require_user(session, owner)
            if user.credits <= 0:
                raise InsufficientCredits(details={"required_credits": 1, "available_credits": user.credits})
            if body.preset_id is not None:
                raise NotFound("There is no preset of that id")
        await require_valid_inputs(saved, self._registry, body.inputs)
        return saved, await self._values.store(owner, body.inputs)

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
            on_insufficient_credits=request.body.on_insufficient_credits,
            created_at=datetime.now(UTC),
        )


async def require_valid_inputs(saved: SavedGraph, registry: BlockRegistry, inputs: Mapping[str, Any]) -> None:
    """Check that a version can be run with these inputs.

    Raises:
        GraphInvalid: It cannot; the details say why.
    """

    def check() -> dict[str, dict[str, str]]:
        return check_run_inputs(definition_from_json(saved.version.definition), registry.signatures, inputs)

    problems = await asyncio.to_thread(check)
    if problems:
        raise GraphInvalid(problems)
