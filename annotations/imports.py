"""Rows of a file into the store: new ones added, known ones recognised, contradictions refused as a whole."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from annotations import queue, reading, tables
from annotations.records import Edit, EditedMoment, Prediction, ProposedMoment, check_text, digest
from annotations.rows import AnnotatorVersion, Row, row_content, row_from_content
from tempo_core.errors import InputError
from tempo_core.moments import Moment

LISTED_CLASHES = 5
"""Contradicting rows that an error names."""
_COMPARED = (
    "query",
    "vid",
    "duration_s",
    "windows",
    "verdict",
    "relevant_clip_ids",
    "saliency_scores",
    "original_windows",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportReport:
    """What an import changed."""

    rows: int
    """Rows of the file."""
    added: int
    unchanged: int
    """Rows that the store already had, saying the same."""
    proposals: int = 0
    """Models' versions added (the rows' `annotations`)."""
    corrections: int = 0
    """Annotators' versions added."""


def text_key(text: str) -> str:
    """A short key that two wordings share when they differ in case and spaces only."""
    return digest(" ".join(text.casefold().split()))[:32]


def add_rows(
    connection: Connection, rows: Sequence[Row], *, dataset: str, source: dict[str, Any]
) -> dict[str, Any]:
    """Add what is new of `rows`; all or nothing within the caller's transaction.

    Returns the counts `added` and `unchanged`, and `ids`: the query's id for each qid. Raises InputError on a
    qid given twice, or on rows that contradict stored ones.
    """
    repeated = [qid for qid, count in Counter(row.qid for row in rows).items() if count > 1]
    if repeated:
        raise InputError(f"qid {repeated[0]} comes twice in what is imported; a query id must be unique.")
    for row in rows:
        check_text(f"The query of qid {row.qid}", row.query)
        check_text(f"The vid of qid {row.qid}", row.vid)

    # Rows that the store has must say what it says; a field that the new row leaves out contradicts nothing.
    table = tables.queries
    qids = [row.qid for row in rows]
    stored: dict[str, Row] = {}
    for batch in reading.chunks(qids):
        statement = select(table.c.qid, table.c.content).where(
            table.c.dataset == dataset, table.c.qid.in_(batch)
        )
        stored |= {qid: row_from_content(content, None) for qid, content in connection.execute(statement)}
    clashes = []
    for row in rows:
        if row.qid in stored:
            names = [
                name for name in _COMPARED if getattr(row, name) not in (None, getattr(stored[row.qid], name))
            ]
            if names:
                clashes.append(f"qid {row.qid} ({', '.join(names)})")
    if clashes:
        rest = len(clashes) - LISTED_CLASHES
        listing = ", ".join(clashes[:LISTED_CLASHES]) + (f" and {rest} more" if rest > 0 else "")
        raise InputError(
            f"{dataset!r} already holds other content for {listing}; nothing was imported. Originals are "
            "never overwritten: use another dataset name for this file."
        )

    new_rows = [row for row in rows if row.qid not in stored]
    if new_rows:
        datasets = tables.datasets
        if connection.execute(select(datasets).where(datasets.c.name == dataset)).first() is None:
            connection.execute(insert(datasets), {"name": dataset, "archived": False})
        source_id = connection.execute(
            insert(tables.sources).returning(tables.sources.c.id), source
        ).scalar_one()
        for some_rows in reading.chunks(new_rows, 5000):
            connection.execute(insert(table), [_columns(row, dataset, source_id) for row in some_rows])
    ids: dict[str, int] = {}
    for batch in reading.chunks(qids):
        statement = select(table.c.qid, table.c.id).where(table.c.dataset == dataset, table.c.qid.in_(batch))
        ids.update((qid, query_id) for qid, query_id in connection.execute(statement))

    # All queries on these videos: a new row can make an old one a duplicate.
    affected: list[int] = []
    for batch in reading.chunks(sorted({row.vid for row in new_rows})):
        statement = select(table.c.id).where(table.c.dataset == dataset, table.c.vid.in_(batch))
        affected += connection.execute(statement).scalars()
    if affected:
        queue.renew(connection, sorted(affected))
    return {"added": len(new_rows), "unchanged": len(rows) - len(new_rows), "ids": ids}


def _columns(row: Row, dataset: str, source_id: int) -> dict[str, Any]:
    content = row_content(row)
    return {
        "source_id": source_id,
        "dataset": dataset,
        "qid": row.qid,
        "text": row.query,
        "text_key": text_key(row.query),
        "vid": row.vid,
        "split": row.split,
        "duration_ms": None if row.duration_s is None else round(row.duration_s * 1000),
        "content": content,
        "raw": row.raw,
        "row_sha256": digest([content, row.raw]),
    }


def prediction_of(version: AnnotatorVersion) -> Prediction:
    """A model's version as a prediction. Scores outside 0..1 are no probabilities and are left out."""
    scores = version.scores or (None,) * len(version.windows)
    moments = []
    for (start_s, end_s), score in zip(version.windows, scores, strict=True):
        start_ms, end_ms = Moment(start_s, end_s).to_ms()
        confidence = score if score is not None and 0 <= score <= 1 else None
        moments.append(ProposedMoment(start_ms=start_ms, end_ms=end_ms, confidence=confidence))
    answer = {"scores": list(version.scores)} if version.scores else {}
    if version.saliency is not None:
        answer["saliency"] = list(version.saliency)
    return Prediction(model_id=version.annotator, moments=tuple(moments), answer=answer or None)


def edit_of(version: AnnotatorVersion) -> Edit:
    """An annotator's version as an edit; its edges count as set by hand."""
    moments = []
    for start_s, end_s in sorted(version.windows):
        start_ms, end_ms = Moment(start_s, end_s).to_ms()
        moments.append(EditedMoment(start_ms=start_ms, end_ms=end_ms))
    verdict = version.verdict or "no-moment"
    has_moments = verdict == "moments"
    return Edit(
        verdict=verdict,
        moments=tuple(moments) if has_moments else (),
        reason=version.reason or (None if has_moments else "imported without a reason"),
        arm=version.arm,
        active_ms=version.active_ms,
    )


def version_op_id(dataset: str, qid: str, version: AnnotatorVersion) -> str:
    """The operation id of an imported version: the same version has the same one, whatever file it is in."""
    content: list[object] = [dataset, qid, version.source, version.annotator, version.windows, version.scores]
    content += [version.verdict, version.reason, version.saliency, version.arm, version.active_ms]
    return f"import:{digest(content)}"
