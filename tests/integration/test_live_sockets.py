"""Executions as they are watched over a WebSocket: what is told, who is let in, and what a client may not do."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.types import Message
from starlette.websockets import WebSocket
from temporalio.client import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.api import callers
from app.api.auth import USER, Caller
from app.api.edge.rate_limits import RateRules
from app.api.live import websocket
from app.api.live.websocket import LiveSocket
from app.api.policies import Scope
from app.serving import MAX_MESSAGE_BYTES
from tests.admin import id_of
from tests.api_keys import KEYS, make_key
from tests.e2e.rest import events_of, get, save, start, sums, wait
from tests.engine import Engine, make_engine
from tests.live import PATIENCE_SECONDS, LiveApi, bearer, run_live, streaming
from tests.reviews import asked, asking
from tests.stack import eventually

PAGE = "https://dashboard.example.org"


@pytest.fixture(scope="module")
async def engine(client: Client, database_url: str) -> AsyncIterator[Engine]:
    """One for all: each test has users of its own."""
    async with make_engine(client, database_url) as running:
        yield running


@pytest.fixture(scope="module")
async def live(engine: Engine, client: Client) -> AsyncIterator[LiveApi]:
    async with run_live(
        engine.database_url, client, task_queue=engine.task_queue, cors_origins=(PAGE,), streams_per_user=6
    ) as running:
        yield running


@dataclass(frozen=True)
class User:
    """A user with a client, and the token that it holds."""

    client: httpx.AsyncClient
    token: str

    @property
    def query(self) -> str:
        return f"?token={self.token}"


@pytest.fixture
async def alice(live: LiveApi) -> AsyncIterator[User]:
    token = bearer()
    async with live.caller(token) as client:
        yield User(client, token)


@pytest.fixture
async def bob(live: LiveApi) -> AsyncIterator[User]:
    token = bearer()
    async with live.caller(token) as client:
        yield User(client, token)


async def test_an_execution_is_told_of_from_a_snapshot_to_its_end(
    live: LiveApi, alice: User, worker: None
) -> None:
    execution = await start(alice.client, await save(alice.client, asking("a letter")))
    await asked(alice.client, execution["id"])
    async with live.socket(alice.query) as socket:
        confirmed = await socket.ask("subscribe_graph_execution", graph_exec_id=execution["id"])
        assert confirmed["success"]
        assert confirmed["channel"] == f"{await id_of(alice.client)}|graph_exec#{execution['id']}"
        snapshot = await socket.next()
        assert (snapshot["method"], snapshot["data"]["id"]) == ("snapshot", execution["id"])
        assert (await socket.ask("heartbeat"))["data"] == "pong"
        assert (await alice.client.post(f"/api/executions/{execution['id']}/stop")).status_code == 200
        await socket.until("subscription_ended")
        told = [
            each
            for each in socket.seen
            if each["method"].endswith("_event") or each["method"] == "notification"
        ]
        log = await events_of(alice.client, execution["id"])
        assert [each["data"]["event"] for each in told] == log[int(snapshot["after"]) :]
        assert {each["channel"] for each in told} == {confirmed["channel"]}

        await socket.ask("subscribe_graph_execution", graph_exec_id=execution["id"], after=1)
        again = (await socket.until("subscription_ended"))[:-1]
        assert [each["data"]["event"] for each in again] == log[1:]
        assert [each["seq"] for each in again] == [event["seq"] for event in log[1:]]
        methods = {each["data"]["type"]: each["method"] for each in again}
        assert methods["execution_cancelled"] == "graph_execution_event"
        assert methods["review_requested"] == "notification"
        assert methods["node_cancelled"] == "node_execution_event"
        last = again[-1]["data"]
        assert (last["id"], last["graph_exec_id"], last["status"]) == (
            execution["id"],
            execution["id"],
            "CANCELLED",
        )


async def test_executions_of_a_graph_and_of_a_user_are_told_of_and_left(
    live: LiveApi, alice: User, engine: Engine
) -> None:
    graph_id = await save(alice.client, sums(2))
    async with live.socket(alice.query, path="/api/ws") as socket:
        confirmed = await socket.ask("subscribe_graph_executions", graph_id=graph_id)
        assert (await socket.next())["data"]["executions"] == []
        execution = await start(alice.client, graph_id)
        queued = await socket.next()
        assert (queued["seq"], queued["data"]["graph_exec_id"]) == (0, execution["id"])
        assert (queued["data"]["status"], queued["data"]["graph_id"]) == ("QUEUED", graph_id)
        assert (await socket.ask("unsubscribe", graph_id=graph_id))["channel"] == confirmed["channel"]
        async with engine.worker():
            await wait(alice.client, execution["id"])
        assert (await socket.ask("heartbeat"))["data"] == "pong"
        assert (
            socket.seen[-1]["method"] == socket.seen[-2]["method"]
            or socket.seen[-2]["method"] == "unsubscribe"
        )

        await socket.ask("subscribe_executions", after=queued["after"])
        told = await socket.next()
        while told["data"]["type"] != "execution_completed":
            told = await socket.next()
        assert told["data"]["id"] == execution["id"]


@dataclass(frozen=True)
class Way:
    """A way to say who one is."""

    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    subprotocols: list[Any] | None = None


def ways(credential: str) -> list[Way]:
    return [
        Way(query=f"?token={credential}"),
        Way(headers={"Authorization": f"Bearer {credential}"}),
        Way(headers={"X-API-Key": credential}),
        Way(subprotocols=["perdure", f"bearer.{credential}"]),
    ]


async def code_for(live: LiveApi, way: Way, path: str = "/ws") -> int:
    """Return the code that a socket is closed with at once; 0 when it is let in."""
    async with live.socket(
        way.query, path=path, headers=way.headers, subprotocols=way.subprotocols
    ) as socket:
        try:
            answer = await socket.ask("heartbeat")
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else -1
        return 0 if answer["data"] == "pong" else -1


async def test_callers_of_all_kinds_are_let_in_or_turned_away_as_everywhere(
    live: LiveApi, alice: User, bob: User, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "WELCOME_SECONDS", 0.0)
    every = [scope for scope in Scope if scope is not Scope.ADMIN]
    reading = await make_key(alice.client, Scope.EXECUTIONS_READ)
    others = await make_key(alice.client, *set(every) - {Scope.EXECUTIONS_READ})
    revoked, expired, of_fallen = [await make_key(user.client, *every) for user in (alice, alice, bob)]
    assert (await alice.client.delete(f"{KEYS}/{revoked['id']}")).status_code == 204
    await engine.pool.execute(
        "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = $1", expired["id"]
    )
    ticket = (await alice.client.post("/api/events/tickets")).json()["ticket"]
    await engine.pool.execute("UPDATE users SET suspended_at = now() WHERE id = $1", await id_of(bob.client))

    expected = [
        *((way, 0) for way in ways(alice.token)[:2] + ways(alice.token)[3:]),
        *((way, 0) for way in ways(reading["key"])),
        (Way(query=f"?ticket={ticket}"), 0),
        (Way(), 4001),
        (Way(headers={"Cookie": f"token={alice.token}"}), 4001),
        *((way, 4002) for way in ways(others["key"])),
        *((way, 4002) for way in ways(of_fallen["key"])[:1]),
        (ways(bob.token)[0], 4002),
        *((way, 4003) for key in (revoked, expired) for way in ways(key["key"])[:1]),
        *((way, 4003) for way in ways("nonsense")),
        (Way(query="?token="), 4003),
        (Way(query=f"?ticket={ticket[:-2]}"), 4003),
        (Way(query=f"?token={ticket}"), 4003),
        (Way(query=f"?token={alice.token}&token={alice.token}"), 4003),
        (Way(query=alice.query, headers={"Authorization": f"Bearer {alice.token}"}), 4003),
    ]
    for way, code in expected:
        assert await code_for(live, way) == code, way
    for path in ("/ws", "/api/ws"):
        for trick in ("/", "/.", "//", "/%2e", ";x", "%00"):
            with pytest.raises(InvalidStatus) as refused:
                await code_for(live, ways(alice.token)[1], path + trick)
            assert refused.value.response.status_code in {403, 404}


async def test_pages_of_other_origins_find_no_socket(live: LiveApi, alice: User) -> None:
    own = live.url
    for origin in (
        "http://localhost",
        own,
        "null",
        "https://example.org",
        PAGE + ".example.com",
        PAGE.upper(),
    ):
        with pytest.raises(InvalidStatus) as refused:
            await code_for(live, Way(query=alice.query, headers={"Origin": origin}))
        assert refused.value.response.status_code == 403, origin
    assert await code_for(live, Way(query=alice.query, headers={"Origin": PAGE})) == 0


async def test_ids_of_somebody_else_are_like_none(live: LiveApi, alice: User, bob: User) -> None:
    graph_id = await save(alice.client, sums(1))
    execution = await start(alice.client, graph_id)
    async with live.socket(bob.query) as socket:
        for method, name, theirs in (
            ("subscribe_graph_execution", "graph_exec_id", execution["id"]),
            ("subscribe_graph_executions", "graph_id", graph_id),
        ):
            answers = [
                await socket.ask(method, **{name: tried})
                for tried in (theirs, str(uuid.uuid4()), "none", None)
            ]
            assert answers[0]["error"] == "NOT_FOUND"
            assert all(answer == answers[0] for answer in answers)
        await socket.ask("subscribe_executions")
        assert (await socket.next())["data"]["executions"] == []
        own = await start(bob.client, await save(bob.client, sums(1)))
        await start(alice.client, graph_id)
        assert (await socket.next())["data"]["graph_exec_id"] == own["id"]
        assert graph_id not in str(socket.seen)


async def test_a_ticket_is_for_what_it_was_taken_for(live: LiveApi, alice: User) -> None:
    graph_id = await save(alice.client, sums(1))
    execution, other = await start(alice.client, graph_id), await start(alice.client, graph_id)
    ticket = (await alice.client.post(f"/api/executions/{execution['id']}/tickets")).json()["ticket"]
    async with live.socket(f"?ticket={ticket}") as socket:
        assert (await socket.ask("subscribe_graph_execution", graph_exec_id=execution["id"]))["success"]
        for method, data in (
            ("subscribe_graph_execution", {"graph_exec_id": other["id"]}),
            ("subscribe_graph_executions", {"graph_id": graph_id}),
            ("subscribe_executions", {}),
        ):
            assert (await socket.ask(method, **data))["error"] == "FORBIDDEN"


async def test_what_is_no_message_is_refused_and_the_socket_goes_on(live: LiveApi, alice: User) -> None:
    async with live.socket(alice.query) as socket:
        for text in (
            "",
            "[]",
            "{",
            '"x"',
            '{"method": 1}',
            '{"method": "x"}',
            '{"a": NaN}',
            "[" * 500,
            b"\xff\x00",
        ):
            await socket.connection.send(text)
            assert (await socket.next())["error"] == "INVALID_REQUEST", text
        refused = await socket.ask("subscribe_executions", after="nowhere")
        assert refused["error"] == "INVALID_REQUEST"
        odd: list[Any] = [[], {}, True, 1.5, -1, "x"]
        for after in odd:
            refused = await socket.ask("subscribe_executions", after=after)
            assert refused["error"] == "INVALID_REQUEST", after
        assert (await socket.ask("heartbeat"))["data"] == "pong"


async def test_a_socket_takes_no_more_than_it_should(live: LiveApi, alice: User) -> None:
    async with live.socket(alice.query) as socket:
        await socket.connection.send("x" * (MAX_MESSAGE_BYTES + 1))
        assert await socket.closed() == 1009
    async with live.socket(alice.query) as socket:
        for _ in range(websocket.MESSAGES_AT_ONCE + 200):
            try:
                await socket.say("heartbeat")
            except ConnectionClosed:
                break
        assert await socket.closed() == websocket.TOO_MANY
    graph_id = await save(alice.client, sums(1))
    executions = [(await start(alice.client, graph_id))["id"] for _ in range(6)]
    async with live.socket(alice.query) as socket:
        for execution_id in executions:
            await socket.say("subscribe_graph_execution", graph_exec_id=execution_id)
        refused = (await socket.until("error"))[-1]
        assert refused["error"] == "RATE_LIMITED"
        assert executions[-1] in refused["channel"], "the socket counts as one"
        open_now = live.application.state.resources.streams.count_all()
        assert open_now == 6
        assert await code_for(live, Way(query=alice.query)) == websocket.TRY_AGAIN


async def test_nothing_of_a_socket_outlives_it(live: LiveApi, alice: User) -> None:
    streams = live.application.state.resources.streams
    async with live.socket(alice.query) as socket:
        await socket.ask("subscribe_executions")
        await socket.until("snapshot")
        assert streams.count_all() == 2
    await eventually(lambda: not streams.count_all())


async def test_a_socket_follows_no_more_than_so_many(
    live: LiveApi, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MOST_SUBSCRIPTIONS", 2)
    first, second = [(await save(alice.client, sums(1))) for _ in range(2)]
    async with live.socket(alice.query) as socket:
        for graph_id in (first, second, second):
            assert (await socket.ask("subscribe_graph_executions", graph_id=graph_id))["success"]
        assert (await socket.ask("subscribe_executions"))["error"] == "RATE_LIMITED"
        await socket.ask("unsubscribe", graph_id=first)
        assert (await socket.ask("subscribe_executions"))["success"]


async def test_sockets_are_opened_no_more_often_than_calls_are_made(engine: Engine, client: Client) -> None:
    rates = RateRules(per_user="2/day")
    async with run_live(engine.database_url, client, task_queue=engine.task_queue, rates=rates) as live:
        for query, refused in ((f"?token={bearer()}", 0), ("?token=nonsense", websocket.INVALID)):
            codes = [await code_for(live, Way(query=query)) for _ in range(3)]
            assert codes == [refused, refused, websocket.TRY_AGAIN]


async def test_a_socket_is_closed_when_its_caller_would_not_be_let_in_again(
    live: LiveApi, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "WELCOME_SECONDS", 0.0)
    monkeypatch.setattr(websocket, "CHECK_SECONDS", 0.2)
    made = await make_key(alice.client, Scope.EXECUTIONS_READ)
    async with (
        live.socket(f"?token={bearer(lifetime_seconds=2)}") as expiring,
        live.socket(headers={"X-API-Key": made["key"]}) as socket,
        live.socket(alice.query) as kept,
    ):
        assert (await expiring.ask("heartbeat"))["data"] == "pong"
        await socket.ask("subscribe_executions")
        assert (await alice.client.delete(f"{KEYS}/{made['id']}")).status_code == 204
        assert await socket.closed() == websocket.INVALID
        assert await expiring.closed() == websocket.INVALID
        assert (await kept.ask("heartbeat"))["data"] == "pong"


async def test_who_reads_slowly_is_cut_off_and_goes_on_without_loss(
    live: LiveApi, alice: User, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "SLOW_SECONDS", 0.3)
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.1)
    execution = await start(alice.client, await save(alice.client, sums(1)))
    filler = "x" * 20_000
    count = 400
    await engine.pool.execute(
        """
        INSERT INTO execution_events (execution_id, seq, key, type, data)
        SELECT $1, n, 'test-' || n, 'execution_paused', json_build_object('filler', $2::text)
        FROM generate_series(1, $3::int) AS n
        """,
        execution["id"],
        filler,
        count,
    )
    await engine.pool.execute("UPDATE executions SET event_seq = $2 WHERE id = $1", execution["id"], count)
    seen: list[int] = []
    # Takes a message at a time off the line, and no other before that one is read.
    async with live.socket(alice.query, max_queue=1) as socket:
        await socket.ask("subscribe_graph_execution", graph_exec_id=execution["id"], after=0)
        streams = live.application.state.resources.streams
        await eventually(lambda: not streams.count_all())
        while True:
            try:
                seen.append((await socket.next())["seq"])
            except (ConnectionClosed, TimeoutError):
                break
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) < count
    async with live.socket(alice.query) as socket:
        await socket.ask("subscribe_graph_execution", graph_exec_id=execution["id"], after=len(seen))
        while len(seen) < count:
            seen.append((await socket.next())["seq"])
    assert seen == list(range(1, count + 1))


async def test_what_is_told_by_socket_and_by_stream_is_the_same(
    live: LiveApi, alice: User, worker: None
) -> None:
    execution = await start(alice.client, await save(alice.client, sums(3)))
    path = f"/api/executions/{execution['id']}/events"
    async with live.socket(alice.query) as socket, streaming(alice.client, path) as stream:
        await socket.ask("subscribe_graph_execution", graph_exec_id=execution["id"], after=0)
        frames = await stream.rest()
        told = (await socket.until("subscription_ended"))[:-1]
        assert [each["data"]["event"] for each in told] == [frame.data for frame in frames]
        assert (await get(alice.client, execution["id"]))["event_seq"] == len(frames)
        await socket.ask("subscribe_graph_execution", graph_exec_id=execution["id"], after=len(frames) + 1)
        anew = await socket.until("subscription_ended")
    assert [each["method"] for each in anew] == ["reset", "snapshot", "subscription_ended"]
    assert anew[1]["after"] == str(len(frames))


async def test_a_socket_that_can_no_longer_be_listened_to_is_closed() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        if not sent:
            return {"type": "websocket.connect"}
        raise AssertionError("of the server's own")

    async def send(message: Message) -> None:
        sent.append(message)

    accepted = WebSocket({"type": "websocket"}, receive, send)
    await accepted.accept()
    nothing: Any = None
    async with asyncio.timeout(PATIENCE_SECONDS):
        await LiveSocket(accepted, nothing, Caller("somebody", "", USER)).serve()
    assert [message.get("code") for message in sent] == [None, websocket.CRASHED]
