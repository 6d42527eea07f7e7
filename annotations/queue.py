"""The queue: what `suspicion` says of every row, kept beside the rows and renewed as answers arrive.

Order of the queue: rows not adjudicated, fewest reviews first, then the highest suspicion score, then the
oldest row. Order of the review queue: flagged rows first, then two or more annotators, least agreement first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Select, and_, delete, exists, func, insert, or_, select, tuple_

from annotations import reading, tables
from annotations.records import Correction, Proposal, Query, latest_of_each, resolve
from annotations.suspicion import REASONS, RowFacts, Suspicion, lowest_agreement, score, suspicions
from tempo_core.errors import InputError
from tempo_core.moments import Moment

MAX_PAGE_ROWS = 1000
_LENDING = 20260118
"""Key of PostgreSQL's advisory lock; any number that nothing else uses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueFilter:
    """Which rows of the queue are wanted; None means all."""

    dataset: str | None = None
    split: str | None = None
    reason: str | None = None
    """Rows that have this suspicion."""
    with_video: bool = False
    """Only rows whose video file is registered."""
    unseen_by: str | None = None
    """Rows that this annotator has not submitted."""
    review: bool = False
    """The review queue instead: what adjudicators look at."""

    def __post_init__(self) -> None:
        if self.reason is not None and self.reason not in REASONS:
            raise InputError(f"reason is {self.reason!r}; it must be one of {', '.join(REASONS)}.")


ALL = QueueFilter()


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueItem:
    """One row of the queue with every reason for its place."""

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
    reasons: tuple[Suspicion, ...]


def renew(connection: Connection, query_ids: Sequence[int]) -> None:
    """Work out these rows' suspicions and places again, and write them (`suspicions`, `queue`).

    Rows of an archived dataset get none, also when something is said of them afterwards.
    """
    for some in reading.chunks(query_ids):
        found = reading.queries(connection, _in_use(connection, some))
        submitted = reading.newest_submitted(connection, some)
        proposed = reading.newest_proposals(connection, some)
        adopted = _adopted(connection, some)
        twins = _duplicates(connection, some)
        lines, reasons = [], []
        for query_id, query in found.items():
            facts = _facts(
                query,
                submitted[query_id],
                adopted.get(query_id),
                proposed.get(query_id),
                twins.get(query_id, 0),
            )
            because = suspicions(facts)
            lines.append(_line(query, facts, because, submitted[query_id], query_id in adopted))
            reasons += [
                {"query_id": query_id, "reason": each.reason, "number": each.number} for each in because
            ]
        for table, values in ((tables.suspicions, reasons), (tables.queue, lines)):
            connection.execute(delete(table).where(table.c.query_id.in_(some)))
            if values:
                connection.execute(insert(table), values)


def _in_use(connection: Connection, query_ids: Sequence[int]) -> list[int]:
    """Those whose dataset is not archived."""
    mine = tables.queries.join(tables.datasets, tables.datasets.c.name == tables.queries.c.dataset)
    wanted = select(tables.queries.c.id).select_from(mine).where(~tables.datasets.c.archived)
    return list(connection.execute(wanted.where(tables.queries.c.id.in_(query_ids))).scalars())


def remove_dataset(connection: Connection, dataset: str) -> None:
    """Take a dataset's rows out of the queue (its rows themselves stay)."""
    ids = select(tables.queries.c.id).where(tables.queries.c.dataset == dataset)
    for table in (tables.suspicions, tables.queue):
        connection.execute(delete(table).where(table.c.query_id.in_(ids)))


def page(
    connection: Connection, queue_filter: QueueFilter, *, limit: int, after: int | None = None
) -> list[QueueItem]:
    """The next `limit` rows of a queue, from its beginning or after a query of it. Read-only."""
    if not 1 <= limit <= MAX_PAGE_ROWS:
        raise InputError(f"A page holds 1 to {MAX_PAGE_ROWS} rows; {limit} were asked for.")
    statement = _narrow(_ordered(queue_filter.review), queue_filter)
    if after is not None:
        statement = statement.where(_beyond(connection, after, queue_filter.review))
    places = connection.execute(statement.limit(limit)).mappings().all()
    because = _reasons(connection, [place["query_id"] for place in places])
    return [QueueItem(**place, reasons=because.get(place["query_id"], ())) for place in places]


