"""What stands below the timeline of the review page: figures about people and models."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.data.view import status_html


@dataclass(frozen=True, kw_only=True)
class FiguresView:
    """The figures by name."""

    fold: Any
    dataset: Any
    line: Any
    agreement: Any
    edges: Any
    table: Any
    pace: Any
    repair: Any
    costs: Any
    anchoring: Any


def lay_out_figures() -> FiguresView:
    """Make them inside the current Blocks, folded away."""
    with gr.Accordion("Agreement, pace and repair cost", open=False, elem_id="review-figures") as fold:
        with gr.Row():
            dataset = gr.Dropdown([("All datasets", "")], value="", label="Dataset", min_width=160, scale=1)
            line = gr.HTML(status_html(), elem_id="review-figures-line")
        with gr.Row():
            agreement = gr.Plot(label="Agreement", elem_id="review-agreement", min_width=330)
            edges = gr.Plot(label="Edges", elem_id="review-edges", min_width=330)
        table = gr.HTML("", elem_id="review-annotators")
        with gr.Row():
            pace = gr.Plot(label="Pace", elem_id="review-pace", min_width=330)
            repair = gr.Plot(label="Repair cost of each proposal", elem_id="review-repair", min_width=330)
        costs = gr.HTML("", elem_id="review-costs")
        anchoring = gr.HTML("", elem_id="review-anchoring")
    return FiguresView(
        fold=fold,
        dataset=dataset,
        line=line,
        agreement=agreement,
        edges=edges,
        table=table,
        pace=pace,
        repair=repair,
        costs=costs,
        anchoring=anchoring,
    )
