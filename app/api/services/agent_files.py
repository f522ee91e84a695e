"""Takes agent files in and gives them out: each import is one transaction, whatever is nested in it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from app.api.idempotency import note_done
from app.api.schemas.texts import DESCRIPTION_LENGTH, NAME_LENGTH, clean
from app.api.services.graphs import make_version
from app.api.services.preparation import PreparedGraph, prepare_graph
from app.autogpt.exporting import SavedAgent, write_agent
from app.autogpt.importing import ImportedAgent, ImportedGraph, read_agent
from app.autogpt.report import Code, Report
from app.autogpt.rules import Rules
from app.autogpt.sub_graphs import FIRST_VERSION
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.errors import PayloadTooLarge
from app.graph.credential_needs import credentials_schema, needs_from_json
from app.graph.definition import definition_from_json
from app.graph.nesting import GRAPH_ID, GraphRef, NestedGraph, list_below, list_refs
from app.graph.problems import NodeErrors
from app.llm.models import find_provider
from app.models import graphs
from app.models.graphs import SavedGraph, read_nests
from app.models.tables.graphs import Graph, GraphVersion
from app.starting.nesting import Nesting

MAX_EXPORT_BYTES = 32 * 1024 * 1024
"""Of the definitions that go into one file."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file."""

    saved: SavedGraph
    report: Report


class AgentFiles:
    """Imports and exports, one owner at a time."""

    def __init__(self, sessions: Sessions, registry: BlockRegistry, nesting: Nesting) -> None:
        """Take where graphs are kept, the blocks that they may use, and what is nested in what."""
        self._sessions = sessions
        self._registry = registry
        self._nesting = nesting
        self._rules = Rules(
            signatures=registry.signatures,
            make_id=uuid.uuid4,
            clean=partial(clean, keeps_lines=True),
            max_name=NAME_LENGTH,
            max_description=DESCRIPTION_LENGTH,
            is_known_model=lambda model: find_provider(model)[0] is not None,
        )

    async def take_in(self, owner: str, document: Mapping[str, Any]) -> Imported:
        """Save the graph of an agent file and all that are nested in it, each as version 1 of a new graph.

        Args:
            owner: Whose they are to be.
            document: The file.

        Raises:
            GraphInvalid: The file holds no graph, or one that cannot be.
        """
        agent = await asyncio.to_thread(read_agent, document, self._rules)
        prepared = await self._prepare(owner, agent)
        now = datetime.now(UTC)
        saved: dict[uuid.UUID, SavedGraph] = {}
        for graph in agent.graphs:
            version = make_version(graph.id, FIRST_VERSION, graph, prepared[graph.id])
            version.extras = graph.extras
            saved[graph.id] = SavedGraph(_make_graph(owner, graph.id, now), version)
        async with self._sessions.begin() as session:
            for graph in agent.graphs:
                await graphs.insert_plan(session, prepared[graph.id].compiled)
                await graphs.insert_graph(session, saved[graph.id].graph)
                await graphs.insert_version(session, saved[graph.id].version)
            await note_done(session, agent.graph_id)
        return Imported(saved[agent.graph_id], agent.report)

    async def _prepare(self, owner: str, agent: ImportedAgent) -> dict[uuid.UUID, PreparedGraph]:
        """Check and compile the graphs of a file, each after those that it executes."""
        prepared: dict[uuid.UUID, PreparedGraph] = {}
        made: dict[GraphRef, NestedGraph] = {}
        for graph in agent.graphs:
            found = {**await self._nesting.find(owner, graph.definition), **made}
            one = await asyncio.to_thread(
                prepare_graph, graph.definition, self._registry, found, is_import=True
            )
            self._nesting.require_bounded(graph.definition, found)
            _note_problems(one.nesting_problems, graph)
            nested = NestedGraph(
                graph.id,
                FIRST_VERSION,
                graph.name,
                graph.description,
                one.input_schema,
                one.output_schema,
                one.nests,
                credential_needs=one.credential_needs,
            )
            made[GraphRef(graph.id)] = made[GraphRef(graph.id, FIRST_VERSION)] = nested
            prepared[graph.id] = one
        return prepared

    async def give_out(
        self, owner: str, graph_id: uuid.UUID, *, version: int | None = None
    ) -> dict[str, Any]:
        """Return a version of a graph, the active one when none is named, as an agent file.

        Raises:
            NotFound: The owner has no such graph, or it has no such version.
            PayloadTooLarge: It is too large with all that is nested in it.
        """
        async with self._sessions() as session:
            saved = await graphs.require_graph(session, owner, graph_id, version=version)
        definition = definition_from_json(saved.version.definition)
        found = await self._nesting.find(owner, definition)
        below = list_below(list_refs(definition, self._registry.signatures), found)
        nested = await self._load(owner, below)

        def as_saved(each: SavedGraph) -> SavedAgent:
            return _as_saved(each, list_below(read_nests(each.version.nests), found))

        active = {ref.graph_id: each.version for ref, each in found.items() if ref.version is None}
        return await asyncio.to_thread(
            lambda: write_agent(
                as_saved(saved), list(map(as_saved, nested)), self._registry.signatures, active=active
            )
        )

    async def _load(self, owner: str, below: Sequence[NestedGraph]) -> Sequence[SavedGraph]:
        keys = [(each.graph_id, each.version) for each in below]
        if not keys:
            return []
        async with self._sessions() as session:
            if await graphs.size_of_versions(session, owner, keys) > MAX_EXPORT_BYTES:
                raise PayloadTooLarge("With all that is nested in it the graph is too large for one file")
            return await graphs.list_named_versions(session, owner, keys)


def _make_graph(owner: str, graph_id: uuid.UUID, now: datetime) -> Graph:
    return Graph(
        id=graph_id,
        user_id=owner,
        active_version=FIRST_VERSION,
        latest_version=FIRST_VERSION,
        created_at=now,
        updated_at=now,
    )


def _note_problems(problems: NodeErrors, graph: ImportedGraph) -> None:
    for node_id, fields in problems.items():
        for field, message in fields.items():
            code = Code.GRAPH_MISSING if field == GRAPH_ID else Code.PINS_DIFFER
            graph.report.note(code, message, node_id=node_id)


def _as_saved(saved: SavedGraph, below: Sequence[NestedGraph]) -> SavedAgent:
    version: GraphVersion = saved.version
    needs = needs_from_json(version.credential_needs)
    nested = (need for each in below for need in each.credential_needs)
    return SavedAgent(
        id=saved.graph.id,
        version=version.version,
        is_active=saved.is_active,
        name=version.name,
        description=version.description,
        extras=version.extras,
        created_at=version.created_at,
        definition=definition_from_json(version.definition),
        credentials_input_schema=credentials_schema([*needs, *nested]),
    )
