"""All that the workflow of a schedule's fire may see of its activities: their names, what goes in and what comes out.

Only the standard library and Temporal here, since the workflow imports it.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass

from temporalio import activity

from app.activities.contracts.execution import ErrorRecord, ExecutionStart

SCHEDULED_START_WORKFLOW = "ScheduledStart"


@dataclass(frozen=True)
class ScheduledFire:
    """What a schedule of Temporal starts its workflow with: whose fire it is. What is executed, the record says."""

    schedule_id: str
    user_id: str
    revision: int
    """Of the record that Temporal's schedule was made of."""


@dataclass(frozen=True)
class FireRequest:
    """Asks what is to be executed."""

    fire: ScheduledFire
    execution_id: str


@dataclass(frozen=True)
class FireDecision:
    """What is to be executed; with neither start nor refusal nothing is, for the schedule is gone."""

    start: ExecutionStart | None = None
    refusal: ErrorRecord | None = None
    """Why it could not be started. Its record says the same."""
    priority: int | None = None
    net_seconds: float | None = None
    """After which Temporal ends it, should it not have ended by itself; None for never."""
    details: str | None = None
    """What the Web UI says of it, as Markdown."""


class SchedulingActivities(ABC):
    """The activities as the workflow calls them."""

    @activity.defn(name="decide_fire")
    @abstractmethod
    async def decide_fire(self, request: FireRequest) -> FireDecision:
        """Decide what is executed, and record it if nothing can be."""


def execution_id_of(schedule_id: str, run_id: str) -> str:
    """Return the id of the execution that a fire starts.

    Args:
        schedule_id: Which schedule fires.
        run_id: Temporal's id of the first run of the fire's workflow: each fire has one of its own.
    """
    return str(uuid.uuid5(uuid.UUID(schedule_id), run_id))
