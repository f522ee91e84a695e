"""The table of payments: credits that users buy."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.models.tables.columns import count, moment


class Payment(SQLModel, table=True):
    """One purchase of credits, from its checkout to its refund."""

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("provider", "provider_ref", name="payments_once"),
        Index("payments_of_user", "user_id", "created_at", "id"),
    )

    id: uuid.UUID = Field(primary_key=True)
    user_id: str
    provider: str
    provider_ref: str | None = None
    """What the provider calls it; null until the provider knows of it."""
    credits: int
    status: str
    """`pending`, `paid`, `failed` or `refunded`."""
    refunded_credits: int = Field(default=0, sa_column=count())
    is_automatic: bool = False
    created_at: datetime = Field(sa_column=moment(is_now=True))
    paid_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
