"""When a call is made once more, and what is sent where. Against a server that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from perdure import ApiError, AsyncClient
from tests.stack import eventually
from tests.sync_client import made_modules
from tests.unit.blocks.stub_server import Answer, Asked, StubServer, running_server

GRAPHS = "/api/graphs"
EVENTS = "/api/executions/x/events"
EXECUTION = "/api/executions/x"


@pytest.fixture
async def stub() -> AsyncIterator[StubServer]:
    async with running_server() as server:
        yield server


def client_of(stub: StubServer, **options: float) -> AsyncClient:
    return AsyncClient(stub.url, "key", **options)  # type: ignore[arg-type]


def refusal(status: int, code: str = "X", **details: object) -> Answer:
    error = {"error_code": code, "message": "No.", "details": details, "request_id": "r1"}
    return Answer.of_json({"success": False, "error": error}, status)


def frames(*numbers: int, last: bool = False) -> bytes:
    def frame(seq: int) -> str:
        type = "execution_completed" if last and seq == numbers[-1] else "node_started"
        event = {"seq": seq, "type": type, "data": {}, "at": "2026-01-01T00:00:00Z"}
        return f"id: {seq}\nevent: {type}\ndata: {json.dumps(event)}\n\n"

    return "".join(map(frame, numbers)).encode()


async def test_a_lost_call_is_repeated_under_the_same_key(stub: StubServer) -> None:
    answers = iter(
        [
            Answer(breaks_off=True),
            refusal(503),
            refusal(409, "CONFLICT"),
            Answer.of_json({"id": "g"}, 201),
        ]
    )
    stub.answers[GRAPHS] = lambda _: next(answers)
    async with client_of(stub) as client:
        assert (await client.graphs.create({"name": "n"}))["id"] == "g"
    keys = {asked.headers["idempotency-key"] for asked in stub.asked}
    assert (len(stub.asked), len(keys)) == (4, 1)
    assert stub.asked[0].headers["authorization"] == "Bearer key"


async def test_a_refusal_is_not_repeated_and_says_what_is_wrong(stub: StubServer) -> None:
    problems = {"a": {"url": "is missing"}}
    stub.answers[GRAPHS] = refusal(400, "GRAPH_VALIDATION_ERROR", node_errors=problems)
    async with client_of(stub) as client:
        with pytest.raises(ApiError) as caught:
            await client.graphs.create({})
    error = caught.value
    assert (error.code, error.status, error.message, error.request_id) == (
        "GRAPH_VALIDATION_ERROR",
        400,
        "No.",
        "r1",
    )
    assert error.node_errors == problems
    assert len(stub.asked) == 1


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({"fields": {"a": "is missing"}}, {"a": "is missing"}),
        (
            {"errors": [{"field": "body.cron.0", "message": "no"}, {"field": "body", "message": "odd"}, 3]},
            {"cron.0": "no", "body": "odd"},
        ),
        ({"errors": "nonsense"}, {}),
    ],
)
def test_a_refusal_says_which_fields_are_wrong(details: dict[str, object], told: dict[str, str]) -> None:
    assert ApiError("INVALID_REQUEST", "No.", details=details).field_errors == told


async def test_a_conflict_at_the_first_attempt_stands(stub: StubServer) -> None:
    stub.answers[f"{EXECUTION}/pause"] = refusal(409, "CONFLICT")
    async with client_of(stub) as client:
        with pytest.raises(ApiError, match="CONFLICT"):
            await client.executions.pause("x")
    assert len(stub.asked) == 1


async def test_nobody_there_and_nonsense_are_the_same_kind_of_error(stub: StubServer) -> None:
    stub.answers[GRAPHS] = Answer(200, b"<html>")
    async with client_of(stub) as client:
        with pytest.raises(ApiError) as nonsense:
            await client.graphs.create({})
    async with AsyncClient("http://127.0.0.1:9", "key", retries=0) as nobody:
        with pytest.raises(ApiError) as silence:
            await nobody.credits.get()
    assert (nonsense.value.code, nonsense.value.status) == ("UNREADABLE", 200)
    assert (silence.value.code, silence.value.status) == ("UNREACHABLE", None)


async def test_a_list_is_read_page_by_page_and_no_further_than_wanted(stub: StubServer) -> None:
    def page(asked: Asked) -> Answer:
        number = 1 if "cursor=two" in asked.target else 0
        items = [{"id": 2 * number}, {"id": 2 * number + 1}]
        return Answer.of_json({"items": items, "next_cursor": None if number else "two"})

    stub.answers[GRAPHS] = page
    async with client_of(stub) as client:
        assert [int(graph["id"]) async for graph in client.graphs.list()] == [0, 1, 2, 3]
        assert [int(graph["id"]) async for graph in client.graphs.list(limit=2)] == [0, 1]
    assert len(stub.asked) == 3


async def test_what_stands_in_an_id_stays_in_it(stub: StubServer) -> None:
    async with client_of(stub) as client:
        with pytest.raises(ApiError):
            await client.executions.get("../user?x=1")
    assert stub.asked[0].target.startswith("/api/executions/..%2Fuser%3Fx%3D1?")


async def test_events_go_on_where_a_connection_broke_without_hole_or_double(stub: StubServer) -> None:
    half = frames(3)[:-10]
    bodies = (frames(1, 2) + half, None, frames(2, 3, 5), frames(4, 5, 6, last=True))
    stream = {"content-type": "text/event-stream"}
    answers = iter([refusal(503) if body is None else Answer(200, body, stream) for body in bodies])
    stub.answers[EVENTS] = lambda _: next(answers)
    async with client_of(stub) as client:
        taken = [event["seq"] async for event in client.executions.events("x")]
    assert taken == [1, 2, 3, 4, 5, 6]
    assert [asked.headers.get("last-event-id") for asked in stub.asked] == [None, "2", "2", "3"]


async def test_events_behind_the_last_one_are_none(stub: StubServer) -> None:
    stub.answers[EVENTS] = lambda asked: (
        Answer(200, b": heartbeat\n\n", {"content-type": "text/event-stream"})
        if "accept" in asked.headers and "event-stream" in asked.headers["accept"]
        else Answer.of_json({"items": [], "next_cursor": None})
    )
    stub.answers[EXECUTION] = Answer.of_json({"status": "COMPLETED"})
    async with client_of(stub) as client:
        assert [event async for event in client.executions.events("x", after=6)] == []


async def test_patience_with_a_silent_stream_ends(stub: StubServer) -> None:
    stub.answers[EVENTS] = refusal(503, "ENGINE_UNAVAILABLE")
    async with client_of(stub, patience_seconds=0.0) as client:
        with pytest.raises(ApiError, match="ENGINE_UNAVAILABLE"):
            _ = [event async for event in client.executions.events("x")]


async def test_a_connection_that_was_silent_for_longer_than_patience_is_opened_again(
    stub: StubServer,
) -> None:
    stream = {"content-type": "text/event-stream"}
    answers = iter([Answer(breaks_off=True), Answer(200, frames(1, last=True), stream)])
    stub.answers[EVENTS] = lambda _: next(answers)
    async with client_of(stub, patience_seconds=1e-9) as client:
        assert [event["seq"] async for event in client.executions.events("x")] == [1]


async def test_events_that_are_none_are_an_error_and_no_crash(stub: StubServer) -> None:
    stub.answers[EVENTS] = Answer(200, b"data: <html>\n\n", {"content-type": "text/event-stream"})
    async with client_of(stub) as client:
        with pytest.raises(ApiError, match="UNREADABLE"):
            _ = [event async for event in client.executions.events("x")]


async def test_waiting_ends_in_time_though_nothing_happens(stub: StubServer) -> None:
    stub.answers[EVENTS] = Answer(200, frames(1), {"content-type": "text/event-stream"}, hangs=True)
    stub.answers[EXECUTION] = Answer.of_json({"status": "RUNNING"})
    async with client_of(stub) as client:
        with pytest.raises(TimeoutError):
            await client.executions.wait("x", timeout_seconds=0.2)


async def test_a_stream_that_is_left_is_closed(stub: StubServer) -> None:
    stub.answers[EVENTS] = Answer(200, frames(1), {"content-type": "text/event-stream"}, hangs=True)
    async with client_of(stub) as client:
        async for _ in client.executions.events("x"):
            break
    await eventually(stub.left.is_set)


@pytest.mark.parametrize(
    ("url", "key"), [("ftp://x", ""), ("nonsense", ""), ("http://x", "ключ"), ("http://x", "a\nb")]
)
def test_an_address_or_key_that_is_none_is_refused_at_once(url: str, key: str) -> None:
    with pytest.raises(ValueError, match=r"URL|key"):
        AsyncClient(url, key)


def test_the_client_without_asyncio_is_made_of_the_one_with_it() -> None:
    for path, text in made_modules().items():
        assert path.read_text() == text, f"{path}: run python -m tests.sync_client"
