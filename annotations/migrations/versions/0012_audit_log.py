"""The audit log: chained and append-only, with the names of people beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

REFUSAL = "is append-only: add a new version instead of changing or removing an old one"


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("position", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("person", sa.Text(), nullable=True),
        sa.Column("detail", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_log")),
    )
    op.create_table(
        "audit_names",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_audit_names")),
        sa.UniqueConstraint("name", name=op.f("uq_audit_names_name")),
    )
    # A name changes once: when its person is erased, the salt that proves it goes as well.
    if op.get_bind().dialect.name == "sqlite":
        changes = {"audit_log": "", "audit_names": "WHEN NEW.salt IS NOT NULL OR OLD.salt IS NULL OR NEW.key IS NOT OLD.key "}
        keys = {"audit_log": "position = NEW.position", "audit_names": "key = NEW.key OR name = NEW.name"}
        for table, condition in changes.items():
            refusal = f"BEGIN SELECT RAISE(ABORT, '{table} {REFUSAL}'); END"
            op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {condition}{refusal}")
            op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refusal}")
            op.execute(
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
                f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {keys[table]}) {refusal}"
            )
        return
    op.execute(
        "CREATE FUNCTION cqvh_refuse_name() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF TG_OP = 'DELETE' OR NEW.salt IS NOT NULL OR OLD.salt IS NULL OR NEW.key <> OLD.key THEN "
        f"RAISE EXCEPTION 'audit_names {REFUSAL}'; END IF; RETURN NEW; END $$"
    )
    for table, function in {"audit_log": "cqvh_refuse", "audit_names": "cqvh_refuse_name"}.items():
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION {function}()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION cqvh_refuse()"
        )
