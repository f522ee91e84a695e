"""Says what executing a graph would be like: its shape, time and cost. Nothing is executed, and nothing is kept."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from app.activities.contracts.execution import ExecutionLimits
from app.api.services.prices import find_prices
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.graph.analysis import Analysis
from app.graph.credential_choices import read_choices
from app.graph.credential_needs import needs_from_json
from app.graph.definition import definition_from_json
from app.graph.estimation import Estimate, History, Price, estimate
from app.graph.nesting import Found, GraphRef, list_below, read_ref
from app.graph.signature import Kind
from app.graph.suggestions import Suggestion, suggest
from app.models import graphs, pace
from app.models.graphs import SavedGraph, read_nests
from app.starting.choosing import Choosing
from app.starting.deciding import require_valid_inputs
from app.starting.nesting import Nesting

MAX_NESTED_BYTES = 32 * 1024 * 1024
"""Of the definitions of all nested graphs that are looked at."""
MAX_NESTED_HISTORIES = 50
"""Of how many nested graphs earlier executions are looked at."""

Key: TypeAlias = tuple[uuid.UUID, int]


@dataclass(frozen=True, slots=True)
class Planned:
    """What executing a version would be like."""

    saved: SavedGraph
    analysis: Analysis
    estimate: Estimate
    history: History
    suggestions: list[Suggestion]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read of a graph and of all that is nested in it."""

    found: Found
    histories: Mapping[Key, History]
    versions: Mapping[Key, SavedGraph]
    choices: Mapping[str, str] = field(default_factory=dict)


class Planning:
    """Analyses and estimates, one owner at a time."""

    def __init__(
        self,
        sessions: Sessions,
        registry: BlockRegistry,
        nesting: Nesting,
        choosing: Choosing,
        *,
        limits: ExecutionLimits,
    ) -> None:
        """Take where graphs are kept, the blocks there are, and how executions are bounded."""
        self._sessions = sessions
        self._registry = registry
        self._nesting = nesting
        self._choosing = choosing
        self._limits = limits

    async def analyze(self, owner: str, graph_id: uuid.UUID, *, version: int | None) -> Planned:
        """Analyse a version, the active one when none is named.

        Raises:
            NotFound: The owner has no such graph, or it has no such version.
        """
        saved = await self._require(owner, graph_id, version)
        known = await self._read(owner, saved, {})
        return await asyncio.to_thread(self._plan, saved, known, {})

    async def estimate(
        self,
        owner: str,
        graph_id: uuid.UUID,
        *,
        version: int | None,
        inputs: Mapping[str, Any],
        credentials: Mapping[str, Any],
    ) -> Planned:
        """Estimate one execution of a version, the active one when none is named, with some inputs and credentials.

        Raises:
            NotFound: The owner has no such graph, or it has no such version.
            GraphInvalid: The inputs or the chosen credentials do not fit.
        """
        saved = await self._require(owner, graph_id, version)
        await require_valid_inputs(saved, self._registry, inputs)
        if credentials:
            await self._choosing.choose(owner, saved, credentials)
        known = await self._read(owner, saved, read_choices(credentials))
        return await asyncio.to_thread(self._plan, saved, known, inputs)

    async def _require(self, owner: str, graph_id: uuid.UUID, version: int | None) -> SavedGraph:
        async with self._sessions() as session:
            return await graphs.require_graph(session, owner, graph_id, version=version)

    async def _read(self, owner: str, saved: SavedGraph, choices: Mapping[str, str]) -> _Known:
        found = await self._nesting.find(owner, definition_from_json(saved.version.definition))
        below = list_below(read_nests(saved.version.nests), found)
        keys = [(each.graph_id, each.version) for each in below]
        async with self._sessions() as session:
            versions: dict[Key, SavedGraph] = {}
            if keys and await graphs.size_of_versions(session, owner, keys) <= MAX_NESTED_BYTES:
                nested = await graphs.list_named_versions(session, owner, keys)
                versions = {_key(each): each for each in nested}
            histories = {
                key: await pace.find_history(session, owner, key[0], version=key[1])
                for key in [_key(saved), *list(versions)[:MAX_NESTED_HISTORIES]]
            }
        return _Known(found, histories, versions, choices)

    def _plan(self, saved: SavedGraph, known: _Known, inputs: Mapping[str, Any]) -> Planned:
        return self._plan_version(saved, known, inputs, {})

    def _plan_version(
        self, saved: SavedGraph, known: _Known, inputs: Mapping[str, Any], made: dict[Key, Price]
    ) -> Planned:
        """Plan a version after all that is nested in it, each of these once."""
        version = saved.version
        definition = definition_from_json(version.definition)
        prices = find_prices(
            definition,
            self._registry,
            inputs=inputs,
            needs=needs_from_json(version.credential_needs),
            choices=known.choices,
        )
        analysis = Analysis(definition, self._registry.signatures)
        for node in analysis.graph.nodes:
            if node.block.kind is Kind.NESTED:
                prices[node.node.id] = self._price_nested(read_ref(node.node.input_default), known, made)
        history = known.histories.get(_key(saved), History())
        limits = self._limits
        made_estimate = estimate(
            analysis, prices, history, at_once=limits.window, limit=limits.max_node_executions
        )
        paid = [node_id for node_id, price in prices.items() if price.is_paid]
        return Planned(saved, analysis, made_estimate, history, suggest(analysis, paid=paid))

    def _price_nested(self, ref: GraphRef | None, known: _Known, made: dict[Key, Price]) -> Price:
        """Return what an execution of a nested graph costs, of whose inputs nothing is known."""
        nested = known.found.get(ref) if ref is not None else None
        key = None if nested is None else (nested.graph_id, nested.version)
        if key is None or key not in known.versions:
            return Price(most=None, is_nested=True)
        if key not in made:
            # Graphs do not contain themselves. Should one come to, by a change at this moment, it ends here.
            made[key] = Price(most=None, is_nested=True)
            of_nested = self._plan_version(known.versions[key], known, {}, made).estimate
            made[key] = Price(
                of_nested.least, of_nested.expected, of_nested.most, of_nested.seconds, is_nested=True
            )
        return made[key]


def _key(saved: SavedGraph) -> Key:
    return saved.graph.id, saved.version.version
