"""The values of the data page's table and history, which assets/rows.js and assets/history.js draw."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from annotations.history import HistoryEntry
from annotations.queue import BrowsePage
from annotations.records import Correction, Query, Verdict
from app.auth.users import Role, User
from app.http.base_path import address_of
from app.ui.templates import utc
from tempo_core.moments import Moment


def rows_json(page: BrowsePage, *, chosen: int | None = None, empty: str) -> str:
    """The table's value; `empty` is what it says when there are no rows."""
    return json.dumps({"rows": [asdict(row) for row in page.rows], "chosen": chosen, "empty": empty})


def history_json(entries: Sequence[HistoryEntry], user: User) -> str:
    """The history's value, newest first; `user` is who would restore: their present version is the parent."""
    query = entries[0].record
    assert isinstance(query, Query), "a history begins with the original"
    records = [entry.record for entry in entries]
    own_corrections = [r for r in records if isinstance(r, Correction) and r.annotator == user.id]
    parent = max(own_corrections, key=lambda correction: correction.revision, default=None)
    standing = [entry.record for entry in entries if entry.withdrawn_by is None]
    verdict = next((r for r in reversed(standing) if isinstance(r, Verdict)), None)
    return json.dumps(
        {
            "query_id": query.id,
            "query": query.row.query,
            "where": f"{query.dataset} · {query.row.qid} · {query.row.vid} · {query.row.split}",
            "parent_id": None if parent is None else parent.id,
            "links": [["Review", address_of(f"/review?query={query.id}")]]
            if Role.ADJUDICATOR in user.roles
            else [],
            "entries": [_entry(entry, parent, verdict) for entry in reversed(entries)],
        }
    )


def _entry(entry: HistoryEntry, parent: Correction | None, verdict: Verdict | None) -> dict[str, Any]:
    """One entry as JSON; everything but the `parent` itself can be brought back."""
    record = entry.record
    lines, marks, restores = [change.text for change in entry.changes], [], None
    if isinstance(record, Correction):
        title = f"{entry.author}, version {record.revision}"
        lines = [_answer(record.edit.verdict, record.edit.windows, record.edit.reason), *lines]
        marks = [] if record.edit.submitted else ["draft"]
        marks += ["decided on"] if verdict is not None and verdict.correction_id == record.id else []
        marks += [f"brings back #{entry.restores_id}"] if entry.restores_id is not None else []
        lines += [f"saw {entry.model}"] if entry.model else []
        if parent is None or record.id != parent.id:
            restores = {"id": record.id, "label": "Restore as my version"}
    elif isinstance(record, Verdict):
        title = f"{entry.author} decided"
        lines = [f"adopted correction {record.correction_id}", *([record.note] if record.note else [])]
        marks = [] if entry.withdrawn_by is None else [f"taken back by {entry.withdrawn_by}"]
    else:
        title = "As released"
        lines = ["no ground truth"]
        if record.original is not None:
            lines = [_answer(record.row.verdict or "", record.original, record.row.reason)]
        if record.row.verdict is not None:
            restores = {"id": None, "label": "Restore as my version"}
    return {
        "kind": entry.kind,
        "title": title,
        "when": "" if entry.at_ms is None else utc(entry.at_ms),
        "marks": marks,
        "lines": lines,
        "restores": restores,
    }


def _answer(verdict: str, moments: Sequence[Moment], reason: str | None) -> str:
    if verdict == "moments":
        return ", ".join(f"{moment.start_s:g}–{moment.end_s:g} s" for moment in moments)
    text = {"no-moment": "no matching moment", "cannot-judge": "cannot judge"}.get(verdict, verdict)
    return f"{text}: {reason}" if reason else text
