"""Adoption by a rule: many rows decided at once, looked at before, and taken back with one call.

The rule: two annotators who answered independently agree within one frame, verdict and number of moments included;
nobody flagged the row, nobody else's answer differs from theirs, and nobody has decided. The earlier of their answers
becomes the verdict.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select

from annotations import tables
from annotations.reading import QueryRecords
from annotations.records import Correction, EditedMoment
from annotations.store import Store

FRAME_MS = 40
"""A frame where an answer does not name its frames: of 25 a second."""
NOTE = "adopted by rule: two annotators agree within one frame"


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreedRow:
    """A row that the rule decides."""

    query_id: int
    dataset: str
    qid: str
    text: str
    annotators: tuple[str, ...]
    """Who agrees."""
    correction_id: int
    """The answer that is adopted."""
    verdict: str
    moments: tuple[tuple[int, int], ...]
    """Of that answer, in milliseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkAdoption:
    """Rows that were decided at once."""

    batch: str
    actor: str
    at_ms: int
    adopted: int
    standing: int
    """Verdicts that were not taken back."""


def agree_within_a_frame(a: Correction, b: Correction) -> bool:
    """Whether two answers say the same but for one frame at each edge."""
    if a.verdict != b.verdict or len(a.edit.moments) != len(b.edit.moments):
        return False
    return all(
        _edges_agree(first, second, "start") and _edges_agree(first, second, "end")
        for first, second in zip(a.edit.moments, b.edit.moments, strict=True)
    )


def agreed_rows(queries: Iterable[QueryRecords]) -> list[AgreedRow]:
    """The rows that the rule decides, in the order of queries, which are what `Store.answered_records` gives."""
    rows = []
    for records in queries:
        versions = [version for version in records.independent_versions if version.verdict != "cannot-judge"]
        is_open = records.adopted is None and not any(version.edit.flagged for version in versions)
        if len(versions) < 2 or not is_open:
            continue
        if all(agree_within_a_frame(a, b) for a, b in combinations(versions, 2)):
            first = min(versions, key=lambda version: version.id)
            rows.append(
                AgreedRow(
                    query_id=records.query.id,
                    dataset=records.query.dataset,
                    qid=records.query.row.qid,
                    text=records.query.row.query,
                    annotators=tuple(version.annotator for version in versions),
                    correction_id=first.id,
                    verdict=first.verdict,
                    moments=tuple((moment.start_ms, moment.end_ms) for moment in first.edit.moments),
                )
            )
    return rows


def adopt_rows(store: Store, rows: Sequence[AgreedRow], *, actor: str, batch: str | None = None) -> str:
    """Decide these rows and return the batch, by which they are taken back. A row that somebody decided since is left.

    `batch` goes on with one that was interrupted.
    """
    batch = batch or f"bulk-{uuid4()}"
    for row in rows:
        if store.verdict(row.query_id) is None:
            store.adjudicate(
                row.query_id,
                correction_id=row.correction_id,
                adjudicator=actor,
                parent_id=None,
                op_id=f"{batch}:{row.query_id}",
                note=NOTE,
            )
    return batch


def bulk_adoptions(store: Store) -> list[BulkAdoption]:
    """Every bulk adoption, the newest first. Read-only."""
    verdict, withdrawal = tables.verdicts, tables.verdict_withdrawals
    statement = (
        select(verdict.c.op_id, verdict.c.adjudicator, verdict.c.created_at_ms, withdrawal.c.verdict_id)
        .outerjoin(withdrawal, withdrawal.c.verdict_id == verdict.c.id)
        .where(verdict.c.op_id.startswith("bulk-"), func.coalesce(verdict.c.note, "") == NOTE)
        .order_by(verdict.c.id)
    )
    batches: dict[str, dict[str, Any]] = {}
    with store.database.read() as connection:
        for row in connection.execute(statement):
            name = row.op_id.rpartition(":")[0]
            batch = batches.setdefault(
                name, {"actor": row.adjudicator, "at_ms": row.created_at_ms, "adopted": 0, "standing": 0}
            )
            batch["adopted"] += 1
            batch["standing"] += row.verdict_id is None
    return [BulkAdoption(batch=name, **values) for name, values in reversed(batches.items())]


def _edges_agree(a: EditedMoment, b: EditedMoment, edge: str) -> bool:
    """By frames where both name them: everybody works on the same copy of a clip."""
    frames = getattr(a, f"{edge}_frame"), getattr(b, f"{edge}_frame")
    if None not in frames:
        return bool(abs(frames[0] - frames[1]) <= 1)
    return bool(abs(getattr(a, f"{edge}_ms") - getattr(b, f"{edge}_ms")) <= FRAME_MS)
