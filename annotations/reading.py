"""Reads of the store: from the rows of its tables to records. Nothing here writes.

A statement in capitals is built once: building and hashing one takes longer than SQLite takes to answer it.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import BindParameter, ColumnElement, Connection, RowMapping, Select, bindparam, func, select

from annotations import tables
from annotations.arms import Arm
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
    Video,
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


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionHead:
    """What decides the arm of the version that comes next."""

    id: int
    op_id: str
    arm: str | None
    submitted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorRow:
    """A query as one annotator's: what is needed to take an answer of theirs in."""

    query: Query
    heads: list[VersionHead]
    """Of all their versions, oldest first."""
    arm: Arm | None
    """None: not drawn yet."""
    plant: Plant | None
    video: Video | None
    """The registered clip."""


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
    row = connection.execute(QUERY, {"query_id": query_id}).one_or_none()
    if row is None:
        raise no_query(query_id)
    return _query(row)


def no_query(query_id: int) -> NotFound:
    """The error of a query id that does not exist."""
    return NotFound(f"There is no query {query_id}; list them with `python -m annotations queue`.")


def queries(connection: Connection, condition: ColumnElement[bool]) -> list[Query]:
    """The queries that meet a condition, in the order of import."""
    statement = _select_queries(condition).order_by(tables.queries.c.id)
    return [_query(row) for row in connection.execute(statement)]


def _select_queries(condition: ColumnElement[bool]) -> Select[Any]:
    table = tables.queries
    return select(table.c.id, table.c.dataset, table.c.content, table.c.raw).where(condition)


def _query(row: Any) -> Query:
    return Query(id=row.id, dataset=row.dataset, row=row_from_content(row.content, row.raw))


def _annotator_row_statement() -> Select[Any]:
    query, assignment, plant, video = tables.queries, tables.assignments, tables.plants, tables.videos
    own: BindParameter[str] = bindparam("annotator")
    joined = query.outerjoin(
        assignment, (assignment.c.query_id == query.c.id) & (assignment.c.annotator == own)
    )
    joined = joined.outerjoin(plant, (plant.c.query_id == query.c.id) & (plant.c.annotator == own))
    joined = joined.outerjoin(video, video.c.vid == query.c.vid)
    columns: list[ColumnElement[Any]] = [query.c.id, query.c.dataset, query.c.content, query.c.raw]
    columns.append(assignment.c.arm)
    # Both tables have columns of the same names, and a row of the answer is read by name.
    columns += [plant.c[name].label(f"plant_{name}") for name in _names(Plant)]
    columns += [video.c[name].label(f"video_{name}") for name in _names(Video)]
    return select(*columns).select_from(joined).where(query.c.id == bindparam("query_id"))


def annotator_row(connection: Connection, query_id: int, annotator: str) -> AnnotatorRow:
    """A query as one annotator's, in two statements. Raises NotFound."""
    parameters = {"query_id": query_id, "annotator": annotator}
    row = connection.execute(ANNOTATOR_ROW, parameters).one_or_none()
    if row is None:
        raise no_query(query_id)
    plant, video = (
        {name: row._mapping[f"{table}_{name}"] for name in _names(record_type)}
        for table, record_type in (("plant", Plant), ("video", Video))
    )
    return AnnotatorRow(
        query=_query(row),
        heads=[VersionHead(**line) for line in connection.execute(VERSION_HEADS, parameters).mappings()],
        arm=row.arm,
        plant=None if plant["query_id"] is None else _plant(plant),
        video=None if video["vid"] is None else Video(**video),
    )


def corrections(connection: Connection, query_ids: Sequence[int]) -> dict[int, list[Correction]]:
    """Corrections of each query, drafts too, oldest first; every id has an entry."""
    grouped: dict[int, list[Correction]] = {query_id: [] for query_id in query_ids}
    for ids in chunks(query_ids):
        for correction in _corrections(connection, CORRECTIONS_OF_QUERIES, query_ids=ids):
            grouped[correction.query_id].append(correction)
    return grouped


def correction(connection: Connection, correction_id: int) -> Correction:
    """One correction. Raises NotFound."""
    matches = _corrections(connection, CORRECTION, correction_id=correction_id)
    if not matches:
        raise NotFound(f"There is no correction {correction_id}.")
    return matches[0]


def latest(connection: Connection, query_id: int, annotator: str) -> Correction | None:
    """An annotator's newest version of a query, draft or not."""
    versions = _corrections(connection, LATEST, query_id=query_id, annotator=annotator)
    return versions[0] if versions else None


def proposals(connection: Connection, query_ids: Sequence[int]) -> dict[int, list[Proposal]]:
    """Proposals of each query, oldest first; every id has an entry."""
    grouped: dict[int, list[Proposal]] = {query_id: [] for query_id in query_ids}
    for ids in chunks(query_ids):
        for proposal in _proposals(connection, PROPOSALS, query_ids=ids):
            grouped[proposal.query_id].append(proposal)
    return grouped


