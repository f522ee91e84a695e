"""How the database is reached. Knows no table."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

import asyncpg
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

AWAY = (
    OSError,
    asyncpg.InterfaceError,
    # Of a connection that Postgres has told of its end, and not closed yet.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""What the driver raises while Postgres is down, starting, stopping or full: the same call may work later."""
_PASSING_SQLSTATES = ("08", "53", "57")
"""Classes of the same: connection, resources, shutting down or starting up."""


def is_outage(error: DBAPIError) -> bool:
    """Return whether an error that SQLAlchemy has wrapped is one of those of `AWAY`."""
    sqlstate = str(getattr(error.orig, "sqlstate", ""))
    return error.connection_invalidated or sqlstate.startswith(_PASSING_SQLSTATES)


def write_json(value: Any) -> str:
    r"""Return the JSON text of a value as the database keeps it.

    Only ASCII, so that what text columns refuse (`\u0000`, lone surrogates) is kept escaped.

    Raises:
        ValueError: The value holds NaN or an infinity, which JSON does not have.
    """
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def driver_url(database_url: str) -> URL:
    """Return the URL for the asyncpg driver, however the caller names the driver."""
    return make_url(database_url).set(drivername="postgresql+asyncpg")


def plain_url(database_url: str) -> str:
    """Return the URL as libpq and asyncpg itself understand it."""
    return make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)


def make_engine(
    database_url: str,
    *,
    pool_size: int = 10,
    max_overflow: int = 10,
    pool_timeout_seconds: float = 10.0,
    connect_timeout_seconds: float = 5.0,
    role: str | None = None,
    pool_use_lifo: bool = False,
) -> AsyncEngine:
    """Make an engine with a pool of connections. It connects on first use.

    Args:
        database_url: Where it connects to.
        pool_size: Connections that are kept.
        max_overflow: Connections that there may be besides, for a while.
        pool_timeout_seconds: How long one waits for a connection.
        connect_timeout_seconds: How long connecting takes at most.
        role: Role that connections take on; that of the login unless said otherwise.
        pool_use_lifo: Take the connection that was given back last, instead of the one that has rested longest.
    """
    engine = create_async_engine(
        driver_url(database_url),
        json_serializer=write_json,
        # Values of users stand in parameters; they must not get into logs with an error.
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_timeout_seconds,
        pool_use_lifo=pool_use_lifo,
        connect_args={
            "timeout": connect_timeout_seconds,
            # From the start, so that what resets a connection does not give the rights of the login back.
            "server_settings": {"role": role} if role else {},
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool replace a connection that the server has closed: noticed without a round trip."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


class Sessions:
    """Makes sessions: plain ones to read with, and transactions. What one has read stays readable after it ends.

    To read, each statement stands alone: a transaction around it would cost two more round trips.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Make sessions on an engine."""
        self._reading = async_sessionmaker(
            engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False
        )
        self._writing = async_sessionmaker(engine, expire_on_commit=False)

    def __call__(self) -> AsyncSession:
        """Return a session to read with."""
        return self._reading()

    def begin(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Return a transaction, committed when it is left without an error."""
        return self._writing.begin()
