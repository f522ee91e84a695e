"""The tables of large values: their bodies, who uses them, and objects that are nobody's body."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    text,
)
from sqlmodel import Field, SQLModel

from app.models.tables.columns import flag, moment


class StoredValue(SQLModel, table=True):
    """A value too large to travel through a workflow, kept once per user and content."""

    __tablename__ = "stored_values"
    __table_args__ = (
        Index("stored_values_idle", "idle_since", postgresql_where=text("idle_since IS NOT NULL")),
        CheckConstraint("(body IS NULL) <> (object IS NULL)", name="stored_values_have_one_body"),
    )

    user_id: str = Field(primary_key=True)
    sha256: str = Field(primary_key=True)
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Bytes of the JSON text."""
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    """The JSON text, compressed with zlib, unless it is in an object."""
    object: str | None = Field(default=None, sa_column=Column(Text))
    """Name of the object that is the body."""
    created_at: datetime = Field(sa_column=moment(is_now=True))
    idle_since: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    """Since when nothing may use it. What has a moment here is looked at when garbage is collected."""


class ValueUse(SQLModel, table=True):
    """That an execution's record refers to a stored value: as long as it does, the value stays."""

    __tablename__ = "value_uses"
    __table_args__ = (
        ForeignKeyConstraint(["user_id", "sha256"], ["stored_values.user_id", "stored_values.sha256"]),
        Index("value_uses_of_value", "user_id", "sha256"),
    )

    execution_id: uuid.UUID = Field(primary_key=True)
    sha256: str = Field(primary_key=True)
    user_id: str


class LooseObject(SQLModel, table=True):
    """An object that no stored value has: not yet, or no more."""

    __tablename__ = "loose_objects"
    __table_args__ = (Index("loose_objects_since", "since"),)

    name: str = Field(primary_key=True)
    since: datetime = Field(sa_column=moment(is_now=True))
    is_doomed: bool = Field(default=False, sa_column=flag())
    """Whether it is going to be deleted; from then on it becomes nobody's body."""
