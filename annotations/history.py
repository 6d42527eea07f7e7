"""Every version of a query: who said it, when, from which proposal, and what it changed. Read-only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from annotations import operation_log, reading
from annotations.agreement import match
from annotations.records import Correction, Edit, Query, Verdict
from annotations.store import Store
from tempo_core.moments import Moment

TimesMs = tuple[int, int]

COMPARED_FIELDS = ("verdict", "reason", "categories", "edited_text", "note", "flagged", "submitted")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One difference between two versions."""

    field: str
    """`moment`, or the name of a field of an edit."""
    before: Any
    """The old value; for a moment (start_ms, end_ms), or None when it is new."""
    after: Any
    """The new value; for a moment (start_ms, end_ms), or None when it is gone."""

    @property
    def text(self) -> str:
        """One line for a person."""
        if self.field != "moment":
            return f"{self.field}: {self.before!r} → {self.after!r}"
        if self.before is None:
            return f"added {_span(self.after)}"
        if self.after is None:
            return f"removed {_span(self.before)}"
        edges = []
        for edge, old_ms, new_ms in zip(("start", "end"), self.before, self.after, strict=True):
            if old_ms != new_ms:
                edges.append(f"{edge} {(new_ms - old_ms) / 1000:+.3f} s")
        return f"moved {_span(self.before)}: {', '.join(edges)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryEntry:
    """One event in the life of a query."""

    kind: Literal["original", "correction", "verdict"]
    id: int | None
    """Of the correction or verdict."""
    author: str
    """The annotator, the adjudicator, or the dataset for the original."""
    at_ms: int | None
    changes: tuple[Change, ...] = ()
    """Against the same annotator's version before; a first version against the original."""
    model: str | None = None
    """The model (and adapter) whose proposal the annotator started from."""
    restores_id: int | None = None
    withdrawn_by: str | None = None
    """Who took a verdict back; it counts nowhere since."""
    record: Correction | Verdict | Query


def history(store: Store, query_id: int) -> list[HistoryEntry]:
    """The original, then every correction (drafts too) and verdict in the order in which they were written, whatever
    the clock said. Raises NotFound.
    """
    records = store.records(query_id)
    query = records.query
    edits = {correction.id: correction.edit for correction in records.corrections}
    models = {proposal.id: proposal.prediction.model_name for proposal in records.proposals}
    entries: dict[str, HistoryEntry] = {}
    for correction in records.corrections:
        parent = query.original or [] if correction.parent_id is None else edits[correction.parent_id]
        entries[correction.op_id] = HistoryEntry(
            kind="correction",
            id=correction.id,
            author=correction.annotator,
            at_ms=correction.created_at_ms,
            changes=changes(parent, correction.edit),
            model=models.get(correction.edit.proposal_id or 0),
            restores_id=correction.restores_id,
            record=correction,
        )
    with store.database.read() as connection:
        withdrawn = reading.withdrawn_verdicts(connection, query_id)
    standing: list[tuple[Verdict, str | None]] = [(verdict, None) for verdict in records.verdicts]
    for verdict, withdrawn_by in [*standing, *withdrawn]:
        taken_back = Change(field="withdrawn by", before=None, after=withdrawn_by)
        entries[verdict.op_id] = HistoryEntry(
            kind="verdict",
            id=verdict.id,
            author=verdict.adjudicator,
            at_ms=verdict.created_at_ms,
            changes=(
                Change(field="adopted", before=None, after=verdict.correction_id),
                *([] if withdrawn_by is None else [taken_back]),
            ),
            withdrawn_by=withdrawn_by,
            record=verdict,
        )
    with store.database.read() as connection:
        places = operation_log.positions(connection, list(entries))
    # An operation that the log has lost (`annotations.checks` tells) comes first.
    ordered = [entries[op_id] for op_id in sorted(entries, key=lambda op_id: places.get(op_id, 0))]
    original = HistoryEntry(kind="original", id=None, author=query.dataset, at_ms=None, record=query)
    return [original, *ordered]


def changes(before: Edit | Sequence[Moment], after: Edit) -> tuple[Change, ...]:
    """What an edit changes against another one, or against plain moments. Moments are paired by overlap."""
    if isinstance(before, Edit):
        old, values = before.windows, {name: getattr(before, name) for name in COMPARED_FIELDS}
    else:
        old, values = list(before), {"verdict": "moments" if before else "no-moment"}
    field_changes = [
        Change(field=name, before=value, after=getattr(after, name))
        for name, value in values.items()
        if value != getattr(after, name)
    ]
    new = after.windows
    pairs = {i: j for i, j, _ in match(old, new)}
    spans: list[tuple[TimesMs | None, TimesMs | None]] = [
        (old[i].to_ms(), new[pairs[i]].to_ms() if i in pairs else None) for i in range(len(old))
    ]
    spans += [(None, new[j].to_ms()) for j in range(len(new)) if j not in pairs.values()]
    moved = [
        Change(field="moment", before=old_ms, after=new_ms) for old_ms, new_ms in spans if old_ms != new_ms
    ]
    return (*field_changes, *sorted(moved, key=lambda change: change.before or change.after))


def _span(times_ms: TimesMs) -> str:
    return f"[{times_ms[0] / 1000:.3f}, {times_ms[1] / 1000:.3f})"
