"""The table of the audit log."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Index
from sqlmodel import Field, SQLModel

from app.models.tables.columns import json_object, moment, word


class AuditEntry(SQLModel, table=True):
    """Who did what to which thing, from where. A trigger refuses to change or delete it."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("audit_entries_of_user", "user_id", "id"),
        Index("audit_entries_of_actor", "actor_id", "id"),
        Index("audit_entries_of_object", "object_id", "id"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    at: datetime = Field(sa_column=moment(is_now=True))
    user_id: str
    """Whose things were concerned: the user who may read the entry."""
    actor_id: str
    """The user who acted; empty for nobody known."""
    api_key_id: uuid.UUID | None = None
    """The API key that was used, if one was."""
    action: str
    """What was done, as `noun.verb`."""
    object_id: str = Field(default="", sa_column=word())
    """To which thing."""
    outcome: str = Field(default="", sa_column=word())
    """The code of the error that refused it; empty when it was done."""
    address: str = Field(default="", sa_column=word())
    """IP address that the request came from."""
    request_id: str = Field(default="", sa_column=word())
    details: dict[str, Any] = Field(default_factory=dict, sa_column=json_object())
    """What else is to be known; never a secret."""
