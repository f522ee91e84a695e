"""The tables of inbound webhooks and of what has come in through them."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Boolean, Column, ForeignKey, Index, LargeBinary, Text, Uuid, true
from sqlmodel import Field, SQLModel

from app.models.tables.columns import count, flag, json_list, moment, word


class Webhook(SQLModel, table=True):
    """An address at which somebody outside starts executions of a graph."""

    __tablename__ = "webhooks"
    __table_args__ = (
        Index("webhooks_of_user", "user_id", "created_at", "id"),
        Index("webhooks_of_graph", "graph_id"),
        Index("webhooks_of_preset", "preset_id"),
        Index("webhooks_by_key", "key_id", "id"),
    )

    id: uuid.UUID = Field(primary_key=True)
    user_id: str
    graph_id: uuid.UUID
    graph_version: int | None = None
    """Null for that of the preset, or else the active one."""
    preset_id: uuid.UUID | None = Field(default=None, sa_column=Column(Uuid, ForeignKey("presets.id")))
    name: str
    scheme: str
    """One of `app.api.webhooks.signatures.Scheme`."""
    body_type: str
    """One of `app.api.webhooks.content.BodyType`."""
    input: str | None = Field(default=None, sa_column=Column(Text))
    """The run input that is given the body; null for a graph's trigger, or else the body holds the inputs."""
    events: list[str] = Field(default_factory=list, sa_column=json_list())
    """What starts something; empty for everything."""
    budget: int | None = None
    on_insufficient_credits: str
    allows_wait: bool = Field(default=False, sa_column=flag())
    """Whether a sender may be shown what comes of it."""
    is_active: bool = Field(default=True, sa_column=Column(Boolean, nullable=False, server_default=true()))
    secret: bytes = Field(sa_column=Column(LargeBinary, nullable=False), repr=False)
    """Sealed by `app.encryption.credentials`: `{secret, former}`."""
    key_id: str
    """Of the key that it is sealed under."""
    former_secret_until: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    """How long the secret before this one counts too."""
    created_at: datetime = Field(sa_column=moment(is_now=True))
    updated_at: datetime = Field(sa_column=moment(is_now=True))


class WebhookDelivery(SQLModel, table=True):
    """Something that a sender has proven to have sent. Repeats of it are the same one."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index("webhook_deliveries_by_time", "webhook_id", "received_at", "delivery_id"),)

    webhook_id: uuid.UUID = Field(
        sa_column=Column(Uuid, ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True)
    )
    delivery_id: str = Field(primary_key=True)
    """What the sender calls it."""
    user_id: str
    event: str = Field(default="", sa_column=word())
    times: int = Field(default=0, sa_column=count())
    """How often it has come."""
    outcome: str = Field(default="", sa_column=word())
    """`started`, `ignored`, or the code of why not; empty while it is being decided, or if whoever did has died."""
    message: str = Field(default="", sa_column=word())
    """Of why not."""
    execution_id: uuid.UUID | None = None
    received_at: datetime = Field(sa_column=moment(is_now=True))
    """When it came first."""
    last_at: datetime = Field(sa_column=moment(is_now=True))
