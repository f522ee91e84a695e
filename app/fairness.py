"""Whose turn it is when workers have more to do than they can: each user's, whatever others have in the queue.

Temporal deals tasks out by the fairness key that an execution is started with; its activities inherit it.
"""

from __future__ import annotations

import hashlib

from temporalio.common import Priority

_LONGEST_KEY_BYTES = 64


def make_priority(user_id: str, urgency: int | None = None) -> Priority:
    """Return what a user's execution is started with.

    Args:
        user_id: Whose share it is taken from.
        urgency: 1 (first) to 5; before shares are looked at. None for 3.
    """
    key = user_id
    if len(key.encode()) > _LONGEST_KEY_BYTES:
        key = hashlib.sha256(key.encode()).hexdigest()
    return Priority(priority_key=urgency, fairness_key=key)
