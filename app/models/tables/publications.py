"""The table of graphs that are called by a name."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from app.models.tables.columns import flag, moment, word


class Publication(SQLModel, table=True):
    """A name by which a graph is called like a function, and how that is done."""

    __tablename__ = "publications"
    __table_args__ = (
        Index("publications_of_slug", "user_id", "slug", unique=True),
        Index("publications_of_preset", "preset_id"),
    )

    graph_id: uuid.UUID = Field(primary_key=True)
    user_id: str
    slug: str
    graph_version: int | None = None
    """Null for that of the preset, or else the active one of the moment."""
    preset_id: uuid.UUID | None = Field(default=None, foreign_key="presets.id")
    """What inputs and credentials are taken from that a call does not give."""
    description: str = Field(default="", sa_column=word())
    """What callers are told; that of the version when empty."""
    is_tool: bool = Field(default=False, sa_column=flag())
    """Whether models are offered it over MCP."""
    budget: int | None = None
    """The most credits that a call may cost; null for no bound."""
    calls_per_minute: int | None = None
    """Null for as many as its owner may start executions."""
    created_at: datetime = Field(sa_column=moment(is_now=True))
    updated_at: datetime = Field(sa_column=moment(is_now=True))
