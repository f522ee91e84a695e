"""The tables of credentials: what is shown of them, and their secrets, sealed."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Column, DateTime, Index, LargeBinary, Text
from sqlmodel import Field, SQLModel

from app.models.tables.columns import json_list, moment


class StoredCredentials(SQLModel, table=True):
    """How a user proves to a service who they are."""

    __tablename__ = "credentials"
    __table_args__ = (
        Index("credentials_of_user", "user_id", "created_at", "id"),
        Index("credentials_by_key", "key_id", "id"),
    )

    id: uuid.UUID = Field(primary_key=True)
    user_id: str = Field(foreign_key="users.id")
    provider: str
    type: str
    """One of `app.graph.credentials.CredentialsType`."""
    title: str = Field(sa_column=Column(Text, nullable=False))
    username: str | None = Field(default=None, sa_column=Column(Text))
    """Of a name with a password, and of an account where its provider tells it."""
    host: str | None = Field(default=None, sa_column=Column(Text))
    """Where host-scoped headers are sent."""
    scopes: list[str] = Field(default_factory=list, sa_column=json_list())
    expires_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    """When the access token or the key stops to be valid; null when that is not known."""
    secret: bytes = Field(sa_column=Column(LargeBinary, nullable=False), repr=False)
    """Sealed by `app.encryption.credentials`."""
    key_id: str
    """Of the key that it is sealed under."""
    created_at: datetime = Field(sa_column=moment(is_now=True))
    updated_at: datetime = Field(sa_column=moment(is_now=True))
    last_used_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))
    """To the minute."""


class UsedLogin(SQLModel, table=True):
    """A login at a provider that has come back, and so never comes back again."""

    __tablename__ = "used_logins"

    id: uuid.UUID = Field(primary_key=True)
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False, index=True))
    """From then on it would be refused for its age, and need not be remembered."""
