"""The table of reviews."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, Text, text
from sqlmodel import Field, SQLModel

from app.models.tables.columns import moment


class Review(SQLModel, table=True):
    """A question that a person is to answer: what a node execution waits for."""

    __tablename__ = "reviews"
    __table_args__ = (
        Index("reviews_of_user", "user_id", "requested_at", "id"),
        Index("reviews_of_execution", "execution_id"),
        Index("reviews_open", "user_id", "requested_at", postgresql_where=text("status = 'open'")),
    )

    id: uuid.UUID = Field(primary_key=True)
    """The node execution's."""
    execution_id: uuid.UUID
    user_id: str
    node: int
    node_id: str = Field(sa_column=Column(Text, nullable=False))
    n: int
    status: str
    """`open`, `answered`, `timed_out` or `withdrawn`. What is no longer open never changes again."""
    asked: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """`{name, instructions, editable, schema, data}`, the data in an envelope."""
    answer: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """`{approved, by, message, data}`, the data in an envelope, or null when it stayed as it was."""
    requested_at: datetime = Field(sa_column=moment(is_now=True))
    due_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    """When nobody needs to answer any more."""
    closed_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
