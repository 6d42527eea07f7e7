"""A page of the store's rows under a filter, with how many there are. Read-only; the database does the work."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Select, exists, func, or_, select

from annotations import tables
from annotations.queue import LONGEST_PAGE
from annotations.store import Store
from annotations.suspicion import REASONS
from tempo_core.errors import InputError

State = Literal["any", "open", "reviewed", "several", "flagged", "adjudicated"]
STATES: tuple[State, ...] = get_args(State)
Order = Literal["import", "suspicion", "disagreement"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowseFilter:
    """Which rows are wanted; None and "" mean all. Archived datasets never show."""

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


def browse(
    store: Store, wanted: BrowseFilter | None = None, *, limit: int = 50, offset: int = 0
) -> BrowsePage:
    """Rows `offset` to `offset + limit` of the filtered table. Raises InputError on a page out of bounds."""
    wanted = wanted or BrowseFilter()
    if not 1 <= limit <= LONGEST_PAGE or offset < 0:
        raise InputError(f"A page holds 1 to {LONGEST_PAGE} rows from row 0 on; got {limit} from {offset}.")
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
    ids = _ordered(_narrowed(select(place.c.query_id), wanted), wanted.order).limit(limit).offset(offset)
    with store.database.read() as connection:
        total = connection.execute(_narrowed(select(func.count()), wanted)).scalar_one()
        chosen = list(connection.execute(ids).scalars())
        joined = select(*columns).join(query, query.c.id == place.c.query_id)
        found = {
            each["query_id"]: dict(each)
            for each in connection.execute(joined.where(place.c.query_id.in_(chosen))).mappings()
        }
    return BrowsePage(rows=tuple(_row(found[query_id]) for query_id in chosen), total=total, offset=offset)


def _row(found: dict[str, Any]) -> BrowseRow:
    duration_ms = found.pop("duration_ms")
    return BrowseRow(**found, duration_s=None if duration_ms is None else duration_ms / 1000)


def _narrowed(statement: Select[Any], wanted: BrowseFilter) -> Select[Any]:
    place, query = tables.queue, tables.queries
    statement = statement.select_from(place)
    if wanted.text:
        statement = statement.join(query, query.c.id == place.c.query_id)
        columns = (query.c.text, query.c.vid, query.c.qid)
        statement = statement.where(or_(*(each.icontains(wanted.text, autoescape=True) for each in columns)))
    for name in ("dataset", "split"):
        if getattr(wanted, name):
            statement = statement.where(place.c[name] == getattr(wanted, name))
    in_state = {
        "open": (place.c.reviews == 0) & ~place.c.adjudicated,
        "reviewed": place.c.reviews > 0,
        "several": place.c.reviews > 1,
        "flagged": place.c.flagged,
        "adjudicated": place.c.adjudicated,
    }
    if wanted.state != "any":
        statement = statement.where(in_state[wanted.state])
    if wanted.reason:
        table = tables.suspicions
        has = exists().where(table.c.query_id == place.c.query_id, table.c.reason == wanted.reason)
        statement = statement.where(has)
    if wanted.annotator:
        table = tables.corrections
        mine = (table.c.query_id == place.c.query_id) & (table.c.annotator == wanted.annotator)
        statement = statement.where(exists().where(mine & table.c.submitted))
    return statement


def _ordered(statement: Select[Any], order: Order) -> Select[Any]:
    place = tables.queue
    if order == "suspicion":
        return statement.order_by(place.c.score.desc(), place.c.query_id)
    if order == "disagreement":
        return statement.order_by(place.c.agreement.is_(None), place.c.agreement, place.c.query_id)
    return statement.order_by(place.c.query_id)
