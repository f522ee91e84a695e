"""The tables of payments: credits that users buy, and how they pay for them."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from app.models.tables.columns import count, moment, word


class Payment(SQLModel, table=True):
    """One purchase of credits, from its checkout to its refund."""

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("provider", "provider_ref", name="payments_once"),
        Index("payments_of_user", "user_id", "created_at", "id"),
        Index("payments_of_charge", "provider", "charge_ref"),
        Index(
            "payments_open",
            "created_at",
            postgresql_where=text("status IN ('pending', 'refunding')"),
        ),
        Index(
            "payments_of_execution",
            "user_id",
            "execution_id",
            unique=True,
            postgresql_where=text("execution_id IS NOT NULL"),
        ),
    )

    id: uuid.UUID = Field(primary_key=True)
    user_id: str
    provider: str
    provider_ref: str | None = None
    """What the provider calls it; null until the provider knows of it."""
    charge_ref: str | None = None
    """What the provider calls the money itself, to be given back; null until it is paid."""
    checkout_url: str = Field(default="", sa_column=word())
    """Where it is paid; empty for one that is charged by itself."""
    credits: int
    amount_cents: int
    """What they cost."""
    status: str
    """A value of `PaymentStatus`."""
    refunded_credits: int = Field(default=0, sa_column=count())
    """Credits that were to be taken back with the money, whether the balance covered them or not."""
    is_automatic: bool = False
    execution_id: uuid.UUID | None = None
    """For which execution credits are bought by themselves; outermost, and once for each."""
    refund_id: uuid.UUID | None = None
    """Of the refund that its user has asked for."""
    refund_asked_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    checked_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    """When the provider was last asked how it stands."""
    created_at: datetime = Field(sa_column=moment(is_now=True))
    paid_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))


class Payer(SQLModel, table=True):
    """How a user pays, and when credits are bought by themselves."""

    __tablename__ = "payers"

    user_id: str = Field(primary_key=True)
    customer_ref: str = Field(default="", sa_column=word())
    """What the provider calls the user who keeps a way to pay there; empty while there is none."""
    threshold: int = Field(default=0, sa_column=count())
    """Credits are bought when fewer than these are left."""
    credits: int = Field(default=0, sa_column=count())
    """How many are bought then; 0 for none."""
    changed_at: datetime = Field(sa_column=moment(is_now=True))
    """Since when that holds. What was spent before buys nothing."""
