"""Notifications and their deliveries.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.models.migrations.row_security import OWN, secure

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# In the transaction of what is told of. More than one statement appends to the log, so whoever does it need not know.
# The end of an execution that is nested in another is not told: that of the other is. A notification that is being
# deleted is waited for, so that no execution fails to end because of it.
_NOTE = """
CREATE FUNCTION note_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told text := CASE NEW.type WHEN 'execution_paused' THEN 'credits.exhausted' ELSE replace(NEW.type, '_', '.') END;
BEGIN
    WITH RECURSIVE around AS (
        SELECT graph_id, parent_id, parent_node FROM executions WHERE id = NEW.execution_id
        UNION ALL
        SELECT outer_one.graph_id, outer_one.parent_id, outer_one.parent_node
        FROM around JOIN executions outer_one ON outer_one.id = around.parent_id AND around.parent_node IS NOT NULL
    )
    INSERT INTO deliveries (id, user_id, notification_id, channel, event, execution_id, seq)
    SELECT gen_random_uuid(), n.user_id, n.id, n.channel, told, e.id, NEW.seq
    FROM executions e
    JOIN notifications n ON n.user_id = e.user_id AND n.is_active AND jsonb_exists(n.events::jsonb, told)
    WHERE e.id = NEW.execution_id AND (n.graph_id IS NULL OR n.graph_id IN (SELECT graph_id FROM around))
        AND (e.parent_node IS NULL OR told NOT LIKE 'execution.%')
    FOR KEY SHARE OF n;
    RETURN NULL;
END $$
"""
_WHEN_TOLD = """
CREATE TRIGGER note_deliveries AFTER INSERT ON execution_events FOR EACH ROW
WHEN (
    NEW.type IN (
        'execution_completed', 'execution_failed', 'execution_cancelled', 'review_requested', 'credits_low'
    )
    OR NEW.type = 'execution_paused' AND NEW.data ->> 'reason' IN ('INSUFFICIENT_CREDITS', 'SPENDING_LIMIT_REACHED')
)
EXECUTE FUNCTION note_deliveries()
"""


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("graph_id", sa.Uuid()),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("includes_outputs", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("secret", sa.LargeBinary()),
        sa.Column("key_id", sa.String(), nullable=False, server_default=""),
        sa.Column("former_secret_until", moment),
        sa.Column("failing_since", moment),
        sa.Column("disabled_for", sa.String(), nullable=False, server_default=""),
        sa.Column("created_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", moment, nullable=False, server_default=sa.func.now()),
    )
    op.create_index("notifications_of_user", "notifications", ["user_id", "created_at", "id"])
    op.create_index("notifications_of_graph", "notifications", ["graph_id"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column(
            "notification_id",
            sa.Uuid(),
            sa.ForeignKey("notifications.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("execution_id", sa.Uuid()),
        sa.Column("seq", sa.BigInteger()),
        sa.Column("data", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("status", sa.String(), nullable=False, server_default="pending"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("log", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("created_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("next_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("ended_at", moment),
    )
    op.create_index("deliveries_of_notification", "deliveries", ["notification_id", "created_at", "id"])
    pending = sa.text("status = 'pending'")
    op.create_index("deliveries_due", "deliveries", ["next_at"], postgresql_where=pending)
    op.create_index("deliveries_of_execution", "deliveries", ["execution_id"], postgresql_where=pending)
    op.create_index("deliveries_waiting", "deliveries", ["notification_id"], postgresql_where=pending)
    op.create_index("deliveries_ended", "deliveries", ["ended_at"])
    for table in ("notifications", "deliveries"):
        secure(table, OWN)
    op.execute(_NOTE)
    op.execute(_WHEN_TOLD)


def downgrade() -> None:
    op.execute("DROP TRIGGER note_deliveries ON execution_events")
    op.execute("DROP FUNCTION note_deliveries()")
    op.drop_table("deliveries")
    op.drop_table("notifications")
