"""What the database says of the whole deployment, as metrics: asked for now and then, however often they are read.

Every API process says the same. What the database does not say for a while is left out; that it does not, is a metric
itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy.exc import SQLAlchemyError

from app.api.services.health import Health
from app.database import Sessions
from app.errors import EngineUnavailable
from app.graph.status import TERMINAL, Status
from app.models import facts, tallies
from app.models.facts import CreditSums, OpenDeliveries, OpenExecutions
from app.models.oversight import Stuck, find_stuck
from app.telemetry.series import PREFIX
from app.telemetry.showing import keyed, show

EVERY_SECONDS = 5.0
LOOK_EVERY_SECONDS = 60.0
"""What takes the database longer is asked less often."""
TIMEOUT_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Facts:
    """Metrics out of the database."""

    def __init__(self, sessions: Sessions, health: Health, *, every_seconds: float = EVERY_SECONDS) -> None:
        """Take what is asked.

        Args:
            sessions: That see everything.
            health: Says what can be reached.
            every_seconds: For how long an answer is good.
        """
        self._sessions = sessions
        self._health = health
        self._every_seconds = every_seconds
        self._lock = asyncio.Lock()
        self._asked_at = self._looked_at = float("-inf")
        self._metrics: Sequence[Metric] = ()
        self._credits: CreditSums | None = None
        self._stuck: Mapping[str, Stuck] = {}
        self._spent = self._given = 0

    async def metrics(self) -> Sequence[Metric]:
        """Return what the database said a short while ago at most."""
        async with self._lock:
            if time.monotonic() - self._asked_at >= self._every_seconds:
                self._metrics = [*await self._ask(), *await self._reach()]
                self._asked_at = time.monotonic()
        return self._metrics

    async def _ask(self) -> Sequence[Metric]:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._sessions() as session:
                counts = keyed(await tallies.list_tallies(session))
                still_open = await facts.list_open(session)
                to_deliver = await facts.count_deliveries(session)
        except (OSError, SQLAlchemyError) as error:
            log.warning("facts_not_read", reason=type(error).__name__)
            return []
        await self._look()
        return [
            *show(counts),
            *_of_open(still_open),
            *_of_deliveries(to_deliver),
            *_of_stuck(self._stuck),
            *self._of_credits(),
        ]

    async def _look(self) -> None:
        """Ask what is asked less often. When it takes too long, the rest is shown nevertheless."""
        if time.monotonic() - self._looked_at < LOOK_EVERY_SECONDS:
            return
        self._looked_at = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._sessions() as session:
                self._credits = await facts.add_up_credits(session)
                self._stuck = await find_stuck(session)
        except (OSError, SQLAlchemyError) as error:
            log.warning("facts_not_read", reason=type(error).__name__)

    async def _reach(self) -> Iterator[Metric]:
        try:
            parts: Mapping[str, object] = await self._health.check()
        except EngineUnavailable as error:
            parts = error.details
        up = GaugeMetricFamily(f"{PREFIX}up", "Whether the API reaches it.", labels=["service"])
        for service in ("postgres", "temporal"):
            up.add_metric([service], float(parts.get(service) == "ok"))
        return iter([up])

    def _of_credits(self) -> Iterator[Metric]:
        sums = self._credits
        if sums is None:
            return
        # Both only ever grow; a correction downwards would be taken for a new beginning.
        self._spent = max(self._spent, sums.spent - sums.reserved)
        self._given = max(self._given, sums.balance + sums.spent)
        yield GaugeMetricFamily(f"{PREFIX}credits_balance", "Balances of all users.", value=sums.balance)
        yield GaugeMetricFamily(f"{PREFIX}credits_reserved", "Reserved for calls now.", value=sums.reserved)
        yield CounterMetricFamily(f"{PREFIX}credits_spent", "Charged ever.", value=self._spent)
        yield CounterMetricFamily(
            f"{PREFIX}credits_granted", "Granted, bought or given back ever.", value=self._given
        )


def _of_deliveries(to_deliver: OpenDeliveries) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        f"{PREFIX}notification_deliveries_pending",
        "Deliveries of notifications that have not ended.",
        value=to_deliver.count,
    )
    yield GaugeMetricFamily(
        f"{PREFIX}notification_overdue_seconds",
        "How long ago the oldest of them should have been tried.",
        value=max(0.0, to_deliver.overdue_seconds),
    )


def _of_stuck(stuck: Mapping[str, Stuck]) -> Iterator[Metric]:
    found = GaugeMetricFamily(
        f"{PREFIX}executions_stuck", "Executions that somebody should look at, by why.", labels=["reason"]
    )
    for reason, each in stuck.items():
        found.add_metric([reason], each.count)
    yield found


def _of_open(still_open: Sequence[OpenExecutions]) -> Iterator[Metric]:
    by_status = {each.status: each for each in still_open}
    active = GaugeMetricFamily(
        f"{PREFIX}executions_active", "Executions that have not ended.", labels=["status"]
    )
    for status in Status:
        if status not in TERMINAL:
            active.add_metric([status], by_status[status].executions if status in by_status else 0)
    yield active
    queued = by_status.get(Status.QUEUED)
    oldest = GaugeMetricFamily(
        f"{PREFIX}queue_oldest_seconds",
        "How long the oldest queued execution has waited: for others of its user to end, or for a worker.",
        labels=["waits_for"],
    )
    oldest.add_metric(["room"], (queued and queued.awaiting_seconds) or 0)
    oldest.add_metric(["worker"], (queued and queued.oldest_seconds) or 0)
    yield oldest
    length = GaugeMetricFamily(
        f"{PREFIX}queue_length", "Queued executions, by what they wait for.", labels=["waits_for"]
    )
    length.add_metric(["room"], queued.awaiting if queued else 0)
    length.add_metric(["worker"], queued.executions - queued.awaiting if queued else 0)
    yield length
