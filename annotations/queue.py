"""The queue, read: rows by the places and reasons that `suspicion.renew` keeps beside them.

Order of the queue: rows not adjudicated, fewest reviews first, then the highest suspicion score, then the
oldest row. Order of the review queue: flagged rows first, then two or more annotators, least agreement first.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    tuple_,
)

from annotations import tables
from annotations.records import check_choice
from annotations.suspicion import BY_WEIGHT, REASONS, Suspicion
from tempo_core.errors import InputError

MAX_PAGE_ROWS = 1000

State = Literal["any", "open", "reviewed", "several", "flagged", "adjudicated"]
STATES: tuple[State, ...] = get_args(State)
Order = Literal["import", "suspicion", "disagreement"]
ORDERS: tuple[Order, ...] = get_args(Order)
QueueOrder = Literal["suspicion", "gain"]
QUEUE_ORDERS: tuple[QueueOrder, ...] = get_args(QueueOrder)


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
    order: QueueOrder = "suspicion"
    """`gain`: most expected change for a minute of work first (`annotations.expected_gain`)."""

    def __post_init__(self) -> None:
        RowFilter.__post_init__(self)  # `super()` does not work in a class with slots
        check_choice("order", self.order, QUEUE_ORDERS)

    def to_request(self) -> dict[str, Any]:
        """JSON values of what is asked for; an order is named only where it is not the usual one, so that a retry begun
        before there were two stays the same request.
        """
        values = dataclasses.asdict(self)
        if self.order == "suspicion":
            del values["order"]
        return values


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
        rank = place.c.score if queue_filter.order == "suspicion" else expected_gain()
        key = [place.c.reviews, -rank, place.c.query_id]
        statement = statement.order_by(place.c.reviews, rank.desc(), place.c.query_id)
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
    grouped: dict[int, list[Suspicion]] = {query_id: [] for query_id in query_ids}
    for row in connection.execute(REASONS_OF, {"query_ids": list(query_ids)}):
        grouped[row.query_id].append(Suspicion(row.reason, row.number))
    for suspicions_of_row in grouped.values():
        suspicions_of_row.sort(key=lambda suspicion: BY_WEIGHT.index(suspicion.reason))
    return grouped


def candidates(
    connection: Connection,
    annotator: str,
    queue_filter: QueueFilter,
    *,
    answers_per_row: int,
    excluding: Sequence[int],
    limit: int = 1,
    only: int | None = None,
) -> list[int]:
    """The first open rows that this annotator has not done and that others do not have in hand already; `only` this
    one where it is one of them.

    Rows of projects are for those who take part. The caller must let one transaction lend at a time, or two annotators
    could be given one row.
    """
    parameters = {
        "annotator": annotator,
        "answers_per_row": answers_per_row,
        "excluding": list(excluding),
        "most": limit,
    }
    statement = _select_candidates(queue_filter, is_single=only is not None)
    if only is not None:
        parameters["only"] = only
    return list(connection.execute(statement, parameters).scalars())


@lru_cache(maxsize=64)
def _select_candidates(queue_filter: QueueFilter, *, is_single: bool) -> Select[Any]:
    place = tables.queue
    answers_per_row: BindParameter[int] = bindparam("answers_per_row")
    rank = place.c.score if queue_filter.order == "suspicion" else expected_gain()
    statement = (
        select(place.c.query_id)
        .where(~place.c.adjudicated, place.c.reviews < answers_per_row, *_conditions(queue_filter))
        .where(place.c.reviews + others_at_work() < answers_per_row, ~is_submitted_by(bindparam("annotator")))
        .where(place.c.query_id.not_in(bindparam("excluding", expanding=True)), ~is_in_project())
        .order_by(place.c.reviews, rank.desc(), place.c.query_id)
        .limit(bindparam("most"))
    )
    return statement.where(place.c.query_id == bindparam("only")) if is_single else statement


def annotator_counts(connection: Connection, annotator: str, *, answers_per_row: int) -> tuple[int, int]:
    """How many rows a person has submitted, and how many open ones of no project they have not."""
    parameters = {"annotator": annotator, "answers_per_row": answers_per_row}
    num_open = connection.execute(NUM_OPEN, parameters).scalar_one()
    submitted, submitted_and_open = connection.execute(NUM_SUBMITTED, parameters).one()
    return submitted, num_open - submitted_and_open


def others_at_work() -> ScalarSelect[int]:
    """How many others than `annotator`, a parameter, have a row of the queue in hand."""
    assignment = tables.assignments
    return (
        select(func.count())
        .where(
            assignment.c.query_id == tables.queue.c.query_id,
            assignment.c.annotator != bindparam("annotator"),
            assignment.c.loan.is_not(None),
        )
        .correlate(tables.queue)
        .scalar_subquery()
    )


def is_in_project() -> ColumnElement[bool]:
    """The condition that a row of the queue belongs to a project that is not closed."""
    table, row = tables.projects, tables.project_rows
    rows_of_projects = select(row.c.query_id).join(table, table.c.id == row.c.project_id)
    return tables.queue.c.query_id.in_(rows_of_projects.where(table.c.state != "closed"))


def expected_gain() -> ColumnElement[float]:
    """The gain of a row of the queue, 0 where it was not worked out yet."""
    gain = tables.gains
    statement = select(gain.c.gain).where(gain.c.query_id == tables.queue.c.query_id).correlate(tables.queue)
    return func.coalesce(statement.scalar_subquery(), 0.0)


def is_submitted_by(annotator: str | BindParameter[str]) -> ColumnElement[bool]:
    """The condition that an annotator has submitted an answer to a row of the queue."""
    table = tables.corrections
    own = (table.c.query_id == tables.queue.c.query_id) & (table.c.annotator == annotator)
    return exists().where(own, table.c.submitted)


def browse(connection: Connection, browse_filter: BrowseFilter, *, limit: int, offset: int) -> BrowsePage:
    """Rows `offset` to `offset + limit` of the filtered table. Raises InputError on a page out of bounds."""
    if not 1 <= limit <= MAX_PAGE_ROWS or offset < 0:
        raise InputError(f"A page holds 1 to {MAX_PAGE_ROWS} rows from row 0 on; got {limit} from {offset}.")
    place = tables.queue
    conditions = browse_conditions(browse_filter)
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


def browse_conditions(browse_filter: BrowseFilter) -> list[ColumnElement[bool]]:
    """What the filter of the table asks of a row of the queue."""
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
    return conditions


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


# Built once, as in `annotations.reading`.
_place, _correction = tables.queue, tables.corrections
_is_open = ~_place.c.adjudicated & (_place.c.reviews < bindparam("answers_per_row")) & ~is_in_project()
NUM_OPEN = select(func.count()).select_from(_place).where(_is_open)
# From the person's own versions: asking each row of the queue whether they answered it takes long in a large store.
NUM_SUBMITTED = (
    select(
        func.count(_place.c.query_id.distinct()),
        func.count(case((_is_open, _place.c.query_id)).distinct()),
    )
    .select_from(_correction.join(_place, _place.c.query_id == _correction.c.query_id))
    .where(_correction.c.annotator == bindparam("annotator"), _correction.c.submitted)
)
REASONS_OF = select(tables.suspicions).where(
    tables.suspicions.c.query_id.in_(bindparam("query_ids", expanding=True))
)
