"""How the tables are brought up to date. Not in `app.database`, since a worker does not do it and starts faster so."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from app.database import driver_url, is_outage
from app.models.event_feed import put_copied_behind

_MIGRATIONS = Path(__file__).parent / "models" / "migrations"
_LOCK = 7_365_726_475_061
"""Any number that nothing else locks: processes that start together migrate one after the other."""


def newest_revision() -> str:
    """Return the revision of up-to-date tables: migrations are numbered."""
    return max(path.name for path in (_MIGRATIONS / "versions").glob("*.py")).partition("_")[0]


async def migrate(database_url: str) -> None:
    """Bring the tables up to date, and what they hold if it was restored. Several processes may do it at once.

    Raises:
        OSError: Postgres is away, or has yet to start.
    """
    engine = create_async_engine(driver_url(database_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            revision = await _revision(connection)
            # Those of a version to come are left as they are: this one serves on them while it is replaced, or again.
            if revision is None or revision < newest_revision():
                await connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _LOCK})
                await connection.commit()
                # The lock belongs to the connection: closing it gives the lock back, also after a failure.
                await connection.run_sync(_upgrade)
                await connection.commit()
            await put_copied_behind(connection)
            await connection.commit()
    except DBAPIError as error:
        if is_outage(error):
            raise ConnectionError(str(error.orig)) from error
        raise
    finally:
        await engine.dispose()


async def _revision(connection: AsyncConnection) -> str | None:
    if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _upgrade(connection: Connection) -> None:
    # A server whose tables are up to date starts a tenth sooner without them.
    from alembic import command  # noqa: PLC0415 - as said above
    from alembic.config import Config  # noqa: PLC0415 - as said above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
