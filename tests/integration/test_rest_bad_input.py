"""Bad input over REST: refused with its name, never a crash, and nothing is kept of it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.api.errors import NOT_SENT_AS_JSON
from app.api.json_body import MAX_BYTES
from tests.e2e.rest import graph, link, node, save, sums
from tests.rest_api import SECRET, RestApi

MISSING = str(uuid.uuid4())


def taking() -> dict[str, Any]:
    """Return a graph with a required number as its input."""
    nodes = [
        node("in", "agent_number_input_block", name="number"),
        node("out", "agent_output_block", name="n"),
    ]
    return graph(nodes, ["in.result -> out.value"])


INVALID = {
    "unknown block": (
        graph([node("n", "no_such_block")], []),
        ("n", "block_id"),
    ),
    "unknown pin": (
        {**sums(1), "links": [link("n0.nonsense -> out.value")]},
        None,
    ),
    "link to a missing node": (
        {**sums(1), "links": [*sums(1)["links"], link("n0.result -> nowhere.a")]},
        None,
    ),
    "wrong type in input_default": (
        graph([node("n", "calculator_block", operation="Add", a="not a number", b=1)], []),
        ("n", "a"),
    ),
    "missing required input": (
        graph([node("n", "calculator_block", operation="Add", a=1)], []),
        ("n", "b"),
    ),
    "twice the same node": (
        {"name": "g", "nodes": sums(1)["nodes"] * 2, "links": []},
        None,
    ),
    "no nodes": ({"name": "g", "nodes": [], "links": []}, None),
}


@pytest.mark.parametrize("name", INVALID)
async def test_an_invalid_graph_is_refused_with_the_place_of_its_fault(
    alice: httpx.AsyncClient, name: str
) -> None:
    body, place = INVALID[name]

    refused = await alice.post("/api/graphs", json=body)
    checked = await alice.post("/api/graphs/validate", json=body)

    assert refused.status_code == 400, refused.text
    error = refused.json()["error"]
    assert error["error_code"] == "GRAPH_VALIDATION_ERROR"
    assert error["category"] == "validation"
    problems = error["details"]["node_errors"]
    assert problems
    if place:
        assert problems[place[0]][place[1]]
    assert checked.status_code == 200
    assert checked.json()["valid"] is False
    assert checked.json()["node_errors"] == problems
    assert (await alice.get("/api/graphs")).json()["items"] == []


MALFORMED: list[Any] = [
    {},
    {"name": "g"},
    {"name": "g", "nodes": {}},
    {"name": "g", "nodes": None},
    {"name": "g", "nodes": [1]},
    {"name": "g", "nodes": [{"id": "a"}]},
    {"name": "g", "nodes": [{"id": 5, "block_id": "x"}]},
    {"name": "g", "nodes": [{"id": "", "block_id": "x"}]},
    {"name": "g", "nodes": [{"id": "a", "block_id": "x", "input_default": []}]},
    {"name": "g", "nodes": [{"id": "a", "block_id": "x", "metadata": "m"}]},
    {"name": "g", "nodes": [], "links": [{}]},
    {"name": "g", "nodes": [], "links": [{"source_id": 1, "sink_id": 2, "source_name": 3, "sink_name": 4}]},
    {**sums(1), "name": ""},
    {**sums(1), "name": "   "},
    {**sums(1), "name": "<b></b>"},
    {**sums(1), "name": "<script>alert(1)</script>"},
    {**sums(1), "name": "x" * 101},
    {**sums(1), "name": 5},
    {**sums(1), "name": None},
    {**sums(1), "description": "x" * 1_001},
    {**sums(1), "description": 5},
    {"name": "g", "nodes": [node(str(number), "note_block") for number in range(10_001)]},
    [],
    "text",
    None,
    5,
]


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: json.dumps(body)[:50])
async def test_a_malformed_graph_is_refused(alice: httpx.AsyncClient, body: Any) -> None:
    response = await alice.post("/api/graphs", json=body)

    assert response.status_code == 422, response.text
    assert response.json()["error"]["error_code"] == "INVALID_REQUEST"


async def test_names_and_descriptions_are_cleaned_of_html(alice: httpx.AsyncClient) -> None:
    body = {**sums(1), "name": " <b>R&D</b> <img src=x onerror=alert(1)>", "description": "a <i>b</i> 1 < 2"}
    saved = (await alice.post("/api/graphs", json=body)).json()

    assert saved["name"] == "R&D"
    assert saved["description"] == "a b 1 &lt; 2"


BODIES = {
    "no JSON": b"not json",
    "empty": b"",
    "too deep": b'{"inputs": {"a": ' + b"[" * 49 + b"]" * 49 + b"}}",
    "duplicate keys": b'{"inputs": {}, "inputs": {}}',
    "NaN": b'{"inputs": {"a": NaN}}',
    "infinity": b'{"inputs": {"a": 1e999}}',
    "NUL": b'{"inputs": {"a": "\\u0000"}}',
    "half a surrogate pair": b'{"inputs": {"a": "\\ud800"}}',
    "a huge number": b'{"inputs": {"a": ' + b"9" * 5_000 + b"}}",
    "too many keys": json.dumps({"inputs": {str(key): 1 for key in range(100_001)}}).encode(),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_bad_body_is_refused_before_anything_is_looked_up(
    alice: httpx.AsyncClient, name: str
) -> None:
    response = await alice.post(
        f"/api/graphs/{MISSING}/execute", content=BODIES[name], headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 422, response.text
    assert response.json()["error"]["error_code"] == "INVALID_REQUEST"


async def test_a_body_that_is_not_said_to_be_json_is_refused_with_how_to_send_it(
    alice: httpx.AsyncClient,
) -> None:
    answer = await alice.post(
        "/api/graphs", content=b'{"name": "x"}', headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 422
    (problem,) = answer.json()["error"]["details"]["errors"]
    assert (problem["field"], problem["message"]) == ("body", NOT_SENT_AS_JSON)


def body_of(size: int) -> bytes:
    """Return a good body of that many bytes."""
    frame = b'{"inputs": {"a": "%b"}}'
    return frame % (b"x" * (size - len(frame) + 2))


@pytest.mark.parametrize("has_length", [True, False])
async def test_a_body_may_have_10_mb_and_not_a_byte_more(alice: httpx.AsyncClient, has_length: bool) -> None:
    async def chunks(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    for size, status in ((MAX_BYTES, 404), (MAX_BYTES + 1, 413)):
        body = body_of(size)
        assert len(body) == size
        response = await alice.post(
            f"/api/graphs/{MISSING}/execute",
            content=body if has_length else chunks(body),
            headers={"Content-Type": "application/json"},
        )
        assert response.status_code == status


async def test_run_inputs_must_fit_the_graph(alice: httpx.AsyncClient) -> None:
    path = f"/api/graphs/{await save(alice, taking())}/execute"
    for inputs, place in (
        ({}, ("in", "number")),
        ({"number": "many"}, ("in", "number")),
        ({"number": 1, "other": 2}, ("graph", "other")),
    ):
        response = await alice.post(path, json={"inputs": inputs})
        assert response.status_code == 400, response.text
        error = response.json()["error"]
        assert error["error_code"] == "GRAPH_VALIDATION_ERROR"
        assert error["details"]["node_errors"][place[0]][place[1]]
    malformed: list[Any] = [
        {"inputs": []},
        {"inputs": "x"},
        {"budget": -1},
        {"budget": 10**30},
        {"priority": 9},
        [],
    ]
    for body in malformed:
        assert (await alice.post(path, json=body)).status_code == 422
    assert (await alice.post(path, json={"preset_id": MISSING})).status_code == 404
    for key in ("", "x" * 256):
        response = await alice.post(path, json={"inputs": {"number": 1}}, headers={"Idempotency-Key": key})
        assert response.status_code == 422
    for wait in ("-1", "nan", "x"):
        response = await alice.post(path, json={"inputs": {"number": 1}}, params={"wait": wait})
        assert response.status_code == 422
    assert (await alice.get("/api/executions")).json()["items"] == []


async def test_what_does_not_exist_is_not_found(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(1))
    for method, path in (
        ("GET", f"/api/graphs/{MISSING}"),
        ("GET", "/api/graphs/no-id"),
        ("GET", f"/api/graphs/{graph_id}?version=2"),
        ("GET", f"/api/graphs/{graph_id}?version=99999999999999999999"),
        ("POST", f"/api/graphs/{graph_id}/execute/2"),
        ("POST", f"/api/graphs/{graph_id}/execute/0"),
        ("POST", f"/api/graphs/{graph_id}/execute/99999999999999999999"),
        ("GET", f"/api/executions/{MISSING}"),
        ("GET", "/api/executions/no-id"),
        ("POST", f"/api/executions/{MISSING}/stop"),
        ("POST", f"/api/executions/{MISSING}/pause"),
        ("DELETE", f"/api/executions/{MISSING}"),
        ("GET", f"/api/executions/{MISSING}/events"),
        ("GET", "/api/blocks/nothing"),
        ("GET", "/api/nowhere"),
        ("GET", "/api/graphs/"),
    ):
        response = await alice.request(method, path, json={} if "execute" in path else None)
        assert response.status_code == 404, path
        assert response.json()["error"]["error_code"] == "NOT_FOUND"
    assert (await alice.post(f"/api/graphs/{graph_id}/execute/x", json={})).status_code == 422
    assert (await alice.patch("/api/graphs")).status_code == 405


async def test_a_deleted_graph_is_gone_and_its_executions_stay(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(1))
    started = (await alice.post(f"/api/graphs/{graph_id}/execute", json={})).json()

    assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 204

    for method, path in (
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("GET", "/versions"),
        ("PUT", "/versions/active"),
        ("POST", "/execute"),
        ("POST", "/execute/1"),
    ):
        body = {"active_graph_version": 1, **sums(1)} if method != "GET" else None
        response = await alice.request(method, f"/api/graphs/{graph_id}{path}", json=body)
        assert response.status_code == 404, (method, path)
    assert (await alice.get("/api/graphs")).json()["items"] == []
    assert (await alice.get(f"/api/executions/{started['id']}")).status_code == 200


def told(response: httpx.Response) -> dict[str, Any]:
    """Return an error body without what differs between any two requests."""
    body: dict[str, Any] = response.json()
    body["error"].pop("timestamp")
    body["error"].pop("request_id")
    return {"status": response.status_code, **body}


async def test_what_is_somebody_elses_looks_like_nothing(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    graph_id = await save(alice, sums(1))
    execution_id = (await alice.post(f"/api/graphs/{graph_id}/execute", json={})).json()["id"]
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/api/graphs/{graph}", None),
        ("PUT", "/api/graphs/{graph}", sums(2)),
        ("DELETE", "/api/graphs/{graph}", None),
        ("GET", "/api/graphs/{graph}/versions", None),
        ("PUT", "/api/graphs/{graph}/versions/active", {"active_graph_version": 1}),
        ("POST", "/api/graphs/{graph}/execute", {}),
        ("POST", "/api/graphs/{graph}/execute/1", {}),
        ("POST", "/api/graphs/{graph}/executions/{execution}/stop", None),
        ("GET", "/api/executions/{execution}", None),
        ("DELETE", "/api/executions/{execution}", None),
        *[("GET", f"/api/executions/{{execution}}/{part}", None) for part in ("results", "nodes", "events")],
        *[("POST", f"/api/executions/{{execution}}/{part}", None) for part in ("stop", "pause", "resume")],
    ]
    for method, path, body in calls:
        theirs = await bob.request(method, path.format(graph=graph_id, execution=execution_id), json=body)
        nothing = await bob.request(method, path.format(graph=MISSING, execution=MISSING), json=body)
        assert theirs.status_code == 404, (method, path)
        assert told(theirs) == told(nothing), (method, path)
    assert (await bob.get("/api/graphs")).json()["items"] == []
    assert (await bob.get("/api/executions")).json()["items"] == []
    assert (await bob.get("/api/executions", params={"graph_id": graph_id})).json()["items"] == []
    assert (await alice.get(f"/api/graphs/{graph_id}")).json()["version"] == 1
    assert (await alice.get(f"/api/executions/{execution_id}")).json()["status"] == "QUEUED"


OPEN = {"/health/live", "/health/ready"}
SIGNED = {
    ("get", "/api/reviews/link/{token}"),
    ("post", "/api/reviews/link/{token}"),
    ("post", "/api/webhooks/{webhook_id}"),
}
"""Open to whoever holds a signed link, or signs what they send; who does not finds nothing there."""


async def test_no_route_but_the_health_checks_is_open(api: RestApi) -> None:
    paths = api.document["paths"]
    async with api.caller(token="") as nobody:
        for path, methods in paths.items():
            for method in methods.keys() - {"parameters"}:
                concrete = path.replace("{", "").replace("}", "")
                # A bad body, to see that nobody's body is read.
                response = await nobody.request(method, concrete, content=b"{" if method != "get" else None)
                is_signed = (method, path) in SIGNED
                assert (response.status_code == 401) is not (path in OPEN or is_signed), (method, path)
                assert (response.status_code == 404) is is_signed, (method, path)
        assert (await nobody.get("/openapi.json")).status_code == 200
        assert (await nobody.get("/docs")).status_code == 200


async def test_credentials_that_are_none_are_refused(api: RestApi) -> None:
    async with api.caller(token="") as nobody:
        for headers in (
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authorization": "Basic YTpi"},
            {"Authorization": "Bearer prd_abc_def"},
            {"X-API-Key": "prd_abc_def"},
            {"X-API-Key": ""},
        ):
            response = await nobody.get("/api/user", headers=headers)
            assert response.status_code == 401, headers
            assert response.json()["error"]["error_code"] == "UNAUTHENTICATED"
            assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_a_user_is_known_from_the_first_call_on(alice: httpx.AsyncClient) -> None:
    users = await asyncio.gather(*(alice.get("/api/user") for _ in range(5)))

    assert {user.status_code for user in users} == {200}
    assert users[0].json()["credits"] == 1000
    assert users[0].json()["role"] == "user"
    assert users[0].json()["last_login"]
    assert SECRET not in users[0].text
