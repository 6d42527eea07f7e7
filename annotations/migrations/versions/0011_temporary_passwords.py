"""A password can be temporary: it expires, and whoever signs in with it must change it first."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("password_expires_at_ms", sa.BigInteger(), nullable=True))
