"""Publications: graphs that are called by a name. Each is found together with the version that a call would run."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import Conflict, NotFound
from app.models.page import Page, make_page, read_cursor
from app.models.tables.graphs import Graph, GraphVersion
from app.models.tables.presets import Preset
from app.models.tables.publications import Publication

MOST_PUBLICATIONS = 200
"""How many a user may have: documents and lists of tools hold all of them."""

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?")
"""Form of the names."""

Stamp = tuple[uuid.UUID, datetime, int, datetime | None]
"""What is another one as soon as a publication looks different to its callers."""


@dataclass(frozen=True, slots=True)
class PublishedGraph:
    """A publication with what a call of it would run."""

    publication: Publication
    version: int
    """Of the graph."""
    name: str
    description: str
    """Of the version."""
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    given: list[Any] | None
    """The preset's inputs in their envelope, if there is a preset."""


async def lock_publications(session: AsyncSession, owner: str) -> None:
    """Let nobody else change publications of an owner until the transaction ends: a name is taken once."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"publications {owner}"))))


async def get_publication(session: AsyncSession, owner: str, graph_id: uuid.UUID) -> Publication | None:
    """Return the publication of an owner's graph, if it is published."""
    query = select(Publication).where(*_is_of(owner), col(Publication.graph_id) == graph_id)
    return (await session.execute(query)).scalar_one_or_none()


async def insert_publication(session: AsyncSession, publication: Publication) -> None:
    """Keep a publication; those of its owner are locked.

    Raises:
        Conflict: The owner has too many.
    """
    query = select(func.count()).select_from(Publication).where(*_is_of(publication.user_id))
    count = (await session.execute(query)).scalar_one()
    if count >= MOST_PUBLICATIONS:
        raise Conflict(f"You have published {count} graphs, and can publish no more; withdraw some first")
    session.add(publication)


async def require_free_slug(session: AsyncSession, owner: str, slug: str, graph_id: uuid.UUID) -> None:
    """Check that no other graph of an owner goes by a name; the owner's publications are locked.

    Raises:
        Conflict: One does.
    """
    query = select(col(Publication.graph_id)).where(*_is_of(owner), col(Publication.slug) == slug)
    taken_by = (await session.execute(query)).scalar_one_or_none()
    if taken_by not in (None, graph_id):
        raise Conflict(
            f"Another graph of yours is published as {slug!r}", details={"graph_id": str(taken_by)}
        )


async def delete_publication(session: AsyncSession, owner: str, graph_id: uuid.UUID) -> bool:
    """Delete the publication of an owner's graph; answer whether there was one."""
    query = delete(Publication).where(*_is_of(owner), col(Publication.graph_id) == graph_id)
    deleted = await session.execute(
        query.returning(col(Publication.graph_id)).execution_options(synchronize_session=False)
    )
    return deleted.one_or_none() is not None


async def require_published(session: AsyncSession, owner: str, graph_id: uuid.UUID) -> PublishedGraph:
    """Return an owner's graph as it is published.

    Raises:
        NotFound: The owner has none of this id, or it is not published.
    """
    query = _published().where(*_is_of(owner), col(Publication.graph_id) == graph_id)
    return _require(await session.execute(query))


async def require_slug(session: AsyncSession, owner: str, slug: str) -> PublishedGraph:
    """Return the graph that an owner has published under a name.

    Raises:
        NotFound: There is none.
    """
    if not SLUG.fullmatch(slug):
        raise NotFound
    return _require(await session.execute(_published().where(*_is_of(owner), col(Publication.slug) == slug)))


async def list_published(
    session: AsyncSession, owner: str, *, cursor: str | None, limit: int
) -> Page[PublishedGraph]:
    """Return what an owner has published, by name."""
    query = _published().where(*_is_of(owner))
    if cursor:
        query = query.where(col(Publication.slug) > read_cursor(cursor, _slug_key))
    rows = await session.execute(query.order_by(col(Publication.slug)).limit(limit + 1))
    found = [PublishedGraph(*row) for row in rows]
    return make_page(found, limit, lambda row: (row.publication.slug,))


async def find_published(
    session: AsyncSession, owner: str, *, tools_only: bool = False
) -> list[PublishedGraph]:
    """Return all that an owner has published, by name; or what models are offered of it."""
    query = _published().where(*_is_of(owner), *([col(Publication.is_tool)] if tools_only else []))
    return [PublishedGraph(*row) for row in await session.execute(query.order_by(col(Publication.slug)))]


async def find_stamps(session: AsyncSession, owner: str) -> Sequence[Stamp]:
    """Return what tells whether anything that an owner has published looks different since."""
    stamps: tuple[Any, ...] = (
        col(Publication.graph_id),
        col(Publication.updated_at),
        col(GraphVersion.version),
        col(Preset.updated_at),
    )
    rows = await session.execute(_joined(select(*stamps)).where(*_is_of(owner)).order_by(stamps[0]))
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def _published() -> Any:
    return _joined(
        select(
            Publication,
            col(GraphVersion.version),
            col(GraphVersion.name),
            col(GraphVersion.description),
            col(GraphVersion.input_schema),
            col(GraphVersion.output_schema),
            col(Preset.inputs),
        )
    )


def _joined(query: Any) -> Any:
    # As `app.starting.deciding` has it.
    version = func.coalesce(
        col(Publication.graph_version), col(Preset.graph_version), col(Graph.active_version)
    )
    is_preset = and_(
        col(Preset.id) == col(Publication.preset_id), col(Preset.user_id) == col(Publication.user_id)
    )
    is_graph = and_(
        col(Graph.id) == col(Publication.graph_id),
        col(Graph.user_id) == col(Publication.user_id),
        col(Graph.deleted_at).is_(None),
    )
    is_version = and_(col(GraphVersion.graph_id) == col(Graph.id), col(GraphVersion.version) == version)
    return (
        query.select_from(Publication)
        .join(Graph, is_graph)
        .outerjoin(Preset, is_preset)
        .join(GraphVersion, is_version)
    )


def _is_of(owner: str) -> Collection[ColumnElement[bool]]:
    return (col(Publication.user_id) == owner,)


def _require(rows: Any) -> PublishedGraph:
    row = rows.one_or_none()
    if row is None:
        raise NotFound
    return PublishedGraph(*row)


def _slug_key(slug: object) -> str:
    if not isinstance(slug, str) or not SLUG.fullmatch(slug):
        raise ValueError
    return slug
