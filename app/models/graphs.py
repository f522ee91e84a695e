"""Graphs and their versions. A deleted graph is not found; its versions stay for the executions that ran them."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, cast, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import NotFound
from app.graph.compilation import CompiledGraph
from app.graph.credential_needs import needs_from_json
from app.graph.nesting import GraphRef, NestedGraph
from app.models.page import Page, dated_key, fitting, number_key, read_cursor, write_cursor
from app.models.tables.graphs import Graph, GraphVersion, StoredPlan


@dataclass(frozen=True, slots=True)
class SavedGraph:
    """A version together with the graph it belongs to."""

    graph: Graph
    version: GraphVersion

    @property
    def is_active(self) -> bool:
        """Answer whether this is the version that runs by default."""
        return self.version.version == self.graph.active_version


async def insert_graph(session: AsyncSession, graph: Graph) -> None:
    """Write a new graph."""
    session.add(graph)
    await session.flush()


async def insert_plan(session: AsyncSession, compiled: CompiledGraph) -> None:
    """Write a compiled graph, unless the same one is there."""
    await session.execute(
        insert(StoredPlan)
        .values(hash=compiled.hash, plan=compiled.plan, configuration=compiled.configuration)
        # Without a word of which column: naming one would be reading it, and whose the plan is, is not written yet.
        .on_conflict_do_nothing()
    )


async def insert_version(session: AsyncSession, version: GraphVersion) -> None:
    """Write a version. The caller holds the lock of its graph, or has just made the graph."""
    session.add(version)
    await session.flush()


async def lock_graph(session: AsyncSession, owner: str, graph_id: uuid.UUID) -> Graph:
    """Return a graph and keep others from changing it until the transaction ends.

    Raises:
        NotFound: The owner has no such graph.
    """
    query = select(Graph).where(*_is_of(owner, graph_id)).with_for_update()
    graph = (await session.execute(query)).scalar_one_or_none()
    if graph is None:
        raise NotFound
    return graph


async def require_graph(
    session: AsyncSession, owner: str, graph_id: uuid.UUID, *, version: int | None = None
) -> SavedGraph:
    """Return a version of a graph.

    Args:
        session: Where to read.
        owner: Whose graph.
        graph_id: Which graph.
        version: Which version; the active one when left out.

    Raises:
        NotFound: The owner has no such graph, or it has no such version.
    """
    wanted = col(Graph.active_version) if version is None else version
    query = _saved().where(*_is_of(owner, graph_id), col(GraphVersion.version) == wanted)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFound
    return SavedGraph(row[0], row[1])


def _nested_query(owner: str, refs: Collection[GraphRef]) -> Select[Any]:
    versions = {ref.version for ref in refs if ref.version is not None}
    return (
        select(
            col(Graph.id),
            col(GraphVersion.version),
            col(GraphVersion.name),
            col(GraphVersion.description),
            col(GraphVersion.input_schema),
            col(GraphVersion.output_schema),
            col(GraphVersion.nests),
            col(GraphVersion.credential_needs),
            col(Graph.deleted_at).is_not(None),
            col(Graph.active_version) == col(GraphVersion.version),
        )
        .join(GraphVersion, col(GraphVersion.graph_id) == col(Graph.id))
        .where(
            col(Graph.user_id) == owner,
            col(Graph.id).in_({ref.graph_id for ref in refs}),
            or_(_is_active_version(), col(GraphVersion.version).in_(versions)),
        )
    )


async def find_nested(
    session: AsyncSession, owner: str, refs: Collection[GraphRef]
) -> dict[GraphRef, NestedGraph]:
    """Return those of the versions that the owner has, and the active one of every graph; of deleted graphs too."""
    if not refs:
        return {}
    rows = await session.execute(_nested_query(owner, refs))
    found: dict[GraphRef, NestedGraph] = {}
    for graph_id, version, name, description, inputs, outputs, nests, needs, is_deleted, is_active in rows:
        nested = NestedGraph(
            graph_id,
            version,
            name,
            description,
            inputs,
            outputs,
            read_nests(nests),
            is_deleted,
            tuple(needs_from_json(needs)),
        )
        found[GraphRef(graph_id, version)] = nested
        if is_active:
            found[GraphRef(graph_id)] = nested
    return {ref: nested for ref, nested in found.items() if ref.version is None or ref in refs}


async def size_of_versions(session: AsyncSession, owner: str, keys: Collection[tuple[uuid.UUID, int]]) -> int:
    """Return how many bytes the definitions of some versions have together, of deleted graphs too."""
    query = select(func.coalesce(func.sum(_size()), 0)).join(Graph, _is_its_graph())
    return int((await session.execute(query.where(*_are_named(owner, keys)))).scalar_one())


async def list_named_versions(
    session: AsyncSession, owner: str, keys: Collection[tuple[uuid.UUID, int]]
) -> list[SavedGraph]:
    """Return some versions in the order of their keys, of deleted graphs too. What the owner has not is left out."""
    rows = await session.execute(_saved().where(*_are_named(owner, keys)))
    found = {(graph.id, version.version): SavedGraph(graph, version) for graph, version in rows}
    return [found[key] for key in keys if key in found]


def _are_named(owner: str, keys: Collection[tuple[uuid.UUID, int]]) -> tuple[ColumnElement[bool], ...]:
    key = tuple_(col(GraphVersion.graph_id), col(GraphVersion.version))
    return col(Graph.user_id) == owner, key.in_(keys)


def read_nests(nests: Collection[tuple[str, int | None]]) -> tuple[GraphRef, ...]:
    """Return what a version nests, as it is kept."""
    return tuple(GraphRef(uuid.UUID(graph_id), version) for graph_id, version in nests)


async def list_graphs(
    session: AsyncSession, owner: str, *, cursor: str | None = None, limit: int
) -> Page[SavedGraph]:
    """Return the active versions of an owner's graphs, newest graph first."""
    key = tuple_(col(Graph.created_at), col(Graph.id))
    query = (
        select(col(Graph.id), col(Graph.created_at), _size())
        .join(GraphVersion, _is_active_version())
        .where(col(Graph.user_id) == owner, col(Graph.deleted_at).is_(None))
        .order_by(col(Graph.created_at).desc(), col(Graph.id).desc())
        .limit(limit + 1)
    )
    if cursor:
        query = query.where(key < tuple_(*read_cursor(cursor, dated_key)))
    keys = (await session.execute(query)).all()
    count = fitting([row[2] for row in keys], limit)
    ids = [row[0] for row in keys[:count]]
    rows = await session.execute(
        _saved()
        .where(col(Graph.id).in_(ids), _is_active_version(), col(Graph.user_id) == owner)
        .order_by(col(Graph.created_at).desc(), col(Graph.id).desc())
    )
    last = keys[count - 1] if len(keys) > count else None
    return Page(
        [SavedGraph(*row) for row in rows], write_cursor([last[1].isoformat(), last[0]]) if last else None
    )


