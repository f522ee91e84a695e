"""The tables of graphs: their versions, and the plans that those are compiled into."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field, SQLModel

from app.models.tables.columns import json_list, json_object, moment


class Graph(SQLModel, table=True):
    """What keeps the versions of one graph together."""

    __tablename__ = "graphs"
    __table_args__ = (Index("graphs_of_user", "user_id", "created_at", "id"),)

    id: uuid.UUID = Field(primary_key=True)
    user_id: str = Field(foreign_key="users.id")
    active_version: int
    latest_version: int
    created_at: datetime = Field(sa_column=moment(is_now=True))
    updated_at: datetime = Field(sa_column=moment(is_now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))


class GraphVersion(SQLModel, table=True):
    """One immutable snapshot of a graph."""

    __tablename__ = "graph_versions"
    __table_args__ = (Index("graph_versions_of_plan", "plan_hash"),)

    graph_id: uuid.UUID = Field(primary_key=True, foreign_key="graphs.id")
    version: int = Field(primary_key=True)
    name: str
    description: str = ""
    definition: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """`{nodes, links}` as `app.graph.definition` writes it."""
    plan_hash: str = Field(foreign_key="plans.hash")
    input_schema: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    output_schema: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    nests: list[Any] = Field(default_factory=list, sa_column=json_list())
    """`[[graph id, version | null], …]`: what its nodes execute; null for whichever version is active."""
    extras: dict[str, Any] = Field(default_factory=dict, sa_column=json_object())
    """What an agent file says of a graph besides: `instructions`, `recommended_schedule_cron`, `forked_from_…`."""
    credential_needs: list[Any] = Field(default_factory=list, sa_column=json_list())
    """What its own nodes need to be let in somewhere (`app.graph.credential_needs`)."""
    created_at: datetime = Field(sa_column=moment(is_now=True))


class StoredPlan(SQLModel, table=True):
    """A compiled graph, kept once per content."""

    __tablename__ = "plans"

    hash: str = Field(primary_key=True)
    plan: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    """The compact arrays that a workflow walks (`app.graph.plan`)."""
    configuration: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    """By node number: `{id, block_id, input_default, metadata}`, for the activities."""
