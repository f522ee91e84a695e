"""What a service that takes money has to be able to do, and what it can tell. Knows neither credits nor the ledger."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Protocol

from app.errors import Category, PerdureError, Severity


class PaymentsDisabled(PerdureError):
    """Credits cannot be bought here."""

    code = "PAYMENTS_DISABLED"
    severity = Severity.LOW
    category = Category.BUSINESS


class PaymentsUnavailable(PerdureError):
    """The service that takes payments cannot be reached now."""

    code = "PAYMENTS_UNAVAILABLE"
    severity = Severity.MEDIUM
    category = Category.NETWORK


class PaymentRefused(PerdureError):
    """The service that takes payments refuses this, and would again."""

    code = "PAYMENT_REFUSED"
    severity = Severity.LOW
    category = Category.BUSINESS


class SignatureRefused(PerdureError):
    """A notice was not signed by the service that takes payments, or long ago."""

    code = "UNAUTHENTICATED"
    severity = Severity.MEDIUM
    category = Category.AUTH


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be paid."""

    payment_id: uuid.UUID
    """Names it for good. The same order is never paid twice."""
    amount_cents: int
    title: str
    """What is bought, for people."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where an order is paid."""

    ref: str
    url: str


@dataclass(frozen=True, slots=True)
class Paid:
    """The money is there."""

    amount_cents: int
    charge_ref: str
    """Names the money, to give it back."""
    customer_ref: str = ""
    """Names who has paid, if they keep a way to pay there."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The money will not come."""


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Some of the money was given back, or was taken from us in a dispute."""

    ref: str
    """Names this taking back for good. A refund that we have asked for has the name that we gave it."""
    amount_cents: int


@dataclass(frozen=True, slots=True)
class ReturnedAfterAll:
    """What was taken back came back: a refund has failed, or a dispute was won."""

    ref: str
    """As of the `TakenBack`, which may be told later than this."""


Fact = Paid | Failed | TakenBack | ReturnedAfterAll


@dataclass(frozen=True, slots=True)
class Notice:
    """What a service tells of its own accord. It may tell it often, late and in any order."""

    fact: Fact
    payment_id: uuid.UUID | None = None
    """Of the order; None where the service tells only what the money is called."""
    charge_ref: str = ""


class PaymentService(Protocol):
    """A service that takes money for us."""

    name: str

    async def open_checkout(
        self, order: Order, *, return_url: str, customer_ref: str, keeps_method: bool
    ) -> Checkout:
        """Make the page where a person pays an order. The same order has one page.

        Args:
            order: What is to be paid.
            return_url: Where people go from there; `top_up` and `paid=true` or `paid=false` are added to its query.
            customer_ref: Who they are there; empty when that is not known yet.
            keeps_method: Whether their way to pay is kept, to be charged without them later.

        Raises:
            PaymentsUnavailable: The service is away; the page may have been made.
            PaymentRefused: The service refuses it.
        """

    async def charge(self, order: Order, *, customer_ref: str) -> Paid | Failed:
        """Have a customer pay an order with the way to pay that they keep there. The same order is charged once.

        Raises:
            PaymentsUnavailable: The service is away; they may have been charged.
        """

    async def find(self, payment_id: uuid.UUID, *, ref: str | None) -> Paid | Failed | None:
        """Return what has become of an order, or None while that is open.

        Args:
            payment_id: Of the order.
            ref: What the service calls it; None when we were not told.

        Raises:
            PaymentsUnavailable: The service is away.
        """

    async def refund(self, charge_ref: str, *, refund_id: uuid.UUID, amount_cents: int) -> None:
        """Give money back, once for each id.

        Raises:
            PaymentsUnavailable: The service is away; it may have been given back.
            PaymentRefused: The service refuses it.
        """

    async def find_order(self, charge_ref: str) -> uuid.UUID | None:
        """Return the order that some money was paid for, or None if it is none of ours.

        Raises:
            PaymentsUnavailable: The service is away.
        """

    def read_notice(self, body: bytes, signature: str | None) -> Notice | None:
        """Return what a notice tells, or None if that is nothing to us.

        Args:
            body: As it came.
            signature: As it came with it.

        Raises:
            SignatureRefused: The service has not signed it, or not just now.
        """

    async def aclose(self) -> None:
        """Close what is open."""
