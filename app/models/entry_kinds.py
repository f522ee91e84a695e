"""What kinds of entries the ledger holds."""

from __future__ import annotations

from enum import StrEnum


class EntryKind(StrEnum):
    """Why a balance changed."""

    GRANT = "GRANT"
    """Given by us: at first sight, or by an admin."""
    TOP_UP = "TOP_UP"
    """Bought."""
    RESERVE = "RESERVE"
    """Taken before a call, as much as it is estimated to cost."""
    SETTLE = "SETTLE"
    """The difference between what was reserved and what the call has cost."""
    RELEASE = "RELEASE"
    """What was reserved, given back: the call has cost nothing."""
    REFUND = "REFUND"
    """A charge, given back."""
    ADJUST = "ADJUST"
    """Corrected by an admin, or taken back with a payment."""
