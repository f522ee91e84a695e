"""The table of what executions leave for later ones."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel

from app.models.tables.columns import moment


class Memory(SQLModel, table=True):
    """A value that an execution has left under a key."""

    __tablename__ = "memories"

    user_id: str = Field(primary_key=True)
    graph_id: uuid.UUID = Field(primary_key=True)
    """Whose executions see it; `NO_GRAPH` for those of all graphs."""
    key: str = Field(primary_key=True)
    value: Any = Field(default=None, sa_column=Column(JSON, nullable=False))
    size: int
    """Bytes of the JSON text."""
    updated_at: datetime = Field(sa_column=moment(is_now=True))
