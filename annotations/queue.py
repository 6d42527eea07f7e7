"""The queue: what `suspicion` says of every row, stored beside the rows and renewed as answers arrive.

Order of the queue: rows not adjudicated, fewest reviews first, then the highest suspicion score, then the
oldest row. Order of the review queue: flagged rows first, then two or more annotators, least agreement first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
)

from annotations import tables
from annotations.proposers import is_named
from annotations.records import answering_version, check_choice, released_moments
from annotations.suspicion import BY_WEIGHT, REASONS, Suspicion, lowest_agreement, score, suspicions
from tempo_core.errors import InputError
from tempo_core.moments import Moment

MAX_PAGE_ROWS = 1000
BATCH = 500
"""Rows renewed at a time; SQLite's smallest limit for an IN list is 999."""

State = Literal["any", "open", "reviewed", "several", "flagged", "adjudicated"]
STATES: tuple[State, ...] = get_args(State)
Order = Literal["import", "suspicion", "disagreement"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFilter:
    """Which rows to list; None means all. Archived datasets never show."""

    dataset: str | None = None
    split: str | None = None
    reason: str | None = None
    """Rows that have this suspicion."""

    def __post_init__(self) -> None:
        check_choice("reason", self.reason, (None, *REASONS))


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueFilter(RowFilter):
    """Which rows of the queue to list."""

    with_video: bool = False
    """Only rows whose video file is registered."""
    unseen_by: str | None = None
    """Rows that this annotator has not submitted."""
    review: bool = False
    """The review queue instead: what adjudicators look at."""


ALL = QueueFilter()


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowseFilter(RowFilter):
    """Which rows of the store to list."""

    text: str = ""
    """Part of the query's text, of its video's name or of its id, in any case."""
    state: State = "any"
    """`several`: two or more annotators."""
    annotator: str | None = None
    """Rows that this person submitted."""
    order: Order = "import"

    def __post_init__(self) -> None:
        RowFilter.__post_init__(self)  # `super()` does not work in a class with slots
        check_choice("state", self.state, STATES)
        check_choice("order", self.order, ORDERS)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueRow:
    """One row and its place in the queue."""

    query_id: int
    dataset: str
    qid: str
    text: str
    vid: str
    split: str
    score: float
    reviews: int
    """Annotators who submitted a version."""
    agreement: float | None
    """Lowest set IoU of two annotators' versions, or None below two annotators."""
    flagged: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueItem(QueueRow):
    """One row of the queue with every reason for its place."""

    reasons: tuple[Suspicion, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowseRow(QueueRow):
    """One row of the table."""

    adjudicated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowsePage:
    """Some rows of the filtered table."""

    rows: tuple[BrowseRow, ...]
    total: int
    """Rows that fit the filter."""


def renew(connection: Connection, query_ids: Sequence[int]) -> None:
    """Work out these rows' suspicions and places again, and write them (`suspicions`, `queue`).

    Rows of an archived dataset get none, also when something is said of them afterwards.
    """
    for start in range(0, len(query_ids), BATCH):
        _renew_batch(connection, query_ids[start : start + BATCH])


def _renew_batch(connection: Connection, query_ids: Sequence[int]) -> None:
    query, twin = tables.queries, tables.queries.alias()
    proposal, verdict = tables.proposals, tables.verdicts
    correction, later, moment = tables.corrections, tables.corrections.alias(), tables.correction_moments

    # The rows, with how many others of their dataset ask the same of the same video, the newest proposal of a model
    # that is named for the dataset, and the correction that the newest verdict names.
    same_question = and_(
        twin.c.vid == query.c.vid,
        twin.c.text_key == query.c.text_key,
        twin.c.dataset == query.c.dataset,
        twin.c.id != query.c.id,
    )
    newest_proposal = select(func.max(proposal.c.id)).where(
        proposal.c.query_id == query.c.id, is_named(query.c.dataset)
    )
    adopted_id = (
        select(verdict.c.correction_id)
        .where(verdict.c.query_id == query.c.id)
        .order_by(verdict.c.revision.desc())
        .limit(1)
    )
    statement = (
        select(
            query.c.id,
            query.c.dataset,
            query.c.split,
            query.c.vid,
            query.c.content,
            select(func.count()).where(same_question).scalar_subquery().label("duplicates"),
            proposal.c.moments.label("proposed"),
            adopted_id.scalar_subquery().label("adopted_id"),
        )
        .join(tables.datasets, tables.datasets.c.name == query.c.dataset)
        .outerjoin(proposal, proposal.c.id == newest_proposal.correlate(query).scalar_subquery())
        .where(query.c.id.in_(query_ids), ~tables.datasets.c.archived)
    )
    rows = connection.execute(statement).all()

    # Each annotator's newest submitted version and the adopted ones, a line for each moment.
    is_newest = ~exists().where(
        later.c.query_id == correction.c.query_id,
        later.c.annotator == correction.c.annotator,
        later.c.submitted,
        later.c.revision > correction.c.revision,
    )
    adopted_ids = [row.adopted_id for row in rows if row.adopted_id is not None]
    statement = (
        select(
            correction.c.id,
            correction.c.query_id,
            correction.c.verdict,
            correction.c.flagged,
            is_newest.label("is_newest"),
            moment.c.start_ms,
            moment.c.end_ms,
        )
        .outerjoin(moment, moment.c.correction_id == correction.c.id)
        .where(correction.c.query_id.in_(query_ids), correction.c.submitted)
        .where(or_(is_newest, correction.c.id.in_(adopted_ids)))
        .order_by(correction.c.annotator, correction.c.id, moment.c.position)
    )
    versions: dict[int, dict[int, Any]] = {query_id: {} for query_id in query_ids}
    windows: dict[int, list[Moment]] = {}
    for line in connection.execute(statement):
        versions[line.query_id][line.id] = line
        windows.setdefault(line.id, [])
        if line.start_ms is not None:
            windows[line.id].append(Moment.from_ms(line.start_ms, line.end_ms))

    places, reasons = [], []
    for row in rows:
        content = row.content
        moments = released_moments(content.get("windows"), content.get("verdict"))
        newest = [version for version in versions[row.id].values() if version.is_newest]
        adopted = versions[row.id].get(row.adopted_id)
        answer = answering_version(newest, adopted)
        if answer is not None and answer.verdict != "cannot-judge":
            moments = windows[answer.id]
        judged = [windows[version.id] for version in newest if version.verdict != "cannot-judge"]
        proposed = None
        if row.proposed is not None:
            proposed = [(Moment.from_ms(start_ms, end_ms), share) for start_ms, end_ms, share in row.proposed]
        because = suspicions(
            windows=moments,
            duration_s=content.get("duration_s"),
            vid=row.vid,
            clip_ids=content.get("relevant_clip_ids") or (),
            saliency=content.get("saliency_scores") or (),
            proposal=proposed,
            duplicates=row.duplicates,
            versions=judged,
        )
        for suspicion in because:
            reasons.append({"query_id": row.id, "reason": suspicion.reason, "number": suspicion.number})
        agreement = lowest_agreement(judged)
        flagged = any(version.flagged for version in newest)
        places.append(
            {
                "query_id": row.id,
                "dataset": row.dataset,
                "split": row.split,
                "score": score(because),
                "reviews": len(newest),
                "agreement": agreement,
                "flagged": flagged,
                "review_rank": 0.0 if flagged else agreement,
                "adjudicated": row.adopted_id is not None,
            }
        )
    for table, values in ((tables.suspicions, reasons), (tables.queue, places)):
        connection.execute(delete(table).where(table.c.query_id.in_(query_ids)))
        if values:
            connection.execute(insert(table), values)


def page(
    connection: Connection, queue_filter: QueueFilter, *, limit: int, after: int | None = None
) -> list[QueueItem]:
    """The next `limit` rows of a queue, from its beginning or after a query of it. Read-only."""
    if not 1 <= limit <= MAX_PAGE_ROWS:
        raise InputError(f"A page holds 1 to {MAX_PAGE_ROWS} rows; {limit} were asked for.")
    place = tables.queue
    statement = _select_rows().where(~place.c.adjudicated, *_conditions(queue_filter))
    # The order, as a key that grows from row to row.
    key: list[ColumnElement[Any]]
    if queue_filter.review:
        key = [place.c.review_rank, place.c.query_id]
        statement = statement.where(place.c.review_rank.is_not(None)).order_by(*key)
    else:
        key = [place.c.reviews, -place.c.score, place.c.query_id]
        statement = statement.order_by(place.c.reviews, place.c.score.desc(), place.c.query_id)
    if after is not None:
        values = connection.execute(select(*key).where(place.c.query_id == after)).one_or_none()
        if values is None:
            raise InputError(f"Query {after} is not in the queue; ask for the first page again.")
        statement = statement.where(tuple_(*key) > tuple_(*values))
    rows = connection.execute(statement.limit(limit)).mappings().all()
    because = reasons(connection, [row["query_id"] for row in rows])
    return [QueueItem(**row, reasons=tuple(because[row["query_id"]])) for row in rows]


def reasons(connection: Connection, query_ids: Sequence[int]) -> dict[int, list[Suspicion]]:
    """Why each row looks wrong, strongest weight first; every id has an entry, empty for a row that does not.

    At most MAX_PAGE_ROWS ids.
    """
    table = tables.suspicions
    grouped: dict[int, list[Suspicion]] = {query_id: [] for query_id in query_ids}
    for row in connection.execute(select(table).where(table.c.query_id.in_(query_ids))):
        grouped[row.query_id].append(Suspicion(row.reason, row.number))
    for suspicions_of_row in grouped.values():
        suspicions_of_row.sort(key=lambda suspicion: BY_WEIGHT.index(suspicion.reason))
    return grouped


def candidate(
    connection: Connection,
    annotator: str,
    queue_filter: QueueFilter,
    *,
    answers_per_row: int,
    excluding: Sequence[int],
) -> int | None:
    """The first open row that this annotator has not done and that others do not have in hand already.

    The caller must let one transaction lend at a time, or two annotators could be given one row.
    """
    place, assignment = tables.queue, tables.assignments
    others_at_work = (
        select(func.count())
        .where(
            assignment.c.query_id == place.c.query_id,
            assignment.c.annotator != annotator,
            assignment.c.loan.is_not(None),
        )
        .scalar_subquery()
    )
    statement = (
        select(place.c.query_id)
        .where(~place.c.adjudicated, place.c.reviews < answers_per_row, *_conditions(queue_filter))
        .where(place.c.reviews + others_at_work < answers_per_row)
        .where(~is_submitted_by(annotator), place.c.query_id.not_in(excluding))
        .order_by(place.c.reviews, place.c.score.desc(), place.c.query_id)
        .limit(1)
    )
    return connection.execute(statement).scalar_one_or_none()


def is_submitted_by(annotator: str) -> ColumnElement[bool]:
    """The condition that an annotator has submitted an answer to a row of the queue."""
    table = tables.corrections
    own = (table.c.query_id == tables.queue.c.query_id) & (table.c.annotator == annotator)
    return exists().where(own, table.c.submitted)


def browse(connection: Connection, browse_filter: BrowseFilter, *, limit: int, offset: int) -> BrowsePage:
    """Rows `offset` to `offset + limit` of the filtered table. Raises InputError on a page out of bounds."""
    if not 1 <= limit <= MAX_PAGE_ROWS or offset < 0:
        raise InputError(f"A page holds 1 to {MAX_PAGE_ROWS} rows from row 0 on; got {limit} from {offset}.")
    place, query = tables.queue, tables.queries
    conditions = _conditions(browse_filter)
    if browse_filter.text:
        searched = (query.c.text, query.c.vid, query.c.qid)
        matches = or_(*(column.icontains(browse_filter.text, autoescape=True) for column in searched))
        conditions.append(exists().where(query.c.id == place.c.query_id, matches))
    if browse_filter.state != "any":
        in_state = {
            "open": (place.c.reviews == 0) & ~place.c.adjudicated,
            "reviewed": place.c.reviews > 0,
            "several": place.c.reviews > 1,
            "flagged": place.c.flagged,
            "adjudicated": place.c.adjudicated,
        }
        conditions.append(in_state[browse_filter.state])
    if browse_filter.annotator:
        conditions.append(is_submitted_by(browse_filter.annotator))
    order: dict[Order, tuple[ColumnElement[Any], ...]] = {
        "import": (place.c.query_id,),
        "suspicion": (place.c.score.desc(), place.c.query_id),
        "disagreement": (place.c.agreement.is_(None), place.c.agreement, place.c.query_id),
    }
    total = connection.execute(select(func.count()).select_from(place).where(*conditions)).scalar_one()
    # The page's ids first: only their rows are joined and read.
    ids = select(place.c.query_id).where(*conditions).order_by(*order[browse_filter.order])
    query_ids = connection.execute(ids.limit(limit).offset(offset)).scalars().all()
    statement = _select_rows(place.c.adjudicated).where(place.c.query_id.in_(query_ids))
    rows = {row["query_id"]: BrowseRow(**row) for row in connection.execute(statement).mappings()}
    return BrowsePage(rows=tuple(rows[query_id] for query_id in query_ids), total=total)


def _select_rows(*further_columns: ColumnElement[Any]) -> Select[Any]:
    """The columns of a QueueRow, and further ones."""
    place, query = tables.queue, tables.queries
    names = ("query_id", "dataset", "split", "score", "reviews", "agreement", "flagged")
    columns = [*(place.c[name] for name in names), query.c.qid, query.c.text, query.c.vid]
    return select(*columns, *further_columns).join(query, query.c.id == place.c.query_id)


def _conditions(row_filter: RowFilter) -> list[ColumnElement[bool]]:
    """What a filter asks of a row of the queue."""
    place, query, suspicion = tables.queue, tables.queries, tables.suspicions
    conditions: list[ColumnElement[bool]] = []
    if row_filter.dataset is not None:
        conditions.append(place.c.dataset == row_filter.dataset)
    if row_filter.split is not None:
        conditions.append(place.c.split == row_filter.split)
    if row_filter.reason is not None:
        has_reason = (suspicion.c.query_id == place.c.query_id) & (suspicion.c.reason == row_filter.reason)
        conditions.append(exists().where(has_reason))
    if isinstance(row_filter, QueueFilter) and row_filter.with_video:
        has_video = exists().where(query.c.id == place.c.query_id, tables.videos.c.vid == query.c.vid)
        conditions.append(has_video.correlate(place))
    if isinstance(row_filter, QueueFilter) and row_filter.unseen_by:
        conditions.append(~is_submitted_by(row_filter.unseen_by))
    return conditions
