"""Row-level security: what Postgres itself shows a request, whatever its queries say or have forgotten to say.

Rows of two users are made for every table that there is, so that a table without a policy is noticed on its first day.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Column, Table, TypeDecorator, func, insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel

from app.database import Sessions, driver_url, make_engine
from app.errors import NotFound
from app.migrating import migrate
from app.models.reviews import require_linked_review
from app.models.tables.executions import Execution
from app.tenants import NOBODY, TENANT_ROLE, make_tenant_engine, working_for
from tests.stack import Stack

ALICE, BOB = "alice", "bob"
OF_NOBODY = {"used_logins", "loose_objects"}
"""Random names of what is under way; they belong to no user."""
OF_THE_SYSTEM = {"tallies"}
"""What requests have nothing to do with."""
APPEND_ONLY = {"credit_entries", "audit_entries"}
KEPT = APPEND_ONLY | {"plans", "users"}
"""Of these a request deletes nothing at all."""
THEIRS_TO_SAY = {"name", "timezone", "preferences", "daily_budget", "total_budget"} | {
    # Changed with the ledger.
    *("credits", "spent_on", "spent_today", "spent", "reserved")
}
"""What a request changes of its user."""
FORBIDDEN = "42501"
TABLES = [table for table in SQLModel.metadata.sorted_tables if table.name not in OF_THE_SYSTEM]
PARENTS = {
    "execution_id": "execution",
    "graph_id": "graph",
    "file_id": "file",
    "webhook_id": "webhook",
    "notification_id": "notification",
}
"""Columns whose value is the id of something else that is made."""
SPECIAL: Mapping[str, Mapping[str, Any]] = {
    "file_parts": {"body": b"x"},
    "stored_values": {"body": b"x"},
}
"""What a table asks for beside what its columns say."""


def row_of(table: Table, user: str, *, name: str = "") -> dict[str, Any]:
    """Return a row of a user's; with a name of its own it is another one of the same parents'."""
    made = {column.name: _value(table, column, user, name) for column in table.columns}
    return {key: value for key, value in made.items() if value is not None} | dict(
        SPECIAL.get(table.name, {})
    )


def id_of(user: str, kind: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} of {user}")


def _value(table: Table, column: Column[Any], user: str, name: str) -> Any:
    if column.name == "user_id":
        return user
    if column.name in PARENTS and table.name != "memories":
        return id_of(user, PARENTS[column.name])
    if column.name in {"plan_hash", "hash"} and not name:
        return f"plan of {user}"
    if column.name == "sha256" and table.name == "value_uses":
        return f"sha256 of {user}"
    if (column.nullable or column.server_default is not None) and not column.primary_key:
        return None
    if column.identity is not None:
        return None
    is_text = isinstance(column.type, TypeDecorator)  # how SQLModel says it
    kind = str if is_text else column.type.python_type
    if kind is uuid.UUID:
        return id_of(user, f"{table.name.removesuffix('s')}{name}")
    if kind is str:
        return user if table.name == "users" and not name else f"{column.name}{name} of {user}"
    return {int: len(name), bytes: b"x", datetime: datetime(2026, 1, 1, tzinfo=UTC), bool: False}.get(
        kind, []
    )


@dataclass(frozen=True)
class Database:
    """A database in which two users have one of everything."""

    url: str
    owner: AsyncEngine
    tenants: AsyncEngine
    """Of one connection, which all take turns with."""

    async def fill(self) -> None:
        async with self.owner.begin() as connection:
            for table in TABLES:
                for user in (ALICE, BOB):
                    await connection.execute(insert(table).values(row_of(table, user)))


@pytest.fixture
async def database(own_database_url: str) -> AsyncIterator[Database]:
    """A database of the test's own, filled."""
    async with _opened(own_database_url) as opened:
        await opened.fill()
        yield opened


