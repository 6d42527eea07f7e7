"""Where things stand on the data page."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from annotations import formats
from annotations.exporting import EXPORT_RULES
from annotations.formats import SALIENCY_POLICIES, SNAPPINGS
from annotations.queue import ORDERS, STATES
from annotations.rows import SPLITS
from annotations.suspicion import REASONS
from app.data.table import history_list, rows_table
from app.data.view import status_html

ALL = ""
"""The value of a choice that narrows nothing."""

STATE_NAMES = {
    "any": "Any state",
    "open": "Not answered yet",
    "reviewed": "Answered",
    "several": "Two or more answers",
    "flagged": "Flagged",
    "adjudicated": "Decided",
}
ORDER_NAMES = {"import": "As imported", "suspicion": "Most suspect", "disagreement": "Least agreement"}
RULE_NAMES = {
    "latest": "Decided, else newest",
    "adjudicated": "Decided only",
    "majority": "Decided, else majority",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What a tab remembers on the server between two events."""

    offset: int = 0
    total: int = 0
    chosen: int | None = None


@dataclass(frozen=True, kw_only=True)
class DataView:
    """The page's components by name."""

    memory: Any
    text: Any
    dataset: Any
    split: Any
    state: Any
    reason: Any
    order: Any
    count: Any
    back: Any
    forward: Any
    rows: Any
    history: Any
    history_line: Any
    import_tab: Any
    files: Any
    import_format: Any
    import_dataset: Any
    import_split: Any
    keep_going: Any
    do_import: Any
    import_line: Any
    import_report: Any
    export_tab: Any
    export_dataset: Any
    export_format: Any
    export_split: Any
    rule: Any
    snapping: Any
    saliency: Any
    model: Any
    refusals: Any
    frame_rate: Any
    licence: Any
    edited_text: Any
    export_keep_going: Any
    do_export: Any
    export_line: Any
    export_files: Any
    compare_tab: Any
    compare_dataset: Any
    compare_split: Any
    compare_rule: Any
    reviewed_only: Any
    do_compare: Any
    compare_line: Any
    compare_result: Any
    figures_tab: Any
    facts: Any
    progress: Any
    reasons: Any

    @property
    def filters(self) -> list[Any]:
        """What narrows the table."""
        return [self.text, self.dataset, self.split, self.state, self.reason, self.order]


def lay_out() -> DataView:
    """Make the components inside the current Blocks."""
    parts: dict[str, Any] = {"memory": gr.State(Memory())}
    with gr.Tabs(elem_id="data"):
        with gr.Tab("Rows"):
            parts |= _rows()
        with gr.Tab("Import") as import_tab:
            parts |= _import()
        with gr.Tab("Export") as export_tab:
            parts |= _export()
        with gr.Tab("Before and after") as compare_tab:
            parts |= _compare()
        with gr.Tab("Figures") as figures_tab:
            parts |= _figures()
    return DataView(
        import_tab=import_tab,
        export_tab=export_tab,
        compare_tab=compare_tab,
        figures_tab=figures_tab,
        **parts,
    )


def _rows() -> dict[str, Any]:
    with gr.Row(elem_id="data-filters"):
        text = gr.Textbox(
            label="Search",
            placeholder="words of the query, a video, an id",
            scale=3,
            min_width=220,
            elem_id="data-search",
        )
        dataset = gr.Dropdown([("All", ALL)], value=ALL, label="Dataset", min_width=120)
        split = _split("All")
        state = gr.Dropdown(
            [(STATE_NAMES[state], state) for state in STATES], value="any", label="State", min_width=150
        )
        because = [(name.replace("-", " "), name) for name in REASONS]
        reason = gr.Dropdown([("Any", ALL), *because], value=ALL, label="Suspicion", min_width=150)
        order = gr.Dropdown(
            [(ORDER_NAMES[order], order) for order in ORDERS], value="import", label="Order", min_width=150
        )
    with gr.Row(elem_id="data-table"):
        with gr.Column(scale=5, min_width=330):
            rows = rows_table("data-rows")
            with gr.Row(elem_id="data-pager"):
                back = gr.Button("← Back", size="sm", min_width=80, elem_id="data-back")
                count = gr.HTML(status_html(), elem_id="data-count")
                forward = gr.Button("Forward →", size="sm", min_width=80, elem_id="data-forward")
        with gr.Column(scale=3, min_width=330, elem_id="data-detail"):
            line = gr.HTML(
                status_html("Choose a row to see who said what, and when."), elem_id="data-history-line"
            )
            history = history_list("data-history")
    return {
        "text": text, "dataset": dataset, "split": split, "state": state, "reason": reason, "order": order,
        "count": count, "back": back, "forward": forward, "rows": rows, "history": history,
        "history_line": line,
    }  # fmt: skip


def _split(everything: str) -> Any:
    return gr.Dropdown(
        [(everything, ALL), *((name, name) for name in SPLITS)], value=ALL, label="Split", min_width=100
    )


