"""The table of presets."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field, SQLModel

from app.models.tables.columns import json_object, moment, word


class Preset(SQLModel, table=True):
    """Inputs and credentials of a graph under a name."""

    __tablename__ = "presets"
    __table_args__ = (
        Index("presets_of_user", "user_id", "created_at", "id"),
        Index("presets_of_graph", "graph_id"),
    )

    id: uuid.UUID = Field(primary_key=True)
    user_id: str
    graph_id: uuid.UUID
    graph_version: int | None = None
    """Null for the active one."""
    name: str
    description: str = Field(default="", sa_column=word())
    inputs: list[Any] = Field(sa_column=Column(JSON, nullable=False))
    """An envelope around `{name: value}`."""
    credentials_inputs: dict[str, Any] = Field(default_factory=dict, sa_column=json_object())
    """What was chosen, by the keys of the graph's credentials schema."""
    created_at: datetime = Field(sa_column=moment(is_now=True))
    updated_at: datetime = Field(sa_column=moment(is_now=True))
