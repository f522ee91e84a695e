"""The table of the ledger: every change of a balance, never altered."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlmodel import Field, SQLModel

from app.models.tables.columns import json_object


class CreditEntry(SQLModel, table=True):
    """One change of a user's balance. A trigger refuses to change or delete it."""

    __tablename__ = "credit_entries"
    __table_args__ = (
        UniqueConstraint("user_id", "key", name="credit_entries_once"),
        CheckConstraint("balance >= 0", name="credit_entries_covered"),
        Index("credit_entries_of_user", "user_id", "id"),
        Index("credit_entries_of_root", "root_id", "id", postgresql_where=text("root_id IS NOT NULL")),
        Index(
            "credit_entries_of_trials",
            "at",
            postgresql_where=text("kind = 'RESERVE' AND execution_id IS NULL"),
        ),
        Index("credit_entries_refunds", "user_id", postgresql_where=text("kind = 'REFUND'")),
        Index(
            "credit_entries_of_execution", "execution_id", postgresql_where=text("execution_id IS NOT NULL")
        ),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    user_id: str
    key: str
    """What it is for. The same key is never entered twice for one user."""
    kind: str
    """A value of `EntryKind`."""
    amount: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Credits that the balance gains; negative when it loses."""
    balance: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Credits after it."""
    execution_id: uuid.UUID | None = None
    root_id: uuid.UUID | None = None
    """The outermost execution that the execution is nested in, or the execution itself."""
    node_execution_id: uuid.UUID | None = None
    details: dict[str, Any] = Field(default_factory=dict, sa_column=json_object())
    at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp())
    )
