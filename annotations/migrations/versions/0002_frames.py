"""Frames beside milliseconds: which frame of the clip on screen an edge was put at."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("start_frame", "end_frame"):
        op.add_column("correction_moments", sa.Column(name, sa.BigInteger(), nullable=True))
