"""A stand-in for Stripe: checkouts, charges and refunds, with idempotency keys, and notices signed as it signs them."""

from __future__ import annotations

import hmac
import json
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.api.services.top_ups import Sale
from app.payments.stripe import StripePayments
from tests.stubs import Served

SECRET = "whsec_of_the_tests"
API_KEY = "sk_test_of_the_tests"
WEBHOOK = "/api/payments/stripe/webhook"
JsonObject = dict[str, Any]


def signature_of(body: bytes, *, secret: str = SECRET, at: float | None = None) -> str:
    """Sign a notice as Stripe documents it, with nothing of Stripe's library."""
    moment = int(time.time() if at is None else at)
    signed = hmac.new(secret.encode(), f"{moment}.".encode() + body, sha256).hexdigest()
    return f"t={moment},v1={signed}"


def selling(stripe: StripeStub, **terms: Any) -> JsonObject:
    """Return what an API needs to be told to sell credits."""
    return {
        "payments": StripePayments(api_key=API_KEY, webhook_secret=SECRET, api_base=stripe.url),
        "sale": Sale(return_url="https://perdure.test/app?a=b", **terms),
    }


class StripeStub(Served):
    """Keeps sessions, intents and refunds. A test plays the person who pays, the bank, and the post."""

    def __init__(self) -> None:
        path = "/v1/{kind:path}"
        super().__init__(Starlette(routes=[Route(path, self._answer, methods=["GET", "POST"])]))
        self.objects: dict[str, JsonObject] = {}
        self.calls: Counter[str] = Counter()
        """What was asked for, by method and path without ids."""
        self.declines = False
        """Whether cards are declined."""
        self.is_away = False
        """Whether everything is answered with 503."""
        self.loses_answers = False
        """Whether what is asked for is done and then not answered."""
        self.refuses_refunds = ""
        """Code of the error with which refunds are refused; empty while they are not."""
        self.forgotten: set[str] = set()
        """Customers whom somebody has deleted there."""
        self.before_answer: Callable[[JsonObject], Awaitable[None]] | None = None
        """Called with what was made, before it is answered."""
        self._answers: dict[str, JsonObject] = {}

    def of(self, kind: str) -> list[JsonObject]:
        """Return what there is of a kind: `checkout.session`, `payment_intent`, `refund`, `dispute`."""
        return [each for each in self.objects.values() if each["object"] == kind]

    def pay(self, session: JsonObject) -> JsonObject:
        """Have a person pay a checkout; return the intent."""
        given = session["payment_intent_data"]
        intent = self._keep(
            "pi",
            "payment_intent",
            amount=session["amount_total"],
            amount_received=session["amount_total"],
            status="succeeded",
            metadata=given.get("metadata", {}),
            customer=session["customer"],
            setup_future_usage=given.get("setup_future_usage"),
        )
        session.update(status="complete", payment_status="paid", payment_intent=intent["id"])
        return intent

    def dispute(self, intent: JsonObject, *, status: str = "needs_response") -> JsonObject:
        """Have somebody dispute what they have paid."""
        return self._keep(
            "dp", "dispute", amount=intent["amount"], payment_intent=intent["id"], status=status, metadata={}
        )

    def refund(
        self, intent: JsonObject, amount: int, *, status: str = "succeeded", **data: str
    ) -> JsonObject:
        """Give money back, as somebody can at Stripe's own pages."""
        return self._keep(
            "re", "refund", amount=amount, payment_intent=intent["id"], status=status, metadata=data
        )

    def forget_keys(self) -> None:
        """Forget which requests were made under which key, as Stripe does after a day."""
        self._answers.clear()

    @staticmethod
    def notice(kind: str, told: JsonObject) -> bytes:
        """Return the body of a notice about something as it stands now."""
        event = {"id": f"evt_{uuid.uuid4().hex}", "object": "event", "type": kind, "data": {"object": told}}
        return json.dumps(event, indent=2).encode()

    @staticmethod
    async def post(client: httpx.AsyncClient, body: bytes, signature: str | None = None) -> httpx.Response:
        """Deliver a notice."""
        headers = {"Stripe-Signature": signature_of(body) if signature is None else signature}
        return await client.post(WEBHOOK, content=body, headers=headers)

    async def tell(self, client: httpx.AsyncClient, kind: str, told: JsonObject) -> None:
        """Deliver a notice that has to be taken."""
        response = await self.post(client, self.notice(kind, told))
        assert response.status_code == 204, response.text

    def _keep(self, prefix: str, kind: str, **fields: Any) -> JsonObject:
        made = {"id": f"{prefix}_{uuid.uuid4().hex}", "object": kind, "currency": "usd", **fields}
        self.objects[made["id"]] = made
        return made

    async def _answer(self, request: Request) -> Response:
        assert request.headers["authorization"] == f"Bearer {API_KEY}"
        parts = request.path_params["kind"].split("/")
        name = "/".join(part for part in parts if "_" not in part or part in _NAMES)
        self.calls[f"{request.method} {name}"] += 1
        if self.is_away:
            return _error(503, "api_error", "away")
        form = _read_form((await request.form()).multi_items())
        key = request.headers.get("idempotency-key", "")
        made = self._answers.get(key) or self._make(name, parts, form, dict(request.query_params))
        if isinstance(made, Response):
            return made
        if request.method == "POST":
            self._answers[key] = made
            if self.loses_answers:
                return _error(500, "api_error", "lost")
        if self.before_answer is not None:
            await self.before_answer(made)
        return JSONResponse(made)

    def _make(
        self, name: str, parts: list[str], form: JsonObject, query: dict[str, str]
    ) -> JsonObject | Response:
        if self.forgotten.intersection([form.get("customer"), *parts]):
            return _error(404, "invalid_request_error", "no such customer", code="resource_missing")
        match name:
            case "checkout/sessions" if form:
                return self._open(form)
            case "payment_intents" if form:
                return self._charge(form)
            case "refunds" if form:
                if self.refuses_refunds:
                    return _error(400, "invalid_request_error", "no", code=self.refuses_refunds)
                made = self.refund(self.objects[form["payment_intent"]], int(form["amount"]))
                made["metadata"] = form["metadata"]
                return made
            case "refunds":
                return _list(
                    each for each in self.of("refund") if each["payment_intent"] == query["payment_intent"]
                )
            case "customers/payment_methods":
                return _list([{"id": f"pm_{parts[1]}", "object": "payment_method"}])
            case "payment_intents/search":
                wanted = query["query"].split("'")[3]
                return _list(
                    each
                    for each in self.of("payment_intent")
                    if each["metadata"].get("perdure_payment") == wanted
                )
        return self.objects.get(parts[-1]) or _error(
            404, "invalid_request_error", "none", code="resource_missing"
        )

    def _open(self, form: JsonObject) -> JsonObject:
        price = form["line_items"]["0"]["price_data"]
        assert price["currency"] == "usd"
        made = self._keep(
            "cs",
            "checkout.session",
            status="open",
            payment_status="unpaid",
            amount_total=int(price["unit_amount"]),
            payment_intent=None,
            **form,
        )
        keeps = form.get("customer_creation") == "always"
        made["customer"] = form.get("customer") or (f"cus_{uuid.uuid4().hex}" if keeps else None)
        made["url"] = f"{self.url}/pay/{made['id']}"
        return made

    def _charge(self, form: JsonObject) -> JsonObject | Response:
        assert form["payment_method"] == f"pm_{form['customer']}"
        assert form["off_session"] == form["confirm"] == "true"
        if self.declines:
            return _error(402, "card_error", "declined", code="card_declined")
        return self._keep(
            "pi",
            "payment_intent",
            amount=int(form["amount"]),
            amount_received=int(form["amount"]),
            status="succeeded",
            metadata=form["metadata"],
            customer=form["customer"],
            setup_future_usage=None,
        )


_NAMES = {"payment_intents", "payment_methods"}


def _list(items: Any) -> JsonObject:
    return {"object": "list", "data": list(items), "has_more": False, "url": "/v1/none"}


def _error(status: int, kind: str, message: str, *, code: str | None = None) -> Response:
    return JSONResponse({"error": {"type": kind, "message": message, "code": code}}, status)


def _read_form(pairs: list[tuple[str, Any]]) -> JsonObject:
    """Return the object that a form with names like `a[b][0]` stands for."""
    whole: JsonObject = {}
    for name, value in pairs:
        *path, last = name.replace("]", "").split("[")
        inner = whole
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return whole
