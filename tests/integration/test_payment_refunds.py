"""Credits that go with the money, each exactly once: refunds that users ask for, refunds made elsewhere, disputes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest
from temporalio.client import Client

from app.payments.payments import Order, PaymentRefused
from tests.engine import Engine
from tests.payments import FIRST, PAID, TOP_UPS, balance, buy, paid, session_of, show, spend
from tests.rest_api import RestApi, run_api
from tests.stripe_stub import StripeStub, selling


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
        **selling(stripe, every_seconds=3600.0),
    ) as running:
        yield running


async def test_a_refund_takes_the_credits_and_gives_the_money_back_once(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    top_up, _ = await paid(alice, stripe, 800)
    path = f"{TOP_UPS}/{top_up['id']}/refund"
    assert (await bob.post(path)).status_code == 404

    answers = await asyncio.gather(*(alice.post(path) for _ in range(5)))

    assert sorted(each.status_code for each in answers) == [200, 409, 409, 409, 409]
    (refund,) = stripe.of("refund")
    assert refund["amount"] == 800
    for kind in ("refund.created", "refund.updated"):
        await stripe.tell(alice, kind, refund)
    shown = await show(alice, top_up)
    assert (shown["status"], shown["refunded_credits"]) == ("refunded", 800)
    assert await balance(alice, engine) == FIRST


async def test_a_refund_is_asked_for_once_a_week_and_only_of_what_is_there(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    first, _ = await paid(alice, stripe, 500)
    second, _ = await paid(alice, stripe, 500)
    await spend(alice, engine, FIRST + 600)
    refused = await alice.post(f"{TOP_UPS}/{first['id']}/refund")
    assert (refused.status_code, refused.json()["error"]["details"]) == (
        409,
        {"required_credits": 500, "available_credits": 400},
    )
    assert (await show(alice, first))["status"] == "paid"
    third, _ = await paid(alice, stripe, 1000)

    # At once: each waits for the other's lock of the balance.
    answers = await asyncio.gather(
        *(alice.post(f"{TOP_UPS}/{each['id']}/refund") for each in (first, second))
    )
    assert sorted(each.status_code for each in answers) == [200, 409]
    assert (await alice.post(f"{TOP_UPS}/{third['id']}/refund")).status_code == 409
    assert await balance(alice, engine) == 900
    await engine.pool.execute(
        "UPDATE payments SET refund_asked_at = now() - interval '8 days' WHERE refund_asked_at IS NOT NULL "
        "AND id = ANY($1::uuid[])",
        [first["id"], second["id"]],
    )
    # Nothing is wanted for: 900 do not cover 1000.
    assert (await alice.post(f"{TOP_UPS}/{third['id']}/refund")).status_code == 409
    left = first if answers[0].status_code == 409 else second
    assert (await alice.post(f"{TOP_UPS}/{left['id']}/refund")).status_code == 200
    assert len(stripe.of("refund")) == 2
    assert await balance(alice, engine) == 400


async def test_credits_are_back_when_the_refund_is_refused_or_fails_later(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    top_up, _ = await paid(alice, stripe)
    other, _ = await paid(alice, stripe)
    stripe.refuses_refunds = "charge_disputed"
    # What was refused does not count as asked for.
    for refused in (other, top_up):
        assert (await alice.post(f"{TOP_UPS}/{refused['id']}/refund")).status_code == 409
        assert (await show(alice, refused))["status"] == "paid"
    assert stripe.calls["POST refunds"] == 2
    await spend(alice, engine, 500)
    assert await balance(alice, engine) == FIRST + 500

    stripe.refuses_refunds = ""
    assert (await alice.post(f"{TOP_UPS}/{top_up['id']}/refund")).json()["status"] == "refunded"
    assert await balance(alice, engine) == FIRST
    (refund,) = stripe.of("refund")
    refund["status"] = "failed"
    for _ in range(2):
        await stripe.tell(alice, "refund.failed", refund)
    await stripe.tell(alice, "refund.created", dict(refund, status="pending"))
    assert (await show(alice, top_up))["status"] == "paid"
    assert await balance(alice, engine) == FIRST + 500


async def test_credits_and_money_go_together_at_any_price(
    engine: Engine, client: Client, stripe: StripeStub
) -> None:
    async def connect() -> Client:
        return client

    terms = selling(stripe, every_seconds=3600.0, credit_price_cents=3)
    async with run_api(engine.database_url, connect, **terms) as api, api.caller() as alice:
        top_up, intent = await paid(alice, stripe, 500)
        assert intent["amount"] == 1500
        # A hundred credits and a third: what is begun of one is taken.
        await stripe.tell(alice, "refund.created", stripe.refund(intent, 301))
        assert await balance(alice, engine) == FIRST + 399
        asked = (await alice.post(f"{TOP_UPS}/{top_up['id']}/refund")).json()
        assert (asked["status"], asked["refunded_credits"]) == ("refunded", 500)
        assert [refund["amount"] for refund in stripe.of("refund")] == [301, 3 * 399]
        # Nothing is left to be taken.
        await stripe.tell(alice, "charge.dispute.created", stripe.dispute(intent))
        assert (await show(alice, top_up))["refunded_credits"] == 500
        assert await balance(alice, engine) == FIRST


async def test_a_refund_under_way_ends_with_its_own_news_alone(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    top_up, intent = await paid(alice, stripe)
    stripe.is_away = True
    assert (await alice.post(f"{TOP_UPS}/{top_up['id']}/refund")).json()["status"] == "refunding"
    for kind in ("charge.dispute.created", "charge.dispute.updated"):
        await stripe.tell(alice, kind, stripe.dispute(intent))
        shown = await show(alice, top_up)
        assert (shown["status"], shown["refunded_credits"]) == ("refunding", 500)
    assert await balance(alice, engine) == FIRST


async def test_refunds_that_are_told_of_at_once_all_count(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    top_up, intent = await paid(alice, stripe)
    refunds = [stripe.refund(intent, 30 + number) for number in range(8)]
    await asyncio.gather(*(stripe.tell(alice, "refund.created", each) for each in refunds * 2))
    gone = sum(each["amount"] for each in refunds)
    assert (await show(alice, top_up))["refunded_credits"] == gone
    assert await balance(alice, engine) == FIRST + 500 - gone


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_dispute_takes_what_the_balance_reaches_and_gives_it_back_when_won(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub, is_late: bool
) -> None:
    top_up, intent = await paid(alice, stripe)
    await spend(alice, engine, FIRST + 300)
    dispute = stripe.dispute(intent)
    if is_late:
        await stripe.tell(alice, "charge.dispute.closed", dict(dispute, status="won"))
    for _ in range(3):
        await stripe.tell(alice, "charge.dispute.created", dispute)

    if not is_late:
        assert await balance(alice, engine) == 0
        assert (await show(alice, top_up))["refunded_credits"] == 500
        taken = await engine.pool.fetchrow(
            "SELECT amount, details FROM credit_entries WHERE key = $1", f"take-back:dispute:{dispute['id']}"
        )
        assert taken is not None
        assert (taken["amount"], taken["details"]["uncovered"]) == (-200, 300)
        assert (await alice.post(f"{TOP_UPS}/{top_up['id']}/refund")).status_code == 409
        for _ in range(2):
            await stripe.tell(alice, "charge.dispute.funds_reinstated", dict(dispute, status="won"))

    assert await balance(alice, engine) == 200
    shown = await show(alice, top_up)
    assert (shown["status"], shown["refunded_credits"]) == ("paid", 0)


async def test_what_only_asks_takes_nothing_and_whatever_comes_to_nothing_gives_back(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    _, intent = await paid(alice, stripe)
    for status in ("warning_needs_response", "warning_under_review"):
        await stripe.tell(alice, "charge.dispute.created", stripe.dispute(intent, status=status))
        assert await balance(alice, engine) == FIRST + 500
    for end in ("won", "warning_closed", "prevented"):
        dispute = stripe.dispute(intent)
        await stripe.tell(alice, "charge.dispute.created", dispute)
        assert await balance(alice, engine) == FIRST
        await stripe.tell(alice, "charge.dispute.closed", dict(dispute, status=end))
        assert await balance(alice, engine) == FIRST + 500, end
    for end in ("failed", "canceled"):
        refund = stripe.refund(intent, 100, status="pending")
        await stripe.tell(alice, "refund.created", refund)
        assert await balance(alice, engine) == FIRST + 400
        await stripe.tell(alice, "refund.updated", dict(refund, status=end))
        assert await balance(alice, engine) == FIRST + 500, end


@pytest.mark.parametrize("code", ["charge_already_refunded", "charge_disputed"])
async def test_a_refund_that_was_made_days_ago_is_not_refused(stripe: StripeStub, code: str) -> None:
    """The service has forgotten the key of the request by then."""
    service = selling(stripe)["payments"]
    order = Order(uuid.uuid4(), 500, "credits")
    made = await service.open_checkout(
        order, return_url="https://perdure.test", customer_ref="", keeps_method=False
    )
    intent, refund_id = stripe.pay(stripe.objects[made.ref]), uuid.uuid4()
    await service.refund(intent["id"], refund_id=refund_id, amount_cents=500)
    stripe.forget_keys()
    stripe.refuses_refunds = code
    await service.refund(intent["id"], refund_id=refund_id, amount_cents=500)
    another = service.refund(intent["id"], refund_id=uuid.uuid4(), amount_cents=500)
    if code == "charge_already_refunded":
        await another
    else:
        with pytest.raises(PaymentRefused):
            await another
    assert len(stripe.of("refund")) == 1
    await service.aclose()


async def test_a_dispute_that_is_told_of_first_finds_its_payment(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    top_up = await buy(alice)
    session = session_of(stripe, top_up)
    dispute = stripe.dispute(stripe.pay(session))
    await stripe.tell(alice, "charge.dispute.created", dispute)
    await stripe.tell(alice, PAID, session)
    assert await balance(alice, engine) == FIRST
    assert (await show(alice, top_up))["status"] == "refunded"

    # That it was paid is never told of the next one, but what the money is called is.
    top_up = await buy(alice)
    dispute = stripe.dispute(stripe.pay(session_of(stripe, top_up)), status="won")
    await stripe.tell(alice, "charge.dispute.closed", dispute)
    assert await balance(alice, engine) == FIRST + 500
    assert (await alice.post(f"{TOP_UPS}/{top_up['id']}/refund")).json()["status"] == "refunded"
    assert await balance(alice, engine) == FIRST
