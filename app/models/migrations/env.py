"""Runs the migrations on the connection that `app.database.migrate` hands over."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

import app.models.conversations
import app.models.credentials_tables
import app.models.files
import app.models.memories
import app.models.steps
import app.models.tables  # noqa: F401 - these fill SQLModel.metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
