"""Begin the store: every table, and the triggers that keep what people and models said as it was said."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = (
    "operations",
    "sources",
    "queries",
    "proposals",
    "corrections",
    "correction_moments",
    "verdicts",
    "snapshots",
)
REFUSAL = "is append-only: add a new version instead of changing or removing an old one"

# SQLite's REPLACE removes rows without running delete triggers, hence the insert triggers.
SQLITE_KEYS = {
    "operations": "op_id = NEW.op_id",
    "correction_moments": "correction_id = NEW.correction_id AND position = NEW.position",
}
SQLITE_OPERATED = ("sources", "proposals", "corrections", "verdicts")
SQLITE_FURTHER_KEYS = {
    "queries": "dataset = NEW.dataset AND qid = NEW.qid",
    "corrections": "query_id = NEW.query_id AND annotator = NEW.annotator AND revision = NEW.revision OR parent_id = NEW.parent_id",
    "verdicts": "query_id = NEW.query_id AND revision = NEW.revision OR parent_id = NEW.parent_id",
    "snapshots": "sha256 = NEW.sha256",
}


def _protect_sqlite() -> None:
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} {REFUSAL}'); END"
            )
        keys = [SQLITE_KEYS.get(table, "id = NEW.id")]
        keys += ["op_id = NEW.op_id"] if table in SQLITE_OPERATED else []
        keys += [SQLITE_FURTHER_KEYS[table]] if table in SQLITE_FURTHER_KEYS else []
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {' OR '.join(keys)}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} {REFUSAL}'); END"
        )
    op.execute(
        "CREATE TRIGGER correction_moments_no_late_insert BEFORE INSERT ON correction_moments "
        "WHEN NEW.position >= (SELECT moment_count FROM corrections WHERE id = NEW.correction_id) "
        f"BEGIN SELECT RAISE(ABORT, 'correction_moments {REFUSAL}'); END"
    )


def _protect_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION cqvh_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '% {REFUSAL}', TG_TABLE_NAME; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION cqvh_refuse()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION cqvh_refuse()"
        )
    op.execute(
        "CREATE FUNCTION cqvh_refuse_late_moment() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.position >= (SELECT moment_count FROM corrections WHERE id = NEW.correction_id) THEN "
        f"RAISE EXCEPTION '% {REFUSAL}', TG_TABLE_NAME; END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER correction_moments_no_late_insert BEFORE INSERT ON correction_moments "
        "FOR EACH ROW EXECUTE FUNCTION cqvh_refuse_late_moment()"
    )


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "role IN ('visitor', 'annotator', 'adjudicator', 'researcher', 'administrator')",
            name=op.f("ck_accounts_role"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
    )
    op.create_table(
        "datasets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_datasets")),
    )
    op.create_table(
        "operations",
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("request_sha256", sa.Text(), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("op_id", name=op.f("pk_operations")),
    )
    op.create_table(
        "snapshots",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("counts", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshots")),
        sa.UniqueConstraint("sha256", name=op.f("uq_snapshots_sha256")),
    )
    op.create_table(
        "videos",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("vid", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("modified_ns", sa.BigInteger(), nullable=False),
        sa.Column("registered_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_videos")),
        sa.UniqueConstraint("vid", name=op.f("uq_videos_vid")),
    )
    op.create_index(op.f("ix_videos_sha256"), "videos", ["sha256"], unique=False)
    op.create_table(
        "sources",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("imported_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.name"], name=op.f("fk_sources_dataset")),
        sa.ForeignKeyConstraint(
            ["op_id"],
            ["operations.op_id"],
            name=op.f("fk_sources_op_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("op_id", name=op.f("uq_sources_op_id")),
    )
    op.create_table(
        "queries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("qid", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_key", sa.Text(), nullable=False),
        sa.Column("vid", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("content", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("raw", sa.Text(), nullable=True),
        sa.Column("row_sha256", sa.Text(), nullable=False),
        sa.CheckConstraint("split IN ('train', 'val', 'test', 'unknown')", name=op.f("ck_queries_split")),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.name"], name=op.f("fk_queries_dataset")),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_queries_source_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queries")),
        sa.UniqueConstraint("dataset", "qid", name=op.f("uq_queries_dataset_qid")),
    )
    op.create_index(op.f("ix_queries_source_id"), "queries", ["source_id"], unique=False)
    op.create_index("ix_queries_vid_text_key", "queries", ["vid", "text_key"], unique=False)
    op.create_table(
        "assignments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=True),
        sa.Column("leased_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_assignments_query_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
        sa.UniqueConstraint("query_id", "annotator", name=op.f("uq_assignments_query_id_annotator")),
    )
    op.create_index(
        "ix_assignments_annotator_finished", "assignments", ["annotator", "finished"], unique=False
    )
    op.create_table(
        "proposals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("adapter_id", sa.Text(), nullable=True),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("relevance", sa.Float(), nullable=True),
        sa.Column("moments", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("allocation", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("timings", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("answer", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["op_id"],
            ["operations.op_id"],
            name=op.f("fk_proposals_op_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_proposals_query_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposals")),
        sa.UniqueConstraint("op_id", name=op.f("uq_proposals_op_id")),
    )
    op.create_index(op.f("ix_proposals_query_id"), "proposals", ["query_id"], unique=False)
    op.create_table(
        "queue",
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("reviews", sa.Integer(), nullable=False),
        sa.Column("agreement", sa.Float(), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("review_rank", sa.Float(), nullable=True),
        sa.Column("adjudicated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_queue_query_id")),
        sa.PrimaryKeyConstraint("query_id", name=op.f("pk_queue")),
    )
    op.create_index("ix_queue_review", "queue", ["adjudicated", "review_rank", "query_id"], unique=False)
    op.create_index(
        "ix_queue_open",
        "queue",
        ["adjudicated", "reviews", sa.literal_column("score DESC"), "query_id"],
        unique=False,
    )
    op.create_table(
        "suspicions",
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("number", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_suspicions_query_id")),
        sa.PrimaryKeyConstraint("query_id", "reason", name=op.f("pk_suspicions")),
    )
    op.create_index("ix_suspicions_reason_query_id", "suspicions", ["reason", "query_id"], unique=False)
    op.create_table(
        "corrections",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("submitted", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("categories", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("edited_text", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("proposal_id", sa.Integer(), nullable=True),
        sa.Column("restores_id", sa.Integer(), nullable=True),
        sa.Column("arm", sa.Text(), nullable=True),
        sa.Column("active_ms", sa.BigInteger(), nullable=True),
        sa.Column("key_presses", sa.Integer(), nullable=True),
        sa.Column("moment_count", sa.Integer(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('moments', 'no-moment', 'cannot-judge')", name=op.f("ck_corrections_verdict")
        ),
        sa.CheckConstraint("(parent_id IS NULL) = (revision = 1)", name=op.f("ck_corrections_parent")),
        sa.ForeignKeyConstraint(
            ["op_id"],
            ["operations.op_id"],
            name=op.f("fk_corrections_op_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["corrections.id"], name=op.f("fk_corrections_parent_id")),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposals.id"], name=op.f("fk_corrections_proposal_id")),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_corrections_query_id")),
        sa.ForeignKeyConstraint(["restores_id"], ["corrections.id"], name=op.f("fk_corrections_restores_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corrections")),
        sa.UniqueConstraint("op_id", name=op.f("uq_corrections_op_id")),
        sa.UniqueConstraint("parent_id", name=op.f("uq_corrections_parent_id")),
        sa.UniqueConstraint(
            "query_id", "annotator", "revision", name=op.f("uq_corrections_query_id_annotator_revision")
        ),
    )
    op.create_index(
        "ix_corrections_annotator_created_at_ms", "corrections", ["annotator", "created_at_ms"], unique=False
    )
    op.create_table(
        "correction_moments",
        sa.Column("correction_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("start_source", sa.Text(), nullable=False),
        sa.Column("end_source", sa.Text(), nullable=False),
        sa.Column("start_uncertainty_ms", sa.BigInteger(), nullable=True),
        sa.Column("end_uncertainty_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "end_source IN ('original', 'model', 'snap', 'hand')",
            name=op.f("ck_correction_moments_end_source"),
        ),
        sa.CheckConstraint(
            "start_source IN ('original', 'model', 'snap', 'hand')",
            name=op.f("ck_correction_moments_start_source"),
        ),
        sa.CheckConstraint("0 <= start_ms AND start_ms < end_ms", name=op.f("ck_correction_moments_order")),
        sa.ForeignKeyConstraint(
            ["correction_id"], ["corrections.id"], name=op.f("fk_correction_moments_correction_id")
        ),
        sa.PrimaryKeyConstraint("correction_id", "position", name=op.f("pk_correction_moments")),
    )
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("op_id", sa.Text(), nullable=False),
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("correction_id", sa.Integer(), nullable=False),
        sa.Column("adjudicator", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["correction_id"], ["corrections.id"], name=op.f("fk_verdicts_correction_id")
        ),
        sa.ForeignKeyConstraint(
            ["op_id"],
            ["operations.op_id"],
            name=op.f("fk_verdicts_op_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["verdicts.id"], name=op.f("fk_verdicts_parent_id")),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_verdicts_query_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
        sa.UniqueConstraint("op_id", name=op.f("uq_verdicts_op_id")),
        sa.UniqueConstraint("parent_id", name=op.f("uq_verdicts_parent_id")),
        sa.UniqueConstraint("query_id", "revision", name=op.f("uq_verdicts_query_id_revision")),
    )

    if op.get_bind().dialect.name == "sqlite":
        _protect_sqlite()
    else:
        _protect_postgresql()
