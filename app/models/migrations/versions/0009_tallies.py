"""What workers have counted.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("labels", sa.String(), nullable=False),
        sa.Column("bucket", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", "bucket"),
    )
    # Requests have nothing to do with it: nothing is granted, and nothing would be seen.
    op.execute("ALTER TABLE tallies ENABLE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY own ON tallies TO perdure_tenant USING (false)")


def downgrade() -> None:
    op.drop_table("tallies")
