"""Reads which graphs are nested in others, level by level, and no further than a graph may nest."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from app.blocks.registry import BlockSignatures
from app.database import Sessions
from app.errors import GraphInvalid
from app.graph.definition import GraphDefinition
from app.graph.nesting import MAX_NESTED, Found, GraphRef, NestedGraph, check_depth, list_below, list_refs
from app.models import graphs
from app.models.graphs import SavedGraph, read_nests


class Nesting:
    """What the graphs of all owners nest, one owner at a time."""

    def __init__(self, sessions: Sessions, signatures: BlockSignatures, *, max_depth: int) -> None:
        """Take where graphs are kept, the blocks that they may use, and how deep they may be nested."""
        self._sessions = sessions
        self._signatures = signatures
        self._max_depth = max_depth

    async def find(self, owner: str, graph: GraphDefinition) -> Found:
        """Return what the owner has of all that a graph nests."""
        refs = list_refs(graph, self._signatures)
        if not refs:
            return {}
        async with self._sessions() as session:
            return await self._load(session, owner, refs)

    def require_bounded(
        self, graph: GraphDefinition, found: Found, *, graph_id: uuid.UUID | None = None
    ) -> None:
        """Check that a graph nests neither too deep nor itself.

        Args:
            graph: The graph to be saved or made active.
            found: All that it nests.
            graph_id: Its id; None for a new one.

        Raises:
            GraphInvalid: It does.
        """
        problems = check_depth(graph, self._signatures, found, graph_id=graph_id, max_depth=self._max_depth)
        if problems:
            raise GraphInvalid(problems)

    async def list_below(self, owner: str, saved: Sequence[SavedGraph]) -> list[list[NestedGraph]]:
        """Return for each version all that is nested in it, at all depths."""
        refs = [read_nests(each.version.nests) for each in saved]
        if not any(refs):
            return [[] for _ in saved]
        async with self._sessions() as session:
            found = await self._load(session, owner, [ref for of_one in refs for ref in of_one])
        return [list_below(of_one, found) for of_one in refs]

    async def _load(self, session: AsyncSession, owner: str, refs: Sequence[GraphRef]) -> Found:
        found: dict[GraphRef, NestedGraph] = {}
        seen, level = set[GraphRef](), set(refs)
        for _ in range(self._max_depth + 1):
            of_level = await graphs.find_nested(session, owner, level)
            found |= of_level
            seen |= level
            level = {ref for nested in of_level.values() for ref in nested.nests} - seen
            # Beside each version that is named the active one is found, so twice as many are too many for sure.
            if not level or len(found) > 2 * MAX_NESTED:
                break
        return found
