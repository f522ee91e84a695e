"""The table of keys under which changing calls were made."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from app.models.tables.columns import flag, moment


class IdempotencyKey(SQLModel, table=True):
    """A key under which a changing call was made, and what it was answered."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_age", "claimed_at"),)

    user_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    """Hash of the request, to tell a repeat from a clash."""
    claim: uuid.UUID
    """Of the call that carries it out."""
    claimed_at: datetime = Field(sa_column=moment(is_now=True))
    is_done: bool = Field(default=False, sa_column=flag())
    """Whether it has had its effect."""
    status: int | None = None
    """Of the answer, as HTTP has it; null while there is none."""
    media_type: str | None = None
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    """The answer's body, compressed with zlib."""
