"""Decides what an execution is that somebody or something asks for. Binds nobody: nothing is started here.

The API asks for those whom it serves, a worker for schedules. Both decide the same.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.errors import GraphInvalid, InsufficientCredits
from app.graph.definition import definition_from_json
from app.graph.envelope import Envelope
from app.graph.interface import check_run_inputs
from app.graph.status import Status
from app.models import graphs, presets, users
from app.models.graphs import SavedGraph
from app.models.tables.executions import Execution
from app.models.tables.presets import Preset
from app.starting.choosing import Choosing
from app.starting.launches import Launch
from app.starting.limits import LimitPolicy
from app.starting.values import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an execution is asked to be."""

    owner: str
    graph_id: uuid.UUID
    version: int | None = None
    """None for that of the preset, or else the active one."""
    preset_id: uuid.UUID | None = None
    """What inputs and credentials are taken from that are not given."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    credentials_inputs: Mapping[str, Any] = field(default_factory=dict)
    trigger: str
    trigger_id: uuid.UUID | None = None
    """Of the schedule or webhook that asks."""
    budget: int | None = None
    on_insufficient_credits: str = "pause"
    timeout_seconds: float | None = None
    max_node_executions: int | None = None
    priority: int | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Decided:
    """An execution that may be started."""

    execution: Execution
    """Its row, not yet written."""
    launch: Launch


class Deciding:
    """Decides what executions are."""

    def __init__(
        self,
        sessions: Sessions,
        registry: BlockRegistry,
        values: Values,
        choosing: Choosing,
        limits: LimitPolicy,
    ) -> None:
        """Take what deciding needs.

        Args:
            sessions: Where graphs, presets and users are read.
            registry: The blocks there are.
            values: Stores large inputs.
            choosing: Checks which credentials are to be used.
            limits: How much an execution may take.
        """
        self._sessions = sessions
        self._registry = registry
        self._values = values
        self._choosing = choosing
        self._limits = limits

    async def decide(self, wanted: Wanted, execution_id: uuid.UUID) -> Decided:
        """Return the execution that is asked for.

        Raises:
            NotFound: The owner has no such graph, version or preset.
            Forbidden: The owner is suspended.
            GraphInvalid: The inputs or the chosen credentials do not fit.
            InsufficientCredits: The owner has no credits.
            InvalidRequest: More was asked for than an execution may take.
        """
        limits = self._limits.of(
            timeout_seconds=wanted.timeout_seconds, max_node_executions=wanted.max_node_executions
        )
        async with self._sessions() as session:
            preset = await presets.find_preset_of(session, wanted.owner, wanted.preset_id, wanted.graph_id)
            version = _version_of(wanted, preset)
            saved = await graphs.require_graph(session, wanted.owner, wanted.graph_id, version=version)
            await users.require_active(session, wanted.owner)
            user = await users.require_user(session, wanted.owner)
        if user.credits <= 0:
            raise InsufficientCredits(details={"required_credits": 1, "available_credits": user.credits})
        given = await self._merge_inputs(wanted, preset)
        await require_valid_inputs(saved, self._registry, given)
        inputs = await self._values.store(wanted.owner, given)
        of_preset = preset.credentials_inputs if preset else {}
        credentials = await self._choosing.choose(
            wanted.owner, saved, {**of_preset, **wanted.credentials_inputs}
        )
        execution = _make_row(execution_id, wanted, saved, inputs)
        execution.credentials = credentials
        return Decided(execution, Launch(saved.version.name, limits, wanted.priority))

    async def check(self, wanted: Wanted) -> SavedGraph:
        """Check that this can be executed as far as graph, inputs and credentials go; return the version.

        Raises:
            NotFound: The owner has no such graph, version or preset.
            GraphInvalid: The inputs or the chosen credentials do not fit.
            InvalidRequest: More was asked for than an execution may take.
        """
        self._limits.of(
            timeout_seconds=wanted.timeout_seconds, max_node_executions=wanted.max_node_executions
        )
        async with self._sessions() as session:
            preset = await presets.find_preset_of(session, wanted.owner, wanted.preset_id, wanted.graph_id)
            version = _version_of(wanted, preset)
            saved = await graphs.require_graph(session, wanted.owner, wanted.graph_id, version=version)
        await require_valid_inputs(saved, self._registry, await self._merge_inputs(wanted, preset))
        of_preset = preset.credentials_inputs if preset else {}
        await self._choosing.choose(wanted.owner, saved, {**of_preset, **wanted.credentials_inputs})
        return saved

    async def _merge_inputs(self, wanted: Wanted, preset: Preset | None) -> dict[str, Any]:
        if preset is None:
            return dict(wanted.inputs)
        of_preset: dict[str, Any] = await self._values.open(wanted.owner, preset.inputs)
        return {**of_preset, **wanted.inputs}


def _version_of(wanted: Wanted, preset: Preset | None) -> int | None:
    if wanted.version is not None or preset is None:
        return wanted.version
    return preset.graph_version


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


def _make_row(execution_id: uuid.UUID, wanted: Wanted, saved: SavedGraph, inputs: Envelope) -> Execution:
    return Execution(
        id=execution_id,
        user_id=wanted.owner,
        graph_id=saved.graph.id,
        graph_version=saved.version.version,
        plan_hash=saved.version.plan_hash,
        status=Status.QUEUED,
        trigger=wanted.trigger,
        trigger_id=wanted.trigger_id,
        preset_id=wanted.preset_id,
        inputs=inputs,
        outputs={},
        fingerprint=wanted.fingerprint,
        budget=wanted.budget,
        on_insufficient_credits=wanted.on_insufficient_credits,
        created_at=datetime.now(UTC),
    )
