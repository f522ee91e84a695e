"""The tables of files: what is known of each, and the pieces of their content."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, LargeBinary, Text, Uuid, text
from sqlmodel import Field, SQLModel

from app.models.tables.columns import moment


class StoredFile(SQLModel, table=True):
    """What is known of a file."""

    __tablename__ = "files"
    __table_args__ = (
        Index("files_of_user", "user_id", "created_at", "id"),
        Index("files_of_execution", "execution_id", postgresql_where=text("execution_id IS NOT NULL")),
        Index("files_expiring", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
        Index("files_once", "user_id", "key", unique=True, postgresql_where=text("key IS NOT NULL")),
    )

    id: uuid.UUID = Field(primary_key=True)
    user_id: str
    execution_id: uuid.UUID | None = None
    """The execution that it goes with; null for one that is kept by itself."""
    key: str | None = Field(default=None, sa_column=Column(Text))
    """What makes a repeat of the same storing recognisable; null where nothing repeats it."""
    name: str
    content_type: str
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Bytes."""
    sha256: str
    created_at: datetime = Field(sa_column=moment(is_now=True))
    expires_at: datetime | None = Field(default=None, sa_column=moment(is_nullable=True))


class FilePart(SQLModel, table=True):
    """A piece of a file's content."""

    __tablename__ = "file_parts"
    __table_args__ = (CheckConstraint("(body IS NULL) <> (object IS NULL)", name="file_parts_have_one_body"),)

    file_id: uuid.UUID = Field(
        sa_column=Column(Uuid, ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    )
    number: int = Field(primary_key=True)
    """0, 1, 2, …"""
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    object: str | None = Field(default=None, sa_column=Column(Text))
    """Name of the object that is the piece."""
