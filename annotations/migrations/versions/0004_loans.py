"""Loans are named by the operation that lent a row, and timed by the lender: no time of day decides who holds one."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("assignments", sa.Column("loan", sa.Text(), nullable=True))
    op.create_index(op.f("ix_assignments_loan"), "assignments", ["loan"], unique=False)
    op.drop_index("ix_assignments_annotator_finished", table_name="assignments")
    op.drop_column("assignments", "leased_until_ms")
    op.drop_column("assignments", "finished")
