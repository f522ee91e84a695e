"""Keeps presets for their owners: checked as far as they go, since what they leave open comes with the call."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.api.idempotency import note_done
from app.api.schemas.presets import PresetBody, PresetChangeBody, PresetView
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.errors import Conflict, GraphInvalid
from app.graph.definition import definition_from_json
from app.graph.interface import check_run_inputs
from app.graph.problems import NodeErrors
from app.models import graphs, presets
from app.models.graphs import SavedGraph
from app.models.page import Page
from app.models.tables.presets import Preset
from app.models.values import open_with
from app.starting.choosing import Choosing
from app.starting.values import Values

TRIES = 5
"""Of a change that others come in between of."""


class Presets:
    """The presets of all owners, one owner at a time."""

    def __init__(
        self, sessions: Sessions, registry: BlockRegistry, values: Values, choosing: Choosing
    ) -> None:
        """Take where presets are kept, the blocks there are, large values, and what checks credentials."""
        self._sessions = sessions
        self._registry = registry
        self._values = values
        self._choosing = choosing

    async def create(self, owner: str, body: PresetBody) -> PresetView:
        """Keep a preset.

        Raises:
            NotFound: The owner has no such graph, or it no such version.
            GraphInvalid: What is given does not fit it.
            Conflict: The owner has too many.
        """
        await self._check(owner, body.graph_id, body.graph_version, body.inputs, body.credentials_inputs)
        now = datetime.now(UTC)
        row = Preset(
            id=uuid.uuid4(),
            user_id=owner,
            graph_id=body.graph_id,
            graph_version=body.graph_version,
            name=body.name,
            description=body.description,
            inputs=await self._values.store(owner, body.inputs),
            credentials_inputs=body.credentials_inputs,
            created_at=now,
            updated_at=now,
        )
        async with self._sessions.begin() as session:
            await graphs.lock_graph(session, owner, body.graph_id)
            await presets.insert_preset(session, row)
            await note_done(session, row.id)
        return PresetView.of(row, body.inputs)

    async def require(self, owner: str, preset_id: uuid.UUID) -> Preset:
        """Return a preset.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions() as session:
            return await presets.require_preset(session, owner, preset_id)

    async def view(self, owner: str, preset_id: uuid.UUID) -> PresetView:
        """Return a preset as it goes out.

        Raises:
            NotFound: The owner has none of this id.
        """
        row = await self.require(owner, preset_id)
        return PresetView.of(row, await self._values.open(owner, row.inputs))

    async def view_list(
        self, owner: str, *, graph_id: uuid.UUID | None, cursor: str | None, limit: int
    ) -> Page[PresetView]:
        """Return an owner's presets, newest first."""
        async with self._sessions() as session:
            page = await presets.list_presets(session, owner, graph_id=graph_id, cursor=cursor, limit=limit)
        opened = open_with(await self._values.find(owner, [row.inputs for row in page.items]))
        return Page([PresetView.of(row, opened(row.inputs)) for row in page.items], page.next_cursor)

    async def change(self, owner: str, preset_id: uuid.UUID, body: PresetChangeBody) -> PresetView:
        """Change a preset.

        Raises:
            NotFound: The owner has none of this id, or its graph no such version.
            GraphInvalid: What is given does not fit the graph.
            Conflict: Others change it all the time.
        """
        for _ in range(TRIES):
            before = await self.require(owner, preset_id)
            inputs = await self._check_change(owner, before, body)
            envelope = None if body.inputs is None else await self._values.store(owner, body.inputs)
            async with self._sessions.begin() as session:
                row = await presets.require_preset(session, owner, preset_id, is_locked=True)
                if row.updated_at != before.updated_at:
                    # What was checked together with this change was another one.
                    continue
                given = body.model_dump(include=body.model_fields_set - {"inputs"})
                for name, value in given.items():
                    if value is not None or name == "graph_version":
                        setattr(row, name, value)
                if envelope is not None:
                    await presets.replace_inputs(session, row, envelope)
                row.updated_at = datetime.now(UTC)
                await note_done(session)
                return PresetView.of(row, inputs)
        raise Conflict("The preset is being changed: try again")

    async def _check_change(self, owner: str, before: Preset, body: PresetChangeBody) -> dict[str, Any]:
        """Check a change together with what stays; return the inputs that it comes to."""
        given = body.model_fields_set
        kept: dict[str, Any] = await self._values.open(owner, before.inputs)
        inputs = kept if body.inputs is None else body.inputs
        credentials = (
            before.credentials_inputs if body.credentials_inputs is None else body.credentials_inputs
        )
        version = body.graph_version if "graph_version" in given else before.graph_version
        if given & {"graph_version", "inputs", "credentials_inputs"}:
            await self._check(owner, before.graph_id, version, inputs, credentials)
        return inputs

    async def delete(self, owner: str, preset_id: uuid.UUID) -> None:
        """Delete a preset. What was started with it stays.

        Raises:
            NotFound: The owner has none of this id.
            Conflict: Something starts executions with it.
        """
        async with self._sessions.begin() as session:
            await presets.delete_preset(session, owner, preset_id)
            await note_done(session)

    async def _check(
        self,
        owner: str,
        graph_id: uuid.UUID,
        version: int | None,
        inputs: Mapping[str, Any],
        credentials: Mapping[str, Any],
    ) -> None:
        async with self._sessions() as session:
            saved = await graphs.require_graph(session, owner, graph_id, version=version)
        problems = await asyncio.to_thread(self._problems_with, saved, inputs)
        if problems:
            raise GraphInvalid(problems)
        await self._choosing.check_part(owner, saved, credentials)

    def _problems_with(self, saved: SavedGraph, inputs: Mapping[str, Any]) -> NodeErrors:
        definition = definition_from_json(saved.version.definition)
        return check_run_inputs(definition, self._registry.signatures, inputs, is_partial=True)