def proposal(connection: Connection, proposal_id: int) -> Proposal:
    """One proposal. Raises NotFound."""
    matches = _proposals(connection, PROPOSAL, proposal_id=proposal_id)
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
    return [_plant(row) for row in connection.execute(statement).mappings()]


def _plant(row: Mapping[Any, Any]) -> Plant:
    return Plant(
        **_fields(Plant, row, moments=tuple((start_ms, end_ms) for start_ms, end_ms in row["moments"]))
    )


def setting(connection: Connection, name: str, default: Any = None) -> Any:
    """The stored value of a setting."""
    row = connection.execute(SETTING, {"setting": name}).one_or_none()
    return default if row is None else row.value


def records(
    connection: Connection, record_type: type[T], statement: Select[Any], **parameters: Any
) -> list[T]:
    """The rows of a statement as records whose fields are columns of the same names."""
    rows = connection.execute(statement, parameters).mappings()
    return [record_type(**_fields(record_type, row)) for row in rows]


def chunks(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """The items in order, at most `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _select_corrections(condition: ColumnElement[bool]) -> Select[Any]:
    """A line for each moment of each correction, and one for a correction without moments."""
    table, moment = tables.corrections, tables.correction_moments
    joined = table.outerjoin(moment, moment.c.correction_id == table.c.id)
    statement = select(*table.c, *(moment.c[name] for name in _names(EditedMoment))).select_from(joined)
    return statement.where(condition).order_by(table.c.id, moment.c.position)


def _corrections(connection: Connection, statement: Select[Any], **parameters: Any) -> list[Correction]:
    corrections = []
    lines = connection.execute(statement, parameters).mappings()
    for _, group in groupby(lines, key=lambda line: line["id"]):
        row, *more_rows = group
        moments = tuple(
            EditedMoment(**_fields(EditedMoment, line))
            for line in (row, *more_rows)
            if line["start_ms"] is not None
        )
        content = _fields(Edit, row, moments=moments)
        corrections.append(Correction(**_fields(Correction, row, edit=Edit(**content))))
    return corrections


def _proposals(connection: Connection, statement: Select[Any], **parameters: Any) -> list[Proposal]:
    proposals = []
    for row in connection.execute(statement, parameters).mappings():
        moments = tuple(
            ProposedMoment(start_ms=start_ms, end_ms=end_ms, confidence=confidence)
            for start_ms, end_ms, confidence in row["moments"]
        )
        prediction = Prediction(**_fields(Prediction, row, moments=moments))
        proposals.append(Proposal(**_fields(Proposal, row, prediction=prediction)))
    return proposals


def _fields(record_type: Any, row: RowMapping | Mapping[Any, Any], **values: Any) -> dict[str, Any]:
    """The fields of a record: `values` as they are, the others from the columns of the same names."""
    return {name: values[name] if name in values else row[name] for name in _names(record_type)}


@cache
def _names(record_type: Any) -> tuple[str, ...]:
    return tuple(attribute.name for attribute in dataclasses.fields(record_type))


_correction, _proposal, _later = tables.corrections, tables.proposals, tables.corrections.alias()
_of_annotator = (_correction.c.query_id == bindparam("query_id")) & (
    _correction.c.annotator == bindparam("annotator")
)
_newest = select(func.max(_later.c.revision)).where(
    _later.c.query_id == bindparam("query_id"), _later.c.annotator == bindparam("annotator")
)
QUERY = _select_queries(tables.queries.c.id == bindparam("query_id"))
ANNOTATOR_ROW = _annotator_row_statement()
VERSION_HEADS = (
    select(*(_correction.c[name] for name in _names(VersionHead)))
    .where(_of_annotator)
    .order_by(_correction.c.id)
)
CORRECTIONS_OF_QUERIES = _select_corrections(
    _correction.c.query_id.in_(bindparam("query_ids", expanding=True))
)
CORRECTION = _select_corrections(_correction.c.id == bindparam("correction_id"))
LATEST = _select_corrections(_of_annotator & (_correction.c.revision == _newest.scalar_subquery()))
_twin = tables.queries.alias()
TWIN_IDS = (
    select(tables.queries.c.id)
    .where(
        _twin.c.id == bindparam("query_id"),
        tables.queries.c.id != _twin.c.id,
        tables.queries.c.dataset == _twin.c.dataset,
        tables.queries.c.vid == _twin.c.vid,
        tables.queries.c.text_key == _twin.c.text_key,
    )
    .order_by(tables.queries.c.id)
)
PROPOSALS = (
    select(_proposal)
    .where(_proposal.c.query_id.in_(bindparam("query_ids", expanding=True)))
    .order_by(_proposal.c.id)
)
PROPOSAL = select(_proposal).where(_proposal.c.id == bindparam("proposal_id"))
SETTING = select(tables.settings.c.value).where(tables.settings.c.name == bindparam("setting"))
