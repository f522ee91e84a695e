"""Users: written down when their first valid token is seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Boolean, ColumnElement, and_, case, func, literal_column, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.errors import Forbidden, NotFound
from app.models.entry_kinds import EntryKind
from app.models.page import Page, make_page, read_cursor
from app.models.tables.credits import CreditEntry
from app.models.tables.users import User

LOGIN_RESOLUTION = timedelta(minutes=1)
"""`last_login` is written at most this often."""
FIRST_GRANT = "grant:first"
"""Key of what a user is given at first sight."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a token says of its user."""

    email: str
    role: str
    at: datetime
    """When it was issued."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is to be known of a user who comes with a token."""

    is_suspended: bool
    is_written: bool
    """Whether it was written down a moment ago that they were here, as what the token says they are."""


async def find_standing(session: AsyncSession, user_id: str, told: Told) -> Standing | None:
    """Return how it stands with a user, or None at first sight."""
    is_written = and_(~_was_seen_long_ago(), ~_says_new(told))
    query = select(col(User.suspended_at).is_not(None), is_written).where(col(User.id) == user_id)
    found = (await session.execute(query)).first()
    return None if found is None else Standing(*found)


async def require_active(session: AsyncSession, user_id: str) -> None:
    """Check that nothing keeps a user from acting, or others from acting for them.

    Raises:
        Forbidden: They are suspended.
    """
    query = select(col(User.id)).where(col(User.id) == user_id, col(User.suspended_at).is_not(None))
    if (await session.execute(query)).first() is not None:
        raise Forbidden("This account is suspended")


async def insert_or_touch_user(
    session: AsyncSession, user_id: str, told: Told, *, initial_credits: int
) -> None:
    """Write a user down at first sight; later on, when they were last seen, and what their latest token says."""
    given = insert(User).values(
        id=user_id,
        email=told.email,
        name="",
        role=told.role,
        told_at=told.at,
        timezone="UTC",
        credits=initial_credits,
        last_login=func.now(),
    )
    written = await session.execute(
        given.on_conflict_do_update(
            index_elements=[col(User.id)],
            set_={
                "last_login": func.now(),
                "email": case((_says_new(told), told.email), else_=col(User.email)),
                "role": case((_says_new(told), told.role), else_=col(User.role)),
                "told_at": func.greatest(col(User.told_at), told.at),
            },
            where=or_(_was_seen_long_ago(), _says_new(told)),
        ).returning(literal_column("xmax = 0", Boolean))
    )
    if initial_credits and written.scalar_one_or_none():
        first = {"user_id": user_id, "key": FIRST_GRANT, "kind": EntryKind.GRANT}
        await session.execute(
            insert(CreditEntry).values(**first, amount=initial_credits, balance=initial_credits)
        )


async def require_user(session: AsyncSession, user_id: str) -> User:
    """Return a user.

    Raises:
        NotFound: There is no such user.
    """
    user = (await session.execute(select(User).where(col(User.id) == user_id))).scalar_one_or_none()
    if user is None:
        raise NotFound
    return user


async def lock_user(session: AsyncSession, user_id: str) -> User:
    """Return a user whom nobody else changes until the transaction ends.

    Raises:
        NotFound: There is no such user.
    """
    query = select(User).where(col(User.id) == user_id).with_for_update()
    user = (await session.execute(query)).scalar_one_or_none()
    if user is None:
        raise NotFound
    return user


async def list_users(
    session: AsyncSession,
    *,
    words: str = "",
    is_suspended: bool | None = None,
    cursor: str | None,
    limit: int,
) -> Page[User]:
    """Return users, newest first.

    Args:
        session: One that sees all of them.
        words: What id, e-mail address or name must hold.
        is_suspended: Whether they must be suspended, or must not.
        cursor: Where the page begins.
        limit: The most that it holds.
    """
    query = select(User)
    if words:
        fields = (col(User.id), col(User.email), col(User.name))
        query = query.where(or_(*(field.icontains(words, autoescape=True) for field in fields)))
    if is_suspended is not None:
        query = query.where(col(User.suspended_at).is_not(None) == is_suspended)
    if cursor:
        key = tuple_(col(User.created_at), col(User.id))
        query = query.where(key < tuple_(*read_cursor(cursor, _user_key)))
    query = query.order_by(col(User.created_at).desc(), col(User.id).desc())
    rows = (await session.execute(query.limit(limit + 1))).scalars().all()
    return make_page(rows, limit, lambda row: (row.created_at.isoformat(), row.id))


def _user_key(created_at: str, user_id: str) -> tuple[datetime, str]:
    return datetime.fromisoformat(created_at).astimezone(UTC), str(user_id)


def _says_new(told: Told) -> ColumnElement[bool]:
    is_latest = or_(col(User.told_at).is_(None), col(User.told_at) <= told.at)
    return and_(is_latest, or_(col(User.email) != told.email, col(User.role) != told.role))


def _was_seen_long_ago() -> ColumnElement[bool]:
    return func.coalesce(col(User.last_login), col(User.created_at)) < func.now() - LOGIN_RESOLUTION
