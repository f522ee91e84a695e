"""The block that asks databases, against a real Postgres: what it reads, and what it is not let to do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import make_url

from app.blocks.calling import check_output, prepare
from app.blocks.credentials import UserPassword
from app.blocks.library.databases import SQLQueryBlock
from app.database import plain_url
from app.errors import BlockError, BlockInputInvalid, BlockUnavailable
from app.outbound.addresses import AddressRefused
from app.outbound.http import OutboundHttp
from tests.unit.blocks.contexts import GivenCredentials, make_context

block = SQLQueryBlock()


class Shop:
    """A database of a user's."""

    def __init__(self, url: str, http: OutboundHttp, *, port: int) -> None:
        self.url = make_url(url)
        self.http = http
        self.port = port

    async def ask(self, query: str, *parameters: Any, **changes: Any) -> dict[str, Any]:
        user = UserPassword("database", self.url.username or "", self.url.password or "")
        context = make_context(http=self.http, credentials=GivenCredentials(credentials=user))
        given: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "database": self.url.database,
            "query": query,
            "parameters": list(parameters),
        }
        prepared: Any = prepare(block, given | changes, {})
        return {pin: check_output(block, pin, value) async for pin, value in block.run(prepared, context)}

    async def value(self, query: str) -> Any:
        connection = await asyncpg.connect(plain_url(str(self.url.render_as_string(hide_password=False))))
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()


