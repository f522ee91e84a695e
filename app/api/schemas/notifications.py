"""Notifications and their deliveries on the wire. A signing secret goes out once, a URL never whole."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, model_validator

from app.api.schemas.texts import Name
from app.models.notification_events import Channel, DeliveryStatus, NotificationEvent
from app.models.tables.notifications import Delivery, Notification

MAX_URL_LENGTH = 2_000
MAX_EMAIL_LENGTH = 320


def _without_repeats(events: list[NotificationEvent]) -> list[NotificationEvent]:
    return sorted(set(events))


Events = Annotated[
    list[Annotated[NotificationEvent, Strict(False)]],
    Field(min_length=1, max_length=100),
    AfterValidator(_without_repeats),
]
Url = Annotated[str, Field(min_length=1, max_length=MAX_URL_LENGTH, pattern=r"^[\x21-\x7e]+$")]
GraphId = Annotated[UUID, Strict(False)]


class NotificationBody(BaseModel):
    """A notification to make."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "ops",
                    "channel": "webhook",
                    "url": "https://example.org/perdure",
                    "events": ["execution.failed"],
                }
            ]
        },
    )

    name: Name
    channel: Annotated[Channel, Strict(False)]
    url: Url | None = None
    """Of a webhook: with https, unless the operator allows its host without. It may hold a secret, but no password."""
    email: Annotated[str, Field(max_length=MAX_EMAIL_LENGTH)] | None = None
    """Your own address, which is also taken when none is given. No other is written to."""
    events: Events
    """What to tell of."""
    graph_id: GraphId | None = None
    """For the executions of one graph alone; of all when left out."""
    is_active: bool = True
    includes_outputs: bool = False
    """Whether the end of an execution is told with its outputs, up to 64 KiB; larger ones are linked to."""

    @model_validator(mode="after")
    def _has_target(self) -> NotificationBody:
        if (self.url is not None) is not (self.channel is Channel.WEBHOOK):
            raise ValueError("a webhook has a url, and nothing else has one")
        if self.email is not None and self.channel is not Channel.EMAIL:
            raise ValueError("only an e-mail has an address")
        return self


class NotificationChangeBody(BaseModel):
    """What is to be other than before; what is left out stays."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Name | None = None
    url: Url | None = None
    events: Events | None = None
    graph_id: GraphId | None = None
    """Null for all graphs."""
    is_active: bool | None = None
    """On again, it also begins anew to count for how long it has failed."""
    includes_outputs: bool | None = None


class NotificationView(BaseModel):
    """A notification without its secrets."""

    id: UUID
    name: str
    channel: Channel
    target: str
    """Where it goes. What follows the host of a URL is not shown, since it may be a secret."""
    events: list[str]
    graph_id: UUID | None
    """Null for all graphs."""
    is_active: bool
    includes_outputs: bool
    former_secret_until: datetime | None
    """Until when the secret before the present one signs too."""
    failing_since: datetime | None
    """When the first of the attempts failed after which none has succeeded."""
    disabled_for: str | None
    """Why it was switched off, if not by you: `FAILING`, or `GONE` when the receiver answered 410."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Notification, email: str) -> NotificationView:
        """Return a notification as it goes out to its owner, whose address this is."""
        return cls.model_validate(_shown(row, email))


class NewNotificationView(NotificationView):
    """A notification whose signing secret was just made."""

    secret: str | None
    """What signs webhooks (`whsec_…`), shown this once. Null for e-mail, and in a repeat under an `Idempotency-Key`."""

    @classmethod
    def made(cls, row: Notification, secret: str | None, email: str) -> NewNotificationView:
        """Return a notification with its secret as it goes out to its owner, whose address this is."""
        return cls.model_validate({**_shown(row, email), "secret": secret})


def _shown(row: Notification, email: str) -> dict[str, object]:
    shown = {name: getattr(row, name) for name in NotificationView.model_fields}
    # The address may have changed since, and mails go to the one that it is now.
    target = email if row.channel == Channel.EMAIL else row.target
    return {**shown, "target": target, "disabled_for": row.disabled_for or None}


class AttemptView(BaseModel):
    """One attempt to deliver."""

    at: datetime
    seconds: float
    status_code: int | None
    """What a webhook answered; null when nothing came, and for e-mail."""
    error: str | None
    """Why it failed; null when it did not."""
    answer: str
    """How the answer begins."""


class RedeliveredView(BaseModel):
    """What begins anew."""

    deliveries: int
    """How many."""


class DeliveryView(BaseModel):
    """One event, told by one notification."""

    id: UUID
    """Also the `webhook-id` of every attempt."""
    notification_id: UUID
    channel: Channel
    event: str
    execution_id: UUID | None
    status: DeliveryStatus
    attempts: int
    """How many were made."""
    log: list[AttemptView]
    """The latest of them, oldest first."""
    created_at: datetime
    next_at: datetime | None
    """When it is tried next; null when it has ended."""
    ended_at: datetime | None

    @classmethod
    def of(cls, row: Delivery) -> DeliveryView:
        """Return a delivery as it goes out."""
        shown: dict[str, Any] = {name: getattr(row, name) for name in cls.model_fields}
        return cls.model_validate({**shown, "next_at": None if row.ended_at else row.next_at})
