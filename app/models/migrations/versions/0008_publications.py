"""Graphs that are called by a name.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.models.migrations.row_security import OWN, secure

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "publications",
        sa.Column("graph_id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("graph_version", sa.Integer()),
        # A preset that is in use is not deleted.
        sa.Column("preset_id", sa.Uuid(), sa.ForeignKey("presets.id")),
        sa.Column("description", sa.Text(), nullable=False, server_default=""),
        sa.Column("is_tool", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("budget", sa.Integer()),
        sa.Column("calls_per_minute", sa.Integer()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("publications_of_slug", "publications", ["user_id", "slug"], unique=True)
    op.create_index("publications_of_preset", "publications", ["preset_id"])
    secure("publications", OWN)


def downgrade() -> None:
    op.drop_table("publications")
