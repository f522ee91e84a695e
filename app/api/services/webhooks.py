"""Keeps inbound webhooks for their owners. What comes in through them is the business of `app.api.webhooks`."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from app.api.idempotency import note_done
from app.api.schemas.webhooks import RotationBody, WebhookBody, WebhookChangeBody, require_input
from app.api.webhooks.content import BodyType
from app.api.webhooks.signatures import Scheme, check_secret, make_secret
from app.blocks.registry import BlockRegistry
from app.database import Sessions
from app.encryption.credentials import CredentialsEncryption, CredentialsUnreadable, Sealed
from app.errors import GraphInvalid, InvalidRequest
from app.graph.definition import definition_from_json
from app.graph.interface import check_run_inputs
from app.models import graphs, presets, webhook_deliveries, webhooks
from app.models.page import Page
from app.models.tables.webhooks import Webhook, WebhookDelivery
from app.starting.choosing import Choosing

log = structlog.get_logger(__name__)


class Webhooks:
    """The webhooks of all owners, one owner at a time."""

    def __init__(
        self,
        sessions: Sessions,
        encryption: CredentialsEncryption,
        registry: BlockRegistry,
        choosing: Choosing,
    ) -> None:
        """Take where webhooks are kept, what seals their secrets, the blocks there are, and what checks credentials."""
        self._sessions = sessions
        self._encryption = encryption
        self._registry = registry
        self._choosing = choosing

    async def create(self, owner: str, body: WebhookBody) -> tuple[Webhook, str | None]:
        """Make a webhook; return it with its secret, if that was made here.

        Raises:
            NotFound: The owner has no such graph, version or preset.
            GraphInvalid: The graph has no such input, or needs credentials that the preset does not choose.
            Conflict: The owner has too many.
            CredentialsUnreadable: The server has no key to seal its secret with.
        """
        graph_id = await self._find_graph(owner, body)
        await self._check(owner, graph_id, body.preset_id, body.graph_version, body.input)
        webhook_id, now = uuid.uuid4(), datetime.now(UTC)
        secret = body.secret.get_secret_value() if body.secret else make_secret(body.scheme)
        sealed = self._encryption.seal(owner, webhook_id, {"secret": secret, "former": None})
        row = Webhook(
            id=webhook_id,
            user_id=owner,
            graph_id=graph_id,
            secret=sealed.content,
            key_id=sealed.key_id,
            created_at=now,
            updated_at=now,
            **body.model_dump(exclude={"graph_id", "secret"}),
        )
        async with self._sessions.begin() as session:
            await graphs.lock_graph(session, owner, graph_id)
            if body.preset_id is not None:
                await presets.require_preset(session, owner, body.preset_id, is_locked=True)
            await webhooks.insert_webhook(session, row)
            await note_done(session, row.id)
        log.info("webhook_created", webhook_id=str(webhook_id), scheme=body.scheme.value)
        return row, None if body.secret else secret

    async def require(self, owner: str, webhook_id: uuid.UUID) -> Webhook:
        """Return a webhook.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions() as session:
            return await webhooks.require_webhook(session, owner, webhook_id)

    async def list(
        self, owner: str, *, graph_id: uuid.UUID | None, cursor: str | None, limit: int
    ) -> Page[Webhook]:
        """Return an owner's webhooks, newest first."""
        async with self._sessions() as session:
            return await webhooks.list_webhooks(session, owner, graph_id=graph_id, cursor=cursor, limit=limit)

    async def change(self, owner: str, webhook_id: uuid.UUID, body: WebhookChangeBody) -> Webhook:
        """Change a webhook. The next delivery is taken as it is then.

        Raises:
            NotFound: The owner has none of this id, or no such preset, or the graph no such version.
            GraphInvalid: The graph has no such input, or needs credentials that the preset does not choose.
            InvalidRequest: What it would be does not hang together.
        """
        given = body.given()
        before = await self.require(owner, webhook_id)
        names = ("preset_id", "graph_version", "input", "body_type")
        wanted: dict[str, Any] = {name: given.get(name, getattr(before, name)) for name in names}
        try:
            require_input(BodyType(wanted["body_type"]), wanted["input"])
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        if given.keys() & {"preset_id", "graph_version", "input"}:
            await self._check(
                owner, before.graph_id, wanted["preset_id"], wanted["graph_version"], wanted["input"]
            )
        async with self._sessions.begin() as session:
            if given.get("preset_id") is not None:
                await presets.require_preset(session, owner, given["preset_id"], is_locked=True)
            row = await webhooks.require_webhook(session, owner, webhook_id, is_locked=True)
            for name, value in given.items():
                setattr(row, name, value)
            row.updated_at = datetime.now(UTC)
            await note_done(session)
        return row

    async def rotate(
        self, owner: str, webhook_id: uuid.UUID, body: RotationBody
    ) -> tuple[Webhook, str | None]:
        """Give a webhook another secret; return it with that, if it was made here.

        Raises:
            NotFound: The owner has none of this id.
            InvalidRequest: Senders of its scheme have no such secret.
            CredentialsUnreadable: The server has no key to seal it with.
        """
        async with self._sessions.begin() as session:
            row = await webhooks.require_webhook(session, owner, webhook_id, is_locked=True)
            scheme, now = Scheme(row.scheme), datetime.now(UTC)
            secret = body.secret.get_secret_value() if body.secret else make_secret(scheme)
            try:
                check_secret(scheme, secret)
            except ValueError as error:
                raise InvalidRequest(f"The secret {error}") from error
            former = self._find_secret(row) if body.former_valid_seconds else None
            sealed = self._encryption.seal(owner, row.id, {"secret": secret, "former": former})
            row.secret, row.key_id = sealed.content, sealed.key_id
            row.former_secret_until = (
                now + timedelta(seconds=body.former_valid_seconds) if former is not None else None
            )
            row.updated_at = now
            await note_done(session)
        log.info("webhook_rotated", webhook_id=str(webhook_id))
        return row, None if body.secret else secret

    async def delete(self, owner: str, webhook_id: uuid.UUID) -> None:
        """Delete a webhook. What was started through it stays.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions.begin() as session:
            await webhooks.delete_webhook(session, owner, webhook_id)
            await note_done(session)
        log.info("webhook_deleted", webhook_id=str(webhook_id))

    async def list_deliveries(
        self, owner: str, webhook_id: uuid.UUID, *, cursor: str | None, limit: int
    ) -> Page[WebhookDelivery]:
        """Return what has come in through a webhook, newest first.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions() as session:
            await webhooks.require_webhook(session, owner, webhook_id)
            return await webhook_deliveries.list_deliveries(
                session, owner, webhook_id, cursor=cursor, limit=limit
            )

    async def _find_graph(self, owner: str, body: WebhookBody) -> uuid.UUID:
        if body.preset_id is None:
            assert body.graph_id is not None
            return body.graph_id
        async with self._sessions() as session:
            preset = await presets.require_preset(session, owner, body.preset_id)
        return body.graph_id or preset.graph_id

    async def _check(
        self,
        owner: str,
        graph_id: uuid.UUID,
        preset_id: uuid.UUID | None,
        version: int | None,
        name: str | None,
    ) -> None:
        async with self._sessions() as session:
            preset = await presets.find_preset_of(session, owner, preset_id, graph_id)
            version = version or (preset.graph_version if preset else None)
            saved = await graphs.require_graph(session, owner, graph_id, version=version)
        definition = await asyncio.to_thread(definition_from_json, saved.version.definition)
        named = {} if name is None else {name: None}
        problems = check_run_inputs(definition, self._registry.signatures, named, is_partial=True)
        if problems:
            raise GraphInvalid(problems)
        await self._choosing.choose(owner, saved, preset.credentials_inputs if preset else {})

    def _find_secret(self, row: Webhook) -> str | None:
        try:
            return str(self._encryption.open(row.user_id, row.id, Sealed(row.key_id, row.secret))["secret"])
        except CredentialsUnreadable:
            # What proves nothing now need not prove anything tomorrow.
            return None
