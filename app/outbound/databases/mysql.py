"""Queries to somebody's MySQL or MariaDB."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.outbound.databases.queries import (
    Answer,
    Encryption,
    Query,
    Rows,
    Target,
    check_single,
    name_columns,
)
from app.outbound.named_tls import NamedTls

CONNECT_SECONDS = 10.0
_ACCESS_DENIED = (1044, 1045, 1049)
_LOST = (2006, 2013)


async def run_query(target: Target, query: Query) -> Answer:
    """Run one statement.

    Raises:
        BlockUnavailable: The server cannot be reached.
        BlockError: It refuses the statement, or is not done in time.
        BlockInputInvalid: The parameters do not fit.
        BlockLimitExceeded: The rows are too large.
    """
    from asyncmy import errors  # noqa: PLC0415 - few graphs speak to MySQL, and every worker would load it

    check_single(query.text)
    async with _connected(target) as connection:
        try:
            async with asyncio.timeout(query.timeout_seconds):
                return await _run(connection, query)
        except TimeoutError as error:
            raise BlockError(f"The query was not done within {query.timeout_seconds:g} s") from error
        except (errors.MySQLError, OSError) as error:
            if isinstance(error, OSError) or (error.args and error.args[0] in _LOST):
                raise _broken(query) from error
            raise BlockError(f"The database refuses the query: {error}") from error


@contextlib.asynccontextmanager
async def _connected(target: Target) -> AsyncIterator[Any]:
    import asyncmy  # noqa: PLC0415 - as above
    from asyncmy import errors  # noqa: PLC0415 - as above

    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await asyncmy.connect(
                host=target.address,
                port=target.port,
                user=target.user,
                password=target.password,
                database=target.database,
                charset="utf8mb4",
                # Known, so that the check of the statement and the server agree where a text ends.
                sql_mode="TRADITIONAL",
                connect_timeout=int(CONNECT_SECONDS),
                ssl=NamedTls.of(target.host) if target.encryption is Encryption.VERIFY else None,
            )
    except errors.MySQLError as error:
        if error.args and error.args[0] in _ACCESS_DENIED:
            raise BlockError(f"The database refuses the connection: {error}") from error
        raise BlockUnavailable("The database cannot be reached") from error
    except (OSError, TimeoutError) as error:
        raise BlockUnavailable("The database cannot be reached") from error
    try:
        yield connection
    finally:
        connection.close()


async def _run(connection: Any, query: Query) -> Answer:
    from asyncmy.cursors import SSCursor  # noqa: PLC0415 - as above

    async with connection.cursor(SSCursor) as cursor:
        if query.is_read_only:
            # Of the session, so that a transaction that is smuggled in is read-only too.
            await cursor.execute("SET SESSION TRANSACTION READ ONLY")
            await cursor.execute("START TRANSACTION READ ONLY")
        try:
            changed = await cursor.execute(query.text, tuple(query.parameters) or None)
        except (TypeError, ValueError) as error:
            raise BlockInputInvalid("The parameters do not fit the query") from error
        names = [each[0] for each in cursor.description or ()]
        columns, rows = name_columns(names), Rows(query.max_rows)
        if columns:
            while (row := await cursor.fetchone()) is not None:
                if not rows.take(dict(zip(columns, row, strict=True))):
                    break
        if not query.is_read_only:
            await connection.commit()
    return Answer(
        columns or None,
        rows.taken,
        rows.is_truncated,
        None if query.is_read_only or columns else int(changed or 0),
    )


def _broken(query: Query) -> BlockError:
    if query.is_read_only:
        return BlockUnavailable("The connection to the database broke")
    return BlockError(
        "The connection to the database broke; whether the query took effect is not known",
        details={"outcome_unknown": True},
    )
