"""What nobody in good faith sends: every route answers it with a refusal, never with a crash, and does nothing."""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from structlog.testing import capture_logs
from temporalio.client import Client

from app.api.edge.outermost import Edge
from app.encryption.keys import EncryptionKey
from tests.e2e.rest import save, start, sums
from tests.engine import Engine
from tests.rest_api import RestApi, run_api
from tests.reviews import answer, asked, asking

KEY = EncryptionKey(b"k" * 32)
CAPABILITY = "c" * 43
ODD = [
    "\0",
    "a\0b",
    "%00",
    "\ud7ff\ufffe",
    "'; DROP TABLE executions; --",
    "../../etc/passwd",
    "{}",
    "9" * 400,
    "-1",
    "1e999",
    "NaN",
    "x" * 5_000,
    "",
]
WRONG: list[Any] = [
    None,
    [],
    "text",
    5,
    True,
    [[[]]],
    {"ids": 5},
    {"ids": {}},
    {"ids": [5]},
    {"ids": ["x"] * 1_001},
    {"ids": ["x" * 101]},
    {"ids": []},
    {"graph_id": 5},
    {"graph_id": ["\0"]},
    {"status": "none"},
    {"status": 5},
    {"cursor": 5},
    {"from_nodes": 5},
    {"from_nodes": {}},
    {"from_nodes": []},
    {"from_nodes": [5]},
    {"from_nodes": ["x" * 501]},
    {"from_nodes": ["x"] * 10_001},
    {"inputs": []},
    {"inputs": "x"},
    {"graph_version": 0},
    {"graph_version": "1"},
    {"graph_version": 2**31},
    {"graph_version": True},
    {"dry_run": "yes"},
    {"confirm": 1},
    {"budget": -1},
    {"budget": 2**31},
    {"timeout_seconds": 0},
    {"timeout_seconds": "1"},
    {"max_node_executions": 0},
    {"max_node_executions": 10**12},
    {"priority": 6},
    {"approved": 1},
    {"approved": "true"},
    {"approved": True, "message": "x" * 2_001},
    {"approved": True, "message": 5},
    {"payloads": 5},
    {"payloads": [5]},
    {"payloads": [{"metadata": 5}]},
    {"payloads": [{"data": "no base64 *"}]},
    {"active_graph_version": "1"},
    {"unknown": 1},
]


@pytest.fixture
async def api(engine: Engine, client: Client) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url,
        connect,
        task_queue=engine.task_queue,
        encryption_keys=(KEY,),
        codec_capability=CAPABILITY,
        temporal_ui_url="http://ui.test",
    ) as running:
        yield running


async def test_no_odd_parameter_crashes_a_route(api: RestApi, alice: httpx.AsyncClient) -> None:
    for path, methods in api.document["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", []):
                for odd in ODD:
                    where, name = parameter["in"], parameter["name"]
                    if where == "header":
                        if not (odd.isascii() and odd.isprintable()):
                            continue
                        sent: dict[str, Any] = {"headers": {name: odd}}
                        target = path.replace("{", "").replace("}", "")
                    elif where == "query":
                        sent = {"params": {name: odd}}
                        target = _fill(path, {})
                    else:
                        sent = {}
                        target = _fill(path, {name: quote(odd, safe="")})
                    body: Any = {} if method in ("post", "put") else None
                    response = await alice.request(method, target, json=body, **sent)
                    assert response.status_code < 500, (method, path, name, odd, response.text)


async def test_no_body_of_a_wrong_form_crashes_a_route_or_does_anything(
    api: RestApi, alice: httpx.AsyncClient
) -> None:
    execution = await start(alice, await save(alice, sums(2)))
    ids = {"execution_id": execution["id"], "graph_id": execution["graph_id"], "version": "1"}
    for path, methods in api.document["paths"].items():
        for method, operation in methods.items():
            if "requestBody" not in operation or path.endswith(("/execute", "/execute/{version}")):
                continue
            for wrong in WRONG:
                response = await alice.request(method, _fill(path, ids), json=wrong)
                is_harmless = path.endswith(("validate", "estimate"))
                assert response.status_code < 500, (path, wrong)
                assert response.status_code >= 400 or is_harmless, (path, wrong)
    for wrong in WRONG:
        for path in ("execute", "execute/1"):
            response = await alice.post(f"/api/graphs/{ids['graph_id']}/{path}", json=wrong)
            assert response.status_code < 500, wrong
    assert len((await alice.get(f"/api/graphs/{ids['graph_id']}/versions")).json()["items"]) == 1
    assert (await alice.get(f"/api/executions/{ids['execution_id']}")).json()["status"] == "QUEUED"


def _fill(path: str, given: dict[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda name: given.get(name[1], str(uuid.uuid4())), path)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "TRACE"])
async def test_other_methods_do_nothing_and_tell_nothing(
    api: RestApi, alice: httpx.AsyncClient, method: str
) -> None:
    execution = await start(alice, await save(alice, sums(2)))
    ids = {"execution_id": execution["id"], "graph_id": execution["graph_id"], "version": "1"}
    for path, methods in api.document["paths"].items():
        if method.lower() in methods:
            continue
        response = await alice.request(method, _fill(path, ids))
        assert response.status_code == 405, path
        assert execution["id"] not in response.text
        assert "access-control-allow-origin" not in response.headers
    for trick in ("/", "//", "/%2e", "/..;/", ";x"):
        response = await alice.get(f"/api/executions/{execution['id']}{trick}")
        assert response.status_code == 404, trick
    assert (await alice.get(f"/api/executions/{execution['id']}")).json()["status"] == "QUEUED"


