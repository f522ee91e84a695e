"""Everything about credits that are bought, put together. Without a payment service nothing is sold."""

from __future__ import annotations

from dataclasses import dataclass

from app.api.services.funding import Funding
from app.api.services.payment_facts import PaymentFacts
from app.api.services.payment_notices import PaymentNotices
from app.api.services.payment_upkeep import PaymentUpkeep
from app.api.services.refunds import Refunds
from app.api.services.top_ups import Sale, TopUps
from app.database import Sessions
from app.payments.payments import PaymentService


@dataclass(frozen=True, kw_only=True)
class Selling:
    """What sells credits."""

    service: PaymentService | None
    top_ups: TopUps
    refunds: Refunds
    notices: PaymentNotices
    upkeep: PaymentUpkeep | None

    def start(self) -> None:
        """Begin to look after payments."""
        if self.upkeep is not None:
            self.upkeep.start()

    async def stop(self) -> None:
        """End that, and close what is open."""
        if self.upkeep is not None:
            await self.upkeep.stop()
        if self.service is not None:
            await self.service.aclose()


def make_selling(
    sessions: Sessions,
    system_sessions: Sessions,
    service: PaymentService | None,
    *,
    sale: Sale,
    funding: Funding,
) -> Selling:
    """Put together what sells credits.

    Args:
        sessions: Of the user that a request works for.
        system_sessions: Of all users.
        service: Takes the money; None for nobody.
        sale: On what terms.
        funding: Has executions go on that wait for credits.
    """
    facts = PaymentFacts(system_sessions, funding)
    refunds = Refunds(sessions, system_sessions, service, facts)
    upkeep = None
    if service is not None:
        upkeep = PaymentUpkeep(system_sessions, service, sale, facts=facts, refunds=refunds)
    return Selling(
        service=service,
        top_ups=TopUps(sessions, service, sale),
        refunds=refunds,
        notices=PaymentNotices(system_sessions, service, facts),
        upkeep=upkeep,
    )
