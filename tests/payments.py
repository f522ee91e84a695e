"""Buys credits as people do, with a stand-in for Stripe, and looks at what has become of that."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from tests.engine import Engine
from tests.ledger import require_sound
from tests.stack import eventually
from tests.stripe_stub import JsonObject, StripeStub

FIRST = 1000
"""What everybody has at first sight."""
TOP_UPS = "/api/user/credits/top-ups"
AUTOMATIC = "/api/user/credits/auto-top-up"
PAID = "checkout.session.completed"


async def buy(client: httpx.AsyncClient, amount: int = 500, **more: Any) -> JsonObject:
    """Begin to buy credits; return the top-up."""
    response = await client.post(TOP_UPS, json={"credits": amount, **more})
    assert response.status_code == 201, response.text
    bought: JsonObject = response.json()
    return bought


async def show(client: httpx.AsyncClient, top_up: JsonObject) -> JsonObject:
    """Return a top-up as it now stands."""
    shown: JsonObject = (await client.get(f"{TOP_UPS}/{top_up['id']}")).json()
    return shown


async def becomes(client: httpx.AsyncClient, top_up: JsonObject, status: str) -> None:
    """Wait until a top-up stands so."""

    async def is_so() -> bool:
        return bool((await show(client, top_up))["status"] == status)

    await eventually(is_so)


async def comes_to(client: httpx.AsyncClient, amount: int) -> None:
    """Wait until a balance is this. What is under way meanwhile may stand in the ledger already."""

    async def is_so() -> bool:
        return bool((await client.get("/api/user")).json()["credits"] == amount)

    await eventually(is_so)


async def balance(client: httpx.AsyncClient, engine: Engine) -> int:
    """Return the balance, which has to be what the ledger adds up to. Nothing may be under way."""
    user = (await client.get("/api/user")).json()
    assert await require_sound(engine.pool, user["id"]) == user["credits"]
    left: int = user["credits"]
    return left


def session_of(stripe: StripeStub, top_up: JsonObject) -> JsonObject:
    """Return the checkout of a top-up."""
    sessions = stripe.of("checkout.session")
    (found,) = [each for each in sessions if each["client_reference_id"] == top_up["id"]]
    return found


async def paid(client: httpx.AsyncClient, stripe: StripeStub, amount: int = 500, **more: Any) -> Any:
    """Buy and pay credits; return the top-up and the intent."""
    top_up = await buy(client, amount, **more)
    session = session_of(stripe, top_up)
    intent = stripe.pay(session)
    await stripe.tell(client, PAID, session)
    return top_up, intent


async def spend(client: httpx.AsyncClient, engine: Engine, amount: int) -> None:
    """Have credits gone by something else."""
    user_id = (await client.get("/api/user")).json()["id"]
    await engine.pool.execute(
        "WITH changed AS (UPDATE users SET credits = credits - $2 WHERE id = $1 RETURNING credits) "
        "INSERT INTO credit_entries (user_id, key, kind, amount, balance) "
        "SELECT $1, $3, 'ADJUST', -$2::bigint, credits FROM changed",
        user_id,
        amount,
        f"test:{uuid.uuid4()}",
    )
