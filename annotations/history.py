"""Every version of a query: who said it, when, from which proposal, and what it changed. Read-only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from annotations.agreement import match
from annotations.records import Correction, Edit, Query, Verdict
from annotations.store import Store
from tempo_core.moments import Moment

TimesMs = tuple[int, int]

_COMPARED = ("verdict", "reason", "categories", "edited_text", "note", "flagged", "submitted")


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
        moved_s = [(new - old) / 1000 for old, new in zip(self.before, self.after, strict=True)]
        edges = [
            f"{edge} {by_s:+.3f} s" for edge, by_s in zip(("start", "end"), moved_s, strict=True) if by_s
        ]
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
    record: Correction | Verdict | Query


def history(store: Store, query_id: int) -> list[HistoryEntry]:
    """The original, then every correction (drafts too) and verdict in the order of time. Raises NotFound."""
    query = store.query(query_id)
    versions = {each.id: each for each in store.corrections(query_id)}
    models = {each.id: _model(each.prediction) for each in store.proposals(query_id)}
    entries = [
        HistoryEntry(
            kind="correction",
            id=each.id,
            author=each.annotator,
            at_ms=each.created_at_ms,
            changes=changes(_before(query, versions, each), each.edit),
            model=models.get(each.edit.proposal_id or 0),
            restores_id=each.restores_id,
            record=each,
        )
        for each in versions.values()
    ]
    for given in store.verdicts(query_id):
        adopted = Change(field="adopted", before=None, after=given.correction_id)
        entries.append(
            HistoryEntry(
                kind="verdict",
                id=given.id,
                author=given.adjudicator,
                at_ms=given.created_at_ms,
                changes=(adopted,),
                record=given,
            )
        )
    entries.sort(key=lambda each: (each.at_ms or 0, each.kind, each.id or 0))
    return [HistoryEntry(kind="original", id=None, author=query.dataset, at_ms=None, record=query), *entries]


def changes(before: Edit | Sequence[Moment], after: Edit) -> tuple[Change, ...]:
    """What an edit changes against another one, or against plain moments. Moments are paired by overlap."""
    old = before.windows if isinstance(before, Edit) else list(before)
    found = [] if not isinstance(before, Edit) else _field_changes(before, after)
    if not isinstance(before, Edit) and after.verdict != ("moments" if old else "no-moment"):
        found.append(Change(field="verdict", before="moments" if old else "no-moment", after=after.verdict))
    new = after.windows
    pairs = {i: j for i, j, _ in match(old, new)}
    spans: list[tuple[TimesMs | None, TimesMs | None]] = [
        (old[i].to_ms(), new[pairs[i]].to_ms() if i in pairs else None) for i in range(len(old))
    ]
    spans += [(None, new[j].to_ms()) for j in range(len(new)) if j not in pairs.values()]
    moved = [Change(field="moment", before=was, after=now) for was, now in spans if was != now]
    return (*found, *sorted(moved, key=lambda each: each.before or each.after))


def _field_changes(before: Edit, after: Edit) -> list[Change]:
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in _COMPARED]
    return [Change(field=name, before=was, after=now) for name, was, now in pairs if was != now]


def _before(query: Query, versions: dict[int, Correction], version: Correction) -> Edit | list[Moment]:
    if version.parent_id is None:
        return query.original or []
    return versions[version.parent_id].edit


def _model(prediction: Any) -> str:
    return f"{prediction.model_id}+{prediction.adapter_id}" if prediction.adapter_id else prediction.model_id


def _span(times_ms: TimesMs) -> str:
    return f"[{times_ms[0] / 1000:.3f}, {times_ms[1] / 1000:.3f})"
