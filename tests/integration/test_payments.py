"""Credits that are bought: through the real API, with a stand-in for Stripe. Each appears and goes exactly once."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from tests.engine import Engine
from tests.payments import AUTOMATIC, FIRST, PAID, TOP_UPS, balance, buy, paid, session_of, show
from tests.rest_api import RestApi, run_api
from tests.stripe_stub import SECRET, WEBHOOK, JsonObject, StripeStub, selling, signature_of


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


async def test_what_is_paid_at_a_checkout_is_in_the_balance_once(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    top_up = await buy(alice, 1500)
    session = session_of(stripe, top_up)
    assert (top_up["status"], top_up["checkout_url"]) == ("pending", session["url"])
    assert session["amount_total"] == 1500
    assert session["success_url"] == f"https://perdure.test/app?a=b&top_up={top_up['id']}&paid=true"
    assert await balance(alice, engine) == FIRST

    stripe.pay(session)
    body = stripe.notice(PAID, session)
    taken = await asyncio.gather(*(stripe.post(alice, body) for _ in range(20)))
    await stripe.tell(alice, PAID, session)

    assert {each.status_code for each in taken} == {204}
    assert await balance(alice, engine) == FIRST + 1500
    assert (await show(alice, top_up))["checkout_url"] is None
    assert [each["status"] for each in (await alice.get(TOP_UPS)).json()["items"]] == ["paid"]


async def test_news_of_a_payment_in_any_order_come_to_the_same(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    for number, order in enumerate(itertools.permutations(("paid", "charged", "refunded", "expired")), 1):
        top_up = await buy(alice)
        session = session_of(stripe, top_up)
        expired = dict(session, status="expired")
        intent = stripe.pay(session)
        news = {
            "paid": (PAID, session),
            "charged": ("payment_intent.succeeded", intent),
            "refunded": ("refund.created", stripe.refund(intent, 200)),
            "expired": ("checkout.session.expired", expired),
        }
        for name in (*order, order[0]):
            await stripe.tell(alice, *news[name])

        assert await balance(alice, engine) == FIRST + 300 * number, order
        shown = await show(alice, top_up)
        assert (shown["status"], shown["refunded_credits"]) == ("paid", 200), order


async def test_a_payment_that_is_told_of_before_its_checkout_is_made_counts_once(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    async def pay_at_once(made: JsonObject) -> None:
        if made["object"] == "checkout.session":
            stripe.pay(made)
            await stripe.tell(alice, PAID, made)

    stripe.before_answer = pay_at_once
    top_up = await buy(alice)

    assert (top_up["status"], top_up["checkout_url"]) == ("paid", None)
    assert await balance(alice, engine) == FIRST + 500


async def test_less_than_was_asked_for_buys_nothing(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    top_up = await buy(alice)
    session = session_of(stripe, top_up)
    stripe.pay(session)
    await stripe.tell(alice, PAID, dict(session, amount_total=499))
    assert (
        await engine.pool.fetchval(
            "SELECT count(*) FROM credit_entries WHERE key = $1", f"top-up:{top_up['id']}"
        )
        == 0
    )


async def test_whom_the_payment_service_has_forgotten_can_still_buy(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    _, intent = await paid(alice, stripe, save_payment_method=True)
    stripe.forgotten.add(intent["customer"])
    for _ in range(2):
        _, later = await paid(alice, stripe, save_payment_method=True)
        assert later["customer"] not in stripe.forgotten
    assert await balance(alice, engine) == FIRST + 3 * 500


async def test_only_whole_amounts_within_bounds_are_sold(
    alice: httpx.AsyncClient, stripe: StripeStub
) -> None:
    wrong = [-500, 0, 1, 499, 501, 550, 100_100, 2**31, 10**40, 500.0, 600.5, "500", None, True, [500]]
    for amount in wrong:
        response = await alice.post(TOP_UPS, json={"credits": amount})
        assert response.status_code == 422, (amount, response.text)
    assert (await alice.get(TOP_UPS)).json()["items"] == []
    assert stripe.of("checkout.session") == []
    assert {(await buy(alice, amount))["credits"] for amount in (500, 600, 100_000)} == {500, 600, 100_000}


async def test_a_repeat_with_a_key_makes_no_second_checkout(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    key = {"Idempotency-Key": "once"}
    first, second = [await alice.post(TOP_UPS, json={"credits": 500}, headers=key) for _ in range(2)]
    assert first.json() == second.json()
    assert len(stripe.of("checkout.session")) == 1

    stripe.is_away = True
    key = {"Idempotency-Key": "another"}
    refused = await alice.post(TOP_UPS, json={"credits": 500}, headers=key)
    assert (refused.status_code, refused.json()["error"]["error_code"]) == (503, "PAYMENTS_UNAVAILABLE")
    stripe.is_away = False
    assert (await alice.post(TOP_UPS, json={"credits": 500}, headers=key)).status_code == 201


def altered(body: bytes) -> bytes:
    return body.replace(b'"amount_total": 500', b'"amount_total": 900')


async def test_a_notice_that_stripe_has_not_signed_just_now_does_nothing(
    api: RestApi, alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    session = session_of(stripe, await buy(alice))
    body = stripe.notice(PAID, dict(session, payment_status="paid", payment_intent="pi_forged"))
    good = signature_of(body)
    moment, _, signed = good.removeprefix("t=").partition(",v1=")
    assert altered(body) != body
    attacks: dict[str, tuple[bytes, str | bytes | None]] = {
        "no signature": (body, None),
        "an empty one": (body, ""),
        "of another secret": (body, signature_of(body, secret="whsec_of_another")),
        "of no secret": (body, signature_of(body, secret="")),
        "old": (body, signature_of(body, at=time.time() - 301)),
        "old, made new": (body, f"t={int(time.time())},v1={signature_of(body, at=0).partition('v1=')[2]}"),
        "of another body": (altered(body), good),
        "one byte more": (body + b" ", good),
        "cut": (body, good[:-1]),
        "two wrong ones": (body, f"t={moment},v1={'0' * 64},v1={'f' * 64}"),
        "of an older scheme": (body, f"t={moment},v0={signed}"),
        "no moment": (body, f"v1={signed}"),
        "no number": (body, f"t=now,v1={signed}"),
        "a long number": (body, f"t={'9' * 5000},v1={signed}"),
        "no text": (b"\xff" + body, good),
        "no ASCII": (body, f"t={moment},v1=é".encode("latin-1")),
    }
    async with api.caller(token="") as nobody:
        for name, (sent, signature) in attacks.items():
            headers: dict[str, Any] = {} if signature is None else {"Stripe-Signature": signature}
            response = await nobody.post(WEBHOOK, content=sent, headers=headers)
            assert response.status_code == 401, (name, response.text)
            assert SECRET not in response.text
        large = b" " * 11_000_000
        assert (await stripe.post(nobody, large)).status_code == 413
        assert await balance(alice, engine) == FIRST

        # While the secret is changed Stripe signs with the old one and the new one.
        both = f"t={moment},v1={'0' * 64},v1={signed}"
        assert (await stripe.post(nobody, body, both)).status_code == 204
    assert await balance(alice, engine) == FIRST + 500


async def test_what_a_notice_does_not_tell_us_is_passed_over(
    alice: httpx.AsyncClient, engine: Engine, stripe: StripeStub
) -> None:
    session = session_of(stripe, await buy(alice))
    foreign = dict(session, metadata={"perdure_payment": str(uuid.uuid4())}, payment_status="paid")
    of_yen = {"id": "pi_1", "metadata": session["metadata"], "currency": "jpy"}
    told: list[tuple[str, JsonObject]] = [
        ("customer.created", {"id": "cus_1"}),
        (PAID, {"id": "cs_1", "payment_status": "paid", "metadata": None}),
        (PAID, {"id": "cs_1", "payment_status": "paid", "metadata": {"perdure_payment": "none"}}),
        (PAID, dict(session, payment_status="unpaid")),
        (PAID, dict(session, payment_status="paid", currency="jpy")),
        ("payment_intent.succeeded", {**of_yen, "status": "succeeded", "amount_received": 500}),
        # Of an account that is connected to ours.
        ("charge.dispute.created", {"id": "dp_2", "amount": 5, "payment_intent": "pi_of_another_account"}),
        (PAID, foreign),
        ("charge.dispute.created", {"id": "dp_1", "status": "warning_needs_response", "amount": 5}),
        ("", {}),
    ]
    for kind, about in told:
        await stripe.tell(alice, kind, about)
    odd = [b"[]", b"5", b"null", b'{"type": 5}', b'{"data": null, "type": "x"}', b"{", b"NaN"]
    for body in odd:
        assert (await stripe.post(alice, body)).status_code in {204, 401}, body
    assert await balance(alice, engine) == FIRST


async def test_without_a_payment_service_nothing_is_sold(engine: Engine, client: Client) -> None:
    async def connect() -> Client:
        return client

    async with run_api(engine.database_url, connect) as api, api.caller() as alice:
        for response in (
            await alice.post(TOP_UPS, json={"credits": 500}),
            await alice.put(AUTOMATIC, json={"threshold": 5, "credits": 500}),
        ):
            assert (response.status_code, response.json()["error"]["error_code"]) == (
                409,
                "PAYMENTS_DISABLED",
            )
        body = json.dumps({"type": PAID}).encode()
        signed = signature_of(body, secret="")
        assert (
            await alice.post(WEBHOOK, content=body, headers={"Stripe-Signature": signed})
        ).status_code == 401
        assert (await alice.get(TOP_UPS)).json()["items"] == []