async def list_versions(
    session: AsyncSession, owner: str, graph_id: uuid.UUID, *, cursor: str | None = None, limit: int
) -> Page[SavedGraph]:
    """Return the versions of a graph, newest first. Empty for a graph that the owner does not have."""
    query = (
        select(col(GraphVersion.version), _size())
        .join(Graph, col(Graph.id) == col(GraphVersion.graph_id))
        .where(*_is_of(owner, graph_id))
        .order_by(col(GraphVersion.version).desc())
        .limit(limit + 1)
    )
    if cursor:
        query = query.where(col(GraphVersion.version) < read_cursor(cursor, number_key))
    keys = (await session.execute(query)).all()
    count = fitting([row[1] for row in keys], limit)
    rows = await session.execute(
        _saved()
        .where(*_is_of(owner, graph_id), col(GraphVersion.version).in_([row[0] for row in keys[:count]]))
        .order_by(col(GraphVersion.version).desc())
    )
    next_cursor = write_cursor([keys[count - 1][0]]) if len(keys) > count else None
    return Page([SavedGraph(*row) for row in rows], next_cursor)


def _saved() -> Select[Graph, GraphVersion]:
    return select(Graph, GraphVersion).join(GraphVersion, _is_its_graph())


def _is_its_graph() -> ColumnElement[bool]:
    return col(GraphVersion.graph_id) == col(Graph.id)


def _is_of(owner: str, graph_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return col(Graph.user_id) == owner, col(Graph.id) == graph_id, col(Graph.deleted_at).is_(None)


def _is_active_version() -> ColumnElement[bool]:
    return and_(
        col(GraphVersion.graph_id) == col(Graph.id), col(GraphVersion.version) == col(Graph.active_version)
    )


def _size() -> ColumnElement[int]:
    return func.octet_length(cast(col(GraphVersion.definition), Text))
