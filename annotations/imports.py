"""Rows of a file into the store: new ones added, known ones recognised, contradictions refused as a whole."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from annotations import queue, reading, tables
from annotations.records import Edit, EditedMoment, Prediction, ProposedMoment, check_text, digest
from annotations.rows import AnnotatorVersion, Row, row_content, row_from_content
from tempo_core.errors import InputError
from tempo_core.moments import Moment

SHOWN = 5
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
    """Rows given."""
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
    _check(rows)
    known = _known(connection, rows, dataset)
    _refuse_contradictions(rows, known, dataset)
    fresh = [row for row in rows if row.qid not in known]
    if fresh:
        _insert(connection, fresh, dataset, source)
    ids = _ids(connection, rows, dataset)
    if fresh:
        vids = sorted({row.vid for row in fresh})
        queue.renew(connection, _ids_on_videos(connection, vids, dataset))
    return {"added": len(fresh), "unchanged": len(rows) - len(fresh), "ids": ids}


def prediction_of(version: AnnotatorVersion) -> Prediction:
    """A model's version as a prediction. Scores outside 0..1 are no probabilities and are left out."""
    scores = version.scores or (None,) * len(version.windows)
    moments = []
    for (start_s, end_s), value in zip(version.windows, scores, strict=True):
        start_ms, end_ms = Moment(start_s, end_s).to_ms()
        confidence = value if value is not None and 0 <= value <= 1 else None
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
    kept = tuple(moments) if verdict == "moments" else ()
    reason = version.reason or (None if verdict == "moments" else "imported without a reason")
    return Edit(verdict=verdict, moments=kept, reason=reason, arm=version.arm, active_ms=version.active_ms)


def version_op_id(dataset: str, qid: str, version: AnnotatorVersion) -> str:
    """The operation id of an imported version: the same version has the same one, whatever file it is in."""
    content: list[object] = [dataset, qid, version.source, version.annotator, version.windows, version.scores]
    content += [version.verdict, version.reason, version.saliency, version.arm, version.active_ms]
    return f"import:{digest(content)}"


def _check(rows: Iterable[Row]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.qid in seen:
            raise InputError(f"qid {row.qid} comes twice in what is imported; a query id must be unique.")
        seen.add(row.qid)
        check_text(f"The query of qid {row.qid}", row.query)
        check_text(f"The vid of qid {row.qid}", row.vid)


def _known(connection: Connection, rows: Sequence[Row], dataset: str) -> dict[str, Row]:
    table, found = tables.queries, {}
    for some in reading.chunks([row.qid for row in rows]):
        statement = select(table.c.qid, table.c.content).where(
            table.c.dataset == dataset, table.c.qid.in_(some)
        )
        for qid, content in connection.execute(statement):
            found[qid] = row_from_content(content, None)
    return found


def _refuse_contradictions(rows: Iterable[Row], known: dict[str, Row], dataset: str) -> None:
    clashes = []
    for row in rows:
        stored = known.get(row.qid)
        names = [] if stored is None else [name for name in _COMPARED if _differs(stored, row, name)]
        if names:
            clashes.append(f"qid {row.qid} ({', '.join(names)})")
    if clashes:
        more = f" and {len(clashes) - SHOWN} more" if len(clashes) > SHOWN else ""
        raise InputError(
            f"{dataset!r} already holds other content for {', '.join(clashes[:SHOWN])}{more}; nothing "
            "was imported. Originals are never overwritten: use another dataset name for this file."
        )


def _differs(stored: Row, row: Row, name: str) -> bool:
    """Whether the new row says something else; what it leaves out contradicts nothing."""
    given = getattr(row, name)
    return given is not None and given != getattr(stored, name)


def _insert(connection: Connection, rows: Sequence[Row], dataset: str, source: dict[str, Any]) -> None:
    if connection.execute(select(tables.datasets).where(tables.datasets.c.name == dataset)).first() is None:
        connection.execute(insert(tables.datasets), {"name": dataset, "archived": False})
    source_id = connection.execute(insert(tables.sources).returning(tables.sources.c.id), source).scalar_one()
    for some in reading.chunks(rows, 5000):
        connection.execute(insert(tables.queries), [_values(row, dataset, source_id) for row in some])


def _values(row: Row, dataset: str, source_id: int) -> dict[str, Any]:
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


def _ids(connection: Connection, rows: Sequence[Row], dataset: str) -> dict[str, int]:
    table = tables.queries
    found: dict[str, int] = {}
    for some in reading.chunks([row.qid for row in rows]):
        statement = select(table.c.qid, table.c.id).where(table.c.dataset == dataset, table.c.qid.in_(some))
        found.update((each.qid, each.id) for each in connection.execute(statement))
    return found


def _ids_on_videos(connection: Connection, vids: Sequence[str], dataset: str) -> list[int]:
    """All queries on these videos: a new row can make an old one a duplicate."""
    table = tables.queries
    found: list[int] = []
    for some in reading.chunks(vids):
        found += connection.execute(
            select(table.c.id).where(table.c.dataset == dataset, table.c.vid.in_(some))
        ).scalars()
    return sorted(found)
