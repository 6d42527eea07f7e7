"""Where things stand on the train page."""

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from app.data.view import status_html
from app.timeline import Timeline
from app.ui.charts import empty_figure

LOOK_EVERY_S = 2.0
TRAIN_CSS = """
.tempo-train-facts { display: flex; gap: 2.5rem; flex-wrap: wrap; }
.tempo-train-facts dl { display: grid; grid-template-columns: auto auto; gap: .15rem 1rem; margin: 0; }
.tempo-train-facts dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; font-weight: 600; }
.tempo-faint { opacity: .8; }
.tempo-stages { display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; padding: 0; margin: .4rem 0; }
.tempo-stages li { padding: .15rem .6rem; border-radius: 1rem; border: 1px solid var(--border-color-primary); }
.tempo-stages .done { background: var(--background-fill-secondary); }
.tempo-stages .now { border-color: var(--color-accent); font-weight: 600; }
.tempo-train-scores { overflow-x: auto; }
.tempo-train-scores table { border-collapse: collapse; margin: .5rem 0; min-width: 34rem; }
.tempo-train-scores caption { text-align: left; font-weight: 600; padding: .3rem 0; }
.tempo-train-scores :is(th, td) { text-align: left; padding: .25rem .8rem .25rem 0; font-weight: 400; }
.tempo-train-scores :is(th, td) { vertical-align: top; }
.tempo-train-scores thead th { opacity: .8; }
.tempo-train-scores .sure :is(th, td) { font-weight: 600; }
.tempo-train-scores small { display: block; opacity: .8; overflow-wrap: anywhere; }
"""
SIDES = (("New answer", "new"), ("Old answer", "old"), ("Truth", "truth"))


@dataclass(frozen=True, kw_only=True)
class TrainView:
    """The page's components by name."""

    ticker: Any
    preview: Any
    look: Any
    recipe: Any
    seed: Any
    start: Any
    resume: Any
    cancel: Any
    job: Any
    line: Any
    curves: Any
    scores: Any
    row: Any
    side: Any
    lanes: Any
    timeline: Any
    row_line: Any
    adapters: Any
    adapter: Any
    promote: Any
    rollback: Any
    served_line: Any
    memory: Any

    @property
    def all(self) -> list[Any]:
        return [getattr(self, each.name) for each in fields(self)]


def lay_out() -> TrainView:
    """Make the components inside the current Blocks."""
    parts: dict[str, Any] = {"ticker": gr.Timer(LOOK_EVERY_S, active=True), "memory": gr.State("")}
    gr.HTML(f"<style>{TRAIN_CSS}</style><h1>Train</h1>", elem_id="train-head")
    with gr.Row():
        with gr.Column(scale=1):
            gr.Markdown("## What a refresh would learn from")
            parts["preview"] = gr.HTML(status_html(), elem_id="train-preview")
            parts["look"] = gr.Button("Count again", elem_id="train-look", size="sm")
            parts["recipe"] = gr.Dropdown([], label="Recipe", elem_id="train-recipe")
            parts["seed"] = gr.Number(0, label="Seed", precision=0, elem_id="train-seed")
            with gr.Row():
                parts["start"] = gr.Button("Start", variant="primary", elem_id="train-start")
                parts["resume"] = gr.Button("Resume", interactive=False, elem_id="train-resume")
                parts["cancel"] = gr.Button("Cancel", interactive=False, elem_id="train-cancel")
            parts["job"] = gr.HTML(elem_id="train-job")
            parts["line"] = gr.HTML(status_html(), elem_id="train-line")
        with gr.Column(scale=2):
            gr.Markdown("## Curves")
            parts["curves"] = gr.Plot(
                empty_figure("Curves appear here."), show_label=False, elem_id="train-curves"
            )
    gr.Markdown("## Old against new")
    parts["scores"] = gr.HTML(elem_id="train-scores")
    with gr.Row():
        parts["row"] = gr.Dropdown([], label="Held-out row", elem_id="train-row", scale=3)
        parts["side"] = gr.Radio(SIDES, value="new", label="On the timeline", elem_id="train-side", scale=2)
    parts["lanes"] = gr.Plot(empty_figure("Choose a held-out row."), show_label=False, elem_id="train-lanes")
    parts["row_line"] = gr.HTML(status_html(), elem_id="train-row-line")
    parts["timeline"] = Timeline(label="Answer on the held-out clip", elem_id="train-timeline")
    gr.Markdown("## Adapters")
    parts["adapters"] = gr.HTML(elem_id="train-adapters")
    with gr.Row():
        parts["adapter"] = gr.Dropdown([], label="Adapter", elem_id="train-adapter", scale=3)
        parts["promote"] = gr.Button("Promote", elem_id="train-promote")
        parts["rollback"] = gr.Button("Roll back", elem_id="train-rollback")
    parts["served_line"] = gr.HTML(status_html(), elem_id="train-served-line")
    return TrainView(**parts)
