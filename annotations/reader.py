"""What can be asked of a store: the reading half of `annotations.store.Store`."""

import dataclasses
from collections.abc import Callable
from typing import Self, TypeVar

from sqlalchemy import Connection, RowMapping, func, or_, select

from annotations import queue, reading, tables
from annotations.database import Database
from annotations.errors import NotFound
from annotations.queue import ALL, BrowseFilter, BrowsePage, QueueFilter, QueueItem
from annotations.records import (
    Account,
    AnnotatorProgress,
    Correction,
    Proposal,
    Query,
    ResolvedAnswer,
    Rule,
    Verdict,
    Video,
    latest_of_each,
    resolve,
)
from annotations.suspicion import REASONS, Suspicion

T = TypeVar("T")


class Reader:
    """Questions to one database. Nothing here writes."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def close(self) -> None:
        """Give the connections back."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def query(self, query_id: int) -> Query:
        """One query. Raises NotFound."""
        return self._read(lambda connection: reading.require_query(connection, query_id))

    def find(self, dataset: str, qid: str | int) -> Query:
        """A query by its dataset and its own id. Raises NotFound."""
        table = tables.queries
        statement = select(table).where(table.c.dataset == dataset, table.c.qid == str(qid))
        found = self._read(lambda connection: connection.execute(statement).mappings().one_or_none())
        if found is None:
            raise NotFound(f"Dataset {dataset!r} has no query with qid {qid}.")
        return reading.query_of(found)

    def corrections(self, query_id: int, *, drafts: bool = True) -> list[Correction]:
        """Every version of a query, oldest first."""
        return self._read(lambda connection: reading.corrections(connection, [query_id], drafts=drafts))[
            query_id
        ]

    def versions(self, query_id: int) -> list[Correction]:
        """Each annotator's newest submitted version."""
        return latest_of_each(self.corrections(query_id, drafts=False))

    def latest(self, query_id: int, annotator: str) -> Correction | None:
        """An annotator's newest version of a query, draft or not: the parent of their next one."""
        return self._read(lambda connection: reading.latest(connection, query_id, annotator))

    def correction(self, correction_id: int) -> Correction:
        """One correction. Raises NotFound."""
        return self._read(lambda connection: reading.correction(connection, correction_id))

    def proposals(self, query_id: int) -> list[Proposal]:
        """Every proposal for a query, oldest first."""
        return self._read(lambda connection: reading.proposals(connection, [query_id]))[query_id]

    def proposal(self, proposal_id: int) -> Proposal:
        """One proposal. Raises NotFound."""
        statement = select(tables.proposals).where(tables.proposals.c.id == proposal_id)
        found = self._read(lambda connection: connection.execute(statement).mappings().one_or_none())
        if found is None:
            raise NotFound(f"There is no proposal {proposal_id}.")
        return reading.proposal_of(found)

    def verdict(self, query_id: int) -> Verdict | None:
        """The present verdict on a query, if it has been adjudicated."""
        given = self.verdicts(query_id)
        return given[-1] if given else None

    def verdicts(self, query_id: int) -> list[Verdict]:
        """Every verdict on a query, oldest first."""
        return self._read(lambda connection: reading.verdicts(connection, [query_id]))[query_id]

    def resolved(self, query_id: int, rule: Rule = "latest") -> ResolvedAnswer:
        """The answer that a query has now (`records.resolve`)."""
        query, verdict = self.query(query_id), self.verdict(query_id)
        adopted = None if verdict is None else self.correction(verdict.correction_id)
        return resolve(query, self.corrections(query_id, drafts=False), adopted, rule)

    def queue(
        self, queue_filter: QueueFilter = ALL, *, limit: int = 50, after: int | None = None
    ) -> list[QueueItem]:
        """A page of the queue with the reasons for each row's place; `after` is the last row's query id."""
        return self._read(lambda connection: queue.page(connection, queue_filter, limit=limit, after=after))

    def search(self, text: str = "", *, dataset: str | None = None, limit: int = 50) -> list[Query]:
        """Queries whose text, video or id holds `text` (any case), in the order of import."""
        table = tables.queries
        columns = (table.c.text, table.c.vid, table.c.qid)
        matches = or_(*(column.icontains(text, autoescape=True) for column in columns))
        statement = select(table).where(matches).order_by(table.c.id).limit(limit)
        if dataset is not None:
            statement = statement.where(table.c.dataset == dataset)
        found = self._read(lambda connection: connection.execute(statement).mappings().all())
        return [reading.query_of(each) for each in found]

    def datasets(self) -> dict[str, bool]:
        """Every dataset's name, and whether it is archived."""
        statement = select(tables.datasets).order_by(tables.datasets.c.name)
        return {each.name: each.archived for each in self._read(lambda c: c.execute(statement).all())}

    def videos(self) -> list[Video]:
        """Every registered clip, by vid."""
        found = self._read(
            lambda c: c.execute(select(tables.videos).order_by(tables.videos.c.vid)).mappings().all()
        )
        return [_video_of(each) for each in found]

    def video(self, vid: str) -> Video | None:
        """The clip registered for a vid, if there is one; its file may have gone since."""
        statement = select(tables.videos).where(tables.videos.c.vid == vid)
        found = self._read(lambda connection: connection.execute(statement).mappings().one_or_none())
        return None if found is None else _video_of(found)

    def vids(self) -> list[str]:
        """The vid of every row of datasets that are not archived, once each, sorted."""
        mine = tables.queries.join(tables.datasets, tables.datasets.c.name == tables.queries.c.dataset)
        statement = (
            select(tables.queries.c.vid).distinct().select_from(mine).where(~tables.datasets.c.archived)
        )
        return sorted(self._read(lambda connection: connection.execute(statement).scalars().all()))

    def account(self, name: str) -> Account:
        """One account. Raises NotFound."""
        found = {account.name: account for account in self.accounts()}
        if name not in found:
            raise NotFound(f"There is no account {name!r}.")
        return found[name]

    def accounts(self) -> list[Account]:
        """Every account, by name."""
        statement = select(tables.accounts).order_by(tables.accounts.c.name)
        found = self._read(lambda connection: connection.execute(statement).mappings().all())
        names = [field.name for field in dataclasses.fields(Account)]
        return [Account(**{name: each[name] for name in names}) for each in found]

    def browse(
        self, browse_filter: BrowseFilter | None = None, *, limit: int = 50, offset: int = 0
    ) -> BrowsePage:
        """Rows `offset` to `offset + limit` of the filtered table. Raises InputError on a page out of bounds."""
        browse_filter = browse_filter or BrowseFilter()
        return self._read(
            lambda connection: queue.browse(connection, browse_filter, limit=limit, offset=offset)
        )

    def suspicions(self, query_id: int) -> list[Suspicion]:
        """Why a row looks wrong, strongest weight first; empty for a row that does not."""
        table = tables.suspicions
        statement = select(table.c.reason, table.c.number).where(table.c.query_id == query_id)
        rows = self._read(lambda connection: connection.execute(statement).all())
        reasons = [Suspicion(row.reason, row.number) for row in rows]
        return sorted(reasons, key=lambda reason: -REASONS[reason.reason].weight)

    def annotator_progress(self, annotator: str, *, answers_per_row: int) -> AnnotatorProgress:
        """How far an annotator is; rows on loan to others count as remaining."""
        place, correction = tables.queue, tables.corrections
        own = (correction.c.query_id == place.c.query_id) & (correction.c.annotator == annotator)
        is_submitted = select(correction.c.id).where(own, correction.c.submitted).exists()
        is_open = ~place.c.adjudicated & (place.c.reviews < answers_per_row)
        statement = select(
            func.count().filter(is_submitted), func.count().filter(~is_submitted, is_open)
        ).select_from(place)
        submitted, remaining = self._read(lambda connection: connection.execute(statement).one())
        return AnnotatorProgress(submitted=submitted, remaining=remaining)

    def submitted_by(self, annotator: str, *, limit: int = 50) -> list[int]:
        """Ids of the queries that an annotator submitted, the latest first."""
        table = tables.corrections
        statement = (
            select(table.c.query_id)
            .join(tables.queue, tables.queue.c.query_id == table.c.query_id)
            .where(table.c.annotator == annotator, table.c.submitted)
            .group_by(table.c.query_id)
            .order_by(func.max(table.c.id).desc())
            .limit(limit)
        )
        return list(self._read(lambda connection: connection.execute(statement).scalars().all()))

    def is_empty(self) -> bool:
        """Whether no dataset in use has a row."""
        statement = select(tables.queue.c.query_id).limit(1)
        return self._read(lambda connection: connection.execute(statement).first()) is None

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self.database.read() as connection:
            return work(connection)


def _video_of(found: RowMapping) -> Video:
    return Video(**{field.name: found[field.name] for field in dataclasses.fields(Video)})
