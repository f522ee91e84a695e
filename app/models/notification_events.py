"""What notifications may tell of, how, and where a delivery stands.

Which event of an execution's log is which, the trigger says that writes deliveries down (migration 0007).
"""

from __future__ import annotations

from enum import StrEnum


class NotificationEvent(StrEnum):
    """Something that a user may want to be told of."""

    EXECUTION_COMPLETED = "execution.completed"
    EXECUTION_FAILED = "execution.failed"
    EXECUTION_CANCELLED = "execution.cancelled"
    REVIEW_REQUESTED = "review.requested"
    CREDITS_LOW = "credits.low"
    CREDITS_EXHAUSTED = "credits.exhausted"
    """An execution has been paused because nothing more may be spent."""
    NOTIFICATION_DISABLED = "notification.disabled"
    """Another notification was switched off because it could not be delivered."""


TEST = "notification.test"
"""What is told when its owner tries a notification."""
OF_NOTIFICATIONS = frozenset({TEST, NotificationEvent.NOTIFICATION_DISABLED})
"""Delivered although the notification is off, and without delay."""


class Channel(StrEnum):
    """How somebody is told."""

    WEBHOOK = "webhook"
    EMAIL = "email"


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Given up. It can be delivered again by hand."""
