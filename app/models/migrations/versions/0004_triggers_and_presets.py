"""What starts executions, presets, and events in the order of their transactions.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.models.migrations.row_security import OWN, secure

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_IS_OF_EXECUTION = sa.text("type NOT LIKE 'node\\_%'")


def upgrade() -> None:
    op.add_column("executions", sa.Column("trigger_id", sa.Uuid()))
    op.add_column("executions", sa.Column("preset_id", sa.Uuid()))
    op.create_index(
        "executions_of_trigger",
        "executions",
        ["trigger_id", "created_at"],
        postgresql_where=sa.text("trigger_id IS NOT NULL"),
    )
    op.add_column("execution_events", _transaction())
    op.add_column("executions", _transaction())
    op.create_index("executions_of_user_as_written", "executions", ["user_id", "transaction", "id"])
    op.create_index(
        "execution_events_of_executions",
        "execution_events",
        ["transaction", "execution_id", "seq"],
        postgresql_where=_IS_OF_EXECUTION,
    )
    op.create_table(
        "presets",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("graph_id", sa.Uuid(), nullable=False),
        sa.Column("graph_version", sa.Integer()),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False, server_default=""),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("credentials_inputs", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("presets_of_user", "presets", ["user_id", "created_at", "id"])
    op.create_index("presets_of_graph", "presets", ["graph_id"])
    secure("presets", OWN)


def _transaction() -> sa.Column[int]:
    return sa.Column(
        "transaction",
        sa.BigInteger(),
        nullable=False,
        server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
    )


def downgrade() -> None:
    op.drop_table("presets")
    op.drop_index("execution_events_of_executions", table_name="execution_events")
    op.drop_column("execution_events", "transaction")
    op.drop_index("executions_of_user_as_written", table_name="executions")
    op.drop_column("executions", "transaction")
    op.drop_index("executions_of_trigger", table_name="executions")
    op.drop_column("executions", "preset_id")
    op.drop_column("executions", "trigger_id")
