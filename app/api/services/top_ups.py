"""Buys credits: a checkout for a person, and what they have bought."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from app.api.auditing import describe
from app.api.idempotency import note_done
from app.database import Sessions
from app.errors import Conflict
from app.models import payers, payments
from app.models.page import Page
from app.models.payment_status import PaymentStatus
from app.models.tables.payments import Payer, Payment
from app.payments.payments import Order, PaymentRefused, PaymentsDisabled, PaymentService, PaymentsUnavailable

LEAST_CREDITS = 500
MOST_CREDITS = 100_000
STEP_CREDITS = 100


@dataclass(frozen=True)
class Sale:
    """On what terms credits are sold."""

    return_url: str = "http://127.0.0.1:8000"
    """Where people go after a checkout."""
    credit_price_cents: int = 1
    every_seconds: float = 5.0
    """How often it is looked for whom credits are to be bought, and what has become of payments."""
    quiet_seconds: float = 60.0
    """How old a payment is before the payment service is asked what has become of it."""

    def order(self, payment: Payment) -> Order:
        """Return what is to be paid for a payment."""
        return Order(payment.id, payment.amount_cents, f"{payment.credits:,} credits")

    def make_payment(
        self, provider: str, owner: str, amount: int, *, execution_id: uuid.UUID | None = None
    ) -> Payment:
        """Make a payment of some credits: by a person, or by itself for an execution."""
        return Payment(
            id=uuid.uuid4(),
            user_id=owner,
            provider=provider,
            credits=amount,
            amount_cents=amount * self.credit_price_cents,
            status=PaymentStatus.PENDING,
            is_automatic=execution_id is not None,
            execution_id=execution_id,
            created_at=datetime.now(UTC),
        )


class TopUps:
    """What users buy, one owner at a time."""

    def __init__(self, sessions: Sessions, service: PaymentService | None, sale: Sale) -> None:
        """Take where payments are recorded, who takes the money if anybody does, and on what terms."""
        self._sessions = sessions
        self._service = service
        self._sale = sale

    async def begin(self, owner: str, amount: int, *, keeps_method: bool) -> Payment:
        """Make the checkout of some credits, and return the payment.

        Args:
            owner: Who buys.
            amount: Credits.
            keeps_method: Whether the way to pay is kept, to be charged by itself later.

        Raises:
            PaymentsDisabled: There is nobody to take money.
            PaymentsUnavailable: The payment service makes no checkout now; nobody can have paid.
        """
        describe(credits=amount)
        if self._service is None:
            raise PaymentsDisabled
        payment = self._sale.make_payment(self._service.name, owner, amount)
        # First of all: whatever the service tells of it, and however soon, it is known here.
        async with self._sessions.begin() as session:
            await payments.insert_payment(session, payment)
            payer = await payers.find_payer(session, owner)
        try:
            checkout = await self._service.open_checkout(
                self._sale.order(payment),
                return_url=self._sale.return_url,
                customer_ref=payer.customer_ref if payer else "",
                keeps_method=keeps_method,
            )
        except PaymentRefused as error:
            raise PaymentsUnavailable from error
        async with self._sessions.begin() as session:
            await payments.update_payment(
                session, owner, payment.id, provider_ref=checkout.ref, checkout_url=checkout.url
            )
            await note_done(session, payment.id)
        return await self.require(owner, payment.id)

    async def list(self, owner: str, *, cursor: str | None, limit: int) -> Page[Payment]:
        """Return an owner's payments, newest first."""
        async with self._sessions() as session:
            return await payments.list_payments(session, owner, cursor=cursor, limit=limit)

    async def require(self, owner: str, payment_id: uuid.UUID) -> Payment:
        """Return an owner's payment.

        Raises:
            NotFound: They have no such payment.
        """
        async with self._sessions() as session:
            return await payments.require_payment(session, owner, payment_id)

    async def find_automatic(self, owner: str) -> Payer | None:
        """Return how an owner pays, and when credits are bought by themselves."""
        async with self._sessions() as session:
            return await payers.find_payer(session, owner)

    async def set_automatic(self, owner: str, *, threshold: int, amount: int) -> Payer:
        """Have credits bought by themselves from now on, or no more when the amount is 0.

        Raises:
            PaymentsDisabled: There is nobody to take money.
            Conflict: The owner keeps no way to pay.
        """
        describe(threshold=threshold, credits=amount)
        async with self._sessions.begin() as session:
            payer = await payers.find_payer(session, owner, is_locked=True)
            if amount and self._service is None:
                raise PaymentsDisabled
            if amount and not (payer and payer.customer_ref):
                raise Conflict("There is no way to pay yet: buy credits with `save_payment_method` first")
            await payers.put_auto_top_up(session, owner, threshold=threshold, amount=amount)
            await note_done(session)
        found = await self.find_automatic(owner)
        assert found is not None
        return found
