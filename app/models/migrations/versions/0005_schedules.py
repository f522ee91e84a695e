"""Schedules.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from app.models.migrations.row_security import OWN, secure

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _moment(name: str, *, is_nullable: bool = True) -> sa.Column[Any]:
    default = None if is_nullable else sa.func.now()
    return sa.Column(name, sa.DateTime(timezone=True), nullable=is_nullable, server_default=default)


def _filled(name: str, kind: Any, default: str) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=default)


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("graph_id", sa.Uuid(), nullable=False),
        sa.Column("graph_version", sa.Integer()),
        sa.Column("preset_id", sa.Uuid()),
        _filled("name", sa.Text(), ""),
        _filled("cron", sa.JSON(), "[]"),
        _filled("calendars", sa.JSON(), "[]"),
        _filled("intervals", sa.JSON(), "[]"),
        sa.Column("timezone", sa.String(), nullable=False),
        _moment("start_at"),
        _moment("end_at"),
        _filled("jitter", sa.Integer(), "0"),
        sa.Column("catchup_window", sa.Integer(), nullable=False),
        sa.Column("overlap", sa.String(), nullable=False),
        sa.Column("remaining_actions", sa.Integer()),
        sa.Column("pause_on_failure", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("is_paused", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        _filled("note", sa.Text(), ""),
        _filled("inputs", sa.JSON(), "{}"),
        _filled("credentials_inputs", sa.JSON(), "{}"),
        sa.Column("budget", sa.Integer()),
        _filled("on_insufficient_credits", sa.Text(), "pause"),
        sa.Column("timeout_seconds", sa.Float()),
        sa.Column("max_node_executions", sa.Integer()),
        sa.Column("priority", sa.Integer()),
        sa.Column("revision", sa.Integer(), nullable=False),
        _moment("triggered_at"),
        _moment("created_at", is_nullable=False),
        _moment("updated_at", is_nullable=False),
    )
    op.create_index("schedules_of_user", "schedules", ["user_id", "created_at", "id"])
    op.create_index("schedules_of_graph", "schedules", ["graph_id"])
    secure("schedules", OWN)


def downgrade() -> None:
    op.drop_table("schedules")
