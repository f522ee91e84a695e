"""Inbound webhooks, and what has come in through them.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.models.migrations.row_security import OWN, secure

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("graph_id", sa.Uuid(), nullable=False),
        sa.Column("graph_version", sa.Integer()),
        sa.Column("preset_id", sa.Uuid(), sa.ForeignKey("presets.id")),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scheme", sa.String(), nullable=False),
        sa.Column("body_type", sa.String(), nullable=False),
        sa.Column("input", sa.Text()),
        sa.Column("events", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("budget", sa.Integer()),
        sa.Column("on_insufficient_credits", sa.String(), nullable=False),
        sa.Column("allows_wait", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("is_active", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("former_secret_until", moment),
        sa.Column("created_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", moment, nullable=False, server_default=sa.func.now()),
    )
    op.create_index("webhooks_of_user", "webhooks", ["user_id", "created_at", "id"])
    op.create_index("webhooks_of_graph", "webhooks", ["graph_id"])
    op.create_index("webhooks_of_preset", "webhooks", ["preset_id"])
    op.create_index("webhooks_by_key", "webhooks", ["key_id", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column(
            "webhook_id", sa.Uuid(), sa.ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("delivery_id", sa.String(), primary_key=True),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False, server_default=""),
        sa.Column("times", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("outcome", sa.Text(), nullable=False, server_default=""),
        sa.Column("message", sa.Text(), nullable=False, server_default=""),
        sa.Column("execution_id", sa.Uuid()),
        sa.Column("received_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("last_at", moment, nullable=False, server_default=sa.func.now()),
    )
    op.create_index(
        "webhook_deliveries_by_time", "webhook_deliveries", ["webhook_id", "received_at", "delivery_id"]
    )
    secure("webhooks", OWN)
    secure("webhook_deliveries", OWN)


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
