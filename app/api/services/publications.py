"""Publishes graphs under names for their owners, and says what a published graph takes and gives."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from app.api.auditing import describe
from app.api.idempotency import note_done
from app.api.schemas.publications import PublicationBody, PublicationView
from app.database import Sessions
from app.errors import NotFound
from app.models import graphs, presets, publications
from app.models.page import Page
from app.models.publications import PublishedGraph, Stamp
from app.models.tables.publications import Publication
from app.models.values import open_with
from app.starting.choosing import Choosing
from app.starting.values import Values


class Publications:
    """The published graphs of all owners, one owner at a time."""

    def __init__(self, sessions: Sessions, values: Values, choosing: Choosing) -> None:
        """Take where publications are kept, the large values of presets, and what checks credentials."""
        self._sessions = sessions
        self._values = values
        self._choosing = choosing

    async def publish(self, owner: str, graph_id: uuid.UUID, body: PublicationBody) -> PublicationView:
        """Publish a graph, or change how it is published.

        Raises:
            NotFound: The owner has no such graph, version of it or preset for it.
            GraphInvalid: It needs credentials that the preset does not choose, so that no call could start.
            Conflict: Another graph of the owner goes by that name, or too many are published.
        """
        await self._check_credentials(owner, graph_id, body)
        async with self._sessions.begin() as session:
            await graphs.lock_graph(session, owner, graph_id)
            await publications.lock_publications(session, owner)
            await graphs.require_graph(session, owner, graph_id, version=body.graph_version)
            if body.preset_id is not None:
                # Locked, so that it is not deleted at this moment.
                await presets.require_preset(session, owner, body.preset_id, is_locked=True)
            await presets.find_preset_of(session, owner, body.preset_id, graph_id)
            await publications.require_free_slug(session, owner, body.slug, graph_id)
            row = await publications.get_publication(session, owner, graph_id)
            now = datetime.now(UTC)
            describe(slug=body.slug, is_new=row is None)
            if row is None:
                row = Publication(
                    graph_id=graph_id, user_id=owner, slug=body.slug, created_at=now, updated_at=now
                )
                await publications.insert_publication(session, row)
            for name, value in body.model_dump().items():
                setattr(row, name, value)
            row.updated_at = now
            await session.flush()
            await note_done(session, graph_id)
            published = await publications.require_published(session, owner, graph_id)
        return await self.view(published)

    async def withdraw(self, owner: str, graph_id: uuid.UUID) -> None:
        """Let a graph no longer be called by its name. Executions go on.

        Raises:
            NotFound: The owner has no such graph, or it is not published.
        """
        async with self._sessions.begin() as session:
            await publications.lock_publications(session, owner)
            if not await publications.delete_publication(session, owner, graph_id):
                raise NotFound
            await note_done(session)

    async def require(self, owner: str, graph_id: uuid.UUID) -> PublicationView:
        """Return how a graph is published.

        Raises:
            NotFound: The owner has no such graph, or it is not published.
        """
        async with self._sessions() as session:
            published = await publications.require_published(session, owner, graph_id)
        return await self.view(published)

    async def require_slug(self, owner: str, slug: str) -> PublishedGraph:
        """Return what an owner has published under a name.

        Raises:
            NotFound: There is nothing.
        """
        async with self._sessions() as session:
            return await publications.require_slug(session, owner, slug)

    async def find(self, owner: str, *, tools_only: bool = False) -> list[PublicationView]:
        """Return all that an owner has published, by name; or what models are offered of it."""
        async with self._sessions() as session:
            found = await publications.find_published(session, owner, tools_only=tools_only)
        return await self._view_all(found)

    async def find_stamps(self, owner: str) -> Sequence[Stamp]:
        """Return what tells whether anything that an owner has published looks different since."""
        async with self._sessions() as session:
            return await publications.find_stamps(session, owner)

    async def view(self, published: PublishedGraph) -> PublicationView:
        """Return a published graph as it goes out."""
        return (await self._view_all([published]))[0]

    async def _check_credentials(self, owner: str, graph_id: uuid.UUID, body: PublicationBody) -> None:
        async with self._sessions() as session:
            preset = await presets.find_preset_of(session, owner, body.preset_id, graph_id)
            version = body.graph_version or (preset.graph_version if preset else None)
            saved = await graphs.require_graph(session, owner, graph_id, version=version)
        await self._choosing.choose(owner, saved, preset.credentials_inputs if preset else {})

    async def _view_all(self, found: Sequence[PublishedGraph]) -> list[PublicationView]:
        given = [one.given for one in found if one.given is not None]
        owner = found[0].publication.user_id if found else ""
        opened = open_with(await self._values.find(owner, given) if given else {})
        return [_view(one, opened(one.given) if one.given is not None else {}) for one in found]

    async def list(self, owner: str, *, cursor: str | None, limit: int) -> Page[PublicationView]:
        """Return what an owner has published, by name."""
        async with self._sessions() as session:
            page = await publications.list_published(session, owner, cursor=cursor, limit=limit)
        return Page(await self._view_all(page.items), page.next_cursor)


def _view(published: PublishedGraph, given: dict[str, Any]) -> PublicationView:
    view = PublicationView.of(
        published, _leave_open(published.input_schema, given), _listed(published.output_schema)
    )
    view.description = view.description or published.description or published.name
    return view


def _leave_open(schema: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that does not ask for what is given; what that is, is not told."""
    asked = [name for name in schema.get("required", []) if given.get(name) is None]
    return {**schema, "required": asked}


def _listed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of outputs that come as lists of values: a node may fire more than once, or never."""
    properties = {
        name: {"type": "array", "items": value} for name, value in schema.get("properties", {}).items()
    }
    definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    return {"type": "object", "properties": properties, **definitions}
