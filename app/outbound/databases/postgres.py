"""Queries to somebody's Postgres. Has nothing to do with the database of this system."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

import asyncpg

from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.outbound.databases.queries import Answer, Encryption, Query, Rows, Target, name_columns
from app.outbound.named_tls import NamedTls

CONNECT_SECONDS = 10.0
_BATCH = 50
_AWAY = (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError)
_READERS: Mapping[str, Callable[[str], Any]] = {
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "timestamptz": datetime.fromisoformat,
    "uuid": uuid.UUID,
}


async def run_query(target: Target, query: Query) -> Answer:
    """Run one statement.

    Raises:
        BlockUnavailable: The server cannot be reached.
        BlockError: It refuses the statement, or is not done in time.
        BlockInputInvalid: A parameter does not fit.
        BlockLimitExceeded: The rows are too large.
    """
    async with _connected(target, query) as connection:
        try:
            async with asyncio.timeout(query.timeout_seconds):
                return await _run(connection, query)
        except (TimeoutError, asyncpg.QueryCanceledError) as error:
            raise BlockError(f"The query was not done within {query.timeout_seconds:g} s") from error
        except asyncpg.PostgresError as error:
            if isinstance(error, _AWAY):
                raise _broken(query) from error
            raise BlockError(f"The database refuses the query: {error}") from error
        except _AWAY as error:
            raise _broken(query) from error


@contextlib.asynccontextmanager
async def _connected(target: Target, query: Query) -> AsyncIterator[asyncpg.Connection[Any]]:
    milliseconds = str(int(query.timeout_seconds * 1000))
    read_only = {"default_transaction_read_only": "on"} if query.is_read_only else {}
    try:
        connection = await asyncpg.connect(
            host=target.address,
            port=target.port,
            user=target.user,
            password=target.password,
            database=target.database,
            ssl=NamedTls.of(target.host) if target.encryption is Encryption.VERIFY else "prefer",
            timeout=CONNECT_SECONDS,
            statement_cache_size=0,
            server_settings={"statement_timeout": milliseconds, "application_name": "perdure", **read_only},
            # Otherwise files of this machine would have a say.
            passfile="/dev/null",
        )
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise BlockError(f"The database refuses the connection: {error}") from error
    except (*_AWAY, asyncpg.PostgresError, TimeoutError) as error:
        raise BlockUnavailable("The database cannot be reached") from error
    try:
        yield connection
    finally:
        # A query that is still running is cancelled by the server when its connection is gone.
        connection.terminate()


async def _run(connection: asyncpg.Connection[Any], query: Query) -> Answer:
    async with connection.transaction(readonly=query.is_read_only):
        # A prepared statement is one statement: the server refuses a second one behind it.
        statement = await connection.prepare(query.text)
        parameters = _fit(query.parameters, [kind.name for kind in statement.get_parameters()])
        columns = name_columns([each.name for each in statement.get_attributes()])
        rows = Rows(query.max_rows)
        try:
            if query.is_read_only:
                cursor = await statement.cursor(*parameters)
                while batch := await cursor.fetch(_BATCH):
                    if not all(rows.take(dict(zip(columns, row.values(), strict=True))) for row in batch):
                        break
            else:
                for row in await statement.fetch(*parameters):
                    rows.take(dict(zip(columns, row.values(), strict=True)))
        except asyncpg.DataError as error:
            raise BlockInputInvalid(f"A parameter does not fit: {error}") from error
        affected = None if query.is_read_only else _count(statement.get_statusmsg())
    return Answer(columns or None, rows.taken, rows.is_truncated, affected)


def _fit(parameters: Sequence[Any], kinds: Sequence[str]) -> list[Any]:
    if len(parameters) != len(kinds):
        raise BlockInputInvalid(f"The query takes {len(kinds)} parameters, and {len(parameters)} are given")
    return [_fit_one(value, kind) for value, kind in zip(parameters, kinds, strict=True)]


def _fit_one(value: Any, kind: str) -> Any:
    """Return a JSON value as the driver takes it for a type of the server."""
    try:
        if value is None:
            return None
        if kind in ("json", "jsonb"):
            return json.dumps(value)
        if kind == "numeric":
            return Decimal(str(value))
        if kind in ("text", "varchar", "bpchar", "name") and not isinstance(value, str):
            return json.dumps(value)
        return _READERS[kind](value) if kind in _READERS and isinstance(value, str) else value
    except (ValueError, InvalidOperation):
        raise BlockInputInvalid(f"A parameter is not of the type {kind}") from None


def _count(status: str) -> int:
    number = status.rpartition(" ")[2]
    return int(number) if number.isdecimal() else 0


def _broken(query: Query) -> BlockError:
    if query.is_read_only:
        return BlockUnavailable("The connection to the database broke")
    return BlockError(
        "The connection to the database broke; whether the query took effect is not known",
        details={"outcome_unknown": True},
    )
