"""Where things stand on the train page."""

from typing import NamedTuple

import gradio as gr

from app.timeline import Timeline
from app.ui.charts import empty_figure
from app.ui.templates import status_html

POLL_INTERVAL_S = 2.0
SIDES = (("New answer", "new"), ("Old answer", "old"), ("Truth", "truth"))


class PageState(NamedTuple):
    """What a browser tab shows of the job and the adapters, so that only what changed is drawn again."""

    job: tuple[str, str, str, int] | None = None
    """Folder, state, stage and number of points of all curves; None on a fresh page."""
    serving: str | None = None
    """The line about the served model; None while the adapters cannot be read."""
    adapters: tuple[tuple[str, bool], ...] = ()
    """Names, and whether each is promoted."""
    runs: tuple[tuple[str, str, bool], ...] = ()
    """Refreshes that have begun to compare: name, how it ended, and whether it has scores."""
    default_run: str | None = None
    """The one that is shown while nobody has chosen another."""


class TrainView:
    """The page's components; making one lays them out inside the current Blocks."""

    def __init__(self) -> None:
        self.ticker = gr.Timer(POLL_INTERVAL_S, active=True)
        self.state = gr.State(PageState())
        gr.HTML("<h1>Train</h1>", elem_id="train-head")
        with gr.Row():
            with gr.Column(scale=1):
                gr.Markdown("## What a refresh would learn from")
                self.preview = gr.HTML(status_html("Counting."), elem_id="train-preview")
                self.count_again = gr.Button("Count again", elem_id="train-look", size="sm")
                self.recipe = gr.Dropdown([], label="Recipe", elem_id="train-recipe")
                self.seed = gr.Number(0, label="Seed", precision=0, elem_id="train-seed")
                self.no_pir = gr.Checkbox(
                    False,
                    label="Leave PIR-GRPO out",
                    info="SFT only: much quicker; refusing is practised less.",
                    elem_id="train-no-pir",
                )
                with gr.Row():
                    self.start = gr.Button("Start", variant="primary", elem_id="train-start")
                    self.resume = gr.Button("Resume", interactive=False, elem_id="train-resume")
                    self.cancel = gr.Button("Cancel", interactive=False, elem_id="train-cancel")
                self.job = gr.HTML(elem_id="train-job")
                self.line = gr.HTML(status_html(), elem_id="train-line")
            with gr.Column(scale=2):
                gr.Markdown("## Curves")
                figure = empty_figure("How far each stage has come appears here.")
                self.progress = gr.Plot(figure, show_label=False, elem_id="train-progress")
                figure = empty_figure("Curves appear here.")
                self.curves = gr.Plot(figure, show_label=False, elem_id="train-curves")
        gr.Markdown("## Old against new")
        self.run = gr.Dropdown([], label="Refresh", elem_id="train-run")
        self.scores = gr.HTML(elem_id="train-scores")
        with gr.Row():
            self.row = gr.Dropdown([], label="Held-out row", elem_id="train-row", scale=3)
            self.side = gr.Radio(SIDES, value="new", label="On the timeline", elem_id="train-side", scale=2)
        figure = empty_figure("Choose a held-out row.")
        self.lanes = gr.Plot(figure, show_label=False, elem_id="train-lanes")
        self.row_line = gr.HTML(status_html(), elem_id="train-row-line")
        self.timeline = Timeline(label="Answer on the held-out clip", elem_id="train-timeline")
        gr.Markdown("## Adapters")
        self.adapters = gr.HTML(elem_id="train-adapters")
        with gr.Row():
            self.adapter = gr.Dropdown([], label="Adapter", elem_id="train-adapter", scale=3)
            self.promote = gr.Button("Promote", elem_id="train-promote")
            self.rollback = gr.Button("Roll back", elem_id="train-rollback")
        with gr.Column(visible=False, elem_id="train-ask") as self.ask:
            self.question = gr.HTML()
            self.refused_adapter = gr.State("")
            with gr.Row():
                self.promote_anyway = gr.Button(
                    "Serve it all the same", variant="stop", elem_id="train-promote-anyway"
                )
                self.leave = gr.Button("Leave it", elem_id="train-leave")
        self.served_line = gr.HTML(status_html(), elem_id="train-served-line")
