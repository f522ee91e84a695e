"""The tables of notifications and of their deliveries."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Uuid,
    text,
    true,
)
from sqlmodel import Field, SQLModel

from app.models.tables.columns import count, flag, json_list, json_object, moment

_IS_PENDING = text("status = 'pending'")


class Notification(SQLModel, table=True):
    """What a user wants to be told of, and where."""

    __tablename__ = "notifications"
    __table_args__ = (
        Index("notifications_of_user", "user_id", "created_at", "id"),
        Index("notifications_of_graph", "graph_id"),
    )

    id: uuid.UUID = Field(primary_key=True)
    user_id: str
    graph_id: uuid.UUID | None = None
    """Null for all graphs of the user."""
    name: str
    channel: str
    target: str
    """What may be shown of where it goes: what follows the host of a URL may be a secret."""
    events: list[str] = Field(sa_column=Column(JSON, nullable=False))
    is_active: bool = Field(default=True, sa_column=Column(Boolean, nullable=False, server_default=true()))
    includes_outputs: bool = Field(default=False, sa_column=flag())
    secret: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    """Sealed: the URL, and the secrets that sign what goes there. Null for e-mail."""
    key_id: str = Field(default="", sa_column=Column(String, nullable=False, server_default=""))
    """Of the key that it was sealed under."""
    former_secret_until: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    failing_since: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    """When the first of the attempts failed after which none has succeeded."""
    disabled_for: str = Field(default="", sa_column=Column(String, nullable=False, server_default=""))
    """Why it was switched off, if not by its owner."""
    created_at: datetime = Field(sa_column=moment(is_now=True))
    updated_at: datetime = Field(sa_column=moment(is_now=True))


class Delivery(SQLModel, table=True):
    """One event that one notification tells of. Written in the transaction of the event."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("deliveries_of_notification", "notification_id", "created_at", "id"),
        Index("deliveries_due", "next_at", postgresql_where=_IS_PENDING),
        Index("deliveries_of_execution", "execution_id", postgresql_where=_IS_PENDING),
        Index("deliveries_waiting", "notification_id", postgresql_where=_IS_PENDING),
        Index("deliveries_ended", "ended_at"),
    )

    id: uuid.UUID = Field(primary_key=True)
    user_id: str
    notification_id: uuid.UUID = Field(
        sa_column=Column(Uuid, ForeignKey("notifications.id", ondelete="CASCADE"), nullable=False)
    )
    channel: str
    event: str
    execution_id: uuid.UUID | None = None
    seq: int | None = Field(default=None, sa_column=Column(BigInteger))
    """Number of the event in the log of the execution."""
    data: dict[str, Any] = Field(default_factory=dict, sa_column=json_object())
    """What is told and stands nowhere else."""
    status: str = Field(default="pending", sa_column=Column(String, nullable=False, server_default="pending"))
    attempts: int = Field(default=0, sa_column=count())
    log: list[Any] = Field(default_factory=list, sa_column=json_list())
    """What came of the latest attempts."""
    created_at: datetime = Field(sa_column=moment(is_now=True))
    next_at: datetime = Field(sa_column=moment(is_now=True))
    """When it is to be tried next; the reconciler looks after those that were not."""
    ended_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
