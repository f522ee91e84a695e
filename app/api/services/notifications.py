"""Keeps notifications for their owners, and has deliveries begin that they ask for. Workers carry them out."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import UTC, datetime

import structlog
from temporalio.service import RPCError

from app.api.auth import Caller
from app.api.engine import Engine, engine_errors
from app.api.idempotency import note_done
from app.api.schemas.notifications import NotificationBody, NotificationChangeBody
from app.database import Sessions
from app.encryption.credentials import CredentialsEncryption, Sealed
from app.errors import BlockInputInvalid, Category, EngineUnavailable, InvalidRequest, PerdureError, Severity
from app.models import graphs, notifications
from app.models.notification_events import TEST, Channel, DeliveryStatus
from app.models.page import Page
from app.models.tables.notifications import Delivery, Notification
from app.notifying.targets import WebhookTarget, check_url, make_secret, shown
from app.starting.deliveries import start_delivery

MOST_BEGUN = 20
"""Of deliveries that begin anew together; the reconciler has the others begin."""

log = structlog.get_logger(__name__)


class EmailDisabled(PerdureError):
    """This deployment sends no e-mail."""

    code = "EMAIL_DISABLED"
    severity = Severity.LOW
    category = Category.BUSINESS


class Notifications:
    """The notifications of all owners, one owner at a time."""

    def __init__(
        self,
        sessions: Sessions,
        engine: Engine,
        encryption: CredentialsEncryption,
        *,
        task_queue: str,
        allowed_private_hosts: Collection[str],
        sends_mail: bool,
    ) -> None:
        """Take what notifications need.

        Args:
            sessions: Where they are kept.
            engine: Where deliveries are carried out.
            encryption: Seals where they go and what signs them.
            task_queue: Of the workers that carry them out.
            allowed_private_hosts: Hosts, or `host:port`, that may be called without encryption.
            sends_mail: Whether there is a mail server.
        """
        self._sessions = sessions
        self._engine = engine
        self._encryption = encryption
        self._task_queue = task_queue
        self._allowed_private_hosts = allowed_private_hosts
        self._sends_mail = sends_mail

    async def create(self, caller: Caller, body: NotificationBody) -> tuple[Notification, str | None]:
        """Make a notification; return it with the secret that signs it, if it is a webhook.

        Raises:
            InvalidRequest: The URL is none that may be called, or the address is not the caller's own.
            EmailDisabled: There is no mail server.
            NotFound: The caller has no such graph.
            Conflict: The caller has too many.
            CredentialsUnreadable: The server has no key to seal the secret with.
        """
        now = datetime.now(UTC)
        row = Notification(
            id=uuid.uuid4(),
            user_id=caller.user_id,
            target=caller.email,
            created_at=now,
            updated_at=now,
            events=[str(event) for event in body.events],
            **body.model_dump(exclude={"url", "email", "events"}),
        )
        secret = None
        if body.url is not None:
            secret = make_secret()
            self._seal(row, WebhookTarget(self._checked(body.url), secret))
        else:
            self._require_own_address(caller, body.email)
        async with self._sessions.begin() as session:
            if body.graph_id is not None:
                await graphs.lock_graph(session, caller.user_id, body.graph_id)
            await notifications.insert_notification(session, row)
            await note_done(session, row.id)
        log.info("notification_created", notification_id=str(row.id), channel=row.channel)
        return row, secret

    async def list(self, owner: str, *, cursor: str | None, limit: int) -> Page[Notification]:
        """Return an owner's notifications, newest first."""
        async with self._sessions() as session:
            return await notifications.list_notifications(session, owner, cursor=cursor, limit=limit)

    async def require(self, owner: str, notification_id: uuid.UUID) -> Notification:
        """Return a notification.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions() as session:
            return await notifications.require_notification(session, owner, notification_id)

    async def change(
        self, owner: str, notification_id: uuid.UUID, body: NotificationChangeBody
    ) -> Notification:
        """Change a notification. What is not delivered yet goes where it says then.

        Raises:
            NotFound: The owner has none of this id, or no such graph.
            InvalidRequest: The URL is none that may be called, or it is no webhook.
            CredentialsUnreadable: Its secret does not open, so it cannot go elsewhere.
        """
        async with self._sessions.begin() as session:
            if body.graph_id is not None:
                await graphs.lock_graph(session, owner, body.graph_id)
            row = await notifications.require_notification(session, owner, notification_id, is_locked=True)
            if body.url is not None:
                self._redirect(row, body.url)
            if body.is_active:
                row.failing_since, row.disabled_for = None, ""
            if body.events is not None:
                row.events = [str(event) for event in body.events]
            if "graph_id" in body.model_fields_set:
                row.graph_id = body.graph_id
            for name in ("name", "is_active", "includes_outputs"):
                if getattr(body, name) is not None:
                    setattr(row, name, getattr(body, name))
            row.updated_at = datetime.now(UTC)
            await note_done(session)
        return row

    async def rotate(self, owner: str, notification_id: uuid.UUID) -> tuple[Notification, str]:
        """Give a webhook another signing secret; the one before signs for another day.

        Raises:
            NotFound: The owner has none of this id.
            InvalidRequest: It is no webhook.
            CredentialsUnreadable: What was sealed does not open.
        """
        async with self._sessions.begin() as session:
            row = await notifications.require_notification(session, owner, notification_id, is_locked=True)
            target = self._open(row).rotated()
            self._seal(row, target)
            row.former_secret_until = target.former_until
            row.updated_at = datetime.now(UTC)
            await note_done(session)
        log.info("notification_rotated", notification_id=str(notification_id))
        return row, target.secret

    async def delete(self, owner: str, notification_id: uuid.UUID) -> None:
        """Delete a notification with its deliveries; what is under way is broken off.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions.begin() as session:
            await notifications.delete_notification(session, owner, notification_id)
            await note_done(session)

    # -- deliveries

    async def try_out(self, owner: str, notification_id: uuid.UUID) -> Delivery:
        """Have a test delivered, on or off.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions.begin() as session:
            row = await notifications.require_notification(session, owner, notification_id)
            now = datetime.now(UTC)
            delivery = Delivery(
                id=uuid.uuid4(),
                user_id=owner,
                notification_id=row.id,
                channel=row.channel,
                event=TEST,
                created_at=now,
                next_at=now,
            )
            session.add(delivery)
            await note_done(session)
        await self._begin(delivery.id, owner)
        return delivery

    async def list_deliveries(
        self,
        owner: str,
        notification_id: uuid.UUID,
        *,
        status: DeliveryStatus | None,
        cursor: str | None,
        limit: int,
    ) -> Page[Delivery]:
        """Return the deliveries of a notification, newest first.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions() as session:
            await notifications.require_notification(session, owner, notification_id)
            return await notifications.list_deliveries(
                session, owner, notification_id, status=status, cursor=cursor, limit=limit
            )

    async def redeliver(self, owner: str, delivery_id: uuid.UUID) -> Delivery:
        """Have a delivery that has ended begin anew, under the same id.

        Raises:
            NotFound: The owner has none of this id.
            Conflict: It has not ended.
        """
        async with self._sessions.begin() as session:
            delivery = await notifications.reopen_delivery(session, owner, delivery_id)
            await note_done(session)
        await self._begin(delivery.id, owner)
        return delivery

    async def redeliver_failed(self, owner: str, notification_id: uuid.UUID) -> int:
        """Have all deliveries of a notification begin anew that were given up; return how many.

        Raises:
            NotFound: The owner has none of this id.
        """
        async with self._sessions.begin() as session:
            await notifications.require_notification(session, owner, notification_id)
            reopened = await notifications.reopen_failed(session, owner, notification_id)
            await note_done(session)
        for delivery_id in reopened[:MOST_BEGUN]:
            if not await self._begin(delivery_id, owner):
                break
        return len(reopened)

    async def _begin(self, delivery_id: uuid.UUID, owner: str) -> bool:
        """Have a delivery begin, and answer whether it does. Else the reconciler sees to it: it is written down."""
        try:
            with engine_errors():
                client = await self._engine.client()
                await start_delivery(client, str(delivery_id), owner=owner, task_queue=self._task_queue)
        except (EngineUnavailable, RPCError) as error:
            log.info("delivery_not_started", delivery_id=str(delivery_id), reason=str(error))
            return False
        return True

    # -- where it goes

    def _checked(self, url: str) -> str:
        try:
            check_url(url, self._allowed_private_hosts)
        except BlockInputInvalid as error:
            raise InvalidRequest(error.message) from None
        return url

    def _require_own_address(self, caller: Caller, email: str | None) -> None:
        if email is not None and email.strip().casefold() != caller.email.casefold():
            raise InvalidRequest("Only your own address is written to")
        if not self._sends_mail:
            raise EmailDisabled

    def _redirect(self, row: Notification, url: str) -> None:
        target = self._open(row)
        self._seal(row, WebhookTarget(self._checked(url), target.secret, target.former, target.former_until))
        row.failing_since = None

    def _open(self, row: Notification) -> WebhookTarget:
        if row.channel != Channel.WEBHOOK or row.secret is None:
            raise InvalidRequest("Only a webhook has a URL and a signing secret")
        return WebhookTarget.of(self._encryption.open(row.user_id, row.id, Sealed(row.key_id, row.secret)))

    def _seal(self, row: Notification, target: WebhookTarget) -> None:
        sealed = self._encryption.seal(row.user_id, row.id, target.to_json())
        row.secret, row.key_id, row.target = sealed.content, sealed.key_id, shown(target.url)
