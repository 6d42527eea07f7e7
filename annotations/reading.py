"""Reads of the store: from the rows of its tables to records. Nothing here writes."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select

from annotations import tables
from annotations.errors import NotFound
from annotations.records import (
    ADJUDICATION,
    PLANTED,
    Correction,
    Edit,
    EditedMoment,
    Plant,
    Prediction,
    Proposal,
    ProposedMoment,
    Query,
    Verdict,
    latest_of_each,
)
from annotations.rows import row_from_content

T = TypeVar("T")

BATCH = 500
"""Ids in one IN list; SQLite's smallest limit is 999."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryRecords:
    """Everything that was said about one query."""

    query: Query
    corrections: list[Correction]
    """Every version, drafts too, oldest first."""
    proposals: list[Proposal]
    """Oldest first."""
    verdicts: list[Verdict]
    """Those that stand, oldest first; the last one holds."""

    @property
    def versions(self) -> list[Correction]:
        """Each annotator's newest submitted version, by annotator; without answers to planted proposals."""
        return latest_of_each(
            version for version in self.corrections if version.edit.submitted and version.edit.arm != PLANTED
        )

    @property
    def independent_versions(self) -> list[Correction]:
        """The versions without those that adjudicators made after looking at the others."""
        return [version for version in self.versions if version.edit.arm != ADJUDICATION]

    @property
    def adopted(self) -> Correction | None:
        """The correction that the newest verdict names."""
        if not self.verdicts:
            return None
        adopted_id = self.verdicts[-1].correction_id
        return next(version for version in self.corrections if version.id == adopted_id)


def query_records(connection: Connection, query_ids: Sequence[int]) -> Iterator[QueryRecords]:
    """The records of each query, in the order of the ids, read some at a time. Raises NotFound."""
    for ids in chunks(query_ids):
        query_of = {item.id: item for item in queries(connection, tables.queries.c.id.in_(ids))}
        corrections_of = corrections(connection, ids)
        proposals_of, verdicts_of = proposals(connection, ids), verdicts(connection, ids)
        for query_id in ids:
            if query_id not in query_of:
                raise no_query(query_id)
            yield QueryRecords(
                query=query_of[query_id],
                corrections=corrections_of[query_id],
                proposals=proposals_of[query_id],
                verdicts=verdicts_of[query_id],
            )


def answered_records(connection: Connection, dataset: str | None) -> Iterator[QueryRecords]:
    """The records of the queries that somebody submitted an answer to, of one dataset or of all in use."""
    table = tables.queue
    statement = select(table.c.query_id).where(table.c.reviews > 0).order_by(table.c.query_id)
    if dataset is not None:
        statement = statement.where(table.c.dataset == dataset)
    return query_records(connection, connection.execute(statement).scalars().all())


def query(connection: Connection, query_id: int) -> Query:
    """One query. Raises NotFound."""
    matches = queries(connection, tables.queries.c.id == query_id)
    if not matches:
        raise no_query(query_id)
    return matches[0]


def no_query(query_id: int) -> NotFound:
    """The error of a query id that does not exist."""
    return NotFound(f"There is no query {query_id}; list them with `python -m annotations queue`.")


def queries(connection: Connection, condition: ColumnElement[bool]) -> list[Query]:
    """The queries that meet a condition, in the order of import."""
    statement = select(tables.queries).where(condition).order_by(tables.queries.c.id)
    return [
        Query(id=row.id, dataset=row.dataset, row=row_from_content(row.content, row.raw))
        for row in connection.execute(statement)
    ]


def corrections(connection: Connection, query_ids: Sequence[int]) -> dict[int, list[Correction]]:
    """Corrections of each query, drafts too, oldest first; every id has an entry."""
    table = tables.corrections
    grouped: dict[int, list[Correction]] = {query_id: [] for query_id in query_ids}
    for ids in chunks(query_ids):
        for correction in _corrections(connection, table.c.query_id.in_(ids)):
            grouped[correction.query_id].append(correction)
    return grouped


def correction(connection: Connection, correction_id: int) -> Correction:
    """One correction. Raises NotFound."""
    matches = _corrections(connection, tables.corrections.c.id == correction_id)
    if not matches:
        raise NotFound(f"There is no correction {correction_id}.")
    return matches[0]


def latest(connection: Connection, query_id: int, annotator: str) -> Correction | None:
    """An annotator's newest version of a query, draft or not."""
    table = tables.corrections
    own = (table.c.query_id == query_id) & (table.c.annotator == annotator)
    newest = select(func.max(table.c.revision)).where(own).correlate(None).scalar_subquery()
    versions = _corrections(connection, own & (table.c.revision == newest))
    return versions[0] if versions else None