@asynccontextmanager
async def reachable(path: str) -> AsyncIterator[int]:
    """Give a port behind which the test's Postgres is, which itself listens on a socket alone."""

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_unix_connection(path)
        await asyncio.gather(pump(reader, behind[1]), pump(behind[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def shop(own_database_url: str) -> AsyncIterator[Shop]:
    http = OutboundHttp(allowed_private_hosts=["127.0.0.1", "localhost"])
    async with reachable(f"{make_url(own_database_url).query['host']}/.s.PGSQL.5432") as port:
        made = Shop(own_database_url, http, port=port)
        await made.value("CREATE TABLE things (id int, name text)")
        await made.value("INSERT INTO things SELECT n, 'thing ' || n FROM generate_series(1, 25) n")
        yield made
    await http.aclose()


async def test_rows_come_as_json(shop: Shop) -> None:
    found = await shop.ask(
        """
        SELECT 1 AS n, 2.5::numeric AS price, 12345678901234567890.12::numeric AS much, true AS yes, NULL AS none,
            '2026-01-31'::date AS day, '2026-01-31T12:00:00Z'::timestamptz AS moment, '\\x00ff'::bytea AS bytes,
            '00000000-0000-0000-0000-000000000001'::uuid AS id, ARRAY[1, 2] AS list, 'NaN'::float8 AS nan,
            interval '90 seconds' AS wait, '10.0.0.1'::inet AS address, row(1, 'x') AS pair
        """
    )
    assert found["row_count"] == 1
    assert found["truncated"] is False
    assert "affected_rows" not in found
    [row] = found["results"]
    assert list(row) == found["columns"]
    assert row.pop("pair") in ([1, "x"], {"f1": 1, "f2": "x"})
    assert row == {
        "n": 1,
        "price": 2.5,
        "much": "12345678901234567890.12",
        "yes": True,
        "none": None,
        "day": "2026-01-31",
        "moment": "2026-01-31T12:00:00+00:00",
        "bytes": "AP8=",
        "id": str(uuid.UUID(int=1)),
        "list": [1, 2],
        "nan": "NaN",
        "wait": 90.0,
        "address": "10.0.0.1",
    }


async def test_more_rows_than_asked_for_are_cut_off(shop: Shop) -> None:
    found = await shop.ask("SELECT id FROM things ORDER BY id", max_rows=10)
    assert ([row["id"] for row in found["results"]], found["row_count"]) == (list(range(1, 11)), 10)
    assert found["truncated"] is True
    assert (await shop.ask("SELECT id FROM things", max_rows=25))["truncated"] is False
    assert (await shop.ask("SELECT id FROM things WHERE false"))["results"] == []
    assert (await shop.ask("SELECT 1 AS a, 2 AS a"))["results"] == [{"a": 1, "a_2": 2}]


async def test_parameters_are_values_and_never_text_of_the_query(shop: Shop) -> None:
    evil = "x'; DROP TABLE things; --"
    assert (await shop.ask("SELECT $1::text AS said", evil))["results"] == [{"said": evil}]
    found = await shop.ask(
        "SELECT $1::int AS n, $2::date AS day, $3::numeric AS d, $4::jsonb AS j",
        5,
        "2026-01-31",
        1.5,
        {"a": [1]},
    )
    assert found["results"][0]["day"] == "2026-01-31"
    for query, parameters in (
        ("SELECT $1::int", ["x"]),
        ("SELECT $1::int", []),
        ("SELECT 1", [1]),
        ("SELECT $1::date", ["no"]),
    ):
        with pytest.raises(BlockInputInvalid):
            await shop.ask(query, *parameters)


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO things VALUES (26, 'x')",
        "UPDATE things SET name = ''",
        "DELETE FROM things",
        "DROP TABLE things",
        "TRUNCATE things",
        "CREATE TABLE more (id int)",
        "WITH gone AS (DELETE FROM things RETURNING *) SELECT * FROM gone",
        "EXPLAIN ANALYZE DELETE FROM things",
        "SELECT * INTO more FROM things",
        "SELECT id FROM things FOR UPDATE",
        "SELECT nextval('numbers')",
        "SELECT 1; DELETE FROM things",
        "SELECT 1; COMMIT; DELETE FROM things",
        "COMMIT",
        "SET TRANSACTION READ WRITE",
        "SELECT set_config('transaction_read_only', 'off', false); DELETE FROM things",
        "DO $$ BEGIN DELETE FROM things; END $$",
        "CALL anything()",
        "COPY things TO PROGRAM 'touch /tmp/perdure-was-here'",
        "COPY things TO '/tmp/perdure-was-here'",
        "COPY things TO STDOUT",
        "/* SELECT */ DELETE FROM things",
        "-- SELECT\nDELETE FROM things",
        "SELECT lo_create(0)",
        "LISTEN x",
        "",
        ";",
    ],
)
async def test_whoever_may_only_read_changes_nothing(shop: Shop, query: str) -> None:
    await shop.value("CREATE SEQUENCE numbers")
    with pytest.raises(BlockError):
        await shop.ask(query)
    assert await shop.value("SELECT count(*) FROM things WHERE name <> ''") == 25
    assert await shop.value("SELECT to_regclass('more')") is None
    assert await shop.value("SELECT is_called FROM numbers") is False


async def test_a_function_cannot_leave_the_read_only_transaction(shop: Shop) -> None:
    await shop.value(
        "CREATE FUNCTION sneak() RETURNS int LANGUAGE plpgsql AS "
        "$$ BEGIN SET LOCAL transaction_read_only = off; DELETE FROM things; RETURN 1; END $$"
    )
    with pytest.raises(BlockError):
        await shop.ask("SELECT sneak()")
    assert await shop.value("SELECT count(*) FROM things") == 25


async def test_whoever_may_write_is_told_how_much(shop: Shop) -> None:
    found = await shop.ask("UPDATE things SET name = $1 WHERE id <= 3", "new", read_only=False)
    assert found == {"affected_rows": 3}
    found = await shop.ask("DELETE FROM things WHERE id <= 3 RETURNING id", read_only=False, max_rows=2)
    assert (found["affected_rows"], found["row_count"], found["truncated"]) == (3, 2, True)
    assert await shop.value("SELECT count(*) FROM things") == 22
    with pytest.raises(BlockError):
        await shop.ask("DELETE FROM things; DELETE FROM things", read_only=False)
    assert await shop.value("SELECT count(*) FROM things") == 22


async def test_a_slow_query_is_ended_at_the_server_too(shop: Shop) -> None:
    with pytest.raises(BlockError, match="within 1 s"):
        await shop.ask("SELECT pg_sleep(600)", timeout=1)
    assert (
        await shop.value(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        )
        == 0
    )


async def test_rows_that_are_too_large_are_refused(shop: Shop) -> None:
    with pytest.raises(BlockError, match="16 MiB"):
        await shop.ask("SELECT repeat('x', 1000000) FROM generate_series(1, 100)")


async def test_only_public_hosts_and_those_that_are_allowed_are_reached(shop: Shop) -> None:
    allowed = shop.http
    shop.http = OutboundHttp()
    for host in ("127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254"):
        with pytest.raises(AddressRefused) as refused:
            await shop.ask("SELECT 1", host=host)
        assert host not in refused.value.message
    await shop.http.aclose()
    shop.http = OutboundHttp(
        allowed_private_hosts=["127.0.0.1", "localhost"], own_services=[f"127.0.0.1:{shop.port}"]
    )
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(AddressRefused):
            await shop.ask("SELECT 1", host=host)
    await shop.http.aclose()
    shop.http = allowed
    for host in ("/var/run/postgresql", "127.0.0.1,10.0.0.1", "", "a b"):
        with pytest.raises(BlockInputInvalid):
            await shop.ask("SELECT 1", host=host)


async def test_what_is_wrong_with_a_connection_is_said(shop: Shop) -> None:
    with pytest.raises(BlockError, match="refuses the connection") as refused:
        await shop.ask("SELECT 1", database="nowhere")
    assert not refused.value.is_transient
    for kind in ("postgres", "mysql"):
        with pytest.raises(BlockUnavailable, match="cannot be reached"):
            await shop.ask("SELECT 1", port=1, database_type=kind)
    with pytest.raises(BlockUnavailable, match="cannot be reached"):
        # It does not encrypt, and encryption was asked for.
        await shop.ask("SELECT 1", encryption="verify")
    with pytest.raises(BlockError, match="not supported"):
        await shop.ask("SELECT 1", database_type="mssql")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1; DROP TABLE x",
        "SELECT 'a\\'; DROP TABLE x; -- '; DROP TABLE x",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SELECT 1 into/**/dumpfile '/tmp/x'",
        "SELECT /*!50000 1; */ 2",
        "/*! DELETE FROM x */",
        "CALL x()",
    ],
)
async def test_a_query_to_mysql_is_one_statement_that_reads(shop: Shop, query: str) -> None:
    with pytest.raises(BlockInputInvalid):
        await shop.ask(query, database_type="mysql", port=1)


@pytest.mark.usefixtures("worker")
async def test_a_graph_without_credentials_is_told_so_and_not_where_the_database_is(
    alice: httpx.AsyncClient,
) -> None:
    given = {"host": "db.internal.example", "database": "d", "query": "SELECT 1"}
    tried = await alice.post("/api/blocks/SQLQueryBlock/execute", json={"inputs": given})
    assert 400 <= tried.status_code < 500, tried.text
    assert "db.internal" not in tried.text
    assert '"writeOnly": true' in json.dumps((await alice.get("/api/blocks/SQLQueryBlock")).json())
