"""What migrations say about the rows that requests see. See revision 0003, which does it for the tables before."""

from __future__ import annotations

from alembic import op

OWN = "user_id = nullif(current_setting('perdure.user_id', true), '')"
"""Condition of a table with a column of whose a row is."""


def secure(table: str, condition: str) -> None:
    """Show requests only those rows of a table that meet a condition."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own ON {table} TO perdure_tenant USING ({condition}) WITH CHECK ({condition})")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO perdure_tenant")
