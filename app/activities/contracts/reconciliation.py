"""The reconciler: what its workflow is started with, and the activities that it calls."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from temporalio import activity

RECONCILIATION_WORKFLOW = "Reconciliation"


@dataclass(frozen=True)
class Found:
    """What a reconciliation has found and put right so far."""

    checked: int = 0
    """Open executions to which nothing had happened lately."""
    settled: int = 0
    """Of these: closed in Temporal, so closed in the record as well."""
    lost: int = 0
    """Of these: not known to Temporal any more, so failed."""
    orphans: int = 0
    """Nested executions whose parent has ended: cancelled."""
    released: int = 0
    """Parents told once more that a nested execution has ended."""
    adopted: int = 0
    """Executions that ran without a record."""
    funded: int = 0
    """Executions told that what they stopped for could be paid now."""
    called: int = 0
    """Executions told that it was their turn to begin."""
    delivered: int = 0
    """Notifications whose delivery had not begun, or had not gone on."""
    values: int = 0
    """Stored values that nobody used any more: deleted."""
    schedules: int = 0
    """Schedules that were not as their records say, or had none."""
    failed: int = 0
    """What could not be put right this time; the log says why."""

    def plus(self, other: "Found") -> "Found":
        """Return both together."""
        return Found(
            checked=self.checked + other.checked,
            settled=self.settled + other.settled,
            lost=self.lost + other.lost,
            orphans=self.orphans + other.orphans,
            released=self.released + other.released,
            adopted=self.adopted + other.adopted,
            funded=self.funded + other.funded,
            called=self.called + other.called,
            delivered=self.delivered + other.delivered,
            values=self.values + other.values,
            schedules=self.schedules + other.schedules,
            failed=self.failed + other.failed,
        )


@dataclass(frozen=True)
class Patience:
    """How long things may be as they are before the reconciler looks at them."""

    quiet_seconds: float = 60.0
    """After the last event of an execution."""
    lost_seconds: float = 300.0
    """After the last event of an execution that Temporal does not know."""
    silent_seconds: float = 15.0
    """After the last sign of life of whoever reconciles, before another one goes on."""


@dataclass(frozen=True)
class ReconciliationRequest:
    """The workflow's input."""

    patience: Patience = field(default_factory=Patience)
    after: str | None = None
    """Where the run before this one has stopped; None at the beginning."""
    found: Found = field(default_factory=Found)
    """By the runs before this one."""


@dataclass(frozen=True)
class SweepRequest:
    """Asks to compare one page of open executions with Temporal."""

    patience: Patience
    after: str | None
    """Id of the last execution of the page before; None for the first page."""


@dataclass(frozen=True)
class SweepResult:
    """What became of a page."""

    found: Found
    last: str | None
    """Id of its last execution; None when no page follows."""


@dataclass(frozen=True)
class AdoptRequest:
    """Asks to record what runs in Temporal without a record."""

    patience: Patience


@dataclass(frozen=True)
class SchedulesRequest:
    """Asks to bring Temporal's schedules in line with the records of them."""

    patience: Patience


class ReconciliationActivities(ABC):
    """The activities as the workflow calls them."""

    @activity.defn(name="reconcile_page")
    @abstractmethod
    async def reconcile_page(self, request: SweepRequest) -> SweepResult:
        """Compare one page of open executions with Temporal, and put right what differs."""

    @activity.defn(name="adopt_unrecorded")
    @abstractmethod
    async def adopt_unrecorded(self, request: AdoptRequest) -> Found:
        """Record executions that run in Temporal without a record."""

    @activity.defn(name="collect_values")
    @abstractmethod
    async def collect(self) -> Found:
        """Delete stored values that nobody uses."""


class ScheduleReconciliation(ABC):
    """The activity that sees to schedules, as the workflow calls it."""

    @activity.defn(name="reconcile_schedules")
    @abstractmethod
    async def reconcile_schedules(self, request: SchedulesRequest) -> Found:
        """Compare all schedules with the records of them, and put right what differs."""
