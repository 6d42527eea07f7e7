"""Rows of a file into the store: new ones added, known ones recognised, contradictions refused as a whole."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy import update as update_table

from annotations import reading, suspicion, tables
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
    empty: Mapping[str, int] = field(default_factory=dict)
    """Field → known rows that lack it and that the file could fill; only an import with `update` fills them."""
    filled: Mapping[str, int] = field(default_factory=dict)
    """Field → known rows in which the import filled it."""
    other_split: int = 0
    """Known rows that the file has in another split; they stay where they are."""


def text_key(text: str) -> str:
    """A short key that two wordings share when they differ in case and spaces only."""
    return digest(" ".join(text.casefold().split()))[:32]


def add_rows(
    connection: Connection,
    rows: Sequence[Row],
    *,
    dataset: str,
    source: dict[str, Any],
    update: bool = False,
    rounding_s: float = 0.0,
) -> dict[str, Any]:
    """Add what is new of `rows`; all or nothing within the caller's transaction.

    With `update`, fields that known rows lack are filled; nothing that a row says is ever overwritten. Edges that
    differ by `rounding_s` at most say the same: some formats write whole frames or milliseconds. Returns the
    counts of ImportReport; `ids`, the query's id for each qid; and `before`, what was filled as it was: [query id,
    content, raw line]. Raises InputError on a qid given twice, or on rows that contradict stored ones.
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
    stored: dict[str, tuple[int, Row, str | None]] = {}
    for batch in reading.chunks(qids):
        statement = select(table.c.qid, table.c.id, table.c.content, table.c.raw).where(
            table.c.dataset == dataset, table.c.qid.in_(batch)
        )
        for qid, query_id, content, raw in connection.execute(statement):
            stored[qid] = (query_id, row_from_content(content, None), raw)
    clashes = []
    fillings: list[tuple[Row, list[str]]] = []
    empty: Counter[str] = Counter()
    other_split = 0
    for row in rows:
        if row.qid not in stored:
            continue
        stored_row = stored[row.qid][1]
        row_fields = [name for name in _COMPARED if getattr(row, name) is not None]
        missing = [name for name in row_fields if getattr(stored_row, name) is None]
        if names := [
            name
            for name in row_fields
            if name not in missing
            and not _says_same(getattr(row, name), getattr(stored_row, name), rounding_s)
        ]:
            clashes.append(f"qid {row.qid} ({', '.join(names)})")
        # A file of answers alone does not say where its rows belong.
        if row.split != "unknown" and (row.windows is not None or not row.annotations):
            if stored_row.split == "unknown":
                missing.append("split")
            other_split += stored_row.split not in ("unknown", row.split)
        if missing:
            fillings.append((row, missing))
            empty.update(missing)
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
        ids.update({row.qid: row.id for row in connection.execute(statement)})

    # All queries on these videos: a new row can make an old one a duplicate.
    affected: list[int] = []
    for batch in reading.chunks(sorted({row.vid for row in new_rows})):
        statement = select(table.c.id).where(table.c.dataset == dataset, table.c.vid.in_(batch))
        affected += connection.execute(statement).scalars()
    before: list[list[Any]] = []
    for row, missing in fillings if update else ():
        query_id, stored_row, raw = stored[row.qid]
        filled = dataclasses.replace(stored_row, **{name: getattr(row, name) for name in missing})
        # The new line, where it is the one that says the row's moments now.
        filled = dataclasses.replace(filled, raw=row.raw if "windows" in missing else raw)
        before.append([query_id, row_content(stored_row), raw])
        columns = _columns(filled, dataset, 0)
        values = {name: columns[name] for name in ("split", "duration_ms", "content", "raw", "row_sha256")}
        filling = update_table(table).where(table.c.id == query_id)
        connection.execute(filling.values(**values, filled_by=source["op_id"]))
        affected.append(query_id)
    if affected:
        suspicion.renew(connection, sorted(set(affected)))
    return {
        "added": len(new_rows),
        "unchanged": len(rows) - len(new_rows),
        "empty": {} if update else dict(empty),
        "filled": dict(empty) if update else {},
        "other_split": other_split,
        "ids": ids,
        "before": before,
    }


def _says_same(value: Any, stored_value: Any, rounding_s: float) -> bool:
    """Whether a field is what the store has; windows may lie off by `rounding_s`."""
    if (
        value == stored_value
        or not rounding_s
        or not isinstance(value, tuple)
        or len(value) != len(stored_value)
    ):
        return bool(value == stored_value)
    windows = zip(value, stored_value, strict=True)
    return all(
        isinstance(window, tuple)
        and all(abs(edge - other) <= rounding_s for edge, other in zip(window, known_window, strict=True))
        for window, known_window in windows
    )


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
    return Prediction(
        model_id=version.annotator,
        moments=tuple(moments),
        relevance=version.relevance,
        answer=answer or None,
    )


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
    # Versions without one keep the id that they had before there was any.
    content += [] if version.relevance is None else [version.relevance]
    return f"import:{digest(content)}"
