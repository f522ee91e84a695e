"""The table of users."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from app.models.tables.columns import moment


class User(SQLModel, table=True):
    """Somebody who has shown a valid token at least once."""

    __tablename__ = "users"

    id: str = Field(primary_key=True)
    email: str
    name: str = ""
    role: str = "user"
    timezone: str = "UTC"
    credits: int = 0
    created_at: datetime = Field(sa_column=moment(is_now=True))
    last_login: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
