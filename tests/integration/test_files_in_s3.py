"""Files whose content is in an object store: it comes back, and what is deleted leaves nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from app.files.store import FileLimits
from app.models.file_collection import collect_files
from app.models.value_collection import collect_values
from app.s3 import S3Objects
from tests.engine import Engine, make_engine
from tests.object_storage import URL, S3Server, run_s3_server
from tests.rest_api import RestApi, run_api

MEGABYTE = 1024 * 1024


@pytest.fixture
async def server(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Server]:
    async with run_s3_server(short_folder / "s3.log") as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
async def engine(client: Client, own_database_url: str) -> AsyncIterator[Engine]:
    async with make_engine(client, own_database_url) as running:
        yield running


@pytest.fixture
async def api(engine: Engine, client: Client, server: S3Server) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    limits = FileLimits(file_bytes=20 * MEGABYTE, quota_bytes=25 * MEGABYTE)
    async with run_api(
        engine.database_url, connect, task_queue=engine.task_queue, objects=S3Objects(URL), file_limits=limits
    ) as running:
        yield running


async def test_a_file_is_in_the_bucket_until_it_is_deleted(
    server: S3Server, engine: Engine, alice: httpx.AsyncClient
) -> None:
    content = bytes(range(256)) * (10 * MEGABYTE // 256)
    file = (await alice.post("/api/files?name=a.bin", content=content)).json()
    assert await server.count() == 3
    assert (await alice.get(f"/api/files/{file['id']}")).content == content
    refused = await alice.post("/api/files?name=b.bin", content=b"x" * 16 * MEGABYTE)
    assert refused.status_code == 413
    assert await server.count() == 3

    await collect_values(engine.pool, S3Objects(URL), grace=timedelta(0))
    assert await server.count() == 3
    assert (await alice.delete(f"/api/files/{file['id']}")).status_code == 204
    await collect_values(engine.pool, S3Objects(URL))
    assert await server.count() == 0


async def test_what_has_expired_leaves_nothing_in_the_bucket(
    server: S3Server, engine: Engine, alice: httpx.AsyncClient
) -> None:
    await alice.post("/api/files?name=a.bin&expires_in_hours=1", content=b"x" * 5 * MEGABYTE)
    assert await server.count() == 2
    await engine.pool.execute("UPDATE files SET expires_at = now()")
    assert await collect_files(engine.pool, kept=timedelta(days=1)) == 1
    await collect_values(engine.pool, S3Objects(URL))
    assert await server.count() == 0


async def test_a_bucket_that_is_away_is_an_outage_and_keeps_nothing(
    server: S3Server, engine: Engine, alice: httpx.AsyncClient
) -> None:
    file = (await alice.post("/api/files?name=a.bin", content=b"x")).json()
    server.kill()
    assert (await alice.post("/api/files?name=b.bin", content=b"y")).status_code == 503
    assert (await alice.get(f"/api/files/{file['id']}")).status_code == 503
    assert [each["name"] for each in (await alice.get("/api/files")).json()["items"]] == ["a.bin"]
    assert await engine.pool.fetchval("SELECT count(*) FROM loose_objects") == 1
