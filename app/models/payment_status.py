"""How payments stand."""

from __future__ import annotations

from enum import StrEnum


class PaymentStatus(StrEnum):
    """How a purchase of credits stands."""

    PENDING = "pending"
    """Not paid yet."""
    PAID = "paid"
    """Paid; its credits are in the ledger."""
    FAILED = "failed"
    """Will not be paid, as far as is known."""
    REFUNDING = "refunding"
    """Its credits are taken back; the money is being given back."""
    REFUNDED = "refunded"
    """All of its credits and the money were given back."""
