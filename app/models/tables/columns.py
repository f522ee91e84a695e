"""Columns that stand in many tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, DateTime, Integer, Text, func, text


def moment(*, is_nullable: bool = False, is_now: bool = False) -> Any:
    """Return a column of a moment, which may be that of the transaction that inserts the row."""
    return Column(
        DateTime(timezone=True), nullable=is_nullable, server_default=func.now() if is_now else None
    )


def count(kind: type[Integer] = Integer) -> Any:
    """Return a column of a number that begins at 0."""
    return Column(kind, nullable=False, server_default="0")


def word() -> Any:
    """Return a column of a text that begins empty."""
    return Column(Text, nullable=False, server_default="")


def flag() -> Any:
    """Return a column that begins false."""
    return Column(Boolean, nullable=False, server_default=text("false"))


def json_list() -> Any:
    """Return a column of JSON that begins as an empty list."""
    return Column(JSON, nullable=False, server_default="[]")


def json_object() -> Any:
    """Return a column of JSON that begins as an empty object."""
    return Column(JSON, nullable=False, server_default="{}")


def transaction_number() -> Any:
    """Return a column of the number of the transaction that inserts the row."""
    return Column(BigInteger, nullable=False, server_default=text("(pg_current_xact_id()::text)::bigint"))
