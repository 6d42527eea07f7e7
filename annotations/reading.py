"""From table rows to records and back. Every function that takes a connection only reads."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, RowMapping, Select, func, select

from annotations import tables
from annotations.errors import NotFound
from annotations.records import (
    Correction,
    Edit,
    EditedMoment,
    Prediction,
    Proposal,
    ProposedMoment,
    Query,
    Verdict,
)
from annotations.rows import row_from_content

T = TypeVar("T")

BATCH = 500
"""Ids in one IN list; SQLite's smallest limit is 999."""

_EDIT_COLUMNS = [
    field.name for field in dataclasses.fields(Edit) if field.name not in ("moments", "categories")
]
_MOMENT_COLUMNS = [field.name for field in dataclasses.fields(EditedMoment)]
_PREDICTION_COLUMNS = [field.name for field in dataclasses.fields(Prediction) if field.name != "moments"]


def chunks(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    """The items in order, at most `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def queries(connection: Connection, query_ids: Sequence[int]) -> dict[int, Query]:
    """Queries by id; those that do not exist are left out."""
    return {
        found["id"]: query_of(found)
        for found in _of_ids(connection, select(tables.queries), tables.queries.c.id, query_ids)
    }


def query_of(found: RowMapping) -> Query:
    """The record of a row of `queries`."""
    return Query(
        id=found["id"], dataset=found["dataset"], row=row_from_content(found["content"], found["raw"])
    )


def require_query(connection: Connection, query_id: int, *, lock: bool = False) -> Query:
    """One query; with `lock`, other writers of it wait until this transaction ends. Raises NotFound."""
    if lock:
        held = select(tables.queries.c.id).where(tables.queries.c.id == query_id)
        connection.execute(held.with_for_update(key_share=True))
    found = queries(connection, [query_id])
    if not found:
        raise NotFound(f"There is no query {query_id}; list them with `python -m annotations queue`.")
    return found[query_id]


def corrections(
    connection: Connection, query_ids: Sequence[int], *, drafts: bool = False
) -> dict[int, list[Correction]]:
    """Submitted corrections (with `drafts`, all) of each query, oldest first; every id has an entry."""
    statement = select(tables.corrections).order_by(tables.corrections.c.id)
    if not drafts:
        statement = statement.where(tables.corrections.c.submitted)
    return _corrections(connection, statement, query_ids)


def newest_submitted(connection: Connection, query_ids: Sequence[int]) -> dict[int, list[Correction]]:
    """Each annotator's newest submitted version of each query, without building the versions before it."""
    table, later = tables.corrections, tables.corrections.alias()
    newer = (later.c.query_id == table.c.query_id) & (later.c.annotator == table.c.annotator)
    newer &= later.c.submitted & (later.c.revision > table.c.revision)
    last = table.c.submitted & ~select(later.c.id).where(newer).exists()
    return _corrections(connection, select(table).where(last).order_by(table.c.id), query_ids)


def _corrections(
    connection: Connection, statement: Select[Any], query_ids: Sequence[int]
) -> dict[int, list[Correction]]:
    found = list(_of_ids(connection, statement, tables.corrections.c.query_id, query_ids))
    moments = correction_moments(connection, [each["id"] for each in found if each["moment_count"]])
    grouped: dict[int, list[Correction]] = {query_id: [] for query_id in query_ids}
    for each in found:
        grouped[each["query_id"]].append(correction_of(each, moments.get(each["id"], [])))
    return grouped


def correction_moments(
    connection: Connection, correction_ids: Sequence[int]
) -> dict[int, list[EditedMoment]]:
    """The moments of each correction that has some, in order."""
    table = tables.correction_moments
    statement = select(table).order_by(table.c.correction_id, table.c.position)
    grouped: dict[int, list[EditedMoment]] = {}
    for each in _of_ids(connection, statement, table.c.correction_id, correction_ids):
        moment = EditedMoment(**{name: each[name] for name in _MOMENT_COLUMNS})
        grouped.setdefault(each["correction_id"], []).append(moment)
    return grouped


def correction_of(found: RowMapping, moments: Iterable[EditedMoment]) -> Correction:
    """The record of a row of `corrections` and its moments."""
    content = {name: found[name] for name in _EDIT_COLUMNS}
    edit = Edit(**content, moments=tuple(moments), categories=tuple(found["categories"]))
    return Correction(edit=edit, **_numbering(Correction, found, "edit"))


def correction(connection: Connection, correction_id: int) -> Correction:
    """One correction. Raises NotFound."""
    statement = select(tables.corrections).where(tables.corrections.c.id == correction_id)
    found = connection.execute(statement).mappings().one_or_none()
    if found is None:
        raise NotFound(f"There is no correction {correction_id}.")
    return correction_of(found, correction_moments(connection, [correction_id]).get(correction_id, []))


def latest(connection: Connection, query_id: int, annotator: str) -> Correction | None:
    """An annotator's newest version of a query, draft or not."""
    table = tables.corrections
    statement = (
        select(table.c.id)
        .where(table.c.query_id == query_id, table.c.annotator == annotator)
        .order_by(table.c.revision.desc())
        .limit(1)
    )
    found = connection.execute(statement).scalar_one_or_none()
    return None if found is None else correction(connection, found)


def proposals(connection: Connection, query_ids: Sequence[int]) -> dict[int, list[Proposal]]:
    """Proposals of each query, oldest first; every id has an entry."""
    statement = select(tables.proposals).order_by(tables.proposals.c.id)
    grouped: dict[int, list[Proposal]] = {query_id: [] for query_id in query_ids}
    for each in _of_ids(connection, statement, tables.proposals.c.query_id, query_ids):
        grouped[each["query_id"]].append(proposal_of(each))
    return grouped


def newest_proposals(connection: Connection, query_ids: Sequence[int]) -> dict[int, Proposal]:
    """The newest proposal of each query that has one."""
    table = tables.proposals
    newest = select(func.max(table.c.id)).where(table.c.query_id.in_(query_ids)).group_by(table.c.query_id)
    found = connection.execute(select(table).where(table.c.id.in_(newest))).mappings()
    return {each["query_id"]: proposal_of(each) for each in found}


def proposal_of(found: RowMapping) -> Proposal:
    """The record of a row of `proposals`."""
    moments = tuple(
        ProposedMoment(start_ms=start_ms, end_ms=end_ms, confidence=confidence)
        for start_ms, end_ms, confidence in found["moments"]
    )
    prediction = Prediction(moments=moments, **{name: found[name] for name in _PREDICTION_COLUMNS})
    return Proposal(prediction=prediction, **_numbering(Proposal, found, "prediction"))


def verdicts(connection: Connection, query_ids: Sequence[int]) -> dict[int, list[Verdict]]:
    """Verdicts of each query, oldest first; every id has an entry."""
    statement = select(tables.verdicts).order_by(tables.verdicts.c.revision)
    grouped: dict[int, list[Verdict]] = {query_id: [] for query_id in query_ids}
    for each in _of_ids(connection, statement, tables.verdicts.c.query_id, query_ids):
        grouped[each["query_id"]].append(Verdict(**_numbering(Verdict, each)))
    return grouped


def _numbering(record: type, found: RowMapping, *but: str) -> dict[str, Any]:
    return {field.name: found[field.name] for field in dataclasses.fields(record) if field.name not in but}


def _of_ids(
    connection: Connection, statement: Select[Any], column: Any, ids: Sequence[int]
) -> Iterator[RowMapping]:
    for some in chunks(ids):
        yield from connection.execute(statement.where(column.in_(some))).mappings()
