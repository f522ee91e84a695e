"""The table of API keys."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from app.models.tables.columns import json_list, moment


class ApiKey(SQLModel, table=True):
    """A key with which programs of a user authenticate. The key itself is kept nowhere."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("api_keys_of_user", "user_id", "created_at", "id"),)

    id: uuid.UUID = Field(primary_key=True)
    user_id: str
    name: str
    prefix: str = Field(unique=True)
    """The part of the key that may be shown, and by which its row is found."""
    key_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    scopes: list[str] = Field(sa_column=Column(JSON, nullable=False))
    addresses: list[Any] = Field(default_factory=list, sa_column=json_list())
    """IP networks from which it may be used; empty for any."""
    created_at: datetime = Field(sa_column=moment(is_now=True))
    expires_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    last_used_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    suspended_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
