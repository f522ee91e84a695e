"""The block that asks a database of the user's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from pydantic import Field, SecretStr

from app.blocks.base import BlockCategory, BlockInput, BlockOutput, Emitted, RemoteBlock
from app.blocks.context import BlockContext
from app.blocks.credentials import CredentialsRef, UserPassword
from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.graph.credentials import CredentialsNeed, CredentialsType
from app.graph.signature import Effect
from app.outbound.addresses import AddressRefused
from app.outbound.databases import mysql, postgres
from app.outbound.databases.queries import Encryption, Query, Target, check_reading
from app.secrecy import note_secrets

MAX_QUERY_LENGTH = 100_000


class DatabaseType(StrEnum):
    """What kind of server it is."""

    POSTGRES = "postgres"
    MYSQL = "mysql"
    MSSQL = "mssql"


_PORTS = {DatabaseType.POSTGRES: 5432, DatabaseType.MYSQL: 3306}


class SQLQueryBlock(RemoteBlock):
    """Ask a database of yours, with one SQL statement. Unless it is told otherwise, it changes nothing there.

    With `read_only` the statement runs in a read-only transaction, so the server itself refuses what would change
    something. The database of this system is never reached.
    """

    id = "4dc35c0f-4fd8-465e-9616-5a216f1ba2bc"
    slug = "sql_query_block"
    categories = (BlockCategory.DATA,)
    credentials = MappingProxyType(
        {"credentials": CredentialsNeed(providers=("database",), types=(CredentialsType.USER_PASSWORD,))}
    )

    class Input(BlockInput):
        """The database and the statement."""

        database_type: DatabaseType = DatabaseType.POSTGRES
        """`postgres` or `mysql`; `mssql` is not supported."""
        host: SecretStr
        """Name or address of the server."""
        port: int | None = Field(default=None, ge=1, le=65_535)
        """Its port; the usual one if null."""
        database: str
        """Name of the database."""
        query: str = Field(max_length=MAX_QUERY_LENGTH)
        """One statement. Values stand in it as `$1`, `$2` … for Postgres and as `%s` for MySQL."""
        parameters: list[Any] = Field(default=[])
        """The values."""
        read_only: bool = True
        """Whether the server is to refuse every change."""
        timeout: int = Field(default=30, ge=1, le=300)
        """Seconds that the statement may take."""
        max_rows: int = Field(default=1000, ge=1, le=10_000)
        """The most rows that are taken."""
        encryption: Encryption = Encryption.PREFER
        """`prefer` encrypts if the server can; `verify` always, and checks the server's certificate."""
        credentials: CredentialsRef | None = None
        """The user of the database."""

    class Output(BlockOutput):
        """What the statement gave."""

        results: list[dict[str, Any]]
        """The rows, by column; only of a statement that gives rows, like the three below."""
        columns: list[str]
        """The names of the columns."""
        row_count: int
        """How many rows were taken."""
        truncated: bool
        """Whether there were more."""
        affected_rows: int
        """How many rows were changed; not with `read_only`."""

    def effect_of(self, given: dict[str, Any]) -> Effect:
        """Return what a second call does: with `read_only` nothing."""
        return Effect.PURE if given.get("read_only", True) is True else Effect.UNKEYED

    async def run(self, given: Input, context: BlockContext) -> AsyncIterator[Emitted]:
        """Emit the rows, or how many were changed.

        Raises:
            AddressRefused: The server may not be reached.
            BlockInputInvalid: The statement or its parameters are of the wrong kind.
            BlockUnavailable: The server cannot be reached.
            BlockError: It refuses the statement, or is not done in time.
            BlockLimitExceeded: The rows are too large.
        """
        if given.database_type is DatabaseType.MSSQL:
            raise BlockError("SQL Server is not supported; postgres and mysql are")
        if given.read_only:
            check_reading(given.query)
        credentials = await context.require_credentials(UserPassword)
        query = Query(given.query, given.parameters, given.read_only, given.max_rows, float(given.timeout))
        target = await _find(given, credentials, context)
        run_query = postgres.run_query if given.database_type is DatabaseType.POSTGRES else mysql.run_query
        answer = await run_query(target, query)
        if answer.columns is not None:
            yield "results", answer.rows
            yield "columns", answer.columns
            yield "row_count", len(answer.rows)
            yield "truncated", answer.is_truncated
        if answer.affected_rows is not None:
            yield "affected_rows", answer.affected_rows


async def _find(given: SQLQueryBlock.Input, credentials: UserPassword, context: BlockContext) -> Target:
    host = given.host.get_secret_value().strip()
    note_secrets([host])
    # A path would be a socket of this machine, a list several hosts, of which one only would be checked.
    if not host or any(letter in host for letter in "/,@ \x00"):
        raise BlockInputInvalid("`host` is not the name or the address of one server")
    port = given.port or _PORTS[given.database_type]
    try:
        addresses = await context.http.checked_addresses(host, port)
    except AddressRefused as error:
        raise AddressRefused(
            "Blocks may not reach the `host`: it is not public, or is part of this system"
        ) from error
    except BlockUnavailable as error:
        raise BlockUnavailable("The `host` was not found") from error
    return Target(
        host=host,
        address=addresses[0],
        port=port,
        database=given.database,
        user=credentials.username,
        password=credentials.password,
        encryption=given.encryption,
    )