def candidate(
    connection: Connection,
    annotator: str,
    queue_filter: QueueFilter,
    *,
    answers_per_row: int,
    excluding: Sequence[int],
    now_ms: int,
) -> int | None:
    """The first open row that this annotator has not done and that others do not have in hand already.

    The caller must hold `lock_lending`, or two annotators could be given one row.
    """
    place, lease = tables.queue, tables.assignments
    taken = (
        select(func.count())
        .where(
            lease.c.query_id == place.c.query_id,
            lease.c.annotator != annotator,
            ~lease.c.finished,
            lease.c.leased_until_ms > now_ms,
        )
        .scalar_subquery()
    )
    statement = (
        _narrow(select(place.c.query_id).select_from(_joined(queue_filter)), queue_filter)
        .where(
            ~place.c.adjudicated, place.c.reviews < answers_per_row, place.c.reviews + taken < answers_per_row
        )
        .where(_unseen(annotator), place.c.query_id.not_in(list(excluding)))
        .order_by(place.c.reviews, place.c.score.desc(), place.c.query_id)
        .limit(1)
    )
    return connection.execute(statement).scalar_one_or_none()


def lock_lending(connection: Connection) -> None:
    """Let one transaction lend at a time (SQLite's write transactions are alone anyway)."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LENDING)))


def _facts(
    query: Query,
    submitted: list[Correction],
    adopted: Correction | None,
    proposal: Proposal | None,
    duplicates: int,
) -> RowFacts:
    row = query.row
    return RowFacts(
        windows=resolve(query, submitted, adopted).moments,
        duration_s=row.duration_s,
        vid=row.vid,
        clip_ids=row.relevant_clip_ids or (),
        saliency=row.saliency_scores or (),
        proposal=None if proposal is None else _proposed(proposal),
        duplicates=duplicates,
        versions=_versions(submitted),
    )


def _proposed(proposal: Proposal) -> list[tuple[Moment, float | None]]:
    moments = proposal.prediction.moments
    return [(Moment.from_ms(each.start_ms, each.end_ms), each.confidence) for each in moments]


def _versions(submitted: list[Correction]) -> list[list[Moment]]:
    newest = latest_of_each(submitted)
    return [each.edit.windows for each in newest if each.edit.verdict != "cannot-judge"]


def _line(
    query: Query, facts: RowFacts, because: list[Suspicion], submitted: list[Correction], adjudicated: bool
) -> dict[str, Any]:
    newest = latest_of_each(submitted)
    agreement = lowest_agreement(facts.versions)
    flagged = any(each.edit.flagged for each in newest)
    return {
        "query_id": query.id,
        "dataset": query.dataset,
        "split": query.row.split,
        "score": score(because),
        "reviews": len(newest),
        "agreement": agreement,
        "flagged": flagged,
        "review_rank": 0.0 if flagged else agreement,
        "adjudicated": adjudicated,
    }


def _adopted(connection: Connection, query_ids: Sequence[int]) -> dict[int, Correction]:
    """The correction that each query's newest verdict names; adopted ones may also be an older version."""
    newest = {
        query_id: given[-1] for query_id, given in reading.verdicts(connection, query_ids).items() if given
    }
    return {
        query_id: reading.correction(connection, given.correction_id) for query_id, given in newest.items()
    }


def _duplicates(connection: Connection, query_ids: Sequence[int]) -> dict[int, int]:
    """How many other rows of the same dataset have a query's video and words."""
    mine, other = tables.queries, tables.queries.alias()
    same = and_(
        other.c.vid == mine.c.vid,
        other.c.text_key == mine.c.text_key,
        other.c.dataset == mine.c.dataset,
        other.c.id != mine.c.id,
    )
    statement = (
        select(mine.c.id, func.count()).join(other, same).where(mine.c.id.in_(query_ids)).group_by(mine.c.id)
    )
    return {each[0]: each[1] for each in connection.execute(statement)}