def proposals(connection: Connection, query_ids: Sequence[int]) -> dict[int, list[Proposal]]:
    """Proposals of each query, oldest first; every id has an entry."""
    table = tables.proposals
    grouped: dict[int, list[Proposal]] = {query_id: [] for query_id in query_ids}
    for ids in chunks(query_ids):
        for proposal in _proposals(connection, table.c.query_id.in_(ids)):
            grouped[proposal.query_id].append(proposal)
    return grouped


def proposal(connection: Connection, proposal_id: int) -> Proposal:
    """One proposal. Raises NotFound."""
    matches = _proposals(connection, tables.proposals.c.id == proposal_id)
    if not matches:
        raise NotFound(f"There is no proposal {proposal_id}.")
    return matches[0]


def verdicts(connection: Connection, query_ids: Sequence[int]) -> dict[int, list[Verdict]]:
    """Verdicts of each query that stand (were not withdrawn), oldest first; every id has an entry."""
    table = tables.verdicts
    withdrawn = select(tables.verdict_withdrawals.c.verdict_id)
    grouped: dict[int, list[Verdict]] = {query_id: [] for query_id in query_ids}
    for ids in chunks(query_ids):
        statement = select(table).where(table.c.query_id.in_(ids), table.c.id.not_in(withdrawn))
        statement = statement.order_by(table.c.revision)
        for verdict in records(connection, Verdict, statement):
            grouped[verdict.query_id].append(verdict)
    return grouped


def withdrawn_verdicts(connection: Connection, query_id: int) -> list[tuple[Verdict, str]]:
    """The verdicts on a query that were taken back, oldest first, and who did it."""
    table, withdrawal = tables.verdicts, tables.verdict_withdrawals
    statement = select(withdrawal.c.verdict_id, withdrawal.c.actor).join(
        table, table.c.id == withdrawal.c.verdict_id
    )
    actors = {
        row.verdict_id: row.actor for row in connection.execute(statement.where(table.c.query_id == query_id))
    }
    of_withdrawn = select(table).where(table.c.id.in_(list(actors))).order_by(table.c.revision)
    return [(verdict, actors[verdict.id]) for verdict in records(connection, Verdict, of_withdrawn)]


def plants(connection: Connection, condition: ColumnElement[bool]) -> list[Plant]:
    """The planted proposals that meet a condition."""
    table = tables.plants
    statement = select(table).where(condition).order_by(table.c.query_id, table.c.annotator)
    return [
        Plant(**_fields(Plant, row, moments=tuple((start_ms, end_ms) for start_ms, end_ms in row["moments"])))
        for row in connection.execute(statement).mappings()
    ]


def setting(connection: Connection, name: str, default: Any = None) -> Any:
    """The stored value of a setting."""
    statement = select(tables.settings.c.value).where(tables.settings.c.name == name)
    row = connection.execute(statement).one_or_none()
    return default if row is None else row.value


def records(connection: Connection, record_type: type[T], statement: Select[Any]) -> list[T]:
    """The rows of a statement as records whose fields are columns of the same names."""
    rows = connection.execute(statement).mappings()
    return [record_type(**_fields(record_type, row)) for row in rows]


def chunks(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """The items in order, at most `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _corrections(connection: Connection, condition: ColumnElement[bool]) -> list[Correction]:
    table, moment = tables.corrections, tables.correction_moments
    moments: dict[int, list[EditedMoment]] = {}
    of_corrections = moment.c.correction_id.in_(select(table.c.id).where(condition))
    statement = select(moment).where(of_corrections).order_by(moment.c.correction_id, moment.c.position)
    for row in connection.execute(statement).mappings():
        moments.setdefault(row["correction_id"], []).append(EditedMoment(**_fields(EditedMoment, row)))
    corrections = []
    for row in connection.execute(select(table).where(condition).order_by(table.c.id)).mappings():
        content = _fields(Edit, row, moments=tuple(moments.get(row["id"], ())))
        corrections.append(Correction(**_fields(Correction, row, edit=Edit(**content))))
    return corrections


def _proposals(connection: Connection, condition: ColumnElement[bool]) -> list[Proposal]:
    table = tables.proposals
    proposals = []
    for row in connection.execute(select(table).where(condition).order_by(table.c.id)).mappings():
        moments = tuple(
            ProposedMoment(start_ms=start_ms, end_ms=end_ms, confidence=confidence)
            for start_ms, end_ms, confidence in row["moments"]
        )
        prediction = Prediction(**_fields(Prediction, row, moments=moments))
        proposals.append(Proposal(**_fields(Proposal, row, prediction=prediction)))
    return proposals


def _fields(record_type: Any, row: RowMapping, **values: Any) -> dict[str, Any]:
    """The fields of a record: `values` as they are, the others from the columns of the same names."""
    names = [attribute.name for attribute in dataclasses.fields(record_type)]
    return {name: values[name] if name in values else row[name] for name in names}
