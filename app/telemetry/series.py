"""The metrics that workers count: names, labels and buckets. The one list that counting, storing and showing share.

Labels come from small sets: types of blocks, statuses, codes. Never a user, a graph or an execution.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

PREFIX = "perdure_"


@dataclass(frozen=True, slots=True)
class Series:
    """One metric that is counted."""

    name: str
    """Without prefix and suffix."""
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    """Upper bounds in seconds, of a histogram; empty for a counter."""
    known: tuple[tuple[str, ...], ...] = ()
    """Labels of a counter that are shown from the beginning: what appears with its first event, seems not to grow."""


_QUICK = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0)
_LONG = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0)

EXECUTIONS = Series(
    "executions",
    "Executions that have ended.",
    ("status", "trigger"),
    known=tuple(
        product(("COMPLETED", "FAILED", "CANCELLED"), ("api", "schedule", "webhook", "rerun", "subgraph"))
    ),
)
EXECUTION_SECONDS = Series(
    "execution_duration_seconds", "From the begin of an execution to its end.", ("status",), _LONG
)
BLOCK_CALLS = Series("block_calls", "Attempts at node executions that have ended.", ("block", "status"))
BLOCK_SECONDS = Series(
    "block_duration_seconds", "From the begin of an attempt until it is recorded.", ("block",), _QUICK
)
BLOCK_RETRIES = Series("block_retries", "Attempts after the first of a node execution.", ("block",))
DELIVERED = "delivered"
RETRYING = "retrying"
GIVEN_UP = "given_up"
WITHHELD = "withheld"
DELIVERIES = Series(
    "notification_deliveries",
    "Attempts at deliveries of notifications, by what came of them.",
    ("channel", "outcome"),
    known=tuple(product(("webhook", "email"), (DELIVERED, RETRYING, GIVEN_UP, WITHHELD))),
)
RECONCILIATIONS = Series(
    "reconciliations", "Comparisons of the record with Temporal that went through.", (), known=((),)
)
FINDINGS = Series(
    "reconciler_findings",
    "What the reconciler has found, by what it was.",
    ("kind",),
    known=tuple(
        (kind,)
        for kind in (
            "checked",
            "settled",
            "lost",
            "orphans",
            "released",
            "adopted",
            "funded",
            "called",
            "delivered",
            "values",
            "schedules",
            "failed",
        )
    ),
)

COUNTED = (
    EXECUTIONS,
    EXECUTION_SECONDS,
    BLOCK_CALLS,
    BLOCK_SECONDS,
    BLOCK_RETRIES,
    DELIVERIES,
    RECONCILIATIONS,
    FINDINGS,
)
"""All of them."""
