"""Verdicts that were given in bulk can be withdrawn, and wrong proposals can be planted among decided rows."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

REFUSAL = "is append-only: add a new version instead of changing or removing an old one"
KEYS = {
    "verdict_withdrawals": "verdict_id = NEW.verdict_id",
    "plants": "query_id = NEW.query_id AND annotator = NEW.annotator",
}


def upgrade() -> None:
    op.create_table(
        "verdict_withdrawals",
        sa.Column("verdict_id", sa.Integer(), nullable=False),
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["op_id"],
            ["operations.op_id"],
            name=op.f("fk_verdict_withdrawals_op_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["verdict_id"], ["verdicts.id"], name=op.f("fk_verdict_withdrawals_verdict_id")
        ),
        sa.PrimaryKeyConstraint("verdict_id", name=op.f("pk_verdict_withdrawals")),
    )
    op.create_index(op.f("ix_verdict_withdrawals_op_id"), "verdict_withdrawals", ["op_id"], unique=False)
    op.create_table(
        "plants",
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("correction_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("moments", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_plants_query_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_plants_project_id")),
        sa.ForeignKeyConstraint(["correction_id"], ["corrections.id"], name=op.f("fk_plants_correction_id")),
        sa.PrimaryKeyConstraint("query_id", "annotator", name=op.f("pk_plants")),
    )
    op.add_column("projects", sa.Column("planted_share", sa.Float(), nullable=False, server_default="0"))
    for table, key in KEYS.items():
        if op.get_bind().dialect.name == "sqlite":
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} {REFUSAL}'); END"
                )
            op.execute(
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
                f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {key}) "
                f"BEGIN SELECT RAISE(ABORT, '{table} {REFUSAL}'); END"
            )
        else:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION cqvh_refuse()"
            )
            op.execute(
                f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION cqvh_refuse()"
            )
