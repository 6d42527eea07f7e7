"""The data page's table and history as HTML components.

Their templates are empty: rows come as JSON in the value and are built with `textContent`, so that no text of
a person or a model ever passes through a template.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from annotations.history import HistoryEntry
from annotations.queue import BrowsePage
from annotations.records import Correction, Query, Verdict
from app.auth.users import Role, User
from tempo_core.moments import Moment

_BEGIN = """
/* events: 'select' */
const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children.filter((child) => child !== null));
  return node;
};
const draw = () => {
  const value = JSON.parse(props.value || "null");
  element.replaceChildren(...(value ? build(value) : []));
};
watch("value", draw);
"""

_ROWS = (
    _BEGIN
    + """
const share = (value) => (value === null ? "–" : value.toFixed(2));
const build = (value) => {
  if (value.rows.length === 0) return [make("p", { className: "tempo-empty", textContent: value.empty })];
  const names = ["", "Query", "Video", "Split", "Answers", "Agreement", "Suspicion"];
  const name = (textContent, i) => make("th", { scope: "col", textContent, className: `c${i}` });
  const head = make("tr", {}, ...names.map(name));
  const rows = value.rows.map((row) => {
    const open = make("button", { type: "button", dir: "auto", title: "Show the history" },
      make("span", { textContent: row.text }));
    const tr = make("tr", { className: row.query_id === value.chosen ? "chosen" : "" });
    open.addEventListener("click", () => {
      for (const other of element.querySelectorAll("tr.chosen")) other.classList.remove("chosen");
      tr.classList.add("chosen");
      trigger("select", { query_id: row.query_id });
    });
    const marks = [row.adjudicated ? "decided" : null, row.flagged ? "flagged" : null].filter(Boolean);
    const answers = make("td", { className: "c4" }, make("span", { textContent: String(row.reviews) }),
      ...marks.map((textContent) => make("i", { textContent })));
    const cell = (textContent, idx) => make("td", { textContent, className: `c${idx}` });
    tr.append(cell(row.qid, 0), make("td", { className: "c1" }, open), cell(row.vid, 2), cell(row.split, 3), answers,
      cell(share(row.agreement), 5), cell(share(row.score), 6));
    return tr;
  });
  return [make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))];
};
draw();
"""
)

_HISTORY = (
    _BEGIN
    + """
const build = (value) => {
  const entries = value.entries.map((entry) => {
    const marks = entry.marks.map((textContent) => make("i", { textContent }));
    const title = make("b", { textContent: entry.title });
    const head = make("p", { className: "head" }, title, make("span", { textContent: entry.when }), ...marks);
    const lines = entry.lines.map((textContent) => make("p", { textContent, dir: "auto" }));
    const back = entry.restores === null ? null : make("button", { type: "button", textContent: entry.restores.label });
    back?.addEventListener("click", () => {
      for (const button of element.querySelectorAll("button")) button.disabled = true;
      trigger("select", { to_id: entry.restores.id, query_id: value.query_id, parent_id: value.parent_id });
    });
    return make("li", { className: entry.kind }, head, ...lines, back);
  });
  const title = make("h3", { textContent: value.query, dir: "auto" });
  const links = value.links.map(([textContent, href]) => make("a", { textContent, href }));
  return [title, make("p", { className: "where" }, value.where, ...links), make("ol", {}, ...entries)];
};
draw();
"""
)


def rows_table(elem_id: str) -> gr.HTML:
    """The table of queries; its value is `rows_json`'s text, its `select` event carries {"query_id"}."""
    return _component(_ROWS, elem_id, "tempo-rows")


def history_list(elem_id: str) -> gr.HTML:
    """A query's history; its value is `history_json`'s text, its `select` event carries {"query_id", "to_id",
    "parent_id"} for the version to go back to.
    """
    return _component(_HISTORY, elem_id, "tempo-history")


def _component(script: str, elem_id: str, css_class: str) -> gr.HTML:
    return gr.HTML(
        None,
        html_template="<div></div>",
        js_on_load=script,
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes=[css_class],
    )


def rows_json(page: BrowsePage, *, chosen: int | None = None, empty: str) -> str:
    """The table's value; `empty` is what it says when there are no rows."""
    rows = [
        {
            "query_id": row.query_id,
            "qid": row.qid,
            "text": row.text,
            "vid": row.vid,
            "split": row.split,
            "reviews": row.reviews,
            "agreement": row.agreement,
            "score": row.score,
            "flagged": row.flagged,
            "adjudicated": row.adjudicated,
        }
        for row in page.rows
    ]
    return json.dumps({"rows": rows, "chosen": chosen, "empty": empty})


def history_json(entries: Sequence[HistoryEntry], user: User) -> str:
    """The history's value, newest first; `user` is who would restore: their present version is the parent."""
    query = entries[0].record
    assert isinstance(query, Query), "a history begins with the original"
    corrections = [each.record for each in entries if isinstance(each.record, Correction)]
    mine = max(
        (each for each in corrections if each.annotator == user.id),
        key=lambda each: each.revision,
        default=None,
    )
    decided = next((each.record for each in reversed(entries) if isinstance(each.record, Verdict)), None)
    shown = [_entry(each, mine, decided) for each in reversed(entries)]
    return json.dumps(
        {
            "query_id": query.id,
            "query": query.row.query,
            "where": f"{query.dataset} · {query.row.qid} · {query.row.vid} · {query.row.split}",
            "parent_id": None if mine is None else mine.id,
            "links": [["Review", f"/review?query={query.id}"]] if Role.ADJUDICATOR in user.roles else [],
            "entries": shown,
        }
    )


def _entry(entry: HistoryEntry, mine: Correction | None, decided: Verdict | None) -> dict[str, Any]:
    record = entry.record
    lines, marks, restores = [change.text for change in entry.changes], [], None
    if isinstance(record, Correction):
        title = f"{entry.author}, version {record.revision}"
        lines = [_answer(record.edit.verdict, record.edit.windows, record.edit.reason), *lines]
        marks = [] if record.edit.submitted else ["draft"]
        marks += ["decided on"] if decided is not None and decided.correction_id == record.id else []
        marks += [f"brings back #{entry.restores_id}"] if entry.restores_id is not None else []
        lines += [f"saw {entry.model}"] if entry.model else []
        if mine is None or record.id != mine.id:
            restores = {"id": record.id, "label": "Restore as my version"}
    elif isinstance(record, Verdict):
        title = f"{entry.author} decided"
        lines = [f"adopted correction {record.correction_id}", *([record.note] if record.note else [])]
    else:
        title = "As released"
        original = record.original
        lines = (
            ["no ground truth"]
            if original is None
            else [_answer(record.row.verdict or "", original, record.row.reason)]
        )
        if record.row.verdict is not None:
            restores = {"id": None, "label": "Restore as my version"}
    when = "" if entry.at_ms is None else _when(entry.at_ms)
    return {
        "kind": entry.kind,
        "title": title,
        "when": when,
        "marks": marks,
        "lines": lines,
        "restores": restores,
    }


def _answer(verdict: str, moments: Sequence[Moment], reason: str | None) -> str:
    if verdict == "moments":
        return ", ".join(f"{moment.start_s:g}–{moment.end_s:g} s" for moment in moments)
    said = {"no-moment": "no matching moment", "cannot-judge": "cannot judge"}.get(verdict, verdict)
    return f"{said}: {reason}" if reason else said


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
