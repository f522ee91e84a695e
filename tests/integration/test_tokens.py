"""What models write on its way from a worker to watchers, over a real Postgres."""

from __future__ import annotations

import uuid

import asyncpg
import pytest

from app.activities.tokens import MAX_ID_CHARACTERS, MAX_WAITING_CHARACTERS, TokenFeed
from app.api.live.event_hub import MAX_TOKENS, EventHub, Subscription
from app.models.tokens import Token
from tests.engine import Engine
from tests.stack import eventually

EXECUTION = "01a20955-0000-7000-8000-000000000001"


@pytest.fixture
def node_execution_id() -> uuid.UUID:
    return uuid.uuid4()


async def test_pieces_come_together_and_in_their_order(engine: Engine, node_execution_id: uuid.UUID) -> None:
    hub, feed = EventHub(engine.database_url), TokenFeed(engine.pool)
    await hub.start()
    try:
        node_id = "\U0001f600" * MAX_ID_CHARACTERS
        shows = feed.stream_of(EXECUTION, node_id, node_execution_id)
        got: list[Token] = []
        async with (
            hub.subscribe(EXECUTION, takes_tokens=True) as watching,
            hub.subscribe(EXECUTION) as reading,
            hub.subscribe(str(uuid.uuid4()), takes_tokens=True) as elsewhere,
        ):

            async def is_listening() -> bool:
                await shows("")
                await shows(".")
                got.extend(watching.take_tokens())
                return bool(got)

            await eventually(is_listening)
            got.clear()
            text = "".join(
                f"\U0001f600{number} \"'\\\n\x00\U0001f600\U0001f600\U0001f600" for number in range(1_000)
            )
            for piece in text.split(" "):
                await shows(piece + " ")

            def has_all() -> bool:
                got.extend(watching.take_tokens())
                return "".join(token.text for token in got).lstrip(".") == text + " "

            await eventually(has_all)
            # Not one announcement for each of a thousand pieces, and each as long as Postgres takes it.
            assert len(got) < 50
            assert {(token.node_id, token.node_execution_id) for token in got} == {
                (node_id, str(node_execution_id))
            }
            assert reading.take_tokens() == elsewhere.take_tokens() == []
    finally:
        await feed.aclose()
        await hub.stop()


async def test_what_nobody_can_take_is_dropped_and_waits_for_nobody(
    engine: Engine, node_execution_id: uuid.UUID
) -> None:
    async with asyncpg.create_pool(engine.database_url.replace("+asyncpg", ""), min_size=0) as pool:
        feed = TokenFeed(pool)
        shows = feed.stream_of(EXECUTION, "n", node_execution_id)
        await pool.close()
        for _ in range(3):
            await shows("x" * MAX_WAITING_CHARACTERS)
            await shows("too much")
        await feed.aclose()


def test_a_watcher_that_does_not_read_loses_the_oldest() -> None:
    watching = Subscription(takes_tokens=True)
    for number in range(MAX_TOKENS + 1):
        watching.show(Token(EXECUTION, "n", "x", str(number)))
    taken = watching.take_tokens()
    assert (len(taken), taken[0].text) == (MAX_TOKENS, "1")
    assert watching.take_tokens() == []


async def test_a_watcher_knows_whether_the_log_has_grown() -> None:
    watching = Subscription(takes_tokens=True)
    watching.show(Token(EXECUTION, "n", "x", "text"))
    assert await watching.wait() is False
    watching.show(Token(EXECUTION, "n", "x", "text"))
    watching.wake()
    assert await watching.wait() is True
    assert await watching.wait(0) is True
