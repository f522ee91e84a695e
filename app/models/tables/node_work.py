"""The tables of what is done within a node execution, so that no later attempt does it again."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel


class NodeStep(SQLModel, table=True):
    """A piece of work that is done."""

    __tablename__ = "node_steps"

    execution_id: uuid.UUID = Field(primary_key=True)
    node: int = Field(primary_key=True)
    n: int = Field(primary_key=True)
    name: str = Field(primary_key=True)
    """Unique within the node execution."""
    result: list[Any] = Field(sa_column=Column(JSON, nullable=False))
    """An envelope around what it gave."""
    usage: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """What language models used for it."""


class ConversationTurn(SQLModel, table=True):
    """A turn that ended with calls."""

    __tablename__ = "conversation_turns"

    execution_id: uuid.UUID = Field(primary_key=True)
    node: int = Field(primary_key=True)
    n: int = Field(primary_key=True)
    turn: int = Field(primary_key=True)
    """1 for the first."""
    messages: list[Any] = Field(sa_column=Column(JSON, nullable=False))
    """An envelope around what was said in this turn."""
    calls: list[Any] = Field(sa_column=Column(JSON, nullable=False))
    """`[[call id, node, [[pin, envelope], …]], …]`"""
