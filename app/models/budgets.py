"""How users stand with their credits, and how much of them they allow to be spent."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import case, func, literal, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import NotFound
from app.models.allowances import LOW_BALANCE
from app.models.tables.users import User

_TODAY = text("(now() AT TIME ZONE 'UTC')::date")


class Standing(NamedTuple):
    """How a user stands."""

    credits: int
    """What may be spent."""
    reserved: int
    """What is reserved for calls under way."""
    spent_today: int
    """Charged and reserved on this day (UTC)."""
    spent: int
    """Charged and reserved ever."""
    daily_budget: int | None
    total_budget: int | None
    daily_limit: int | None
    """What an admin allows, whatever the budget says."""
    total_limit: int | None
    low_balance_threshold: int
    """0 for none."""

    @property
    def low_balance(self) -> bool:
        """Whether there is less than the threshold, with what is reserved counted in."""
        return self.credits + self.reserved < self.low_balance_threshold


async def require_standing(session: AsyncSession, user_id: str) -> Standing:
    """Return how a user stands.

    Raises:
        NotFound: There is no such user.
    """
    threshold = func.coalesce(col(User.preferences)["low_balance"].as_integer(), LOW_BALANCE)
    query = select(
        col(User.credits),
        col(User.reserved),
        case((col(User.spent_on) >= _TODAY, col(User.spent_today)), else_=literal(0)),
        col(User.spent),
        col(User.daily_budget),
        col(User.total_budget),
        col(User.daily_limit),
        col(User.total_limit),
        threshold,
    ).where(col(User.id) == user_id)
    found = (await session.execute(query)).one_or_none()
    if found is None:
        raise NotFound
    return Standing(*found)


async def set_budgets(session: AsyncSession, user_id: str, *, daily: int | None, total: int | None) -> None:
    """Set the most that may be spent in a day and at all, in credits; None for any.

    Raises:
        NotFound: There is no such user.
    """
    changed = await session.execute(
        update(User)
        .where(col(User.id) == user_id)
        .values(daily_budget=daily, total_budget=total)
        .returning(col(User.id))
    )
    if changed.one_or_none() is None:
        raise NotFound
