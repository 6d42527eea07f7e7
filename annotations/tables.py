"""The tables of the store. What people and models said is append-only: triggers refuse a change.

Times of the day are integer milliseconds since 1970 in UTC (`_at_ms`); times in a video are integer
milliseconds from its first shown frame, half-open. Columns of JSON hold what is read back whole and never
searched.
The migrations in `annotations/migrations` make these tables; a test holds the two equal.
"""

from sqlalchemy import JSON as AnyJSON
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from annotations.records import EDGE_SOURCES, ROLES
from annotations.rows import SPLITS, VERDICTS

JSON = AnyJSON(none_as_null=True)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _operation() -> Column[str]:
    """The operation that a row belongs to; checked at commit, as the operation with its result is written last."""
    operation = ForeignKey("operations.op_id", deferrable=True, initially="DEFERRED")
    return Column("op_id", operation, nullable=False, unique=True)


operations = Table(
    "operations",
    metadata,
    Column("op_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("request_sha256", Text, nullable=False),  # of what the client sent: a retry sends the same
    Column("result", JSON),
    Column("actor", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

operation_log = Table(
    "operation_log",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),  # 1, 2, ... without a gap
    _operation(),
    Column("sha256", Text, nullable=False),  # of the operation and of the sha256 before it
)

datasets = Table(
    "datasets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("archived", Boolean, nullable=False),  # its rows stay, but leave the queue, snapshots and exports
)

sources = Table(
    "sources",
    metadata,
    Column("id", Integer, primary_key=True),
    _operation(),
    Column("dataset", ForeignKey("datasets.name"), nullable=False),
    Column("file_name", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("imported_at_ms", BigInteger, nullable=False),
)

queries = Table(
    "queries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source_id", ForeignKey("sources.id"), nullable=False, index=True),
    Column("dataset", ForeignKey("datasets.name"), nullable=False),
    Column("qid", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("text_key", Text, nullable=False),  # hash of the text without case and repeated spaces
    Column("vid", Text, nullable=False),
    Column("split", Text, nullable=False),
    Column("duration_ms", BigInteger),
    Column("content", JSON, nullable=False),  # the imported row's fields as given
    Column("raw", Text),  # the imported line, byte for byte
    Column("row_sha256", Text, nullable=False),  # of `content` and `raw`
    Column("filled_by", Text),  # the import that last filled what was empty; its result holds what was there
    UniqueConstraint("dataset", "qid"),
    _one_of("split", SPLITS),
    Index("ix_queries_vid_text_key", "vid", "text_key"),
)

videos = Table(
    "videos",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("vid", Text, nullable=False, unique=True),
    Column("sha256", Text, nullable=False, index=True),
    Column("path", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("modified_ns", BigInteger, nullable=False),  # with the size: whether a file must be hashed again
    Column("registered_at_ms", BigInteger, nullable=False),
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", Integer, primary_key=True),
    _operation(),
    Column("query_id", ForeignKey("queries.id"), nullable=False, index=True),
    Column("model_id", Text, nullable=False),
    Column("adapter_id", Text),
    Column("refused", Boolean, nullable=False),
    Column("relevance", Float),  # P(some moment matches), 0..1
    Column("moments", JSON, nullable=False),  # [[start_ms, end_ms, confidence or null], ...] best first
    Column("allocation", JSON),
    Column("timings", JSON),
    Column("answer", JSON),  # the complete answer as the engine wrote it
    Column("created_at_ms", BigInteger, nullable=False),
)

proposers = Table(
    "proposers",
    metadata,
    Column("dataset", ForeignKey("datasets.name"), primary_key=True),
    Column("model", Text, primary_key=True),  # `proposers.model_name` of the model, or `proposers.ANY`
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", Integer, primary_key=True),
    _operation(),
    Column("query_id", ForeignKey("queries.id"), nullable=False),
    Column("annotator", Text, nullable=False),
    Column("revision", Integer, nullable=False),  # 1, 2, ... for each query and annotator
    Column("parent_id", ForeignKey("corrections.id"), unique=True),
    Column("submitted", Boolean, nullable=False),  # false: a draft, kept but not counted
    Column("verdict", Text, nullable=False),
    Column("reason", Text),
    Column("categories", JSON, nullable=False),
    Column("edited_text", Text),
    Column("note", Text),
    Column("flagged", Boolean, nullable=False),
    Column("proposal_id", ForeignKey("proposals.id")),
    Column("restores_id", ForeignKey("corrections.id")),
    Column(
        "arm", Text
    ),  # that the answer was given in, which an earlier proposal or submission may have changed
    Column("opening", Text),
    Column("screen_reasons", JSON),
    Column("active_ms", BigInteger),
    Column("key_presses", Integer),
    Column("moment_count", Integer, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("query_id", "annotator", "revision"),
    _one_of("verdict", VERDICTS),
    CheckConstraint("(parent_id IS NULL) = (revision = 1)", name="parent"),
    Index("ix_corrections_annotator_created_at_ms", "annotator", "created_at_ms"),
)

correction_moments = Table(
    "correction_moments",
    metadata,
    Column("correction_id", ForeignKey("corrections.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("start_source", Text, nullable=False),
    Column("end_source", Text, nullable=False),
    Column("start_uncertainty_ms", BigInteger),
    Column("end_uncertainty_ms", BigInteger),
    Column("start_frame", BigInteger),
    Column("end_frame", BigInteger),
    CheckConstraint("0 <= start_ms AND start_ms < end_ms", name="order"),
    _one_of("start_source", EDGE_SOURCES),
    _one_of("end_source", EDGE_SOURCES),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Integer, primary_key=True),
    _operation(),
    Column("query_id", ForeignKey("queries.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("parent_id", ForeignKey("verdicts.id"), unique=True),
    Column("correction_id", ForeignKey("corrections.id"), nullable=False),  # the version that was adopted
    Column("adjudicator", Text, nullable=False),
    Column("note", Text),
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("query_id", "revision"),
)

verdict_withdrawals = Table(
    "verdict_withdrawals",
    metadata,
    Column("verdict_id", ForeignKey("verdicts.id"), primary_key=True),
    Column(
        "op_id",
        ForeignKey("operations.op_id", deferrable=True, initially="DEFERRED"),
        nullable=False,
        index=True,
    ),
    Column("actor", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("guidelines", Text, nullable=False),
    Column("answers_per_row", Integer, nullable=False),
    Column("second_share", Float, nullable=False),
    Column("order", Text, nullable=False),
    Column("blind_share", Float),  # null: the store's
    Column("planted_share", Float, nullable=False, server_default="0"),
    Column("end_answers", Integer),
    Column("end_day", Text),
    Column("state", Text, nullable=False),  # open, paused or closed
    Column("selection", JSON, nullable=False),  # what was asked for when the rows were chosen
    Column("created_by", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

project_rows = Table(
    "project_rows",
    metadata,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("query_id", ForeignKey("queries.id"), primary_key=True, index=True),
    Column("answers_wanted", Integer, nullable=False),
)

project_members = Table(
    "project_members",
    metadata,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("annotator", Text, primary_key=True),
)

assignments = Table(
    "assignments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("query_id", ForeignKey("queries.id"), nullable=False),
    Column("annotator", Text, nullable=False, index=True),
    Column("arm", Text),  # as drawn (`annotations.arms`); null: lent before arms were stored
    Column("project_id", ForeignKey("projects.id")),  # that the row was lent in; null: in none
    Column("loan", Text, index=True),  # the operation that lent the row; null: submitted, given back or over
    UniqueConstraint("query_id", "annotator"),
)

plants = Table(
    "plants",
    metadata,
    Column("query_id", ForeignKey("queries.id"), primary_key=True),
    Column("annotator", Text, primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column(
        "correction_id", ForeignKey("corrections.id"), nullable=False
    ),  # the decided answer it was made from
    Column("model_id", Text, nullable=False),  # under whose name it was shown
    Column("moments", JSON, nullable=False),  # [[start_ms, end_ms], ...] that were shown
    Column("created_at_ms", BigInteger, nullable=False),
)

suspicions = Table(
    "suspicions",
    metadata,
    Column("query_id", ForeignKey("queries.id"), primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("number", Float, nullable=False),
    Index("ix_suspicions_reason_query_id", "reason", "query_id"),
)

queue = Table(
    "queue",
    metadata,
    Column("query_id", ForeignKey("queries.id"), primary_key=True),
    Column("dataset", Text, nullable=False),
    Column("split", Text, nullable=False),
    Column("score", Float, nullable=False),
    Column("reviews", Integer, nullable=False),  # annotators with a submitted version
    Column("agreement", Float),  # lowest set IoU of two annotators' versions; null below two annotators
    Column("flagged", Boolean, nullable=False),
    Column("review_rank", Float),  # place in the review queue: agreement, 0 if flagged; null: not in it
    Column("adjudicated", Boolean, nullable=False),
    Index("ix_queue_open", "adjudicated", "reviews", Column("score").desc(), "query_id"),
    Index("ix_queue_review", "adjudicated", "review_rank", "query_id"),
)

gains = Table(
    "gains",
    metadata,
    Column("query_id", ForeignKey("queries.id"), primary_key=True),
    Column(
        "gain", Float, nullable=False
    ),  # expected change for a minute of work (`annotations.expected_gain`)
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", Text, nullable=False, unique=True),
    Column("path", Text, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),  # null: cannot sign in with a password
    Column("disabled", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("password_expires_at_ms", BigInteger),  # of a temporary password; null: it is the person's own
    _one_of("role", ROLES),
)

redactions = Table(
    "redactions",
    metadata,
    Column("op_id", ForeignKey("operations.op_id"), primary_key=True),  # that a name was taken out of
    Column(
        "erased_by",  # the operation that did it
        ForeignKey("operations.op_id", deferrable=True, initially="DEFERRED"),
        nullable=False,
        index=True,
    ),
    Column("sha256", Text, nullable=False),  # of what the operation says since
)

identities = Table(
    "identities",
    metadata,
    Column("issuer", Text, primary_key=True),  # of OpenID Connect, or `header`
    Column("subject", Text, primary_key=True),  # what the issuer calls the person for good
    Column("account", ForeignKey("accounts.name"), nullable=False, index=True),
    Column("created_at_ms", BigInteger, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),  # 1, 2, ... without a gap
    Column("at_ms", BigInteger, nullable=False),
    Column("action", Text, nullable=False),
    Column("actor", Text),  # a key of audit_names; null: nobody who is known
    Column("person", Text),  # a key of audit_names; null: it is about nobody
    Column("detail", JSON, nullable=False),
    Column("sha256", Text, nullable=False),  # of the entry and of the sha256 before it
)

audit_names = Table(
    "audit_names",
    metadata,
    Column("key", Text, primary_key=True),  # SHA-256 of salt and name
    Column("name", Text, nullable=False, unique=True),  # a pseudonym once the person is erased
    Column("salt", Text),  # null: erased
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),  # arm_seed, blind_share, gain_estimate
    Column("value", JSON, nullable=False),
)

APPEND_ONLY = (
    "operations",
    "operation_log",
    "sources",
    "queries",
    "proposals",
    "corrections",
    "correction_moments",
    "verdicts",
    "verdict_withdrawals",
    "plants",
    "snapshots",
    "audit_log",
    "audit_names",
    "redactions",
)
"""Tables whose rows can be neither changed nor removed; an import may fill what is empty in a query, and erasing a
person takes their name out (`annotations.people`).
"""
