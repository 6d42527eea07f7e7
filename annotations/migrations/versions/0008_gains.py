"""Rows have a place by expected gain, and what answers have taught about it is stored."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gains",
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("gain", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_gains_query_id")),
        sa.PrimaryKeyConstraint("query_id", name=op.f("pk_gains")),
    )
