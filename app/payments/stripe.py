"""Payments with Stripe, through its library, whose requests go out through our one client."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import stripe
import structlog

from app.errors import BlockError, BlockUnavailable
from app.outbound.http import OutboundHttp
from app.payments.payments import (
    Checkout,
    Failed,
    Notice,
    Order,
    Paid,
    PaymentRefused,
    PaymentsUnavailable,
)
from app.payments.stripe_notices import (
    CURRENCY,
    PAYMENT,
    REFUND,
    fact_of_intent,
    fact_of_session,
    metadata_of,
    payment_id_of,
    read_notice,
)

TIMEOUT_SECONDS = 20.0
RETRIES = 1
"""Of one request, under one idempotency key. What fails for longer is found again later."""
_INTENTS = "pi_"

log = structlog.get_logger(__name__)


class StripePayments:
    """An account at Stripe."""

    name = "stripe"

    def __init__(self, *, api_key: str, webhook_secret: str, api_base: str | None = None) -> None:
        """Open nothing yet.

        Args:
            api_key: Secret key of the account.
            webhook_secret: What Stripe signs its notices with.
            api_base: Where Stripe is, if not where it always is.
        """
        self._webhook_secret = webhook_secret
        # The operator set this URL, so its host may be a private one. No URL of a user comes here.
        host = urlsplit(api_base or "").netloc
        self._http = OutboundHttp(allowed_private_hosts=[host] if host else [])
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else None,
            max_network_retries=RETRIES,
            http_client=_Carrier(self._http),
        ).v1

    async def open_checkout(
        self, order: Order, *, return_url: str, customer_ref: str, keeps_method: bool
    ) -> Checkout:
        """Make the page where a person pays an order."""
        metadata = {PAYMENT: str(order.payment_id)}
        price: Any = {
            "currency": CURRENCY,
            "unit_amount": order.amount_cents,
            "product_data": {"name": order.title},
        }
        intent: Any = {"metadata": metadata}
        given: Any = {
            "mode": "payment",
            "client_reference_id": str(order.payment_id),
            "metadata": metadata,
            "line_items": [{"price_data": price, "quantity": 1}],
            "payment_intent_data": intent,
            "success_url": _coming_back(return_url, order, is_paid=True),
            "cancel_url": _coming_back(return_url, order, is_paid=False),
        }
        if keeps_method:
            intent["setup_future_usage"] = "off_session"
            if not customer_ref:
                given["customer_creation"] = "always"
        if customer_ref:
            given["customer"] = customer_ref
        with _told_as_ours():
            try:
                session = await self._client.checkout.sessions.create_async(
                    given, _once(f"checkout:{customer_ref}" if customer_ref else "checkout", order)
                )
            except stripe.InvalidRequestError as error:
                if not (customer_ref and _is_missing(error)):
                    raise
                # Whom Stripe has forgotten, since somebody has deleted them there, may buy as somebody new.
                return await self.open_checkout(
                    order, return_url=return_url, customer_ref="", keeps_method=keeps_method
                )
        return Checkout(session.id, session.url or "")

    async def charge(self, order: Order, *, customer_ref: str) -> Paid | Failed:
        """Have a customer pay an order with the way to pay that they keep."""
        with _told_as_ours():
            try:
                methods = await self._client.customers.payment_methods.list_async(customer_ref, {"limit": 1})
                if not methods.data:
                    return Failed()
                intent = await self._client.payment_intents.create_async(
                    {
                        "amount": order.amount_cents,
                        "currency": CURRENCY,
                        "customer": customer_ref,
                        "payment_method": methods.data[0].id,
                        "confirm": True,
                        "off_session": True,
                        "error_on_requires_action": True,
                        "description": order.title,
                        "metadata": {PAYMENT: str(order.payment_id)},
                    },
                    _once("charge", order),
                )
            except (stripe.CardError, stripe.InvalidRequestError) as error:
                log.info("charge_refused", payment_id=str(order.payment_id), code=error.code)
                return Failed()
        fact = fact_of_intent(intent.to_dict())
        if fact is None:
            raise PaymentsUnavailable("The charge is still being worked on")
        return fact

    async def find(self, payment_id: uuid.UUID, *, ref: str | None) -> Paid | Failed | None:
        """Return what has become of an order, or None while that is open."""
        with _told_as_ours():
            if ref is None:
                # The account's index of what was paid; it is a minute behind.
                query: Any = {"query": f"metadata['{PAYMENT}']:'{payment_id}'", "limit": 10}
                found = await self._client.payment_intents.search_async(query)
                facts = [fact_of_intent(intent.to_dict()) for intent in found.data]
                return next((fact for fact in facts if isinstance(fact, Paid)), None)
            if ref.startswith(_INTENTS):
                return fact_of_intent((await self._client.payment_intents.retrieve_async(ref)).to_dict())
            return fact_of_session((await self._client.checkout.sessions.retrieve_async(ref)).to_dict())

    async def refund(self, charge_ref: str, *, refund_id: uuid.UUID, amount_cents: int) -> None:
        """Give money back, once for each id."""
        given: Any = {
            "payment_intent": charge_ref,
            "amount": amount_cents,
            "metadata": {REFUND: str(refund_id)},
        }
        with _told_as_ours():
            try:
                await self._client.refunds.create_async(given, {"idempotency_key": f"refund:{refund_id}"})
            except stripe.InvalidRequestError as error:
                if error.code == "charge_already_refunded" or await self._is_refunded(charge_ref, refund_id):
                    return
                raise

    async def find_order(self, charge_ref: str) -> uuid.UUID | None:
        """Return the order that some money was paid for, or None if it is none of ours."""
        with _told_as_ours():
            try:
                intent = await self._client.payment_intents.retrieve_async(charge_ref)
            except stripe.InvalidRequestError as error:
                if _is_missing(error):
                    # Of an account that is connected to ours: refused, it would be told again for days.
                    return None
                raise
        return payment_id_of(intent.to_dict())

    def read_notice(self, body: bytes, signature: str | None) -> Notice | None:
        """Return what a notice tells, or None if that is nothing to us."""
        return read_notice(body, signature, secret=self._webhook_secret)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._http.aclose()

    async def _is_refunded(self, charge_ref: str, refund_id: uuid.UUID) -> bool:
        """Return whether a refund has been made, of which the idempotency key is forgotten after a day."""
        refunds = await self._client.refunds.list_async({"payment_intent": charge_ref, "limit": 100})
        return any(metadata_of(refund.to_dict()).get(REFUND) == str(refund_id) for refund in refunds.data)


class _Carrier(stripe.HTTPClient):
    """Carries the requests of Stripe's library."""

    name = "perdure"

    def __init__(self, http: OutboundHttp) -> None:
        super().__init__()
        self._http = http

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            response = await self._http.request(
                method,
                url,
                headers=headers,
                content=post_data.encode() if isinstance(post_data, str) else post_data,
                follows_redirects=False,
                timeout_seconds=TIMEOUT_SECONDS,
            )
        except BlockError as error:
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call]  # the library leaves it out
                error.message, should_retry=isinstance(error, BlockUnavailable)
            ) from error
        return response.body, response.status_code, response.headers

    def sleep_async(self, secs: float) -> Awaitable[None]:
        return asyncio.sleep(secs)


@contextlib.contextmanager
def _told_as_ours() -> Iterator[None]:
    """Tell what Stripe's library raises as what we raise, without what Stripe says: that may hold parts of a key."""
    try:
        yield
    except (stripe.CardError, stripe.InvalidRequestError) as error:
        log.warning("payment_refused", kind=type(error).__name__, code=error.code, param=error.param)
        raise PaymentRefused from None
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        log.error("payments_misconfigured", kind=type(error).__name__)
        raise PaymentsUnavailable from None
    except stripe.StripeError as error:
        log.warning("payments_unavailable", kind=type(error).__name__, status=error.http_status)
        raise PaymentsUnavailable from None


def _is_missing(error: stripe.InvalidRequestError) -> bool:
    return error.code == "resource_missing"


def _once(what: str, order: Order) -> Any:
    return {"idempotency_key": f"{what}:{order.payment_id}"}


def _coming_back(url: str, order: Order, *, is_paid: bool) -> str:
    parts = urlsplit(url)
    told = urlencode({"top_up": order.payment_id, "paid": str(is_paid).lower()})
    return parts._replace(query="&".join(filter(None, (parts.query, told)))).geturl()
