"""What happens to payments without anybody asking: lost news are fetched, and credits are bought by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from temporalio.client import Client, WorkflowHandle

from app.api.services import auto_top_ups
from tests.engine import Engine, make_graph
from tests.ledger import require_sound
from tests.payments import AUTOMATIC, FIRST, TOP_UPS, balance, becomes, buy, comes_to, paid, session_of, spend
from tests.rest_api import RestApi, run_api
from tests.stack import eventually
from tests.stripe_stub import JsonObject, StripeStub, selling

PRICE = 10
FRESH = FIRST + 500
"""What somebody has who has bought credits once."""


@pytest.fixture
async def stripe() -> AsyncIterator[StripeStub]:
    async with StripeStub() as stub:
        yield stub


@pytest.fixture
async def api(engine: Engine, client: Client, stripe: StripeStub) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url,
        connect,
        task_queue=engine.task_queue,
        **selling(stripe, every_seconds=0.1, quiet_seconds=0.1),
    ) as running:
        yield running


async def test_a_payment_whose_news_never_came_is_found(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    known = await buy(alice)
    stripe.pay(session_of(stripe, known))
    await becomes(alice, known, "paid")
    assert await balance(alice, engine) == FIRST + 500

    # Made there, and never answered to us: nobody is told where to pay, but suppose that somebody has.
    stripe.loses_answers = True
    assert (await alice.post(TOP_UPS, json={"credits": 700})).status_code == 503
    lost = (await alice.get(TOP_UPS)).json()["items"][0]
    assert (lost["status"], lost["checkout_url"]) == ("pending", None)
    stripe.pay(session_of(stripe, lost))
    await becomes(alice, lost, "paid")
    assert await balance(alice, engine) == FIRST + 1200


async def test_a_checkout_that_nobody_pays_fails(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    top_up = await buy(alice)
    session_of(stripe, top_up)["status"] = "expired"
    await becomes(alice, top_up, "failed")
    assert (await alice.post(f"{TOP_UPS}/{top_up['id']}/refund")).status_code == 409
    assert await balance(alice, engine) == FIRST


async def test_a_refund_whose_answer_is_lost_is_made_once(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    top_up, _ = await paid(alice, stripe)
    stripe.loses_answers = True
    asked = await alice.post(f"{TOP_UPS}/{top_up['id']}/refund")
    assert (asked.status_code, asked.json()["status"]) == (200, "refunding")
    assert await balance(alice, engine) == FIRST

    stripe.loses_answers = False
    await becomes(alice, top_up, "refunded")
    assert len(stripe.of("refund")) == 1
    assert await balance(alice, engine) == FIRST


async def charging_itself(
    alice: httpx.AsyncClient, stripe: StripeStub, *, threshold: int = 500, amount: int = 500
) -> str:
    """Have a user keep a way to pay, and want credits bought by themselves; return who they are."""
    await paid(alice, stripe, 500, save_payment_method=True)
    response = await alice.put(AUTOMATIC, json={"threshold": threshold, "credits": amount})
    assert response.status_code == 200, response.text
    assert response.json() == {"threshold": threshold, "credits": amount, "has_payment_method": True}
    user_id: str = (await alice.get("/api/user")).json()["id"]
    return user_id


def charges_of(stripe: StripeStub) -> list[JsonObject]:
    return [
        each for each in stripe.of("payment_intent") if each["customer"] and not each["setup_future_usage"]
    ]


async def make_rounds(api: RestApi) -> None:
    """Have all be bought that is to be bought, besides what is bought by itself."""
    upkeep = api.application.state.resources.selling.upkeep
    for _ in range(2):
        await upkeep.make_round()


async def execute(engine: Engine, owner: str, *, calls: int = 1) -> WorkflowHandle[Any, int]:
    """Start an execution of paid calls, one after the other."""
    engine.probe.charge(PRICE)
    nodes: dict[str, Any] = {f"n{k}": ("probe", {"value": 1} if k == 0 else {}) for k in range(calls)}
    links = [f"n{k}.out -> n{k + 1}.value" for k in range(calls - 1)]
    return await engine.start(make_graph(nodes, links), owner=owner)


async def test_credits_are_bought_by_themselves_once_for_an_execution(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    owner = await charging_itself(alice, stripe, threshold=600, amount=600)
    await spend(alice, engine, FRESH - 595)
    async with engine.worker():
        await engine.end(await execute(engine, owner))
        await comes_to(alice, 595 - PRICE + 600)
        # Enough is left: nothing is bought.
        await engine.end(await execute(engine, owner))
        await make_rounds(api)
        assert len(charges_of(stripe)) == 1
        # The news of it come late.
        await stripe.tell(alice, "payment_intent.succeeded", charges_of(stripe)[0])
        assert await balance(alice, engine) == 595 - 2 * PRICE + 600
        await spend(alice, engine, 1000)
        await engine.end(await execute(engine, owner))
        await eventually(lambda: len(charges_of(stripe)) == 2)
    bought = [each for each in (await alice.get(TOP_UPS)).json()["items"] if each["is_automatic"]]
    assert [each["credits"] for each in bought] == [600, 600]


async def test_an_execution_buys_no_more_than_once_however_much_it_spends(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    owner = await charging_itself(alice, stripe)
    await spend(alice, engine, FRESH - 8 * PRICE)

    async def buy_and_lose(value: Any, context: Any) -> Any:
        if charges_of(stripe):
            await spend(alice, engine, 500)
        else:
            await eventually(lambda: bool(charges_of(stripe)))
        return value

    engine.probe.functions[""] = buy_and_lose
    async with engine.worker():
        record = await engine.end(await execute(engine, owner, calls=2))
        assert record.status == "COMPLETED"
        await make_rounds(api)
        assert len(charges_of(stripe)) == 1
    await require_sound(engine.pool, owner)


async def test_an_execution_that_waits_for_credits_goes_on_with_those_that_are_bought(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    owner = await charging_itself(alice, stripe)
    await spend(alice, engine, FRESH)
    async with engine.worker():
        record = await engine.end(await execute(engine, owner, calls=3))
    assert record.status == "COMPLETED"
    assert len(charges_of(stripe)) == 1
    assert await balance(alice, engine) == 500 - 3 * PRICE


async def test_a_card_that_is_declined_changes_nothing_and_is_left_alone(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    owner = await charging_itself(alice, stripe)
    await spend(alice, engine, FRESH - 3 * PRICE)
    stripe.declines = True

    async def has_failed() -> bool:
        items = (await alice.get(TOP_UPS)).json()["items"]
        return [each["status"] for each in items if each["is_automatic"]] == ["failed"]

    async with engine.worker():
        for _ in range(2):
            record = await engine.end(await execute(engine, owner))
            assert record.status == "COMPLETED"
            await eventually(has_failed)
            await make_rounds(api)
    assert stripe.calls["POST payment_intents"] == 1
    assert await balance(alice, engine) == PRICE


@pytest.mark.parametrize("trouble", ["the card", "the customer"])
async def test_a_card_that_keeps_failing_is_not_charged_for_ever(
    api: RestApi,
    alice: httpx.AsyncClient,
    engine: Engine,
    stripe: StripeStub,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    monkeypatch.setattr(auto_top_ups, "REST", timedelta(0))
    owner = await charging_itself(alice, stripe)
    await spend(alice, engine, FRESH - 8 * PRICE)
    stripe.declines = True
    if trouble == "the customer":
        stripe.forgotten.update(each["customer"] for each in stripe.of("checkout.session"))

    async def failures() -> int:
        items = (await alice.get(TOP_UPS, params={"limit": 50})).json()["items"]
        return [each["status"] for each in items if each["is_automatic"]].count("failed")

    async def have_failed(expected: int) -> bool:
        return await failures() >= expected

    async def fail(expected: int) -> None:
        record = await engine.end(await execute(engine, owner))
        assert record.status == "COMPLETED"
        await make_rounds(api)
        # The API makes rounds of its own, and may be in the middle of one.
        await eventually(partial(have_failed, expected))
        assert await failures() == expected

    async with engine.worker():
        for expected in (1, 2, 3, 3, 3):
            await fail(expected)
        response = await alice.put(AUTOMATIC, json={"threshold": 500, "credits": 500})
        assert response.status_code == 200
        await fail(4)


async def test_a_charge_whose_answer_is_lost_is_made_once_and_found(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    owner = await charging_itself(alice, stripe)
    await spend(alice, engine, FRESH - 100)
    stripe.loses_answers = True

    async with engine.worker():
        await engine.end(await execute(engine, owner))
        await comes_to(alice, 100 - PRICE + 500)
    assert await balance(alice, engine) == 100 - PRICE + 500
    assert len(charges_of(stripe)) == 1


async def test_credits_are_bought_by_themselves_only_on_sound_terms(
    api: RestApi, alice: httpx.AsyncClient, stripe: StripeStub
) -> None:
    nothing = await alice.put(AUTOMATIC, json={"threshold": 100, "credits": 500})
    assert (nothing.status_code, nothing.json()["error"]["error_code"]) == (409, "CONFLICT")
    await paid(alice, stripe, 500, save_payment_method=True)
    for threshold, amount in ((600, 500), (0, 499), (0, 400), (-1, 500), (0, -500), (0, 550), (10**9, 10**9)):
        response = await alice.put(AUTOMATIC, json={"threshold": threshold, "credits": amount})
        assert response.status_code == 422, (threshold, amount)
    for threshold, amount in ((500, 500), (0, 0)):
        response = await alice.put(AUTOMATIC, json={"threshold": threshold, "credits": amount})
        assert (response.status_code, response.json()["credits"]) == (200, amount)
        await make_rounds(api)
    # Nothing was spent since: nothing is bought, however few are left.
    assert charges_of(stripe) == []
