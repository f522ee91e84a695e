"""Migrations: make the tables that the code describes, also when several processes start at once."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

from app.database import make_engine
from app.migrating import migrate, newest_revision
from app.models.tables.users import User
from tests.stack import Stack

SSL_REQUEST = (80_877_103).to_bytes(4, "big")


async def test_processes_that_start_together_make_the_tables_that_the_code_describes_and_leave_newer_ones(
    stack: Stack,
) -> None:
    assert User.metadata is SQLModel.metadata
    database_url = await stack.postgres.make_database(f"migrated_{uuid.uuid4().hex}")

    await asyncio.gather(*(migrate(database_url) for _ in range(4)))

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection)
        found: list[object] = compare_metadata(context, SQLModel.metadata)
        return found

    engine = make_engine(database_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
        noted = await connection.run_sync(
            lambda each: MigrationContext.configure(each).get_current_revision()
        )
        assert noted == newest_revision()
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        await connection.commit()
    await engine.dispose()

    # While a new version takes over, and when somebody goes back to this one.
    await migrate(database_url)


async def test_a_postgres_that_is_still_starting_is_away_to_whoever_migrates() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readexactly(8)
        if asked[4:] == SSL_REQUEST:
            writer.write(b"N")
            await reader.readexactly(8)
        fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is not yet accepting connections\0\0"
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as starting:
        port = starting.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match="not yet accepting"):
            await migrate(f"postgresql://anybody@127.0.0.1:{port}/any")
