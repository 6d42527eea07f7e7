"""Where things stand on the data page: one class for each tab, whose attributes are its components."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from annotations import formats
from annotations.exporting import EXPORT_RULES
from annotations.formats import SALIENCY_POLICIES, SNAPPINGS
from annotations.queue import ORDERS, STATES
from annotations.rows import SPLITS
from annotations.suspicion import REASONS
from app.ui.json_component import json_component
from app.ui.templates import status_html

ASSETS = Path(__file__).parent / "assets"

Form = dict[str, Any]
"""Components by the field that they fill in."""

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
IMPORT_TITLES = [(formats.FORMATS[name].title, name) for name in formats.names()]
EXPORT_TITLES = [(formats.FORMATS[name].title, name) for name in formats.export_names()]


@dataclass(frozen=True, kw_only=True, slots=True)
class TabState:
    """What the server remembers of a browser tab between two events."""

    offset: int = 0
    total: int = 0
    query_id: int | None = None
    """The row whose history is open."""


def split_choice(any_split: str) -> gr.Dropdown:
    """A choice among the splits; `any_split` is how it names all of them."""
    return gr.Dropdown(
        [(any_split, ALL), *((name, name) for name in SPLITS)], value=ALL, label="Split", min_width=100
    )


def filled_in(form: Form, values: Mapping[Any, Any]) -> dict[str, Any]:
    """What somebody filled in, by field; a field that is empty is left out, so that its default counts."""
    texts = {name: values[component] for name, component in form.items()}
    stripped = {name: text.strip() if isinstance(text, str) else text for name, text in texts.items()}
    return {name: value for name, value in stripped.items() if value}


class RowsTab:
    """The table of rows with its filters, and the history of one row beside it.

    `rows` selects {"query_id"}; `history` selects {"query_id", "to_id", "parent_id"} for the version to go back to.
    """

    def __init__(self) -> None:
        form: Form = {}
        with gr.Tab("Rows"):
            with gr.Row(elem_id="data-filters"):
                form["text"] = gr.Textbox(
                    label="Search",
                    placeholder="words of the query, a video, an id",
                    scale=3,
                    min_width=220,
                    elem_id="data-search",
                )
                form["dataset"] = gr.Dropdown([("All", ALL)], value=ALL, label="Dataset", min_width=120)
                form["split"] = split_choice("All")
                states = [(STATE_NAMES[state], state) for state in STATES]
                form["state"] = gr.Dropdown(states, value="any", label="State", min_width=150)
                reasons = [("Any", ALL), *((name.replace("-", " "), name) for name in REASONS)]
                form["reason"] = gr.Dropdown(reasons, value=ALL, label="Suspicion", min_width=150)
                orders = [(ORDER_NAMES[order], order) for order in ORDERS]
                form["order"] = gr.Dropdown(orders, value="import", label="Order", min_width=150)
            with gr.Row(elem_id="data-table"):
                with gr.Column(scale=5, min_width=330):
                    self.rows = json_component(ASSETS / "rows.js", "data-rows")
                    with gr.Row(elem_id="data-pager"):
                        self.back = gr.Button("← Back", size="sm", min_width=80, elem_id="data-back")
                        self.count = gr.HTML(status_html(), elem_id="data-count")
                        self.forward = gr.Button("Forward →", size="sm", min_width=80, elem_id="data-forward")
                with gr.Column(scale=3, min_width=330, elem_id="data-detail"):
                    hint = status_html("Choose a row to see who said what, and when.")
                    self.history_line = gr.HTML(hint, elem_id="data-history-line")
                    self.history = json_component(ASSETS / "history.js", "data-history")
        self.form = form


class ImportTab:
    """Files in."""

    def __init__(self) -> None:
        form: Form = {}
        with gr.Tab("Import") as self.tab, gr.Row():
            with gr.Column(scale=2, min_width=320):
                form["files"] = gr.File(
                    label="Files", file_count="multiple", height=160, elem_id="data-files"
                )
                with gr.Row():
                    titles = [("Detect", ALL), *IMPORT_TITLES]
                    form["format"] = gr.Dropdown(titles, value=ALL, label="Format", min_width=200)
                    form["split"] = split_choice("As the file says")
                form["dataset"] = gr.Textbox(
                    label="Dataset", placeholder="empty: the usual one", max_length=80
                )
                form["model"] = gr.Textbox(
                    label="Model (predictions)",
                    placeholder="empty: as the file says, or its name",
                    max_length=200,
                )
                form["keep_going"] = gr.Checkbox(
                    False, label="Leave out rows that break a rule, and bring in the others"
                )
                self.button = gr.Button("Import", variant="primary", elem_id="data-import")
            with gr.Column(scale=3, min_width=320):
                hint = status_html(
                    "Originals are kept byte for byte. Importing a file again changes nothing."
                )
                self.line = gr.HTML(hint, elem_id="data-import-line")
                self.result = gr.HTML("", elem_id="data-import-report")
        self.form = form


class ExportTab:
    """Files out."""

    def __init__(self) -> None:
        form: Form = {}
        with gr.Tab("Export") as self.tab, gr.Row():
            with gr.Column(scale=2, min_width=320):
                form["dataset"] = gr.Dropdown([], label="Dataset", elem_id="data-export-dataset")
                form["format"] = gr.Dropdown(
                    EXPORT_TITLES, value="qvhighlights", label="Format", elem_id="data-export-format"
                )
                with gr.Row():
                    rules = [(RULE_NAMES[name], name) for name in EXPORT_RULES]
                    form["rule"] = gr.Dropdown(rules, value="latest", label="Whose answer", min_width=200)
                    form["split"] = split_choice("All")
                with gr.Accordion("More choices", open=False):
                    with gr.Row():
                        form["snapping"] = gr.Dropdown(
                            list(SNAPPINGS), value=SNAPPINGS[0], label="Snapping to 2 s", min_width=140
                        )
                        form["saliency"] = gr.Dropdown(
                            list(SALIENCY_POLICIES),
                            value=SALIENCY_POLICIES[0],
                            label="Saliency of new clips",
                            min_width=140,
                        )
                    with gr.Row():
                        form["refusals"] = gr.Dropdown(
                            ["apart", "inline"], value="apart", label="Refusals (predictions)", min_width=140
                        )
                        form["frame_rate"] = gr.Number(None, label="Frame rate (Label Studio)", min_width=140)
                    form["predictions_of"] = gr.Textbox(
                        label="Model (predictions)", placeholder="empty: the only one", max_length=200
                    )
                    form["licence"] = gr.Textbox(
                        label="Licence of the source",
                        placeholder="empty: QVHighlights' for its clips",
                        max_length=80,
                    )
                    form["edited_text"] = gr.Checkbox(False, label="Take the annotators' wording of queries")
                    form["keep_going"] = gr.Checkbox(
                        False, label="Leave out rows that the format cannot carry"
                    )
                self.button = gr.Button("Export", variant="primary", elem_id="data-export")
            with gr.Column(scale=3, min_width=320):
                hint = status_html("Rows that nobody changed pass through byte for byte.")
                self.line = gr.HTML(hint, elem_id="data-export-line")
                self.result = gr.HTML("", elem_id="data-export-files")
        self.form = form


class CompareTab:
    """What the corrections are worth."""

    def __init__(self) -> None:
        form: Form = {}
        with gr.Tab("Before and after") as self.tab, gr.Row():
            with gr.Column(scale=2, min_width=320):
                with gr.Row():
                    form["dataset"] = gr.Dropdown(
                        [], label="Dataset", min_width=150, elem_id="data-compare-dataset"
                    )
                    form["split"] = split_choice("All")
                rules = [(RULE_NAMES[name], name) for name in EXPORT_RULES if name != "majority"]
                form["rule"] = gr.Dropdown(rules, value="latest", label="Whose answer")
                form["reviewed_only"] = gr.Checkbox(False, label="Only rows that somebody answered")
                self.button = gr.Button("Compare", variant="primary", elem_id="data-compare")
            with gr.Column(scale=3, min_width=320):
                hint = (
                    "What the corrections are worth: the released moments, scored against the corrected ones."
                )
                self.line = gr.HTML(status_html(hint), elem_id="data-compare-line")
                self.result = gr.HTML("", elem_id="data-compare-result")
        self.form = form


class FiguresTab:
    """The store in numbers."""

    def __init__(self) -> None:
        with gr.Tab("Figures") as self.tab:
            self.facts = gr.HTML("", elem_id="data-facts")
            with gr.Row():
                self.progress = gr.Plot(label="Where the rows stand", elem_id="data-progress")
                self.reasons = gr.Plot(label="Why rows look wrong", elem_id="data-reasons")


class DataView:
    """The page's components; making one lays them out inside the current Blocks. `lay_out_projects` makes their tab."""

    def __init__(self, lay_out_projects: Callable[[], None]) -> None:
        self.tab_state = gr.State(TabState())
        with gr.Tabs(elem_id="data"):
            self.rows = RowsTab()
            self.imports = ImportTab()
            self.exports = ExportTab()
            self.compare = CompareTab()
            lay_out_projects()
            self.figures = FiguresTab()