def _reasons(connection: Connection, query_ids: Sequence[int]) -> dict[int, tuple[Suspicion, ...]]:
    table, grouped = tables.suspicions, {query_id: [] for query_id in query_ids}  # type: ignore[var-annotated]
    for some in reading.chunks(query_ids):
        for each in connection.execute(select(table).where(table.c.query_id.in_(some))):
            grouped[each.query_id].append(Suspicion(each.reason, each.number))
    ranked = {
        reason: rank for rank, reason in enumerate(sorted(REASONS, key=lambda name: -REASONS[name].weight))
    }
    return {
        query_id: tuple(sorted(found, key=lambda each: ranked[each.reason]))
        for query_id, found in grouped.items()
    }


def _ordered(review: bool) -> Select[Any]:
    place, query = tables.queue, tables.queries
    statement = (
        select(place, query.c.qid, query.c.text, query.c.vid)
        .join(query, query.c.id == place.c.query_id)
        .where(~place.c.adjudicated)
    )
    columns = [
        column for column in statement.selected_columns if column.name not in ("adjudicated", "review_rank")
    ]
    statement = statement.with_only_columns(*columns, maintain_column_froms=True)
    if review:
        known = statement.where(place.c.review_rank.is_not(None))
        return known.order_by(place.c.review_rank, place.c.query_id)
    return statement.order_by(place.c.reviews, place.c.score.desc(), place.c.query_id)


def _beyond(connection: Connection, query_id: int, review: bool) -> Any:
    """What lies after a query in the order of `_ordered`."""
    place = tables.queue
    found = connection.execute(select(place).where(place.c.query_id == query_id)).one_or_none()
    if found is None:
        raise InputError(f"Query {query_id} is not in the queue; ask for the first page again.")
    if review:
        return tuple_(place.c.review_rank, place.c.query_id) > (found.review_rank, query_id)
    key = tuple_(place.c.reviews, -place.c.score, place.c.query_id)
    return key > (found.reviews, -found.score, query_id)


def _joined(queue_filter: QueueFilter) -> Any:
    if not queue_filter.with_video:
        return tables.queue
    return tables.queue.join(tables.queries, tables.queries.c.id == tables.queue.c.query_id)


def _narrow(statement: Select[Any], queue_filter: QueueFilter) -> Select[Any]:
    place = tables.queue
    for name in ("dataset", "split"):
        if getattr(queue_filter, name) is not None:
            statement = statement.where(place.c[name] == getattr(queue_filter, name))
    if queue_filter.reason is not None:
        table = tables.suspicions
        having = (table.c.query_id == place.c.query_id) & (table.c.reason == queue_filter.reason)
        statement = statement.where(select(table.c.reason).where(having).exists())
    if queue_filter.with_video:
        known = select(tables.videos.c.id).where(tables.videos.c.vid == tables.queries.c.vid)
        statement = statement.where(known.exists())
    return statement.where(_unseen(queue_filter.unseen_by)) if queue_filter.unseen_by else statement


def _unseen(annotator: str) -> Any:
    table = tables.corrections
    mine = (
        (table.c.query_id == tables.queue.c.query_id) & (table.c.annotator == annotator) & table.c.submitted
    )
    return ~select(table.c.id).where(mine).exists()


