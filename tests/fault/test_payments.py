"""Payments whose API dies between what is told of them and what follows from it: real SIGKILL, each counts once."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest
from temporalio.client import Client

from app.database import plain_url
from app.embedded.home import Home
from app.models.spending import Spend, reserve
from tests.admin import id_of
from tests.engine import Engine, make_engine
from tests.ledger import add_execution, note_end
from tests.payments import AUTOMATIC, FIRST, PAID, TOP_UPS, balance, buy, paid, session_of, show, spend
from tests.processes import ServerProcess
from tests.stack import ENCRYPTION_KEY, Stack, eventually
from tests.stripe_stub import API_KEY, SECRET, JsonObject, StripeStub

StartApi = Callable[[], ServerProcess]
PRICE = 10
KEY = {"Idempotency-Key": "once"}
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
async def stripe() -> AsyncIterator[StripeStub]:
    async with StripeStub() as stub:
        yield stub


@pytest.fixture
async def books(client: Client, own_database_url: str) -> AsyncIterator[Engine]:
    """The database of these APIs alone: they look after the payments of all users."""
    async with make_engine(client, own_database_url) as engine:
        yield engine


@pytest.fixture
def start_api(
    stack: Stack,
    books: Engine,
    stripe: StripeStub,
    short_folder: Path,
    server_process: Callable[..., ServerProcess],
) -> StartApi:
    """Start an API that sells credits; another one takes over its folder."""
    home = Home(short_folder / "home")
    sells = {"STRIPE_API_KEY": API_KEY, "STRIPE_WEBHOOK_SECRET": SECRET}

    def start() -> ServerProcess:
        return server_process(
            home.path,
            DATABASE_URL=books.database_url,
            TEMPORAL_ADDRESS=stack.temporal_address,
            TASK_QUEUE=books.task_queue,
            JWT_SECRET=home.secrets().jwt_secret,
            ENCRYPTION_KEY=ENCRYPTION_KEY,
            PUBLIC_URL="https://perdure.test",
            STRIPE_API_BASE=stripe.url,
            environment=sells,
        )

    return start


class Held:
    """Keeps what Stripe has made from being answered, and a user's balance from being changed."""

    def __init__(self, engine: Engine, stripe: StripeStub) -> None:
        self._engine = engine
        self._stripe = stripe
        self._let_go = asyncio.Event()
        self.made: dict[str, JsonObject] = {}
        """What was made and not answered, by kind."""

    @asynccontextmanager
    async def all(self, owner: str) -> AsyncIterator[None]:
        """Hold until the block ends."""
        self._stripe.before_answer = self._note
        connection = await asyncpg.connect(plain_url(self._engine.database_url))
        try:
            await connection.execute("BEGIN")
            await connection.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", owner)
            yield
        finally:
            self._stripe.before_answer = None
            self._let_go.set()
            await connection.close()

    async def is_waited_for(self) -> bool:
        """Answer whether somebody waits to change the balance."""
        return bool(await self._engine.pool.fetchval(_WAITING))

    async def _note(self, made: JsonObject) -> None:
        if made["object"] in {"checkout.session", "payment_intent"}:
            self.made[made["object"]] = made
            await self._let_go.wait()


async def want_credits(client: httpx.AsyncClient, stripe: StripeStub) -> None:
    """Have a user want credits to be bought by themselves."""
    await paid(client, stripe, 500, save_payment_method=True)
    wish = await client.put(AUTOMATIC, json={"threshold": 500, "credits": 500})
    assert wish.status_code == 200, wish.text


async def run_low(client: httpx.AsyncClient, engine: Engine) -> None:
    """Spend nearly all of it, the last in an execution."""
    await spend(client, engine, FIRST + 500 - 100)
    owner = await id_of(client)
    execution_id, call = await add_execution(engine.pool, owner), Spend(uuid.uuid4())
    async with engine.pool.acquire() as connection:
        await reserve(connection, execution_id, call, PRICE, owner=owner)
    await note_end(engine.pool, execution_id, call, PRICE, owner=owner)


async def test_an_api_that_dies_over_payments_loses_none_and_takes_none_twice(
    start_api: StartApi, books: Engine, stripe: StripeStub
) -> None:
    first, held = await start_api().ready(), Held(books, stripe)
    async with contextlib.AsyncExitStack() as clients:
        buyer, beginner, spender = [
            await clients.enter_async_context(first.client(f"{name}@example.org"))
            for name in ("buyer", "beginner", "spender")
        ]
        await id_of(beginner)
        await want_credits(spender, stripe)
        bought = await buy(buyer)
        intent = stripe.pay(session_of(stripe, bought))
        told = stripe.notice(PAID, session_of(stripe, bought))
        async with held.all(await id_of(buyer)):
            await run_low(spender, books)
            calls = [
                asyncio.create_task(stripe.post(buyer, told)),
                asyncio.create_task(beginner.post(TOP_UPS, json={"credits": 500}, headers=KEY)),
            ]
            await eventually(lambda: {"checkout.session", "payment_intent"} <= set(held.made))
            await eventually(held.is_waited_for)
            first.kill()
            answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, httpx.TransportError) for answer in answers), answers

    second = await start_api().ready()
    async with contextlib.AsyncExitStack() as clients:
        buyer, beginner, spender = [
            await clients.enter_async_context(second.client(f"{name}@example.org"))
            for name in ("buyer", "beginner", "spender")
        ]
        assert await balance(buyer, books) == FIRST
        # Stripe tells again what was not taken; and often what was.
        for _ in range(2):
            taken = await asyncio.gather(*(stripe.post(buyer, told) for _ in range(3)))
            assert {each.status_code for each in taken} == {204}
            await stripe.tell(buyer, "payment_intent.succeeded", intent)
            await stripe.tell(spender, "payment_intent.succeeded", held.made["payment_intent"])
        assert await balance(buyer, books) == FIRST + 500
        assert (await show(buyer, bought))["status"] == "paid"
        assert await balance(spender, books) == 100 - PRICE + 500
        assert stripe.calls["POST payment_intents"] == 1
        await repeat(beginner, books, stripe, held.made["checkout.session"])


async def repeat(client: httpx.AsyncClient, engine: Engine, stripe: StripeStub, lost: JsonObject) -> None:
    """Begin again what nobody was answered, and pay it; whatever was begun, what is paid counts once."""
    again = await client.post(TOP_UPS, json={"credits": 500}, headers=KEY)
    assert again.status_code == 409
    await engine.pool.execute(
        "UPDATE idempotency_keys SET claimed_at = claimed_at - interval '2 minutes' WHERE user_id = $1",
        await id_of(client),
    )
    begun = await client.post(TOP_UPS, json={"credits": 500}, headers=KEY)
    assert begun.status_code == 201, begun.text
    for session in (session_of(stripe, begun.json()), lost):
        stripe.pay(session)
        for _ in range(2):
            await stripe.tell(client, PAID, session)
    assert await balance(client, engine) == FIRST + 2 * 500
