"""The table of schedules."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Index, Text
from sqlmodel import Field, SQLModel

from app.models.tables.columns import count, flag, json_list, json_object, moment, word


class Schedule(SQLModel, table=True):
    """When a graph is executed by itself, in the user's words. Temporal's schedule of the same id follows it."""

    __tablename__ = "schedules"
    __table_args__ = (
        Index("schedules_of_user", "user_id", "created_at", "id"),
        Index("schedules_of_graph", "graph_id"),
    )

    id: uuid.UUID = Field(primary_key=True)
    """Also of Temporal's schedule."""
    user_id: str
    graph_id: uuid.UUID
    graph_version: int | None = None
    """Null for the active one of the moment."""
    preset_id: uuid.UUID | None = None
    name: str = Field(default="", sa_column=word())
    cron: list[str] = Field(default_factory=list, sa_column=json_list())
    calendars: list[dict[str, str]] = Field(default_factory=list, sa_column=json_list())
    """Fields of calendars by name, in the grammar of cron."""
    intervals: list[dict[str, int]] = Field(default_factory=list, sa_column=json_list())
    """`{every, offset}` in seconds."""
    timezone: str = "UTC"
    start_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    end_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    jitter: int = Field(default=0, sa_column=count())
    """Seconds that a fire may be late at most, by chance."""
    catchup_window: int
    """Seconds after which a fire that was missed is left out."""
    overlap: str
    remaining_actions: int | None = None
    """After how many more fires it rests; null for never. Temporal counts, and each fire notes what it says."""
    pause_on_failure: bool = Field(default=False, sa_column=flag())
    is_paused: bool = Field(default=False, sa_column=flag())
    note: str = Field(default="", sa_column=word())
    """Why it is paused, or whatever else is to be known."""
    inputs: dict[str, Any] = Field(default_factory=dict, sa_column=json_object())
    credentials_inputs: dict[str, Any] = Field(default_factory=dict, sa_column=json_object())
    """What was chosen, by the keys of the graph's credentials schema."""
    budget: int | None = None
    on_insufficient_credits: str = Field(
        default="pause", sa_column=Column(Text, nullable=False, server_default="pause")
    )
    timeout_seconds: float | None = None
    max_node_executions: int | None = None
    priority: int | None = None
    revision: int = 1
    """Counts the changes; Temporal's schedule says which one it is of."""
    triggered_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    """What the last fire by hand is named after."""
    created_at: datetime = Field(sa_column=moment(is_now=True))
    updated_at: datetime = Field(sa_column=moment(is_now=True))