@contextlib.asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    owner, tenants = make_engine(url), make_tenant_engine(url, pool_size=1, max_overflow=0)
    yield Database(url, owner, tenants)
    await owner.dispose()
    await tenants.dispose()


async def seen(database: Database, user: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return all keys that a user sees, by table, asking for everything."""
    found = {}
    with working_for(user):
        async with Sessions(database.tenants)() as session:
            for table in TABLES:
                keys = await session.execute(select(*table.primary_key.columns))
                found[table.name] = sorted(tuple(key) for key in keys)
    return found


async def everything(database: Database) -> dict[str, int]:
    async with database.owner.connect() as connection:
        return {
            table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in TABLES
        }


async def refusal(database: Database, user: str, statement: Any) -> str:
    """Return as which error a statement is refused."""
    with working_for(user), pytest.raises(DBAPIError) as caught:
        async with Sessions(database.tenants).begin() as session:
            await session.execute(statement)
    return str(getattr(caught.value.orig, "sqlstate", ""))


async def test_every_table_has_a_policy(database: Database) -> None:
    query = text("""
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
        AND NOT (c.relrowsecurity AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid))
    """)
    async with database.owner.connect() as connection:
        assert {row[0] for row in await connection.execute(query)} == {"alembic_version"}


async def test_who_works_for_nobody_sees_nothing(database: Database) -> None:
    assert all(await everything(database)), "each table is to hold something"
    assert {name for name, rows in (await seen(database, NOBODY)).items() if rows} == set()
    assert {name for name, rows in (await seen(database, "carol")).items() if rows} == OF_NOBODY


async def test_what_is_the_systems_is_closed_to_requests(database: Database) -> None:
    for name in OF_THE_SYSTEM:
        for statement in (f"SELECT * FROM {name}", f"DELETE FROM {name}"):
            assert await refusal(database, ALICE, text(statement)) == FORBIDDEN


async def test_a_query_that_forgets_its_owner_finds_what_is_the_users_alone(database: Database) -> None:
    of_alice, of_bob = await seen(database, ALICE), await seen(database, BOB)
    for table in TABLES:
        if table.name not in OF_NOBODY:
            assert (len(of_alice[table.name]), len(of_bob[table.name])) == (1, 1), table.name
            assert of_alice[table.name] != of_bob[table.name]
    review, execution = id_of(BOB, "review"), id_of(BOB, "execution")
    sessions = Sessions(database.tenants)
    with working_for(BOB):
        async with sessions() as session:
            assert (await require_linked_review(session, execution, review)).user_id == BOB
    with working_for(ALICE):
        async with sessions() as session:
            assert await session.get(Execution, execution) is None
            with pytest.raises(NotFound):
                await require_linked_review(session, execution, review)


async def test_a_user_writes_nothing_for_somebody_else(database: Database) -> None:
    before = await everything(database)
    for table in TABLES:
        if table.name not in OF_NOBODY | {"plans"}:
            forged = insert(table).values(row_of(table, BOB, name="new"))
            assert await refusal(database, ALICE, forged) == FORBIDDEN, table.name
            assert await refusal(database, NOBODY, forged) == FORBIDDEN, table.name
    assert await everything(database) == before


async def test_a_user_moves_nothing_to_somebody_else(database: Database) -> None:
    for table in TABLES:
        for column in table.columns:
            # Of what says itself whose it is, that alone counts.
            if column.name == "user_id" or (column.name in PARENTS and "user_id" not in table.columns):
                theirs = BOB if column.name == "user_id" else id_of(BOB, PARENTS[column.name])
                moved = update(table).values({column.name: theirs})
                assert await refusal(database, ALICE, moved) == FORBIDDEN, (table.name, column.name)


async def test_a_request_makes_nobody_an_administrator_and_lets_nobody_in_again(database: Database) -> None:
    users = SQLModel.metadata.tables["users"]
    for column in users.columns:
        if column.name not in THEIRS_TO_SAY:
            itself = update(users).values({column.name: column})
            assert await refusal(database, ALICE, itself) == FORBIDDEN, column.name
    assert await refusal(database, "carol", insert(users).values(row_of(users, "carol"))) == FORBIDDEN
    with working_for(ALICE):
        async with Sessions(database.tenants).begin() as session:
            await session.execute(update(users).values(name="Ann"))


async def test_what_deletes_everything_deletes_what_is_the_users_alone(database: Database) -> None:
    # Parents last: what belongs to something else is no longer seen when that is gone.
    parents = {"graphs", "executions"}
    order = [*(table for table in TABLES[::-1] if table.name not in parents), *TABLES[::-1]]
    with working_for(ALICE):
        async with Sessions(database.tenants).begin() as session:
            for table in order:
                if table.name not in KEPT:
                    await session.execute(table.delete())
    for name in KEPT:
        assert await refusal(database, ALICE, SQLModel.metadata.tables[name].delete()) == FORBIDDEN, name
    left = await everything(database)
    assert {name for name, rows in left.items() if rows == 2} == KEPT
    assert {name for name, rows in left.items() if rows == 0} == OF_NOBODY
    assert {name for name, keys in (await seen(database, BOB)).items() if len(keys) == 1} == {
        table.name for table in TABLES
    } - OF_NOBODY


async def test_a_connection_that_many_take_turns_with_shows_each_what_is_theirs(database: Database) -> None:
    sessions = Sessions(database.tenants)

    async def look(user: str, number: int) -> None:
        with working_for(user):
            if number % 5 == 0:
                with contextlib.suppress(DBAPIError):
                    async with sessions.begin() as session:
                        await session.execute(text("SELECT 1 / 0"))
            opened = sessions.begin() if number % 2 else sessions()
            async with opened as session:
                ids = await session.execute(text("SELECT id, pg_sleep(0.001) FROM users"))
                assert [row[0] for row in ids] == ([] if user == NOBODY else [user])

    # Who waits for a pool's only connection is not told when making it is broken off.
    await look(ALICE, 1)
    users = [(ALICE, BOB, NOBODY)[number % 3] for number in range(90)]
    tasks = [asyncio.create_task(look(user, number)) for number, user in enumerate(users)]
    for task in tasks[::7]:
        # Some go away while they wait, some while they are told whose the connection is, some while they read.
        asyncio.get_running_loop().call_later(0.002 * tasks.index(task), task.cancel)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert results.count(None) >= len(tasks) - len(tasks[::7])


async def test_what_resets_a_connection_does_not_give_it_the_rights_of_the_login(database: Database) -> None:
    with working_for(ALICE):
        async with Sessions(database.tenants)() as session:
            for statement in ("RESET ROLE", "RESET ALL"):
                await session.execute(text(statement))
                assert (await session.execute(text("SELECT current_user"))).scalar_one() == TENANT_ROLE
            assert list(await session.execute(text("SELECT id FROM users"))) == []


async def test_a_login_that_is_no_superuser_is_to_be_a_member_of_the_role(stack: Stack) -> None:
    name = f"login_{uuid.uuid4().hex}"
    url = driver_url(await stack.postgres.make_database(name))
    own_url = make_url(url).set(username=name).render_as_string(hide_password=False)
    superuser = make_engine(stack.database_url)

    async def allow(statement: str) -> None:
        async with superuser.begin() as connection:
            await connection.execute(text(statement))

    await allow(f"CREATE ROLE {name} LOGIN")
    await allow(f"ALTER DATABASE {name} OWNER TO {name}")
    with pytest.raises(DBAPIError, match=TENANT_ROLE):
        await migrate(own_url)
    await allow(f"GRANT {TENANT_ROLE} TO {name}")
    await migrate(own_url)
    async with _opened(own_url) as database:
        await database.fill()
        assert (await seen(database, ALICE))["users"] == [(ALICE,)]
        assert all(rows == 2 for rows in (await everything(database)).values())
    await superuser.dispose()
