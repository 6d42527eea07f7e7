"""The log of operations, chained: how many there were, and whether one was changed or removed."""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

REFUSAL = "is append-only: add a new version instead of changing or removing an old one"
FIELDS = ("op_id", "kind", "request_sha256", "result", "actor", "created_at_ms")


def upgrade() -> None:
    log = op.create_table(
        "operation_log",
        sa.Column("position", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["op_id"],
            ["operations.op_id"],
            name=op.f("fk_operation_log_op_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_operation_log")),
        sa.UniqueConstraint("op_id", name=op.f("uq_operation_log_op_id")),
    )
    _log_present_operations(log)
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER operation_log_no_{verb.lower()} BEFORE {verb} ON operation_log "
                f"BEGIN SELECT RAISE(ABORT, 'operation_log {REFUSAL}'); END"
            )
        op.execute(
            "CREATE TRIGGER operation_log_no_replace BEFORE INSERT ON operation_log "
            "WHEN EXISTS (SELECT 1 FROM operation_log WHERE position = NEW.position OR op_id = NEW.op_id) "
            f"BEGIN SELECT RAISE(ABORT, 'operation_log {REFUSAL}'); END"
        )
    else:
        op.execute(
            "CREATE TRIGGER operation_log_append_only BEFORE UPDATE OR DELETE ON operation_log "
            "FOR EACH ROW EXECUTE FUNCTION cqvh_refuse()"
        )
        op.execute(
            "CREATE TRIGGER operation_log_no_truncate BEFORE TRUNCATE ON operation_log "
            "FOR EACH STATEMENT EXECUTE FUNCTION cqvh_refuse()"
        )


def _log_present_operations(log: sa.Table) -> None:
    """Give the operations of an older database their places, in the order in which they were written."""
    operations = sa.Table(
        "operations",
        sa.MetaData(),
        *(sa.Column(name, sa.Text()) for name in ("op_id", "kind", "request_sha256", "actor")),
        sa.Column("result", sa.JSON(none_as_null=True)),
        sa.Column("created_at_ms", sa.BigInteger()),
    )
    connection = op.get_bind()
    # SQLite numbers rows as they come; PostgreSQL does not, so its order is the clock's.
    written: list[sa.ColumnElement[Any]] = [sa.literal_column("rowid")] if connection.dialect.name == "sqlite" else []
    order = [*written, operations.c.created_at_ms, operations.c.op_id]
    before, places = "", []
    for position, row in enumerate(connection.execute(sa.select(operations).order_by(*order)), start=1):
        values = [before, *(getattr(row, name) for name in FIELDS)]
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
        before = hashlib.sha256(text.encode()).hexdigest()
        places.append({"position": position, "op_id": row.op_id, "sha256": before})
    for first in range(0, len(places), 1000):
        connection.execute(sa.insert(log), places[first : first + 1000])
