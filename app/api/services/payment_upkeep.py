"""What is to be done about payments without anybody asking: credits bought by themselves, and news that never came."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from app.api.services.auto_top_ups import AutoTopUps
from app.api.services.payment_facts import PaymentFacts
from app.api.services.refunds import Refunds
from app.api.services.top_ups import Sale
from app.database import Sessions
from app.models import payments
from app.models.payment_status import PaymentStatus
from app.models.tables.payments import Payment
from app.payments.payments import Failed, PaymentRefused, PaymentService, PaymentsUnavailable

AT_ONCE = 20
"""How many payments are asked about in one round."""
CHECKOUT_LIFE = timedelta(hours=25)
"""After which a checkout that the service does not know cannot be paid any more."""
CHARGE_LIFE = timedelta(hours=1)
"""After which a charge that the service does not know was never made."""

log = structlog.get_logger(__name__)


class PaymentUpkeep:
    """Looks after payments for as long as the API runs. Several processes may do it."""

    def __init__(
        self,
        sessions: Sessions,
        service: PaymentService,
        sale: Sale,
        *,
        facts: PaymentFacts,
        refunds: Refunds,
    ) -> None:
        """Take where payments of all users are recorded, who takes the money, and on what terms."""
        self._sessions = sessions
        self._service = service
        self._sale = sale
        self._facts = facts
        self._refunds = refunds
        self._auto_top_ups = AutoTopUps(sessions, service, sale, facts)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End. What is under way is found again by whoever begins next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._sale.every_seconds)
            try:
                await self.make_round()
            except Exception:  # whatever it is, payments are to be looked after again
                log.exception("payments_not_looked_after")

    async def make_round(self) -> None:
        """Buy credits for those who want that now, and ask what has become of open payments."""
        await self._auto_top_ups.buy_for_all()
        await self._ask_about_open()

    async def _ask_about_open(self) -> None:
        """Ask what has become of payments that nothing was heard of, and for refunds again that were put off."""
        async with self._sessions.begin() as session:
            taken = await payments.take_unchecked(
                session,
                self._service.name,
                quiet=timedelta(seconds=self._sale.quiet_seconds),
                limit=AT_ONCE,
            )
        for payment in taken:
            try:
                await self._ask_about(payment)
            except (PaymentsUnavailable, PaymentRefused) as error:
                log.warning("payment_not_asked_about", payment_id=str(payment.id), code=error.code)

    async def _ask_about(self, payment: Payment) -> None:
        if payment.status == PaymentStatus.REFUNDING:
            await self._refunds.carry_out(payment.user_id, payment)
            return
        fact = await self._service.find(payment.id, ref=payment.provider_ref)
        life = CHARGE_LIFE if payment.is_automatic else CHECKOUT_LIFE
        if fact is None and payment.provider_ref is None and datetime.now(UTC) - payment.created_at > life:
            fact = Failed()
        if fact is not None:
            await self._facts.apply(payment.id, fact)
