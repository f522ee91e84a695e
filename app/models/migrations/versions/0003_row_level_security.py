"""Row-level security: requests see the rows of the user they work for, whatever their queries say.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# In a SELECT of its own, so that it is asked for once per statement and not for every row.
_USER = "(SELECT nullif(current_setting('perdure.user_id', true), ''))"
_OWN = f"user_id = {_USER}"
# Not by EXISTS: to answer that for many rows the planner goes through everything that the user has; so it looks at the
# one that a row belongs to.
_OF = "(SELECT parent.user_id FROM {parents} parent WHERE parent.id = {key}) = " + _USER  # noqa: S608 - the names are ours
_OF_EXECUTION = _OF.format(parents="executions", key="execution_id")
_SOMEBODY = f"{_USER} IS NOT NULL"
_ALL = "SELECT, INSERT, UPDATE, DELETE"
_APPEND = "SELECT, INSERT"

# Which rows of a table a user has. What belongs to something else is seen by whoever sees that.
_ROWS = {
    "users": f"id = {_USER}",
    "graphs": _OWN,
    "graph_versions": _OF.format(parents="graphs", key="graph_id"),
    "executions": _OWN,
    "node_executions": _OF_EXECUTION,
    "execution_events": _OF_EXECUTION,
    "conversation_turns": _OF_EXECUTION,
    "node_steps": _OF_EXECUTION,
    "reviews": _OWN,
    "credentials": _OWN,
    "files": _OWN,
    "file_parts": _OF.format(parents="files", key="file_id"),
    "memories": _OWN,
    "stored_values": _OWN,
    "value_uses": _OWN,
    "idempotency_keys": _OWN,
    "api_keys": _OWN,
    "payments": _OWN,
    "payers": _OWN,
    "credit_entries": _OWN,
    "audit_entries": _OWN,
    # Random names of what is under way. They are nobody's.
    "used_logins": _SOMEBODY,
    "loose_objects": _SOMEBODY,
}
_APPEND_ONLY = ("credit_entries", "audit_entries")
# Who somebody is, and whether they may do anything, is not theirs to say, nor whether they are there.
_OF_USERS = (
    "SELECT, UPDATE (name, timezone, preferences, credits, daily_budget, total_budget, spent_on, spent_today, spent, "
    "reserved)"
)
_GRANTS = {"users": _OF_USERS, **dict.fromkeys(_APPEND_ONLY, _APPEND)}
# A plan is kept once for all whose graphs are the same. It is there before the first version that refers to it.
_PLANS = "FOR SELECT TO perdure_tenant USING (EXISTS (SELECT FROM graph_versions v WHERE v.plan_hash = hash))"
_NEW_PLANS = f"FOR INSERT TO perdure_tenant WITH CHECK ({_SOMEBODY})"

# Roles belong to all databases of a server, several of which may be migrated at once.
_ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'perdure_tenant') THEN
        BEGIN
            CREATE ROLE perdure_tenant NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'The role % may not make the role perdure_tenant', current_user
                    USING HINT = 'See "Who may log in to Postgres" in docs/howto/operate.md';
        END;
    END IF;
END $$
"""
# Whoever makes a role may hand it out, which does not mean that they may take it on.
_MEMBERSHIP = """
DO $$
DECLARE
    taking_on text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT pg_has_role(current_user, 'perdure_tenant', taking_on) THEN
        BEGIN
            GRANT perdure_tenant TO CURRENT_USER;
        EXCEPTION
            WHEN unique_violation THEN
                NULL;
        END;
    END IF;
END $$
"""


def upgrade() -> None:
    op.execute(_ROLE)
    op.execute(_MEMBERSHIP)
    op.execute(
        "DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO perdure_tenant', current_schema()); END $$"
    )
    op.create_index("graph_versions_of_plan", "graph_versions", ["plan_hash"])
    for table, condition in _ROWS.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own ON {table} TO perdure_tenant USING ({condition}) WITH CHECK ({condition})"
        )
        op.execute(f"GRANT {_GRANTS.get(table, _ALL)} ON {table} TO perdure_tenant")
    op.execute("ALTER TABLE plans ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own ON plans {_PLANS}")
    op.execute(f"CREATE POLICY new ON plans {_NEW_PLANS}")
    op.execute("GRANT SELECT, INSERT ON plans TO perdure_tenant")


def downgrade() -> None:
    # The role stays: other databases of the server may have use for it.
    op.execute("DROP POLICY new ON plans")
    for table in (*_ROWS, "plans"):
        op.execute(f"DROP POLICY own ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON {table} FROM perdure_tenant")
    op.drop_index("graph_versions_of_plan", table_name="graph_versions")
