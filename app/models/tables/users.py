"""The table of users."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Index
from sqlmodel import Field, SQLModel

from app.models.tables.columns import count, json_object, moment


class User(SQLModel, table=True):
    """Somebody who has shown a valid token at least once."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("credits >= 0", name="users_not_in_debt"),
        Index("users_by_age", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    email: str
    name: str = ""
    role: str = "user"
    told_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    """When the token was issued that e-mail address and role are taken from."""
    timezone: str = "UTC"
    preferences: dict[str, Any] = Field(default_factory=dict, sa_column=json_object())
    credits: int = Field(default=0, sa_column=count(BigInteger))
    """The balance: the sum of the ledger, changed with it under this row's lock."""
    daily_budget: int | None = None
    """The most credits that the user wants to be spent in a day (UTC); null for any."""
    total_budget: int | None = None
    """The most credits that the user wants to be spent at all; null for any."""
    daily_limit: int | None = None
    """The most that an admin allows in a day, whatever the budget; null for any."""
    total_limit: int | None = None
    """The most that an admin allows at all, whatever the budget; null for any."""
    spent_on: date | None = Field(default=None, sa_column=Column(Date))
    """The day that `spent_today` is of."""
    spent_today: int = Field(default=0, sa_column=count(BigInteger))
    """Credits charged and reserved on that day."""
    spent: int = Field(default=0, sa_column=count(BigInteger))
    """Credits charged and reserved ever."""
    reserved: int = Field(default=0, sa_column=count(BigInteger))
    """Credits that are reserved for calls now."""
    suspended_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    """Since when the user may do nothing."""
    created_at: datetime = Field(sa_column=moment(is_now=True))
    last_login: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
