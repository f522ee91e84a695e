"""Takes what the payment service tells of its own accord."""

from __future__ import annotations

from app.api.services.payment_facts import PaymentFacts
from app.database import Sessions
from app.models import payments
from app.payments.payments import PaymentService, SignatureRefused


class PaymentNotices:
    """Takes notices, however often, late and in whatever order they come."""

    def __init__(self, sessions: Sessions, service: PaymentService | None, facts: PaymentFacts) -> None:
        """Take where payments of all users are recorded, and whose notices are taken; without a service none are."""
        self._sessions = sessions
        self._service = service
        self._facts = facts

    async def take(self, body: bytes, signature: str | None) -> None:
        """Carry out what a notice tells. When this fails the service has to tell it again.

        Args:
            body: As it came.
            signature: As it came with it.

        Raises:
            SignatureRefused: The service has not signed it, or not just now.
            PaymentsUnavailable: The service does not say which payment it means.
        """
        if self._service is None:
            raise SignatureRefused
        notice = self._service.read_notice(body, signature)
        if notice is None:
            return
        payment_id = notice.payment_id
        if payment_id is None:
            async with self._sessions() as session:
                payment_id = await payments.find_of_charge(session, self._service.name, notice.charge_ref)
        if payment_id is None:
            payment_id = await self._service.find_order(notice.charge_ref)
        if payment_id is not None:
            await self._facts.apply(payment_id, notice.fact, charge_ref=notice.charge_ref)