State = Literal["any", "open", "reviewed", "several", "flagged", "adjudicated"]
STATES: tuple[State, ...] = get_args(State)
Order = Literal["import", "suspicion", "disagreement"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowseFilter:
    """Which rows are browse_filter; None and "" mean all. Archived datasets never show."""

    text: str = ""
    """Part of the query's text, of its video's name or of its id, in any case."""
    dataset: str | None = None
    split: str | None = None
    state: State = "any"
    """`several`: two or more annotators."""
    reason: str | None = None
    """Rows with this suspicion."""
    annotator: str | None = None
    """Rows that this person submitted."""
    order: Order = "import"

    def __post_init__(self) -> None:
        choices = (("state", self.state, STATES), ("order", self.order, ORDERS))
        for name, value, allowed in (*choices, ("reason", self.reason, (None, *REASONS))):
            if value not in allowed:
                shown = ", ".join(str(each) for each in allowed if each is not None)
                raise InputError(f"{name} is {value!r}; it must be one of {shown}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowseRow:
    """One row of the table."""

    query_id: int
    dataset: str
    qid: str
    text: str
    vid: str
    split: str
    duration_s: float | None
    score: float
    reviews: int
    agreement: float | None
    flagged: bool
    adjudicated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowsePage:
    """Some rows of the filtered table."""

    rows: tuple[BrowseRow, ...]
    total: int
    """Rows that fit the filter."""
    offset: int


def browse(connection: Connection, browse_filter: BrowseFilter, *, limit: int, offset: int) -> BrowsePage:
    """Rows `offset` to `offset + limit` of the filtered table. Raises InputError on a page out of bounds."""
    if not 1 <= limit <= MAX_PAGE_ROWS or offset < 0:
        raise InputError(f"A page holds 1 to {MAX_PAGE_ROWS} rows from row 0 on; got {limit} from {offset}.")
    place, query = tables.queue, tables.queries
    columns = [place.c[name] for name in ("query_id", "dataset", "split", "score", "reviews", "agreement")]
    columns += [
        place.c.flagged,
        place.c.adjudicated,
        query.c.qid,
        query.c.text,
        query.c.vid,
        query.c.duration_ms,
    ]
    ids = (
        _browse_order(_browsed(select(place.c.query_id), browse_filter), browse_filter.order)
        .limit(limit)
        .offset(offset)
    )
    total = connection.execute(_browsed(select(func.count()), browse_filter)).scalar_one()
    chosen = list(connection.execute(ids).scalars())
    joined = select(*columns).join(query, query.c.id == place.c.query_id)
    found = {
        each["query_id"]: dict(each)
        for each in connection.execute(joined.where(place.c.query_id.in_(chosen))).mappings()
    }
    return BrowsePage(
        rows=tuple(_browse_row(found[query_id]) for query_id in chosen), total=total, offset=offset
    )


def _browse_row(found: dict[str, Any]) -> BrowseRow:
    duration_ms = found.pop("duration_ms")
    return BrowseRow(**found, duration_s=None if duration_ms is None else duration_ms / 1000)


def _browsed(statement: Select[Any], browse_filter: BrowseFilter) -> Select[Any]:
    place, query = tables.queue, tables.queries
    statement = statement.select_from(place)
    if browse_filter.text:
        statement = statement.join(query, query.c.id == place.c.query_id)
        columns = (query.c.text, query.c.vid, query.c.qid)
        statement = statement.where(
            or_(*(each.icontains(browse_filter.text, autoescape=True) for each in columns))
        )
    for name in ("dataset", "split"):
        if getattr(browse_filter, name):
            statement = statement.where(place.c[name] == getattr(browse_filter, name))
    in_state = {
        "open": (place.c.reviews == 0) & ~place.c.adjudicated,
        "reviewed": place.c.reviews > 0,
        "several": place.c.reviews > 1,
        "flagged": place.c.flagged,
        "adjudicated": place.c.adjudicated,
    }
    if browse_filter.state != "any":
        statement = statement.where(in_state[browse_filter.state])
    if browse_filter.reason:
        table = tables.suspicions
        has = exists().where(table.c.query_id == place.c.query_id, table.c.reason == browse_filter.reason)
        statement = statement.where(has)
    if browse_filter.annotator:
        table = tables.corrections
        mine = (table.c.query_id == place.c.query_id) & (table.c.annotator == browse_filter.annotator)
        statement = statement.where(exists().where(mine & table.c.submitted))
    return statement


def _browse_order(statement: Select[Any], order: Order) -> Select[Any]:
    place = tables.queue
    if order == "suspicion":
        return statement.order_by(place.c.score.desc(), place.c.query_id)
    if order == "disagreement":
        return statement.order_by(place.c.agreement.is_(None), place.c.agreement, place.c.query_id)
    return statement.order_by(place.c.query_id)
