"""Models propose for the datasets that they are named for. Sample projects, which are made for it, take any model."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    proposers = op.create_table(
        "proposers",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.name"], name=op.f("fk_proposers_dataset")),
        sa.PrimaryKeyConstraint("dataset", "model", name=op.f("pk_proposers")),
    )
    connection = op.get_bind()
    names = connection.execute(sa.text("SELECT name FROM datasets")).scalars().all()
    samples = [name for name in names if name == "sample" or name.removeprefix("sample-").isdecimal()]
    for name in samples:
        connection.execute(sa.insert(proposers), {"dataset": name, "model": "*"})
