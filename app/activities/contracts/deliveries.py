"""The delivery of a notification: what its workflow is started with, and the activity that it calls.

Neither holds what is told, or where: the history of a delivery says when it was tried, and no more.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from temporalio import activity

DELIVERY_WORKFLOW = "NotificationDelivery"


@dataclass(frozen=True)
class DeliveryRequest:
    """The workflow's input."""

    delivery_id: str
    user_id: str


@dataclass(frozen=True)
class AttemptRequest:
    """Asks for one attempt."""

    delivery_id: str
    user_id: str
    failures: int
    """Attempts that have failed."""
    put_off: int
    """How often in a row there was no room for it."""
    elapsed_seconds: float
    """Since the first attempt."""


@dataclass(frozen=True)
class AttemptResult:
    """What came of an attempt."""

    is_over: bool
    """Delivered, given up, or gone."""
    is_attempt: bool = True
    """False when there was no room for it."""
    wait_seconds: float = 0.0
    """Before the next one."""


class DeliveryActivities(ABC):
    """The activities as the workflow calls them."""

    @activity.defn(name="deliver_notification")
    @abstractmethod
    async def deliver(self, request: AttemptRequest) -> AttemptResult:
        """Make one attempt, and write down what came of it."""