@pytest.mark.usefixtures("worker")
async def test_looking_at_a_link_however_often_answers_nothing(
    api: RestApi, alice: httpx.AsyncClient
) -> None:
    """Mail programs and chats open links by themselves."""
    execution = await start(alice, await save(alice, asking({"a": 1})))
    link = (await asked(alice, execution["id"]))["link"]
    async with api.caller(token="") as nobody:
        for headers in (
            {},
            {"Accept": "text/html", "Purpose": "prefetch", "Sec-Purpose": "prefetch;prerender"},
            {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST"},
        ):
            for target in (link, f"{link}?approved=true", f"{link}?_method=POST&approved=true"):
                assert (await nobody.get(target, headers=headers)).status_code == 200
        for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"):
            assert (await nobody.request(method, link)).status_code == 405
        cross_site = await nobody.post(link, headers={"Content-Type": "text/plain"}, content=b"approved=true")
        assert cross_site.status_code == 422
    assert (await asked(alice, execution["id"]))["status"] == "open"


@pytest.mark.usefixtures("worker")
async def test_an_answer_is_checked_in_bounded_time(alice: httpx.AsyncClient) -> None:
    schemas: dict[str, Any] = {
        "catastrophe": {"type": "string", "pattern": "^(a+)+$"},
        "backtracking": {"type": "string", "pattern": "(x+x+)+y"},
        "repetition": {"type": "array", "items": {"type": "string", "pattern": "^(a?){500}a{500}$"}},
        "unique": {"type": "array", "uniqueItems": True},
        "branches": {"allOf": [{"anyOf": [{"not": {"const": n}} for n in range(40)]} for _ in range(40)]},
    }
    edits: dict[str, Any] = {
        "catastrophe": "a" * 500_000 + "!",
        "backtracking": "x" * 500_000,
        "repetition": ["a" * 400] * 500,
        "unique": [[n] for n in range(100_000)],
        "branches": ["x" * 100] * 100,
    }
    for name, schema in schemas.items():
        shown: Any = [] if schema.get("type") == "array" else ""
        graph_id = await save(alice, asking(shown, schema=schema, editable=True))
        review = await asked(alice, (await start(alice, graph_id))["id"])
        began = time.monotonic()
        response = await answer(alice, review, approved=True, data=edits[name])
        assert response.status_code in (200, 413, 422), (name, response.text)
        assert time.monotonic() - began < 30, name
    review = await asked(alice, (await start(alice, await save(alice, asking(""))))["id"])
    assert (await answer(alice, review, approved=True, data="x" * 11_000_000)).status_code == 413
    assert (await answer(alice, review, approved=True, data="x" * 10_000_000)).status_code == 200


async def test_odd_payloads_go_through_the_codec_unharmed(api: RestApi) -> None:
    encrypted = base64.b64encode(b"binary/encrypted").decode()
    known, unknown = (base64.b64encode(name).decode() for name in (KEY.id.encode(), b"\xff\0<script>"))
    payloads: list[dict[str, Any]] = [
        {"metadata": {"encoding": encrypted, "encryption-key-id": key}, **data}
        for key in (known, unknown, "")
        for data in ({}, {"data": ""}, {"data": "AAAA"}, {"data": base64.b64encode(b"\0" * 28).decode()})
    ]
    payloads += [{}, {"metadata": {"encoding": encrypted}}, {"unknown": 1}]
    async with api.caller(token="") as nobody:
        response = await nobody.post(f"/api/codec/{CAPABILITY}/decode", json={"payloads": payloads})
        assert response.status_code == 200, response.text
        assert len(response.json()["payloads"]) == len(payloads)
        began = time.monotonic()
        many = await nobody.post(
            f"/api/codec/{CAPABILITY}/encode", json={"payloads": [{"data": "AAAA"}] * 50_000}
        )
        assert (many.status_code, time.monotonic() - began < 30) == (200, True)
        for path in (
            f"/api/codec/{CAPABILITY}/decode/",
            f"/api/codec/{CAPABILITY[:-1]}/decode",
            "/api/codec//decode",
        ):
            assert (await nobody.post(path, json={"payloads": []})).status_code == 404
        for content in (b"", b"{", b"\xff", json.dumps(payloads).encode()):
            assert (await nobody.post(f"/api/codec/{CAPABILITY}/decode", content=content)).status_code == 422


async def test_a_crash_is_logged_without_the_secrets_of_its_path(api: RestApi) -> None:
    async def crash(scope: Any, receive: Any, send: Any) -> None:
        await api.application.router(scope, receive, send)
        raise RuntimeError("after all")

    transport = httpx.ASGITransport(app=Edge(crash), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as nobody:
        with capture_logs() as lines:
            for path in (f"/api/codec/{CAPABILITY}/decode", f"/api/reviews/link/{CAPABILITY}", "/nowhere"):
                await nobody.post(path, json={"payloads": []})
    crashes = [line for line in lines if line["event"] == "request_crashed"]
    assert len(crashes) == 3
    assert CAPABILITY not in json.dumps(crashes, default=str)
