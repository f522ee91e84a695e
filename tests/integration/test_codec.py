"""Temporal's Web UI and command line show payloads to whom they should, and to nobody else."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload

from app.api.auth import issue_token
from app.api.json_body import MAX_BYTES
from app.api.web_ui import codec_endpoint, make_capability
from app.encryption.keys import parse_encryption_keys
from app.encryption.payloads import PayloadEncryption
from tests.rest_api import SECRET, RestApi, run_api
from tests.stack import ENCRYPTION_KEY, Stack

KEYS = parse_encryption_keys(ENCRYPTION_KEY)
CAPABILITY = make_capability(KEYS[0])
WEB_UI = "http://ui.test"
PLAIN = {"metadata": {"encoding": base64.b64encode(b"json/plain").decode()}, "data": "IndvcmQi"}
OPEN, SECRET_PATH = "/api/codec", codec_endpoint("", CAPABILITY)


async def seal(payload: Payload) -> dict[str, Any]:
    sealed: dict[str, Any] = MessageToDict((await PayloadEncryption(KEYS).encode([payload]))[0])
    return sealed


async def sealed() -> dict[str, Any]:
    return await seal(Payload(metadata={"encoding": b"json/plain"}, data=b'"word"'))


@pytest.fixture
async def api(stack: Stack, database_url: str) -> AsyncIterator[RestApi]:
    async with run_api(
        database_url,
        stack.connect,
        encryption_keys=KEYS,
        codec_capability=CAPABILITY,
        temporal_ui_url=f"{WEB_UI}/",
    ) as running:
        yield running


@pytest.fixture
async def admin(api: RestApi) -> AsyncIterator[httpx.AsyncClient]:
    token = issue_token(SECRET, email="admin@example.org", role="admin")
    async with api.caller(token=token) as client:
        yield client


@pytest.fixture
async def anybody(api: RestApi) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token."""
    async with api.caller(token="") as client:
        yield client


async def test_an_administrator_reads_what_is_sealed(admin: httpx.AsyncClient) -> None:
    response = await admin.post(f"{OPEN}/decode", json={"payloads": [await sealed(), PLAIN]})
    assert (response.status_code, response.json()) == (200, {"payloads": [PLAIN, PLAIN]})


async def test_what_is_sealed_for_an_administrator_opens_again(admin: httpx.AsyncClient) -> None:
    response = await admin.post(f"{OPEN}/encode", json={"payloads": [PLAIN]})
    assert response.status_code == 200
    assert "IndvcmQi" not in response.text
    assert (await admin.post(f"{OPEN}/decode", json=response.json())).json() == {"payloads": [PLAIN]}


@pytest.mark.parametrize("action", ["decode", "encode"])
async def test_nobody_else_reads_it(api: RestApi, anybody: httpx.AsyncClient, action: str) -> None:
    body = {"payloads": [await sealed()]}
    assert (await anybody.post(f"{OPEN}/{action}", json=body)).status_code == 401
    async with api.caller() as user:
        response = await user.post(f"{OPEN}/{action}", json=body)
    assert response.status_code == 403
    assert response.json()["error"]["error_code"] == "FORBIDDEN"


@pytest.mark.parametrize("action", ["decode", "encode"])
async def test_whoever_knows_the_secret_path_needs_no_token(anybody: httpx.AsyncClient, action: str) -> None:
    response = await anybody.post(f"{SECRET_PATH}/{action}", json={"payloads": [await sealed()]})
    assert response.status_code == 200


@pytest.mark.parametrize("guess", ["guess", CAPABILITY[:-1], f"{CAPABILITY}x", "%00", "%E2%98%83"])
async def test_another_path_is_none(anybody: httpx.AsyncClient, guess: str) -> None:
    unknown = await anybody.post("/api/no/such/path", json={})
    response = await anybody.post(f"{OPEN}/{guess}/decode", json={"payloads": [await sealed()]})
    assert response.status_code == unknown.status_code == 404
    assert response.json()["error"]["message"] == unknown.json()["error"]["message"]


async def test_without_a_capability_there_is_no_secret_path(stack: Stack, database_url: str) -> None:
    async with (
        run_api(database_url, stack.connect, encryption_keys=KEYS) as api,
        api.caller(token="") as anybody,
    ):
        for guess in (CAPABILITY, "None", "%20"):
            response = await anybody.post(f"{OPEN}/{guess}/decode", json={"payloads": []})
            assert response.status_code == 404


async def test_what_cannot_be_opened_comes_back_as_it_is(admin: httpx.AsyncClient) -> None:
    broken = await sealed()
    broken["data"] = base64.b64encode(b"something else").decode()
    response = await admin.post(f"{OPEN}/decode", json={"payloads": [broken, await sealed()]})
    assert (response.status_code, response.json()) == (200, {"payloads": [broken, PLAIN]})


@pytest.mark.parametrize(
    "body",
    [{}, {"payloads": {}}, {"payloads": [1]}, {"payloads": [{"data": 1}]}],
)
async def test_what_is_no_payload_is_refused(admin: httpx.AsyncClient, body: Any) -> None:
    response = await admin.post(f"{OPEN}/decode", json=body)
    assert response.status_code == 422
    assert response.json()["error"]["error_code"] == "INVALID_REQUEST"


@pytest.mark.parametrize("path", [OPEN, SECRET_PATH])
async def test_a_body_beyond_the_limit_is_refused(admin: httpx.AsyncClient, path: str) -> None:
    if path == SECRET_PATH:
        del admin.headers["Authorization"]
    response = await admin.post(f"{path}/decode", content=b" " * (MAX_BYTES + 1))
    assert response.status_code == 413


async def test_a_browser_lets_the_web_ui_call_and_no_other_page(anybody: httpx.AsyncClient) -> None:
    asks = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-namespace",
    }
    allowed = await anybody.options(f"{OPEN}/decode", headers={**asks, "Origin": WEB_UI})
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == WEB_UI
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    refused = await anybody.options(f"{OPEN}/decode", headers={**asks, "Origin": "http://evil.test"})
    assert "Access-Control-Allow-Origin" not in refused.headers
    posted = await anybody.post(f"{OPEN}/decode", json={}, headers={"Origin": "http://evil.test"})
    assert "Access-Control-Allow-Origin" not in posted.headers


async def test_the_web_ui_is_told_why_it_may_not(anybody: httpx.AsyncClient) -> None:
    response = await anybody.post(f"{OPEN}/decode", json={}, headers={"Origin": WEB_UI})
    assert response.status_code == 401
    assert response.headers["Access-Control-Allow-Origin"] == WEB_UI


@pytest.mark.parametrize("path", ["/api/graphs", "/api/user", "/api/codecs/decode", "/health/live"])
async def test_no_other_path_is_opened_to_pages_of_the_web_ui(anybody: httpx.AsyncClient, path: str) -> None:
    response = await anybody.get(path, headers={"Origin": WEB_UI})
    assert "Access-Control-Allow-Origin" not in response.headers
