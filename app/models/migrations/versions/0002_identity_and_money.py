"""The ledger, payments, API keys, the audit log.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_REFUSE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$
"""
_APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _extend_users()
    _extend_executions()
    _create_credit_entries()
    _create_payments()
    _create_payers()
    _create_api_keys()
    _create_audit_entries()
    op.execute(_REFUSE)
    for table in ("credit_entries", "audit_entries"):
        op.execute(_APPEND_ONLY.format(table=table))


def _extend_users() -> None:
    op.alter_column("users", "credits", type_=sa.BigInteger(), server_default="0")
    for column in (
        sa.Column("preferences", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("daily_budget", sa.Integer(), nullable=True),
        sa.Column("total_budget", sa.Integer(), nullable=True),
        sa.Column("daily_limit", sa.Integer(), nullable=True),
        sa.Column("total_limit", sa.Integer(), nullable=True),
        sa.Column("spent_on", sa.Date(), nullable=True),
        sa.Column("spent_today", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("spent", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("suspended_at", _MOMENT, nullable=True),
        sa.Column("told_at", _MOMENT, nullable=True),
    ):
        op.add_column("users", column)
    op.create_check_constraint("users_not_in_debt", "users", "credits >= 0")
    op.create_index("users_by_age", "users", ["created_at", "id"], unique=False)


def _extend_executions() -> None:
    op.alter_column("executions", "cost", type_=sa.BigInteger())
    for column in (
        sa.Column("root_id", sa.Uuid(), nullable=True),
        sa.Column("reserved", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("committed", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("on_insufficient_credits", sa.Text(), server_default="pause", nullable=False),
        sa.Column("paused_for", sa.Text(), server_default="", nullable=False),
        sa.Column("required", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("awaits_room", sa.Boolean(), server_default="false", nullable=False),
    ):
        op.add_column("executions", column)
    op.create_index(
        "executions_running",
        "executions",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text("status = 'RUNNING' AND parent_node IS NULL"),
    )
    op.create_index(
        "executions_queue",
        "executions",
        ["user_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("awaits_room AND ended_at IS NULL"),
    )
    op.create_index("executions_by_age", "executions", ["created_at", "id"], unique=False)


def _create_credit_entries() -> None:
    op.create_table(
        "credit_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=True),
        sa.Column("root_id", sa.Uuid(), nullable=True),
        sa.Column("node_execution_id", sa.Uuid(), nullable=True),
        sa.Column("details", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("at", _MOMENT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user_id", "key", name="credit_entries_once"),
        sa.CheckConstraint("balance >= 0", name="credit_entries_covered"),
    )
    op.create_index("credit_entries_of_user", "credit_entries", ["user_id", "id"], unique=False)
    op.create_index(
        "credit_entries_of_root",
        "credit_entries",
        ["root_id", "id"],
        unique=False,
        postgresql_where=sa.text("root_id IS NOT NULL"),
    )
    op.create_index(
        "credit_entries_of_trials",
        "credit_entries",
        ["at"],
        unique=False,
        postgresql_where=sa.text("kind = 'RESERVE' AND execution_id IS NULL"),
    )
    op.create_index(
        "credit_entries_refunds",
        "credit_entries",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text("kind = 'REFUND'"),
    )
    op.create_index(
        "credit_entries_of_execution",
        "credit_entries",
        ["execution_id"],
        unique=False,
        postgresql_where=sa.text("execution_id IS NOT NULL"),
    )


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("provider_ref", sa.String(), nullable=True),
        sa.Column("charge_ref", sa.String(), nullable=True),
        sa.Column("checkout_url", sa.Text(), server_default="", nullable=False),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("refunded_credits", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_automatic", sa.Boolean(), nullable=False),
        sa.Column("execution_id", sa.Uuid(), nullable=True),
        sa.Column("refund_id", sa.Uuid(), nullable=True),
        sa.Column("refund_asked_at", _MOMENT, nullable=True),
        sa.Column("checked_at", _MOMENT, nullable=True),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("paid_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("provider", "provider_ref", name="payments_once"),
    )
    op.create_index("payments_of_user", "payments", ["user_id", "created_at", "id"], unique=False)
    op.create_index("payments_of_charge", "payments", ["provider", "charge_ref"], unique=False)
    op.create_index(
        "payments_open",
        "payments",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'refunding')"),
    )
    op.create_index(
        "payments_of_execution",
        "payments",
        ["user_id", "execution_id"],
        unique=True,
        postgresql_where=sa.text("execution_id IS NOT NULL"),
    )


def _create_payers() -> None:
    op.create_table(
        "payers",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("customer_ref", sa.Text(), server_default="", nullable=False),
        sa.Column("threshold", sa.Integer(), server_default="0", nullable=False),
        sa.Column("credits", sa.Integer(), server_default="0", nullable=False),
        sa.Column("changed_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("user_id"),
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("addresses", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=True),
        sa.Column("last_used_at", _MOMENT, nullable=True),
        sa.Column("suspended_at", _MOMENT, nullable=True),
        sa.Column("revoked_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("prefix"),
    )
    op.create_index("api_keys_of_user", "api_keys", ["user_id", "created_at", "id"], unique=False)


def _create_audit_entries() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("actor_id", sa.String(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object_id", sa.Text(), server_default="", nullable=False),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("request_id", sa.Text(), server_default="", nullable=False),
        sa.Column("details", sa.JSON(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    for name, column in (("user", "user_id"), ("actor", "actor_id"), ("object", "object_id")):
        op.create_index(f"audit_entries_of_{name}", "audit_entries", [column, "id"], unique=False)
