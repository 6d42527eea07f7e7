"""Redactions: operations that a person's name was taken out of, and what they say since."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

REFUSAL = "is append-only: add a new version instead of changing or removing an old one"


def upgrade() -> None:
    op.create_table(
        "redactions",
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("erased_by", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["op_id"], ["operations.op_id"], name=op.f("fk_redactions_op_id")),
        sa.ForeignKeyConstraint(
            ["erased_by"],
            ["operations.op_id"],
            name=op.f("fk_redactions_erased_by"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("op_id", name=op.f("pk_redactions")),
    )
    op.create_index(op.f("ix_redactions_erased_by"), "redactions", ["erased_by"], unique=False)
    if op.get_bind().dialect.name == "sqlite":
        refusal = f"BEGIN SELECT RAISE(ABORT, 'redactions {REFUSAL}'); END"
        op.execute(f"CREATE TRIGGER redactions_no_update BEFORE UPDATE ON redactions {refusal}")
        op.execute(f"CREATE TRIGGER redactions_no_delete BEFORE DELETE ON redactions {refusal}")
        op.execute(
            "CREATE TRIGGER redactions_no_replace BEFORE INSERT ON redactions "
            f"WHEN EXISTS (SELECT 1 FROM redactions WHERE op_id = NEW.op_id) {refusal}"
        )
        return
    op.execute(
        "CREATE TRIGGER redactions_append_only BEFORE UPDATE OR DELETE ON redactions "
        "FOR EACH ROW EXECUTE FUNCTION cqvh_refuse()"
    )
    op.execute(
        "CREATE TRIGGER redactions_no_truncate BEFORE TRUNCATE ON redactions "
        "FOR EACH STATEMENT EXECUTE FUNCTION cqvh_refuse()"
    )
