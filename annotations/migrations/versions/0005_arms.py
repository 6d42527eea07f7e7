"""Arms are drawn once and stored; an answer says what its lane began with and which reasons were on the screen."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "settings",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_settings")),
    )
    op.create_index(op.f("ix_assignments_annotator"), "assignments", ["annotator"], unique=False)
    op.add_column("corrections", sa.Column("opening", sa.Text(), nullable=True))
    op.add_column("corrections", sa.Column("screen_reasons", sa.JSON(none_as_null=True), nullable=True))
