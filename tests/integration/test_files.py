"""Files over REST: sent, fetched, bounded, and nobody else's."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from temporalio.client import Client

from app.database import plain_url
from app.files.store import FileLimits
from tests.engine import Engine
from tests.rest_api import RestApi, run_api

MEGABYTE = 1024 * 1024
LIMITS = FileLimits(file_bytes=9 * MEGABYTE, quota_bytes=12 * MEGABYTE)


@pytest.fixture
async def api(engine: Engine, client: Client) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url, connect, task_queue=engine.task_queue, file_limits=LIMITS
    ) as running:
        yield running


async def send(client: httpx.AsyncClient, content: bytes, name: str = "a.txt", **more: Any) -> httpx.Response:
    return await client.post("/api/files", files={"file": (name, content, "text/html")}, **more)


async def test_a_file_comes_back_as_it_was_sent_and_is_saved_not_shown(alice: httpx.AsyncClient) -> None:
    content = bytes(range(256)) * 30_000
    sent = await send(alice, content, "naïve “report”.bin")
    assert sent.status_code == 201, sent.text
    file = sent.json()
    assert file["reference"] == f"workspace://{file['id']}"
    assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert file["content_type"] == "application/octet-stream"
    assert file["expires_at"] is None
    back = await alice.get(f"/api/files/{file['id']}")
    assert back.content == content
    assert back.headers["content-length"] == str(len(content))
    assert back.headers["content-disposition"].startswith("attachment; ")
    assert "filename*=UTF-8''na%C3%AFve" in back.headers["content-disposition"]
    assert back.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in back.headers["content-security-policy"]
    assert (await alice.get(f"/api/files/{file['id']}/info")).json() == file
    assert (await alice.get("/api/files")).json()["items"] == [file]


async def test_a_file_may_be_the_body_itself(alice: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "text/csv"}
    sent = await alice.post("/api/files?name=a.csv&expires_in_hours=1", content=b"a,b\n1,2", headers=headers)
    assert sent.status_code == 201, sent.text
    assert (sent.json()["name"], sent.json()["content_type"]) == ("a.csv", "text/csv")
    assert sent.json()["expires_at"] is not None
    assert (await alice.get(f"/api/files/{sent.json()['id']}")).text == "a,b\n1,2"


async def test_an_empty_file_is_a_file(alice: httpx.AsyncClient) -> None:
    file = (await send(alice, b"")).json()
    assert (file["size"], (await alice.get(f"/api/files/{file['id']}")).content) == (0, b"")


async def test_a_type_is_what_the_content_shows(alice: httpx.AsyncClient) -> None:
    sent = await alice.post("/api/files", files={"file": ("x.png", b"<html><script>1", "image/png")})
    assert sent.json()["content_type"] == "text/html"
    sent = await alice.post(
        "/api/files", files={"file": ("x.txt", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "text/html")}
    )
    assert sent.json()["content_type"] == "image/png"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("/etc/shadow", "shadow"),
        ("C:\\Windows\\con.txt", "_con.txt"),
        ("\uff0e\uff0e\uff0fx", "x"),
        ("a\u3164\u200d\u2800.txt", "a.txt"),
        ("\u202egpj.exe", "gpj.exe"),
        ("..", "file.txt"),
        ("x" * 400 + ".csv", "x" * 251 + ".csv"),
        ('a"; filename="b', "a_; filename=_b"),
    ],
)
async def test_names_lead_nowhere(alice: httpx.AsyncClient, given: str, kept: str) -> None:
    sent = await alice.post("/api/files", params={"name": given}, content=b"x")
    assert sent.json()["name"] == kept
    back = await alice.get(f"/api/files/{sent.json()['id']}")
    assert "\n" not in back.headers["content-disposition"]


async def test_what_is_too_large_is_refused_while_it_comes(alice: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(60):
            given.append(1)
            yield b"x" * MEGABYTE
        raise AssertionError("somebody listens for ever")

    given: list[int] = []
    sent = await send(alice, b"x" * (LIMITS.file_bytes + 1))
    assert (sent.status_code, sent.json()["error"]["error_code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert (await alice.post("/api/files?name=x", content=endless())).status_code == 413
    assert len(given) < 50
    declared = {"Content-Length": str(10**12)}
    assert (await alice.post("/api/files?name=x", content=b"x", headers=declared)).status_code == 413
    assert (await send(alice, b"x" * LIMITS.file_bytes)).status_code == 201
    assert len((await alice.get("/api/files")).json()["items"]) == 1


async def test_the_quota_holds_whoever_comes_at_once(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    answers = await asyncio.gather(*(send(alice, b"x" * MEGABYTE) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] * 12 + [413] * 8
    refused = next(answer for answer in answers if answer.status_code == 413)
    assert refused.json()["error"]["error_code"] == "QUOTA_EXCEEDED"
    assert (await send(bob, b"x" * MEGABYTE)).status_code == 201
    kept = next(answer.json() for answer in answers if answer.status_code == 201)
    assert (await alice.delete(f"/api/files/{kept['id']}")).status_code == 204
    assert (await send(alice, b"x" * MEGABYTE)).status_code == 201
    assert (await send(alice, b"x")).status_code == 413


async def test_a_repeat_under_a_key_keeps_one_file(alice: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await send(alice, b"same", headers=headers)
    again = await send(alice, b"same", headers=headers)
    other = await send(alice, b"other", headers=headers)
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.status_code == 422
    assert len((await alice.get("/api/files")).json()["items"]) == 1


async def test_a_deleted_and_an_expired_file_are_not_found(
    alice: httpx.AsyncClient, database_url: str
) -> None:
    gone, expired = (await send(alice, b"a")).json()["id"], (await send(alice, b"b")).json()["id"]
    assert (await alice.delete(f"/api/files/{gone}")).status_code == 204
    connection = await asyncpg.connect(plain_url(database_url))
    await connection.execute("UPDATE files SET expires_at = now() WHERE id = $1", uuid.UUID(expired))
    for file_id in (gone, expired):
        assert (await alice.get(f"/api/files/{file_id}")).status_code == 404
        assert (await alice.get(f"/api/files/{file_id}/info")).status_code == 404
        assert (await alice.delete(f"/api/files/{file_id}")).status_code == 404
    await connection.close()
    assert (await alice.get("/api/files")).json()["items"] == []


BOUNDARY = "b0undary"


def form(*parts: str, end: str = f"--{BOUNDARY}--\r\n") -> bytes:
    return ("".join(f"--{BOUNDARY}\r\n{part}\r\n" for part in parts) + end).encode()


FILE = 'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\nx'
FIELD = 'Content-Disposition: form-data; name="other"\r\n\r\nx'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        form(FIELD),
        form(FILE, FILE),
        form(FILE, end=""),
        form(FILE, *[FIELD] * 20),
        form(*[FIELD] * 100_000),
        form("X: " + "y" * 100_000 + "\r\n" + FILE),
        form("".join(f"X-{n}: y\r\n" for n in range(1_000)) + FILE),
        form('Content-Disposition: form-data; name="file"\r\n\r\nx'),
        form("\r\nx"),
    ],
    ids=[
        "nothing",
        "nonsense",
        "no file",
        "two files",
        "cut off",
        "many parts",
        "very many parts",
        "a long header",
        "many headers",
        "no file name",
        "no headers",
    ],
)
async def test_forms_that_are_none_are_refused(alice: httpx.AsyncClient, body: bytes) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    sent = await alice.post("/api/files", content=body, headers=headers)
    assert sent.status_code == 422, sent.text
    assert (await alice.get("/api/files")).json()["items"] == []


async def test_a_form_needs_a_boundary_that_is_one(alice: httpx.AsyncClient) -> None:
    for content_type in ("multipart/form-data", f"multipart/form-data; boundary={'x' * 10_000}"):
        sent = await alice.post("/api/files", content=form(FILE), headers={"Content-Type": content_type})
        assert sent.status_code == 422
    assert (await alice.post("/api/files", json={"file": "x"})).status_code == 422
