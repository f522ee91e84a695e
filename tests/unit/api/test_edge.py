"""Errors: one body for all of them, whatever goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from app.api.edge.outermost import Edge
from app.api.errors import STATUS_OF_CODE, BlockRefused, install_error_handlers
from app.errors import EngineUnavailable, GraphInvalid, NotFound, PerdureError


class OfPostgres(Exception):
    """An error as the driver raises it."""

    sqlstate = "57P01"


RAISED: dict[str, tuple[Exception, int, str]] = {
    "graph": (GraphInvalid({"n": {"f": "m"}}), 400, "GRAPH_VALIDATION_ERROR"),
    "block": (BlockRefused("TIMED_OUT", "too long"), 400, "TIMED_OUT"),
    "missing": (NotFound(), 404, "NOT_FOUND"),
    "engine": (EngineUnavailable(), 503, "ENGINE_UNAVAILABLE"),
    "socket": (ConnectionRefusedError("postgres://user:secret@host"), 503, "ENGINE_UNAVAILABLE"),
    "shutdown": (DBAPIError("SELECT secret", {}, OfPostgres()), 503, "ENGINE_UNAVAILABLE"),
    "statement": (DBAPIError("SELECT secret", {}, ValueError()), 500, "SYSTEM_ERROR"),
    "bug": (ZeroDivisionError("secret"), 500, "SYSTEM_ERROR"),
}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    application = FastAPI(redirect_slashes=False)
    install_error_handlers(application)
    application.add_middleware(Edge)

    @application.get("/raise/{name}")
    async def fail(name: str) -> None:
        raise RAISED[name][0]

    @application.get("/number")
    async def take(size: int) -> int:
        return size

    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as running:
        yield running


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert body["success"] is False
    assert set(body) == {"success", "error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {
        "error_code",
        "message",
        "severity",
        "category",
        "details",
        "timestamp",
        "request_id",
    }
    assert datetime.fromisoformat(error["timestamp"]).tzinfo
    assert error["request_id"] == response.headers["X-Request-ID"]
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    return error


@pytest.mark.parametrize("name", RAISED)
async def test_whatever_is_raised_is_answered_in_one_form(client: httpx.AsyncClient, name: str) -> None:
    with capture_logs():
        response = await client.get(f"/raise/{name}")

    assert (response.status_code, error_of(response)["error_code"]) == RAISED[name][1:]


async def test_what_nobody_foresaw_is_logged_with_its_request(client: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        await client.get("/raise/bug", headers={"X-Request-ID": "mine-1"})

    assert [line["event"] for line in lines] == ["request_crashed"]
    assert lines[0]["exc_info"]


async def test_unknown_paths_and_methods_are_answered_in_the_same_form(client: httpx.AsyncClient) -> None:
    for method, path, status, code in (
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/number/", 404, "NOT_FOUND"),
        ("POST", "/number", 405, "METHOD_NOT_ALLOWED"),
    ):
        response = await client.request(method, path)
        assert (response.status_code, error_of(response)["error_code"]) == (status, code)


async def test_problems_with_parameters_are_named_without_the_input(client: httpx.AsyncClient) -> None:
    error = error_of(await client.get("/number", params={"size": "secret"}))

    assert error["error_code"] == "INVALID_REQUEST"
    assert error["details"]["errors"][0]["field"] == "query.size"


async def test_only_harmless_request_ids_are_taken(client: httpx.AsyncClient) -> None:
    for given in ("a b", "x" * 65, "<script>", ""):
        response = await client.get("/nowhere", headers={"X-Request-ID": given})
        assert response.headers["X-Request-ID"] != given


def test_every_error_code_has_a_status() -> None:
    def kinds(kind: type[PerdureError]) -> list[type[PerdureError]]:
        return [kind, *(below for child in kind.__subclasses__() for below in kinds(child))]

    of_errors = {kind.code for kind in kinds(PerdureError) if kind.__module__ == "app.errors"}
    of_blocks = {
        "BLOCK_FAILED",
        "BLOCK_MISSING",
        "INVALID_INPUT",
        "INVALID_OUTPUT",
        "LIMIT_EXCEEDED",
        "BLOCK_UNAVAILABLE",
    }
    assert of_errors - of_blocks <= STATUS_OF_CODE.keys()
