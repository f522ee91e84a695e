"""Inbound webhooks on the wire. Their secrets come in, and go out once if they were made here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr, Strict, model_validator

from app.api.schemas.presets import Version
from app.api.schemas.texts import Name
from app.api.webhooks.content import BodyType
from app.api.webhooks.signatures import Scheme, check_secret
from app.models.tables.webhooks import Webhook, WebhookDelivery

MOST_EVENTS = 50
DAY_SECONDS = 86_400
MOST_DAYS = 30

Secret = Annotated[SecretStr, Field(min_length=16, max_length=256)]
Event = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\x21-\x7e]+$")]
Events = Annotated[list[Event], Field(max_length=MOST_EVENTS)]
Budget = Annotated[int, Field(ge=0, le=2**31 - 1)]
Input = Annotated[str, Field(min_length=1, max_length=500)]


class WebhookBody(BaseModel):
    """A webhook to make."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "graph_id": "5f0c7a8e-6d4f-4d59-9b35-0f6c9d9a0c11",
                    "name": "orders",
                    "scheme": "standard",
                    "input": "order",
                }
            ]
        },
    )

    graph_id: Annotated[UUID, Strict(False)] | None = None
    """What it executes; that of the preset when left out."""
    preset_id: Annotated[UUID, Strict(False)] | None = None
    """What inputs and credentials are taken from that no delivery brings."""
    graph_version: Version | None = None
    """Null for that of the preset, or else the active one at the time."""
    name: Name
    scheme: Annotated[Scheme, Strict(False)]
    """How senders prove who they are."""
    secret: Secret | None = None
    """One that the sender has made; left out, one is made here and shown this once."""
    body_type: Annotated[BodyType, Strict(False)] = BodyType.JSON
    """How bodies are read, whatever their senders call them."""
    input: Input | None = None
    """The run input that is given the body. Without it the graph's webhook trigger is; in a graph that has none, the
    body has to be an object of run inputs."""
    events: Events = Field(default_factory=list)
    """What starts something, by name or up to a `*` at the end; everything when left out."""
    budget: Budget | None = None
    """As of an execution."""
    on_insufficient_credits: Literal["pause", "fail"] = "pause"
    """As of an execution."""
    allows_wait: bool = False
    """Whether a sender that asks for it is answered with what comes of the execution."""

    @model_validator(mode="after")
    def _hangs_together(self) -> WebhookBody:
        if self.graph_id is None and self.preset_id is None:
            raise ValueError("graph_id or preset_id is needed")
        if self.secret is not None:
            check_secret(self.scheme, self.secret.get_secret_value())
        require_input(self.body_type, self.input)
        return self


class WebhookChangeBody(BaseModel):
    """What is to be other than before; what is left out stays. Null takes away what may be left out."""

    model_config = ConfigDict(strict=True, extra="forbid")

    preset_id: Annotated[UUID, Strict(False)] | None = None
    graph_version: Version | None = None
    name: Name | None = None
    body_type: Annotated[BodyType, Strict(False)] | None = None
    input: Input | None = None
    events: Events | None = None
    budget: Budget | None = None
    on_insufficient_credits: Literal["pause", "fail"] | None = None
    allows_wait: bool | None = None
    is_active: bool | None = None
    """Whether deliveries are taken."""

    def given(self) -> dict[str, Any]:
        """Return what is to be other, by name."""
        may_be_none = {"preset_id", "graph_version", "input", "budget"}
        named = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: value for name, value in named.items() if value is not None or name in may_be_none}


class RotationBody(BaseModel):
    """How a webhook gets another secret."""

    model_config = ConfigDict(strict=True, extra="forbid")

    secret: Secret | None = None
    """One that the sender has made; left out, one is made here and shown this once."""
    former_valid_seconds: Annotated[int, Field(ge=0, le=MOST_DAYS * DAY_SECONDS)] = DAY_SECONDS
    """How long the secret before this one counts too; 0 revokes it at once."""


class WebhookView(BaseModel):
    """An address at which somebody outside starts executions of a graph."""

    id: UUID
    url: str
    """Where senders post to."""
    graph_id: UUID
    graph_version: int | None
    preset_id: UUID | None
    name: str
    scheme: Scheme
    body_type: BodyType
    input: str | None
    events: list[str]
    budget: int | None
    on_insufficient_credits: Literal["pause", "fail"]
    allows_wait: bool
    is_active: bool
    former_secret_until: datetime | None
    """How long the secret before this one counts too."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Webhook, url: str) -> WebhookView:
        """Return a webhook without its secret."""
        return cls.model_validate(_shown(row, url))


class NewWebhookView(WebhookView):
    """A webhook that has just got its secret."""

    secret: str | None
    """The secret, shown this once. Null when you have brought it, and in a repeat under an `Idempotency-Key`: rotate
    it if the first answer was lost."""

    @classmethod
    def made(cls, row: Webhook, url: str, secret: str | None) -> NewWebhookView:
        """Return a webhook with its secret."""
        return cls.model_validate({**_shown(row, url), "secret": secret})


class WebhookDeliveryView(BaseModel):
    """Something that a sender has sent, however often."""

    delivery_id: str
    """What the sender calls it."""
    event: str
    times: int
    """How often it has come."""
    outcome: str
    """`started`, `ignored`, or the code of why nothing was started; empty while that is being decided."""
    message: str
    execution_id: UUID | None
    received_at: datetime
    """When it came first."""
    last_at: datetime

    @classmethod
    def of(cls, row: WebhookDelivery) -> WebhookDeliveryView:
        """Return a delivery as it goes out."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class ReceiptView(BaseModel):
    """What became of a delivery."""

    delivery_id: str
    execution_id: UUID | None
    """Null when it is none of the events that start something."""
    status: str | None
    """Of the execution."""
    outputs: dict[str, list[Any]] | None = None
    """Of one that has ended, if the sender may wait for it and does. What is too large is referred to."""
    error: dict[str, Any] | None = None
    """As above."""


class ChallengeView(BaseModel):
    """What Slack wants to be given back when an address is entered there."""

    challenge: str


def require_input(body_type: BodyType, name: str | None) -> None:
    """Check that a body that is no object has somewhere to go.

    Raises:
        ValueError: It has not.
    """
    if body_type is BodyType.TEXT and name is None:
        raise ValueError("a text needs an `input` that it is given to")


def _shown(row: Webhook, url: str) -> dict[str, Any]:
    names = WebhookView.model_fields.keys() - {"url"}
    return {**{name: getattr(row, name) for name in names}, "url": url}
