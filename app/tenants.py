"""For whom a request works. Its connections to the database see the rows of that user and no others.

That holds whatever a query says, or has forgotten to say. Decides how Postgres is told; which rows are whose is said by
the policies of the tables (`app/models/migrations`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.database import AWAY, make_engine

TENANT_ROLE = "perdure_tenant"
"""Role of Postgres that is subject to the policies. The owner of the tables is not."""
NOBODY = ""
"""Has nothing."""
_SET_USER = "SELECT set_config('perdure.user_id', $1, false)"

_user: ContextVar[str] = ContextVar("user", default=NOBODY)


@contextmanager
def working_for(user_id: str) -> Iterator[None]:
    """Have this task see what a user has, and afterwards what it saw before, whomever it came to work for meanwhile."""
    token = _user.set(user_id)
    try:
        yield
    finally:
        _user.reset(token)


def work_for(user_id: str) -> None:
    """Have this task, and the tasks that it starts from now on, see what a user has."""
    _user.set(user_id)


def make_tenant_engine(database_url: str, **options: Any) -> AsyncEngine:
    """Make an engine whose connections see what is the user's for whom the task works that takes them.

    Args:
        database_url: The login role must be allowed to take on `TENANT_ROLE`.
        options: As of `make_engine`.
    """
    # The connection that was given back last is taken first: within a request it already knows the user.
    engine = make_engine(database_url, role=TENANT_ROLE, pool_use_lifo=True, **options)
    event.listen(engine.sync_engine, "checkout", _set_user)
    return engine


def _set_user(connection: Any, record: Any, _proxy: object) -> None:
    """Tell a connection that is taken from the pool for whom it works, unless it knows."""
    user = _user.get()
    if record.info.get("user", NOBODY) == user:
        return
    # Until it is done nobody knows; who is interrupted here leaves a connection that the pool throws away.
    record.info["user"] = None
    try:
        # By the driver itself: no transaction has begun, whose end could take it back.
        connection.run_async(lambda driver: driver.fetchval(_SET_USER, user))
    except AWAY as error:
        raise DisconnectionError from error
    record.info["user"] = user
