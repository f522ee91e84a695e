"""How the tables are brought up to date. Not in `app.database`, since a worker does not do it and starts faster so."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.database import driver_url

_MIGRATIONS = Path(__file__).parent / "models" / "migrations"
_LOCK = 7_365_726_475_061
"""Any number that nothing else locks: processes that start together migrate one after the other."""


async def migrate(database_url: str) -> None:
    """Bring the tables up to date. Safe when several processes do it at once."""
    engine = create_async_engine(driver_url(database_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _LOCK})
            await connection.commit()
            # The lock belongs to the connection: closing it gives the lock back, also after a failure.
            await connection.run_sync(_upgrade)
            await connection.commit()
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
