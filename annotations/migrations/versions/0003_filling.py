"""Filling: what an import left empty in a query can be filled later, by an operation that the row then names."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

REFUSAL = "is append-only: only an import may fill what is empty, and it says so in filled_by"
SAME = ("id", "source_id", "dataset", "qid", "text", "text_key", "vid")
"""Columns that nothing changes."""


def upgrade() -> None:
    op.add_column("queries", sa.Column("filled_by", sa.Text(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        changed = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in SAME)
        op.execute("DROP TRIGGER queries_no_update")
        op.execute(
            "CREATE TRIGGER queries_no_update BEFORE UPDATE ON queries "
            f"WHEN NEW.filled_by IS NULL OR NEW.filled_by IS OLD.filled_by OR {changed} "
            f"BEGIN SELECT RAISE(ABORT, 'queries {REFUSAL}'); END"
        )
        return
    changed = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in SAME)
    op.execute(
        "CREATE FUNCTION cqvh_refuse_query() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF TG_OP = 'DELETE' OR NEW.filled_by IS NULL OR NEW.filled_by IS NOT DISTINCT FROM "
        f"OLD.filled_by OR {changed} THEN RAISE EXCEPTION 'queries {REFUSAL}'; END IF; RETURN NEW; END $$"
    )
    op.execute("DROP TRIGGER queries_append_only ON queries")
    op.execute(
        "CREATE TRIGGER queries_append_only BEFORE UPDATE OR DELETE ON queries "
        "FOR EACH ROW EXECUTE FUNCTION cqvh_refuse_query()"
    )
