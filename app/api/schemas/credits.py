"""Credits on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.models.budgets import Standing
from app.models.credit_history import HistoryItem, HistoryKind
from app.models.entry_kinds import EntryKind
from app.models.page import MAX_NUMBER
from app.models.tables.credits import CreditEntry

_TOLD = ("charged", "uncovered", "reason")
"""What the owner is told of the details; who has done it is for the audit log."""

Budget = Annotated[int, Field(ge=0, le=MAX_NUMBER)]


class CreditsView(BaseModel):
    """How you stand."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    credits: int
    """What may be spent; 1 credit is 1 US cent."""
    reserved: int
    """What is reserved for calls under way; it is charged or comes back."""
    spent_today: int
    """Charged and reserved on this day (UTC)."""
    spent: int
    """Charged and reserved ever."""
    daily_budget: int | None
    total_budget: int | None
    daily_limit: int | None
    """What an administrator lets you spend in a day (UTC), whatever your budget says; null for any."""
    total_limit: int | None
    """What an administrator lets you spend at all; null for any."""
    low_balance: bool
    """Whether there are fewer than `low_balance_threshold`, with the reserved ones counted in."""
    low_balance_threshold: int
    """Your preference `low_balance`; 0 for never."""

    @classmethod
    def of(cls, standing: Standing) -> CreditsView:
        """Return it as it goes out."""
        return cls(low_balance=standing.low_balance, **standing._asdict())


class BudgetsBody(BaseModel):
    """The most that may be spent, in credits; null for any. Both have to be said."""

    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)

    daily: Budget | None
    """In a day (UTC)."""
    total: Budget | None
    """At all, from the first day on."""


class HistoryItemView(BaseModel):
    """What your balance has changed for."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: int
    kind: HistoryKind
    """`EXECUTION`, `BLOCK` (called on its own), `GRANT`, `TOP_UP`, `REFUND` or `ADJUST`."""
    at: datetime
    amount: int
    """Credits that your balance has gained by it so far; negative when it lost."""
    charged: int
    """Credits that it has cost so far."""
    reserved: int
    """Credits that are reserved for it now."""
    execution_id: UUID | None
    """The outermost one; what is nested in it is counted in."""
    graph_id: UUID | None
    graph_version: int | None
    graph_name: str | None
    status: str | None
    started_at: datetime | None
    ended_at: datetime | None
    node_executions: int
    """How many were charged."""
    reason: str | None

    @classmethod
    def of(cls, item: HistoryItem) -> HistoryItemView:
        """Return it as it goes out."""
        is_spent = item.kind in (HistoryKind.EXECUTION, HistoryKind.BLOCK)
        names = cls.model_fields.keys() - {"charged", "node_executions", "reason"}
        reason = (item.details or {}).get("reason")
        return cls(
            charged=-item.amount - item.reserved if is_spent else 0,
            node_executions=item.calls,
            reason=None if reason is None else str(reason),
            **{name: getattr(item, name) for name in names},
        )


class EntryView(BaseModel):
    """One change of your balance. It is never altered."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: int
    kind: EntryKind
    amount: int
    """Credits that the balance gained; negative when it lost."""
    balance: int
    """Credits after it."""
    execution_id: UUID | None
    node_execution_id: UUID | None
    details: Mapping[str, Any]
    """`charged`: what a call has cost; `uncovered`: what it would have cost besides; `reason`."""
    at: datetime

    @classmethod
    def of(cls, entry: CreditEntry) -> EntryView:
        """Return it as it goes out."""
        names = cls.model_fields.keys() - {"details"}
        told = {name: entry.details[name] for name in _TOLD if name in entry.details}
        return cls(details=told, **{name: getattr(entry, name) for name in names})
