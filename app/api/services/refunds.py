"""Refunds that users ask for: first their credits are taken back, then the money is given back, each once."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import structlog

from app.api.idempotency import note_done
from app.api.services.payment_facts import PaymentFacts
from app.database import Sessions
from app.errors import Conflict, InsufficientCredits
from app.models import payments
from app.models.credits import enter, find_entry
from app.models.entry_kinds import EntryKind
from app.models.payment_status import PaymentStatus
from app.models.tables.payments import Payment
from app.payments.payments import (
    PaymentRefused,
    PaymentsDisabled,
    PaymentService,
    PaymentsUnavailable,
    ReturnedAfterAll,
    TakenBack,
)

EVERY = timedelta(days=7)
"""How often a user may ask for a refund."""

log = structlog.get_logger(__name__)


class Refunds:
    """Gives money back."""

    def __init__(
        self,
        sessions: Sessions,
        system_sessions: Sessions,
        service: PaymentService | None,
        facts: PaymentFacts,
    ) -> None:
        """Take where payments are recorded.

        Args:
            sessions: Of the user that a request works for.
            system_sessions: Of all users.
            service: Gives the money back; without one there are no refunds.
            facts: Keeps payments and the ledger in step with it.
        """
        self._sessions = sessions
        self._system_sessions = system_sessions
        self._service = service
        self._facts = facts

    async def ask(self, owner: str, payment_id: uuid.UUID) -> Payment:
        """Give back what is left of a payment, and return how it stands.

        Raises:
            NotFound: The owner has no such payment.
            PaymentsDisabled: There is nobody to give money back.
            Conflict: It is not paid, or refunded already; the owner has asked less than a week ago; the balance does
                not cover it; the payment service refuses.
        """
        async with self._sessions.begin() as session:
            payment = await payments.require_payment(session, owner, payment_id, is_locked=True)
            if self._service is None or self._service.name != payment.provider:
                raise PaymentsDisabled
            if payment.status != PaymentStatus.PAID or not payment.charge_ref:
                raise Conflict(f"The payment is {payment.status}", details={"status": payment.status})
            payment.refund_id, left = uuid.uuid4(), payment.credits - payment.refunded_credits
            try:
                await enter(
                    session,
                    owner,
                    key=f"take-back:{payment.refund_id}",
                    kind=EntryKind.ADJUST,
                    amount=-left,
                    details={"payment_id": str(payment.id), "credits": left},
                )
            except InsufficientCredits as error:
                raise Conflict("The balance does not cover the refund", details=error.details) from error
            # Asked under the lock of the user's row, which whoever asks for another payment waits for.
            if await payments.has_asked_lately(session, owner, within=EVERY, but=payment.id):
                raise Conflict("A refund may be asked for once a week")
            payment.refunded_credits += left
            payment.status, payment.refund_asked_at = PaymentStatus.REFUNDING, datetime.now(UTC)
            await note_done(session)
        try:
            await self.carry_out(owner, payment)
        except PaymentRefused as error:
            raise Conflict("The payment service refuses the refund; the credits are back") from error
        async with self._sessions() as reading:
            return await payments.require_payment(reading, owner, payment_id)

    async def carry_out(self, owner: str, payment: Payment) -> None:
        """Have the money given back that was asked for. While the service is away it stays asked for.

        Raises:
            PaymentRefused: The service refuses it for good; the credits are the owner's again.
        """
        assert self._service is not None
        assert payment.refund_id is not None
        ref = str(payment.refund_id)
        async with self._system_sessions() as reading:
            taken = await find_entry(reading, owner, f"take-back:{ref}")
        assert taken is not None
        cents = payment.amount_cents * int(taken.details["credits"]) // payment.credits
        try:
            await self._service.refund(
                payment.charge_ref or "", refund_id=payment.refund_id, amount_cents=cents
            )
        except PaymentsUnavailable:
            log.warning("refund_put_off", payment_id=str(payment.id))
        except PaymentRefused:
            await self._facts.apply(payment.id, ReturnedAfterAll(ref))
            raise
        else:
            await self._facts.apply(payment.id, TakenBack(ref, cents))
