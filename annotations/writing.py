"""The steps that the store's transactions are made of. Only `annotations.store` calls them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from annotations import imports, queue, reading, tables
from annotations.errors import Conflict
from annotations.records import Edit, EditedMoment, Prediction
from annotations.rows import Row
from tempo_core.errors import InputError

DURATION_SLACK_MS = 1000
"""How far a moment may end beyond the annotated duration: real files differ from it by part of a second."""


def append_correction(
    connection: Connection,
    query_id: int,
    edit: Edit,
    *,
    annotator: str,
    parent_id: int | None,
    op_id: str,
    at_ms: int,
    restores_id: int | None = None,
) -> int:
    """Add the annotator's next version and bring the queue up to date; the new version's id."""
    query = reading.require_query(connection, query_id, lock=True)
    _check_within(edit, query.row.duration_s)
    before = reading.latest(connection, query_id, annotator)
    _check_parent(edit, before, parent_id, f"{annotator}'s version of query {query_id}")
    if edit.proposal_id is not None:
        _check_belongs(connection, tables.proposals, edit.proposal_id, query_id, "proposal")
    revision = 1 if before is None else before.revision + 1
    added = insert_correction(
        connection,
        edit,
        {
            "op_id": op_id,
            "query_id": query_id,
            "annotator": annotator,
            "revision": revision,
            "parent_id": parent_id,
            "restores_id": restores_id,
            "created_at_ms": at_ms,
        },
    )
    if edit.submitted:
        _finish_assignment(connection, query_id, annotator)
        queue.renew(connection, [query_id])
    return added


def insert_correction(connection: Connection, edit: Edit, numbering: dict[str, Any]) -> int:
    """The rows of one version; its id."""
    content = edit.to_dict()
    moments = content.pop("moments")
    values = {**content, **numbering, "moment_count": len(moments)}
    table = tables.corrections
    added = connection.execute(insert(table).returning(table.c.id), values).scalar_one()
    if moments:
        placed = [{**each, "correction_id": added, "position": place} for place, each in enumerate(moments)]
        connection.execute(insert(tables.correction_moments), placed)
    return added


def insert_proposal(
    connection: Connection, query_id: int, prediction: Prediction, *, op_id: str, at_ms: int
) -> int:
    """The row of one prediction; its id."""
    values = dataclasses.asdict(prediction)
    values["moments"] = [[each.start_ms, each.end_ms, each.confidence] for each in prediction.moments]
    values |= {"op_id": op_id, "query_id": query_id, "created_at_ms": at_ms}
    table = tables.proposals
    return connection.execute(insert(table).returning(table.c.id), values).scalar_one()


def append_verdict(connection: Connection, values: dict[str, Any]) -> int:
    """Add a query's next verdict and bring the queue up to date; the new verdict's id."""
    query_id, correction_id = values["query_id"], values["correction_id"]
    reading.require_query(connection, query_id, lock=True)
    _check_belongs(connection, tables.corrections, correction_id, query_id, "correction")
    if not reading.correction(connection, correction_id).edit.submitted:
        raise InputError(f"Correction {correction_id} is a draft; only a submitted one can be adopted.")
    given = reading.verdicts(connection, [query_id])[query_id]
    before = given[-1] if given else None
    _check_parent(correction_id, before, values["parent_id"], f"The verdict on query {query_id}")
    table, revision = tables.verdicts, len(given) + 1
    added = connection.execute(
        insert(table).returning(table.c.id), {**values, "revision": revision}
    ).scalar_one()
    queue.renew(connection, [query_id])
    return added


def edit_to_restore(connection: Connection, query_id: int, to_id: int | None) -> Edit:
    """The content of an older version, or of the original as an edit."""
    if to_id is not None:
        _check_belongs(connection, tables.corrections, to_id, query_id, "correction")
        return dataclasses.replace(reading.correction(connection, to_id).edit, submitted=True)
    query = reading.require_query(connection, query_id)
    if query.row.verdict is None:
        raise InputError(
            f"Query {query_id} was imported without ground truth; there is nothing to go back to."
        )
    pairs = [moment.to_ms() for moment in query.original or ()]
    moments = tuple(
        EditedMoment(start_ms=start_ms, end_ms=end_ms, start_source="original", end_source="original")
        for start_ms, end_ms in sorted(pairs)
    )
    reason = None if query.row.verdict == "moments" else query.row.reason or "the original says so"
    return Edit(verdict=query.row.verdict, moments=moments, reason=reason)


def add_versions(
    connection: Connection, rows: Sequence[Row], dataset: str, ids: dict[str, int], *, at_ms: int
) -> dict[str, int]:
    """Store the rows' `annotations`; those that an earlier import brought are recognised by their content."""
    counts, touched = {"proposals": 0, "corrections": 0}, set()
    for row in rows:
        for version in row.annotations or ():
            op_id, query_id = imports.version_op_id(dataset, row.qid, version), ids[row.qid]
            table = tables.proposals if version.source == "model" else tables.corrections
            if version.source == "original" or _exists(connection, table.c.op_id == op_id):
                continue
            if version.source == "model":
                prediction = imports.prediction_of(version)
                insert_proposal(connection, query_id, prediction, op_id=op_id, at_ms=at_ms)
            else:
                _insert_version(
                    connection, query_id, imports.edit_of(version), version.annotator, op_id, at_ms
                )
            counts[f"{table.name}"] += 1
            touched.add(query_id)
            connection.execute(insert(tables.operations), _imported(op_id, version.annotator, at_ms))
    queue.renew(connection, sorted(touched))
    return counts


