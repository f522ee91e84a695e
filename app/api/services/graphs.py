"""Saves graphs: each change is one transaction, each save a new immutable version."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from app.api.auditing import describe
from app.api.idempotency import note_done
from app.api.schemas.graphs import GraphBody, ValidationView
from app.api.services.preparation import PreparedGraph, prepare_graph
from app.api.services.schedules import Schedules
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.errors import GraphInvalid
from app.graph.credential_needs import needs_to_json
from app.graph.definition import GraphDefinition, definition_from_json
from app.graph.nesting import NestedGraph
from app.models import graphs, memories, notifications, presets, publications, schedules, webhooks
from app.models.graphs import SavedGraph
from app.models.page import Page
from app.models.tables.graphs import Graph, GraphVersion
from app.starting.nesting import Nesting


class Graphs:
    """The graphs of all owners, one owner at a time."""

    def __init__(
        self, sessions: Sessions, registry: BlockRegistry, nesting: Nesting, timetable: Schedules
    ) -> None:
        """Take where graphs are kept, the blocks that they may use, what is nested in what, and who stops schedules."""
        self._timetable = timetable
        self._sessions = sessions
        self._registry = registry
        self._nesting = nesting

    async def check(
        self, owner: str, graph: GraphDefinition, *, graph_id: uuid.UUID | None = None
    ) -> PreparedGraph:
        """Check a graph without saving it.

        Args:
            owner: Whose it is to be.
            graph: The graph.
            graph_id: Its id; None for a new one.

        Raises:
            GraphInvalid: It may not be saved.
        """
        found = await self._nesting.find(owner, graph)
        prepared = await asyncio.to_thread(prepare_graph, graph, self._registry, found)
        self._nesting.require_bounded(graph, found, graph_id=graph_id)
        return prepared

    async def validate(self, owner: str, body: GraphBody) -> ValidationView:
        """Return what is wrong with a graph."""
        try:
            prepared = await self.check(owner, body.to_definition())
        except GraphInvalid as error:
            return ValidationView(valid=False, node_errors=error.details["node_errors"])
        return ValidationView(
            valid=True,
            node_errors={},
            input_schema=prepared.input_schema,
            output_schema=prepared.output_schema,
            credentials_input_schema=prepared.credentials_schema,
        )

    async def create(self, owner: str, body: GraphBody) -> SavedGraph:
        """Save a new graph as its version 1.

        Raises:
            GraphInvalid: It may not be saved.
        """
        prepared = await self.check(owner, body.to_definition())
        now = datetime.now(UTC)
        graph = Graph(
            id=uuid.uuid4(),
            user_id=owner,
            active_version=1,
            latest_version=1,
            created_at=now,
            updated_at=now,
        )
        version = make_version(graph.id, 1, body, prepared)
        async with self._sessions.begin() as session:
            await graphs.insert_plan(session, prepared.compiled)
            await graphs.insert_graph(session, graph)
            await graphs.insert_version(session, version)
            await note_done(session, graph.id)
        return SavedGraph(graph, version)

    async def change(self, owner: str, graph_id: uuid.UUID, body: GraphBody) -> SavedGraph:
        """Save a new version of a graph, and make it the active one.

        Raises:
            NotFound: The owner has no such graph.
            GraphInvalid: The version may not be saved.
        """
        before = await self.require(owner, graph_id)
        prepared = await self.check(owner, body.to_definition(), graph_id=graph_id)
        async with self._sessions.begin() as session:
            await graphs.insert_plan(session, prepared.compiled)
            graph = await graphs.lock_graph(session, owner, graph_id)
            version = make_version(graph_id, graph.latest_version + 1, body, prepared)
            version.extras = before.version.extras
            await graphs.insert_version(session, version)
            graph.latest_version = graph.active_version = version.version
            graph.updated_at = version.created_at
            describe(version=version.version)
            await note_done(session)
        return SavedGraph(graph, version)

    async def activate(self, owner: str, graph_id: uuid.UUID, version: int) -> SavedGraph:
        """Make a version the one that runs by default.

        Raises:
            NotFound: The owner has no such graph, or it has no such version.
            GraphInvalid: By what has been saved since, it would contain itself or nest too deep.
        """
        describe(version=version)
        wanted = await self.require(owner, graph_id, version=version)
        definition = definition_from_json(wanted.version.definition)
        found = await self._nesting.find(owner, definition)
        self._nesting.require_bounded(definition, found, graph_id=graph_id)
        async with self._sessions.begin() as session:
            graph = await graphs.lock_graph(session, owner, graph_id)
            saved = await graphs.require_graph(session, owner, graph_id, version=version)
            graph.active_version = version
            graph.updated_at = datetime.now(UTC)
            await note_done(session)
        return saved

    async def delete(self, owner: str, graph_id: uuid.UUID) -> None:
        """Delete a graph with its schedules. Its executions stay and go on, and so do the graphs that nest it.

        Raises:
            NotFound: The owner has no such graph.
        """
        async with self._sessions.begin() as session:
            graph = await graphs.lock_graph(session, owner, graph_id)
            graph.deleted_at = datetime.now(UTC)
            await memories.delete_memories(session, owner, graph_id)
            await publications.delete_publication(session, owner, graph_id)
            await webhooks.delete_webhooks_of(session, owner, graph_id)
            await notifications.delete_notifications_of(session, owner, graph_id)
            await presets.delete_presets_of(session, owner, graph_id)
            gone = await schedules.delete_schedules_of(session, owner, graph_id)
            await note_done(session)
        await self._timetable.forget(gone)

    async def require(self, owner: str, graph_id: uuid.UUID, *, version: int | None = None) -> SavedGraph:
        """Return a version of a graph, the active one when none is named.

        Raises:
            NotFound: The owner has no such graph, or it has no such version.
        """
        async with self._sessions() as session:
            return await graphs.require_graph(session, owner, graph_id, version=version)

    async def list_nested(self, owner: str, saved: Sequence[SavedGraph]) -> list[list[NestedGraph]]:
        """Return for each version all that is nested in it, at all depths."""
        return await self._nesting.list_below(owner, saved)

    async def list(self, owner: str, *, cursor: str | None, limit: int) -> Page[SavedGraph]:
        """Return the active versions of an owner's graphs, newest graph first."""
        async with self._sessions() as session:
            return await graphs.list_graphs(session, owner, cursor=cursor, limit=limit)

    async def list_versions(
        self, owner: str, graph_id: uuid.UUID, *, cursor: str | None, limit: int
    ) -> Page[SavedGraph]:
        """Return the versions of a graph, newest first.

        Raises:
            NotFound: The owner has no such graph.
        """
        await self.require(owner, graph_id)
        async with self._sessions() as session:
            return await graphs.list_versions(session, owner, graph_id, cursor=cursor, limit=limit)


class Described(Protocol):
    """What has a name and a description."""

    @property
    def name(self) -> str:
        """Return 1 to 100 characters without HTML."""

    @property
    def description(self) -> str:
        """Return up to 1,000 characters without HTML."""


def make_version(graph_id: uuid.UUID, number: int, body: Described, prepared: PreparedGraph) -> GraphVersion:
    """Return a version that is to be saved."""
    values: dict[str, Any] = {"name": body.name, "description": body.description}
    return GraphVersion(
        graph_id=graph_id,
        version=number,
        definition=prepared.definition,
        plan_hash=prepared.compiled.hash,
        input_schema=prepared.input_schema,
        output_schema=prepared.output_schema,
        nests=[[str(ref.graph_id), ref.version] for ref in prepared.nests],
        credential_needs=needs_to_json(prepared.credential_needs),
        created_at=datetime.now(UTC),
        **values,
    )