def _formats(first: str) -> list[tuple[str, str]]:
    known = [(form.title, name) for name, form in formats.FORMATS.items()]
    return [(first, ALL), *known] if first else known


def _import() -> dict[str, Any]:
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            files = gr.File(label="Files", file_count="multiple", height=160, elem_id="data-files")
            with gr.Row():
                form = gr.Dropdown(_formats("Detect"), value=ALL, label="Format", min_width=200)
                split = _split("As the file says")
            dataset = gr.Textbox(label="Dataset", placeholder="empty: the usual one", max_length=80)
            keep_going = gr.Checkbox(False, label="Leave out rows that break a rule, and bring in the others")
            button = gr.Button("Import", variant="primary", elem_id="data-import")
        with gr.Column(scale=3, min_width=320):
            line = gr.HTML(
                status_html("Originals are kept byte for byte. Importing a file again changes nothing."),
                elem_id="data-import-line",
            )
            report = gr.HTML("", elem_id="data-import-report")
    return {
        "files": files, "import_format": form, "import_dataset": dataset, "import_split": split,
        "keep_going": keep_going, "do_import": button, "import_line": line, "import_report": report,
    }  # fmt: skip


def _export() -> dict[str, Any]:
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            dataset = gr.Dropdown([], label="Dataset", elem_id="data-export-dataset")
            form = gr.Dropdown(
                _formats(""), value="qvhighlights", label="Format", elem_id="data-export-format"
            )
            with gr.Row():
                rule = gr.Dropdown(
                    [(RULE_NAMES[name], name) for name in EXPORT_RULES],
                    value="latest",
                    label="Whose answer",
                    min_width=200,
                )
                split = _split("All")
            parts = _export_details()
            button = gr.Button("Export", variant="primary", elem_id="data-export")
        with gr.Column(scale=3, min_width=320):
            line = gr.HTML(
                status_html("Rows that nobody changed pass through byte for byte."),
                elem_id="data-export-line",
            )
            files = gr.HTML("", elem_id="data-export-files")
    return {
        "export_dataset": dataset, "export_format": form, "export_split": split, "rule": rule,
        "do_export": button, "export_line": line, "export_files": files, **parts,
    }  # fmt: skip


def _export_details() -> dict[str, Any]:
    with gr.Accordion("More choices", open=False):
        with gr.Row():
            snapping = gr.Dropdown(
                list(SNAPPINGS), value=SNAPPINGS[0], label="Snapping to 2 s", min_width=140
            )
            saliency = gr.Dropdown(
                list(SALIENCY_POLICIES),
                value=SALIENCY_POLICIES[0],
                label="Saliency of new clips",
                min_width=140,
            )
        with gr.Row():
            refusals = gr.Dropdown(
                ["apart", "inline"], value="apart", label="Refusals (predictions)", min_width=140
            )
            frame_rate = gr.Number(None, label="Frame rate (Label Studio)", min_width=140)
        model = gr.Textbox(label="Model (predictions)", placeholder="empty: the only one", max_length=200)
        licence = gr.Textbox(
            label="Licence of the source", placeholder="empty: QVHighlights' for its clips", max_length=80
        )
        edited_text = gr.Checkbox(False, label="Take the annotators' wording of queries")
        keep_going = gr.Checkbox(False, label="Leave out rows that the format cannot carry")
    return {
        "snapping": snapping, "saliency": saliency, "model": model, "refusals": refusals,
        "frame_rate": frame_rate, "licence": licence, "edited_text": edited_text,
        "export_keep_going": keep_going,
    }  # fmt: skip


def _compare() -> dict[str, Any]:
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            with gr.Row():
                dataset = gr.Dropdown([], label="Dataset", min_width=150, elem_id="data-compare-dataset")
                split = _split("All")
            names = [(RULE_NAMES[name], name) for name in EXPORT_RULES if name != "majority"]
            rule = gr.Dropdown(names, value="latest", label="Whose answer")
            reviewed_only = gr.Checkbox(False, label="Only rows that somebody answered")
            button = gr.Button("Compare", variant="primary", elem_id="data-compare")
        with gr.Column(scale=3, min_width=320):
            line = gr.HTML(
                status_html(
                    "What the corrections are worth: the released moments, scored against the corrected ones."
                ),
                elem_id="data-compare-line",
            )
            result = gr.HTML("", elem_id="data-compare-result")
    return {
        "compare_dataset": dataset, "compare_split": split, "compare_rule": rule,
        "reviewed_only": reviewed_only, "do_compare": button, "compare_line": line, "compare_result": result,
    }  # fmt: skip


def _figures() -> dict[str, Any]:
    facts = gr.HTML("", elem_id="data-facts")
    with gr.Row():
        progress = gr.Plot(label="Where the rows stand", elem_id="data-progress")
        reasons = gr.Plot(label="Why rows look wrong", elem_id="data-reasons")
    return {"facts": facts, "progress": progress, "reasons": reasons}
