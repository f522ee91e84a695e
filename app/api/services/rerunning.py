"""Runs executions again: decides what the new execution is, whether it may be, and has it launched.

A rerun is an execution of its own that points to its original. What it takes over is foreseen here; its first activity
then does it by the same rules.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from app.activities.contracts.execution import Rerun
from app.api.schemas.reruns import RerunBody
from app.api.services.identity import fingerprint_of
from app.api.services.launching import Launching, Started
from app.api.services.records import ExecutionRecords, is_ended
from app.api.services.rerun_previews import Preview, Previews, Wish
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.errors import Conflict, GraphInvalid, InsufficientCredits
from app.graph.problems import GRAPH, NodeErrors
from app.graph.status import Status
from app.models import graphs, users
from app.models.graphs import SavedGraph
from app.models.tables.executions import Execution
from app.starting.choosing import Choosing
from app.starting.deciding import require_valid_inputs
from app.starting.launches import Launch
from app.starting.limits import LimitPolicy
from app.starting.values import Values

RERUN_TRIGGER = "rerun"


@dataclass(frozen=True, slots=True)
class RerunRequest:
    """What a caller asks for."""

    owner: str
    execution_id: uuid.UUID
    body: RerunBody
    idempotency_key: str | None = None

    @property
    def fingerprint(self) -> str:
        """Return what a repeat of this request has in common with it."""
        return fingerprint_of({"rerun": str(self.execution_id), "body": self.body.model_dump(mode="json")})


@dataclass(frozen=True, slots=True)
class _Draft:
    """A rerun that has been decided and not launched."""

    original: Execution
    saved: SavedGraph
    wish: Wish
    launch: Launch
    preview: Preview
    credentials: dict[str, str]
    """Ids by key."""
    missing_credentials: NodeErrors
    """What is wrong with them, as far as it concerns what is to be executed."""


class Rerunning:
    """Runs executions again."""

    def __init__(
        self,
        sessions: Sessions,
        registry: BlockRegistry,
        records: ExecutionRecords,
        values: Values,
        choosing: Choosing,
        launching: Launching,
        limits: LimitPolicy,
    ) -> None:
        """Take what running again needs.

        Args:
            sessions: Where graphs and executions are read.
            registry: The blocks there are.
            records: Finds what is to be run again.
            values: Stores large inputs.
            choosing: Checks which credentials are to be used.
            launching: Starts what has been decided.
            limits: How much an execution may take.
        """
        self._sessions = sessions
        self._registry = registry
        self._records = records
        self._values = values
        self._choosing = choosing
        self._launching = launching
        self._limits = limits
        self._previews = Previews(sessions, values, registry)

    async def preview(self, request: RerunRequest) -> Preview:
        """Return what a rerun would do; nothing is started.

        Raises:
            NotFound: The owner has no such execution, or its graph no such version.
            Conflict: The execution has not ended, or nothing of it would be executed.
            GraphInvalid: The inputs do not fit.
            InvalidRequest: A node is named that the version does not have, or a limit is beyond what is allowed.
        """
        draft = await self._draft(request)
        return replace(draft.preview, missing_credentials=draft.missing_credentials)

    async def rerun(self, request: RerunRequest) -> Started:
        """Start a rerun, or find the one that this request has started before.

        Raises:
            NotFound: The owner has no such execution, or its graph no such version.
            Conflict: As for a preview, or it would do again what changes something in the world, unconfirmed.
            GraphInvalid: The inputs do not fit, or credentials are missing.
            InsufficientCredits: The owner has no credits.
            InvalidRequest: As for a preview, or the key was used for another request.
            EngineUnavailable: Nothing was started.
        """
        execution_id, earlier = await self._launching.find_earlier(
            request.owner, request.idempotency_key, fingerprint=request.fingerprint
        )
        if earlier is not None:
            return earlier
        draft = await self._require_draft(request)
        return await self._launching.launch(await self._make_row(execution_id, request, draft), draft.launch)

    async def require_allowed(self, request: RerunRequest) -> None:
        """Check that a rerun would be started.

        Raises:
            PerdureError: It would not, for what `rerun` says.
        """
        await self._require_draft(request)

    async def _require_draft(self, request: RerunRequest) -> _Draft:
        draft = await self._draft(request)
        await self._require_credits(request.owner)
        if draft.missing_credentials:
            raise GraphInvalid(draft.missing_credentials)
        unkeyed = draft.preview.unkeyed
        if unkeyed and not request.body.confirm:
            raise Conflict(
                "This would do again what has changed something in the world before; confirm it",
                details={"nodes": list(unkeyed)},
            )
        return draft

    async def _draft(self, request: RerunRequest) -> _Draft:
        owner, body = request.owner, request.body
        original = await self._records.require(owner, request.execution_id)
        if not is_ended(original):
            raise Conflict(
                f"The execution is {original.status}; it can be run again when it has ended or was stopped"
            )
        limits = self._limits.of(
            timeout_seconds=body.timeout_seconds, max_node_executions=body.max_node_executions
        )
        async with self._sessions() as session:
            version = body.graph_version or original.graph_version
            saved = await graphs.require_graph(session, owner, original.graph_id, version=version)
        before = await self._open_inputs(original)
        inputs = before | (body.inputs or {})
        if body.inputs is not None or version != original.graph_version:
            await require_valid_inputs(saved, self._registry, inputs)
        wish = Wish(
            original, before, inputs, saved.version.plan_hash, body.from_nodes, limits.max_node_executions
        )
        preview = await self._previews.make(wish)
        if not preview.to_run:
            raise Conflict(
                "Nothing of this execution failed or was left undone; name from_nodes to execute them again"
                if body.from_nodes is None
                else "Nothing would be executed: no value reaches these nodes"
            )
        credentials, problems = await self._choosing.choose_again(
            owner, saved, original.credentials, body.credentials_inputs or {}
        )
        problems = {
            node_id: fields
            for node_id, fields in problems.items()
            if node_id == GRAPH or node_id in preview.to_run
        }
        rerun = Rerun(str(original.id), preview.chosen)
        launch = Launch(saved.version.name, limits, body.priority, rerun)
        return _Draft(original, saved, wish, launch, preview, credentials, problems)

    async def _open_inputs(self, original: Execution) -> dict[str, Any]:
        inputs: dict[str, Any] = await self._values.open(original.user_id, original.inputs)
        return inputs

    async def _require_credits(self, owner: str) -> None:
        async with self._sessions() as session:
            user = await users.require_user(session, owner)
        if user.credits <= 0:
            raise InsufficientCredits(details={"required_credits": 1, "available_credits": user.credits})

    async def _make_row(self, execution_id: uuid.UUID, request: RerunRequest, draft: _Draft) -> Execution:
        original, budget = draft.original, request.body.budget
        return Execution(
            id=execution_id,
            user_id=request.owner,
            graph_id=original.graph_id,
            graph_version=draft.saved.version.version,
            plan_hash=draft.saved.version.plan_hash,
            status=Status.QUEUED,
            trigger=RERUN_TRIGGER,
            parent_id=original.id,
            inputs=await self._values.store(request.owner, dict(draft.wish.inputs)),
            outputs={},
            credentials=draft.credentials,
            fingerprint=request.fingerprint,
            budget=original.budget if budget is None else budget,
            on_insufficient_credits=original.on_insufficient_credits,
            created_at=datetime.now(UTC),
        )