def lent(connection: Connection, annotator: str, excluding: Sequence[int], at_ms: int) -> int | None:
    """The query that is on loan to the annotator and not done, if any."""
    table = tables.assignments
    statement = (
        select(table.c.query_id)
        .join(tables.queue, tables.queue.c.query_id == table.c.query_id)
        .where(table.c.annotator == annotator, ~table.c.finished, table.c.leased_until_ms > at_ms)
        .where(table.c.query_id.not_in(list(excluding)), ~tables.queue.c.adjudicated)
        .order_by(table.c.id)
        .limit(1)
    )
    return connection.execute(statement).scalar_one_or_none()


def lend(connection: Connection, query_id: int, annotator: str, until_ms: int) -> dict[str, Any]:
    """Lend a query, or lend it longer."""
    table = tables.assignments
    mine = (table.c.query_id == query_id) & (table.c.annotator == annotator)
    statement = update(table).where(mine).values(finished=False, leased_until_ms=until_ms)
    loan = {"query_id": query_id, "annotator": annotator, "leased_until_ms": until_ms}
    if connection.execute(statement).rowcount == 0:
        connection.execute(insert(table), {**loan, "finished": False})
    return loan


def _insert_version(
    connection: Connection, query_id: int, edit: Edit, annotator: str, op_id: str, at_ms: int
) -> None:
    before = reading.latest(connection, query_id, annotator)
    numbering = {
        "op_id": op_id,
        "query_id": query_id,
        "annotator": annotator,
        "revision": 1 if before is None else before.revision + 1,
        "parent_id": None if before is None else before.id,
        "restores_id": None,
        "created_at_ms": at_ms,
    }
    insert_correction(connection, edit, numbering)


def _imported(op_id: str, actor: str, at_ms: int) -> dict[str, Any]:
    done = {"op_id": op_id, "kind": "import-version", "request_sha256": op_id, "result": None}
    return {**done, "actor": actor, "created_at_ms": at_ms}


def _finish_assignment(connection: Connection, query_id: int, annotator: str) -> None:
    table = tables.assignments
    mine = (table.c.query_id == query_id) & (table.c.annotator == annotator)
    connection.execute(update(table).where(mine).values(finished=True))


def _check_parent(yours: Any, theirs: Any, parent_id: int | None, what: str) -> None:
    """Raise Conflict unless `parent_id` names the present version."""
    present = None if theirs is None else theirs.id
    if parent_id != present:
        now = "there is none" if theirs is None else f"the present one is {present}"
        raise Conflict(
            f"{what} has moved on: your change starts from {parent_id}, {now}. "
            "Compare both and send it again.",
            yours=yours,
            theirs=theirs,
            parent_id=parent_id,
        )


def _check_within(edit: Edit, duration_s: float | None) -> None:
    if duration_s is None or not edit.moments:
        return
    end_ms, limit_ms = edit.moments[-1].end_ms, round(duration_s * 1000) + DURATION_SLACK_MS
    if end_ms > limit_ms:
        raise InputError(
            f"A moment ends at {end_ms / 1000} s, but the video at {duration_s} s; cut it there."
        )


def _check_belongs(connection: Connection, table: Any, record_id: int, query_id: int, name: str) -> None:
    if not _exists(connection, (table.c.id == record_id) & (table.c.query_id == query_id)):
        raise InputError(f"There is no {name} {record_id} of query {query_id}.")


def _exists(connection: Connection, condition: Any) -> bool:
    return connection.execute(select(func.count()).where(condition)).scalar_one() > 0
