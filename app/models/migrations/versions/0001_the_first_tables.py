"""The first tables.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "execution_events",
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "seq"),
        sa.UniqueConstraint("execution_id", "key", name="execution_events_once"),
    )
    op.create_table(
        "executions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("graph_id", sa.Uuid(), nullable=False),
        sa.Column("graph_version", sa.Integer(), nullable=False),
        sa.Column("plan_hash", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("trigger", sa.String(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("parent_node", sa.Integer(), nullable=True),
        sa.Column("parent_n", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Text(), server_default="", nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("credentials", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("outputs", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("fingerprint", sa.Text(), server_default="", nullable=False),
        sa.Column("cost", sa.Integer(), server_default="0", nullable=False),
        sa.Column("budget", sa.Integer(), nullable=True),
        sa.Column("node_executions", sa.Integer(), server_default="0", nullable=False),
        sa.Column("completed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("event_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("executions_of_graph", "executions", ["graph_id", "created_at"], unique=False)
    op.create_index("executions_of_user", "executions", ["user_id", "created_at", "id"], unique=False)
    op.create_index(
        "executions_nested",
        "executions",
        ["parent_id"],
        unique=False,
        postgresql_where=sa.text("parent_node IS NOT NULL"),
    )
    op.create_index(
        "executions_open", "executions", ["id"], unique=False, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "node_executions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("block_id", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("cost", sa.Integer(), nullable=False),
        sa.Column("usage", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("is_reused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("called_by", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("execution_id", "node", "n", name="node_executions_once"),
    )
    op.create_table(
        "plans",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("configuration", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "stored_values",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("object", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("idle_since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "sha256"),
        sa.CheckConstraint("(body IS NULL) <> (object IS NULL)", name="stored_values_have_one_body"),
    )
    op.create_index(
        "stored_values_idle",
        "stored_values",
        ["idle_since"],
        unique=False,
        postgresql_where=sa.text("idle_since IS NOT NULL"),
    )
    op.create_table(
        "value_uses",
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id", "sha256"],
            ["stored_values.user_id", "stored_values.sha256"],
        ),
        sa.PrimaryKeyConstraint("execution_id", "sha256"),
    )
    op.create_index("value_uses_of_value", "value_uses", ["user_id", "sha256"], unique=False)
    op.create_table(
        "loose_objects",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_doomed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("loose_objects_since", "loose_objects", ["since"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("claim", sa.Uuid(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_done", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("media_type", sa.String(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "key"),
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["claimed_at"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_login", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "graphs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("active_version", sa.Integer(), nullable=False),
        sa.Column("latest_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("graphs_of_user", "graphs", ["user_id", "created_at", "id"], unique=False)
    op.create_table(
        "graph_versions",
        sa.Column("graph_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("plan_hash", sa.String(), nullable=False),
        sa.Column("input_schema", sa.JSON(), nullable=False),
        sa.Column("output_schema", sa.JSON(), nullable=False),
        sa.Column("nests", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("extras", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("credential_needs", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["graph_id"],
            ["graphs.id"],
        ),
        sa.ForeignKeyConstraint(
            ["plan_hash"],
            ["plans.hash"],
        ),
        sa.PrimaryKeyConstraint("graph_id", "version"),
    )
    op.create_table(
        "reviews",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("answer", sa.JSON(none_as_null=True), nullable=True),
        sa.Column(
            "requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("reviews_of_user", "reviews", ["user_id", "requested_at", "id"], unique=False)
    op.create_index("reviews_of_execution", "reviews", ["execution_id"], unique=False)
    op.create_index(
        "reviews_open",
        "reviews",
        ["user_id", "requested_at"],
        unique=False,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_table(
        "credentials",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("host", sa.Text(), nullable=True),
        sa.Column("scopes", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("credentials_of_user", "credentials", ["user_id", "created_at", "id"], unique=False)
    op.create_index("credentials_by_key", "credentials", ["key_id", "id"], unique=False)
    op.create_table(
        "used_logins",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_used_logins_expires_at", "used_logins", ["expires_at"], unique=False)
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("content_type", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("files_of_user", "files", ["user_id", "created_at", "id"], unique=False)
    op.create_index(
        "files_of_execution",
        "files",
        ["execution_id"],
        unique=False,
        postgresql_where=sa.text("execution_id IS NOT NULL"),
    )
    op.create_index(
        "files_expiring",
        "files",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index(
        "files_once", "files", ["user_id", "key"], unique=True, postgresql_where=sa.text("key IS NOT NULL")
    )
    op.create_table(
        "file_parts",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("object", sa.Text(), nullable=True),
        sa.CheckConstraint("(body IS NULL) <> (object IS NULL)", name="file_parts_have_one_body"),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_id", "number"),
    )
    op.create_table(
        "memories",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("graph_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "graph_id", "key"),
    )
    op.create_table(
        "conversation_turns",
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("calls", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "node", "n", "turn"),
    )
    op.create_table(
        "node_steps",
        sa.Column("execution_id", sa.Uuid(), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("usage", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("execution_id", "node", "n", "name"),
    )


def downgrade() -> None:
    op.drop_table("node_steps")
    op.drop_table("conversation_turns")
    op.drop_table("memories")
    op.drop_table("file_parts")
    op.drop_index("files_once", table_name="files", postgresql_where=sa.text("key IS NOT NULL"))
    op.drop_index("files_expiring", table_name="files", postgresql_where=sa.text("expires_at IS NOT NULL"))
    op.drop_index(
        "files_of_execution", table_name="files", postgresql_where=sa.text("execution_id IS NOT NULL")
    )
    op.drop_index("files_of_user", table_name="files")
    op.drop_table("files")
    op.drop_index("ix_used_logins_expires_at", table_name="used_logins")
    op.drop_table("used_logins")
    op.drop_index("credentials_by_key", table_name="credentials")
    op.drop_index("credentials_of_user", table_name="credentials")
    op.drop_table("credentials")
    op.drop_index("reviews_open", table_name="reviews", postgresql_where=sa.text("status = 'open'"))
    op.drop_index("reviews_of_execution", table_name="reviews")
    op.drop_index("reviews_of_user", table_name="reviews")
    op.drop_table("reviews")
    op.drop_table("graph_versions")
    op.drop_index("graphs_of_user", table_name="graphs")
    op.drop_table("graphs")
    op.drop_table("users")
    op.drop_index("idempotency_keys_by_age", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("loose_objects_since", table_name="loose_objects")
    op.drop_table("loose_objects")
    op.drop_index("value_uses_of_value", table_name="value_uses")
    op.drop_table("value_uses")
    op.drop_index(
        "stored_values_idle", table_name="stored_values", postgresql_where=sa.text("idle_since IS NOT NULL")
    )
    op.drop_table("stored_values")
    op.drop_table("plans")
    op.drop_table("node_executions")
    op.drop_index("executions_open", table_name="executions", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index(
        "executions_nested", table_name="executions", postgresql_where=sa.text("parent_node IS NOT NULL")
    )
    op.drop_index("executions_of_user", table_name="executions")
    op.drop_index("executions_of_graph", table_name="executions")
    op.drop_table("executions")
    op.drop_table("execution_events")
