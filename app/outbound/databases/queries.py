"""What a query to somebody's database is, what it gives, and how much of it is taken. Knows no driver."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from app.errors import BlockInputInvalid, BlockLimitExceeded
from app.json_values import to_json

MAX_RESULT_BYTES = 16 * 1024 * 1024
_READING = frozenset({"select", "with", "values", "table", "show", "explain", "describe", "desc"})
"""How a statement begins that may read. That it does no more than that, the server sees to."""
_PIECES = re.compile(
    r"""
    (?P<text>'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*"|`[^`]*`)
    |(?P<conditional>/\*[!M])
    |(?P<comment>--[^\n]*|\#[^\n]*|/\*.*?\*/)
    |(?P<dollars>\$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$)
    """,
    re.VERBOSE | re.DOTALL,
)
_INTO_FILE = re.compile(r"\binto\s+(?:outfile|dumpfile)\b", re.IGNORECASE)


class Encryption(StrEnum):
    """How a connection is encrypted."""

    PREFER = "prefer"
    """If the server can; its certificate is not verified."""
    VERIFY = "verify"
    """Always, and its certificate is verified."""


@dataclass(frozen=True, slots=True)
class Target:
    """A database, at an address that was checked."""

    host: str = field(repr=False)
    address: str = field(repr=False)
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    encryption: Encryption = Encryption.PREFER


@dataclass(frozen=True, slots=True)
class Query:
    """One statement."""

    text: str
    parameters: Sequence[Any]
    is_read_only: bool
    max_rows: int
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave."""

    columns: list[str] | None
    """None for a statement that gives no rows."""
    rows: list[dict[str, Any]]
    is_truncated: bool
    affected_rows: int | None
    """How many it changed; None if it cannot have changed any."""


def check_reading(text: str) -> None:
    """Check, before a server is asked, that a statement is of a kind that reads.

    The server refuses what changes something; this refuses what a read-only transaction would still allow.

    Raises:
        BlockInputInvalid: It is not.
    """
    plain = _without_texts(text)
    words = re.findall(r"[A-Za-z_]+", plain)
    if not words or words[0].lower() not in _READING or not re.match(r"[\s(]*[A-Za-z]", plain):
        raise BlockInputInvalid(
            "With `read_only`, a query begins with SELECT, WITH, VALUES, TABLE, SHOW or EXPLAIN"
        )
    if _INTO_FILE.search(plain):
        raise BlockInputInvalid("With `read_only`, a query does not write into a file")


def check_single(text: str) -> None:
    """Check that a text is one statement, for a server that would take several.

    Raises:
        BlockInputInvalid: It is more than one.
    """
    if ";" in _without_texts(text).rstrip().rstrip(";"):
        raise BlockInputInvalid("Only one statement is taken at a time")


def _without_texts(text: str) -> str:
    def put(piece: re.Match[str]) -> str:
        if piece["conditional"]:
            raise BlockInputInvalid("A query holds no comments that are executed")
        return " " if piece["comment"] else " '' "

    return _PIECES.sub(put, text)


class Rows:
    """Takes rows until there are enough, or too many bytes."""

    def __init__(self, max_rows: int) -> None:
        """Begin with none."""
        self._max_rows = max_rows
        self._bytes = 0
        self.taken: list[dict[str, Any]] = []
        self.is_truncated = False

    def take(self, row: Mapping[str, Any]) -> bool:
        """Take a row if there is room, and answer whether there was.

        Raises:
            BlockLimitExceeded: All rows together are too large.
        """
        if len(self.taken) >= self._max_rows:
            self.is_truncated = True
            return False
        plain = {name: jsonable(value) for name, value in row.items()}
        self._bytes += len(json.dumps(plain))
        if self._bytes > MAX_RESULT_BYTES:
            raise BlockLimitExceeded(f"The rows are larger than {MAX_RESULT_BYTES // 1024 // 1024} MiB")
        self.taken.append(plain)
        return True


def name_columns(names: Sequence[str]) -> list[str]:
    """Return names that differ, so that no column hides another."""
    return list(_differing(names))


def _differing(names: Sequence[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        number, unique = 1, name
        while unique in seen:
            number += 1
            unique = f"{name}_{number}"
        seen.add(unique)
        yield unique


def jsonable(value: Any) -> Any:
    """Return a value of a database as JSON: numbers stay numbers if nothing of them is lost, bytes go as base64."""
    if value is None or isinstance(value, bool | int | float | str):
        return to_json(value)
    if isinstance(value, Decimal):
        return _number_of(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    return to_json(str(value))


def _number_of(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    if value == value.to_integral_value() and value.as_tuple().exponent == 0:
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else str(value)
