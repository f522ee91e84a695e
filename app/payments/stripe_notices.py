"""What Stripe's objects tell of a payment, and the notices that it sends: signed, often, late and in any order."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import stripe

from app.payments.payments import (
    Fact,
    Failed,
    Notice,
    Paid,
    ReturnedAfterAll,
    SignatureRefused,
    TakenBack,
)

TOLERANCE_SECONDS = 300
CURRENCY = "usd"
"""Of all that we ask for. As many units of another one are not what we have asked for."""
PAYMENT = "perdure_payment"
"""In the metadata of what we make there: the id of the payment."""
REFUND = "perdure_refund"
"""In the metadata of a refund that we ask for: its id."""
_OF_REFUNDS = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
_OF_DISPUTES = "charge.dispute."
_NOT_REFUNDED = frozenset({"failed", "canceled"})
_NOT_DISPUTED = frozenset({"won", "warning_closed", "prevented"})


def read_notice(body: bytes, signature: str | None, *, secret: str) -> Notice | None:
    """Return what a notice tells, or None if that is nothing to us.

    Raises:
        SignatureRefused: Stripe has not signed it, or not just now.
    """
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_SECONDS)
        event = json.loads(body)
    # The last two: what is no text, no JSON, or holds signs in its signature that none has.
    except (stripe.SignatureVerificationError, ValueError, TypeError, RecursionError):
        raise SignatureRefused from None
    kind, told = _content_of(event)
    fact = _fact_of(kind, told)
    if fact is None:
        return None
    own = {"payment_intent": told.get("id")} if kind.startswith("payment_intent.") else told
    payment_id, charge_ref = payment_id_of(told), _ref_of(own.get("payment_intent"))
    return Notice(fact, payment_id, charge_ref) if payment_id or charge_ref else None


def fact_of_session(session: Mapping[str, Any]) -> Paid | Failed | None:
    """Return what a checkout tells, or None while it is open."""
    if session.get("payment_status") == "paid" and _is_of_our_currency(session):
        return Paid(
            session.get("amount_total") or 0,
            _ref_of(session.get("payment_intent")),
            _ref_of(session.get("customer")),
        )
    return Failed() if session.get("status") == "expired" else None


def fact_of_intent(intent: Mapping[str, Any]) -> Paid | Failed | None:
    """Return what a payment that is charged by itself tells, or None while it is open."""
    if intent.get("status") == "succeeded" and _is_of_our_currency(intent):
        return Paid(
            intent.get("amount_received") or intent.get("amount") or 0,
            _ref_of(intent),
            # Only of those who keep a way to pay there.
            _ref_of(intent.get("customer")) if intent.get("setup_future_usage") else "",
        )
    return Failed() if intent.get("status") in {"canceled", "requires_payment_method"} else None


def payment_id_of(told: Mapping[str, Any]) -> uuid.UUID | None:
    """Return the payment that something was made for, or None if it is none of ours."""
    try:
        return uuid.UUID(metadata_of(told).get(PAYMENT, ""))
    except ValueError:
        return None


def metadata_of(told: Mapping[str, Any]) -> dict[str, str]:
    """Return what we have attached to something."""
    return told.get("metadata") or {}


def _content_of(event: Any) -> tuple[str, Mapping[str, Any]]:
    data = event.get("data") if isinstance(event, dict) else None
    told = data.get("object") if isinstance(data, dict) else None
    return (str(event.get("type")), told) if isinstance(told, dict) else ("", {})


def _fact_of(kind: str, told: Mapping[str, Any]) -> Fact | None:
    if kind == "checkout.session.async_payment_failed":
        return Failed()
    if kind.startswith("checkout.session."):
        return fact_of_session(told)
    if kind == "payment_intent.succeeded":
        # That one has failed may mean that a person tries another card in an open checkout.
        return fact_of_intent(told)
    if kind in _OF_REFUNDS:
        ref = metadata_of(told).get(REFUND) or f"refund:{told.get('id')}"
        is_back = told.get("status") in _NOT_REFUNDED
        return ReturnedAfterAll(ref) if is_back else TakenBack(ref, told.get("amount") or 0)
    if kind.startswith(_OF_DISPUTES):
        ref, status = f"dispute:{told.get('id')}", str(told.get("status"))
        if status in _NOT_DISPUTED:
            return ReturnedAfterAll(ref)
        # What only asks has taken no money yet.
        return None if status.startswith("warning_") else TakenBack(ref, told.get("amount") or 0)
    return None


def _is_of_our_currency(told: Mapping[str, Any]) -> bool:
    return told.get("currency") == CURRENCY


def _ref_of(named: Any) -> str:
    """Return the id of something that stands there with its id or as a whole."""
    return str(named.get("id") or "") if isinstance(named, Mapping) else str(named or "")
