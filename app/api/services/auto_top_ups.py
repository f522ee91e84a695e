"""Buys credits for those who want that when few are left: after the spending, and once for an execution.

Whom, the ledger tells. Nothing is done in the transactions that charge, and nothing is forgotten when a process dies.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from app.api.services.payment_facts import PaymentFacts
from app.api.services.top_ups import Sale
from app.database import Sessions
from app.models import payers, payments
from app.payments.payments import PaymentRefused, PaymentService, PaymentsUnavailable

REST = timedelta(hours=1)
"""For how long nobody is charged whose charge has failed."""
TRIES = 3
"""After so many failures nobody is charged, before they have paid something or set their wish anew."""
AT_ONCE = 8

log = structlog.get_logger(__name__)


class AutoTopUps:
    """Buys credits by itself."""

    def __init__(self, sessions: Sessions, service: PaymentService, sale: Sale, facts: PaymentFacts) -> None:
        """Take where payments of all users are recorded, who takes the money, and on what terms."""
        self._sessions = sessions
        self._service = service
        self._sale = sale
        self._facts = facts

    async def buy_for_all(self) -> None:
        """Buy for everybody who wants it now."""
        async with self._sessions() as session:
            wanting = await payers.list_wanting(session, rest=REST, tries=TRIES)
        limit = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._buy(each.user_id, limit) for each in wanting))

    async def _buy(self, owner: str, limit: asyncio.Semaphore) -> None:
        async with limit:
            async with self._sessions.begin() as session:
                await payers.find_payer(session, owner, is_locked=True)
                # Looked up again: another process may have bought in between, but none can now.
                wanting = await payers.list_wanting(session, owner=owner, rest=REST, tries=TRIES)
                if not wanting:
                    return
                payment = self._sale.make_payment(
                    self._service.name, owner, wanting[0].credits, execution_id=wanting[0].execution_id
                )
                await payments.insert_payment(session, payment)
            try:
                fact = await self._service.charge(
                    self._sale.order(payment), customer_ref=wanting[0].customer_ref
                )
            except (PaymentsUnavailable, PaymentRefused) as error:
                # They may have been charged, which is found out later.
                log.warning("charge_not_answered", payment_id=str(payment.id), code=error.code)
                return
            await self._facts.apply(payment.id, fact)
