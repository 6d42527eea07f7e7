"""What is left to do for one annotator, and why a row is in the queue. Read-only."""

from dataclasses import dataclass

from sqlalchemy import func, select

from annotations import tables
from annotations.reader import Reader
from annotations.suspicion import REASONS, Suspicion


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """How far an annotator is."""

    done: int
    """Rows of datasets in use that they have submitted."""
    left: int
    """Rows that the queue still has for them."""


def workload(store: Reader, annotator: str, *, reviews_wanted: int) -> Workload:
    """Counts over every dataset that is not archived; loans to others are not taken off."""
    place, made = tables.queue, tables.corrections
    mine = (made.c.query_id == place.c.query_id) & (made.c.annotator == annotator) & made.c.submitted
    done = select(made.c.id).where(mine).exists()
    count = select(func.count()).select_from(place)
    open_rows = ~place.c.adjudicated & (place.c.reviews < reviews_wanted)
    with store.database.read() as connection:
        return Workload(
            done=connection.execute(count.where(done)).scalar_one(),
            left=connection.execute(count.where(~done, open_rows)).scalar_one(),
        )


def reasons(store: Reader, query_id: int) -> list[Suspicion]:
    """Why a row looks wrong, strongest weight first; empty for a row that does not."""
    table = tables.suspicions
    statement = select(table.c.reason, table.c.number).where(table.c.query_id == query_id)
    with store.database.read() as connection:
        found = [Suspicion(each.reason, each.number) for each in connection.execute(statement)]
    return sorted(found, key=lambda each: -REASONS[each.reason].weight)


def submitted_by(store: Reader, annotator: str, *, limit: int = 50) -> list[int]:
    """Ids of the queries that an annotator submitted, the latest first."""
    table = tables.corrections
    newest = func.max(table.c.id)
    statement = (
        select(table.c.query_id)
        .join(tables.queue, tables.queue.c.query_id == table.c.query_id)
        .where(table.c.annotator == annotator, table.c.submitted)
        .group_by(table.c.query_id)
        .order_by(newest.desc())
        .limit(limit)
    )
    with store.database.read() as connection:
        return list(connection.execute(statement).scalars())


def is_empty(store: Reader) -> bool:
    """Whether no dataset in use has a row."""
    with store.database.read() as connection:
        return connection.execute(select(tables.queue.c.query_id).limit(1)).first() is None
