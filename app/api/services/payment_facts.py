"""What follows from what the payment service tells: credits appear and go with the money, each exactly once.

The same may be told any number of times, at once and in any order; whatever is told of a payment implies that it was
paid, but for that it failed. A payment and the ledger change in one transaction.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.auditing import note_event
from app.api.services.funding import Funding
from app.database import Sessions
from app.models import payers, payments
from app.models.credits import enter, find_entry
from app.models.entry_kinds import EntryKind
from app.models.payment_status import PaymentStatus
from app.models.tables.payments import Payment
from app.payments.payments import Fact, Failed, Paid, ReturnedAfterAll, TakenBack

log = structlog.get_logger(__name__)


class PaymentFacts:
    """Keeps payments and the ledger in step with the payment service."""

    def __init__(self, sessions: Sessions, funding: Funding) -> None:
        """Take where payments of all users are recorded, and what has executions go on that wait for credits."""
        self._sessions = sessions
        self._funding = funding

    async def apply(self, payment_id: uuid.UUID, fact: Fact, *, charge_ref: str = "") -> None:
        """Carry out what follows from a fact, unless that is done already.

        Args:
            payment_id: Of the payment. One that is not known here belongs to another installation.
            fact: What the payment service tells.
            charge_ref: What it calls the money, if it has said so.
        """
        async with self._sessions() as reading:
            owner = await payments.find_owner(reading, payment_id)
        if owner is None:
            log.warning("payment_unknown", payment_id=str(payment_id))
            return
        async with self._sessions.begin() as session:
            payment = await payments.require_payment(session, owner, payment_id, is_locked=True)
            payment.charge_ref = payment.charge_ref or charge_ref or None
            await _carry_out(session, payment, fact)
        # Also when it was told before: whoever told it then may have died before this.
        if isinstance(fact, Paid | ReturnedAfterAll):
            await self._funding.resume(owner)


async def _carry_out(session: AsyncSession, payment: Payment, fact: Fact) -> None:
    match fact:
        case Paid():
            await _take_money(session, payment, fact)
        case Failed():
            if payment.status == PaymentStatus.PENDING:
                payment.status = PaymentStatus.FAILED
        case TakenBack():
            await _give_credits(session, payment)
            await _take_back(session, payment, fact)
        case ReturnedAfterAll():
            await _give_credits(session, payment)
            await _give_again(session, payment, fact)


async def _take_money(session: AsyncSession, payment: Payment, paid: Paid) -> None:
    if paid.amount_cents < payment.amount_cents:
        log.error("payment_of_another_amount", payment_id=str(payment.id), amount_cents=paid.amount_cents)
        return
    payment.charge_ref = payment.charge_ref or paid.charge_ref or None
    if paid.customer_ref:
        await payers.put_customer(session, payment.user_id, paid.customer_ref)
    await _give_credits(session, payment)


async def _give_credits(session: AsyncSession, payment: Payment) -> None:
    if payment.paid_at is not None:
        return
    entered = await enter(
        session,
        payment.user_id,
        key=f"top-up:{payment.id}",
        kind=EntryKind.TOP_UP,
        amount=payment.credits,
        details={"payment_id": str(payment.id)},
    )
    payment.status, payment.paid_at = PaymentStatus.PAID, datetime.now(UTC)
    await note_event(
        session,
        payment.user_id,
        "top_up.pay",
        object_id=payment.id,
        credits=entered.amount,
        by=payment.provider,
    )
    log.info("credits_bought", user_id=payment.user_id, credits=entered.amount, payment_id=str(payment.id))


async def _take_back(session: AsyncSession, payment: Payment, fact: TakenBack) -> None:
    """Take credits back with the money, as far as the balance reaches."""
    if await find_entry(session, payment.user_id, f"returned:{fact.ref}"):
        # That it was taken is told later than that it came back.
        return
    left = payment.credits - payment.refunded_credits
    nominal = min(left, -(-payment.credits * fact.amount_cents // payment.amount_cents))
    entered = await enter(
        session,
        payment.user_id,
        key=f"take-back:{fact.ref}",
        kind=EntryKind.ADJUST,
        amount=-nominal,
        details={"payment_id": str(payment.id), "credits": nominal},
        goes_as_far_as_it_can=True,
    )
    if entered.is_new:
        payment.refunded_credits += nominal
        details = {"credits": entered.amount, "by": payment.provider}
        await note_event(session, payment.user_id, "top_up.take_back", object_id=payment.id, **details)
        log.info("credits_taken_back", user_id=payment.user_id, ref=fact.ref, **entered.details)
    _note_standing(payment, fact.ref)


async def _give_again(session: AsyncSession, payment: Payment, fact: ReturnedAfterAll) -> None:
    """Give back what was taken back."""
    taken = await find_entry(session, payment.user_id, f"take-back:{fact.ref}")
    entered = await enter(
        session,
        payment.user_id,
        key=f"returned:{fact.ref}",
        kind=EntryKind.ADJUST,
        amount=-taken.amount if taken else 0,
        details={"payment_id": str(payment.id)},
    )
    if entered.is_new and taken:
        payment.refunded_credits -= int(taken.details["credits"])
        if fact.ref == str(payment.refund_id):
            payment.refund_asked_at = None
        details = {"credits": entered.amount, "by": payment.provider}
        await note_event(session, payment.user_id, "top_up.give_again", object_id=payment.id, **details)
        log.info("credits_returned", user_id=payment.user_id, ref=fact.ref, credits=entered.amount)
    _note_standing(payment, fact.ref)


def _note_standing(payment: Payment, ref: str) -> None:
    # A refund of ours that is under way ends with its own news only.
    if payment.status != PaymentStatus.REFUNDING or ref == str(payment.refund_id):
        is_gone = payment.refunded_credits >= payment.credits
        payment.status = PaymentStatus.REFUNDED if is_gone else PaymentStatus.PAID
