"""Where things stand on the ground page."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app.ground.clip_input import ClipInput
from app.ground.engines import EngineStatus
from app.ground.example_cards import example_cards
from app.ground.examples import Example
from app.ground.service import MAX_N_BEST
from app.ground.view import EMPTY_RESULT, model_html, status_html
from app.timeline import Timeline
from tempo_core.prompt import MAX_QUERY_CHARACTERS

CHECK_MODEL_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TabState:
    """What is remembered of a browser tab between two events."""

    context_id: str | None = None
    """The context that the shown result came from."""
    source: str | None = None
    """The uploaded file that was asked about."""


@dataclass(frozen=True, kw_only=True)
class GroundView:
    """The page's components by name."""

    head: Any
    ticker: Any
    clip: Any
    cards: Any
    query: Any
    token_budget: Any
    allocator: Any
    step_s: Any
    n_best: Any
    ask: Any
    cancel: Any
    status: Any
    timeline: Any
    result: Any
    curves: Any
    sizes: Any
    state: Any

    @property
    def outputs(self) -> list[Any]:
        """What a run may write to."""
        return [
            self.timeline,
            self.status,
            self.result,
            self.curves,
            self.sizes,
            self.state,
            self.ask,
            self.cancel,
        ]


def lay_out(examples: list[Example]) -> GroundView:
    """Make the components inside the current Blocks."""
    head = gr.HTML(model_html(EngineStatus(state="loading", message="Connecting.")), elem_id="ground-head")
    parts: dict[str, Any] = {
        "head": head,
        "ticker": gr.Timer(CHECK_MODEL_EVERY_S),
        "state": gr.State(TabState()),
    }
    with gr.Row(elem_id="ground"):
        with gr.Column(scale=2, min_width=330, elem_id="ground-form"):
            parts |= _form(examples)
        with gr.Column(scale=5, min_width=330, elem_id="ground-answer"):
            parts |= _answer()
    return GroundView(**parts)


def _form(examples: list[Example]) -> dict[str, Any]:
    clip = ClipInput(label="Clip", height=250, elem_id="ground-clip")
    cards = example_cards(examples)
    query = gr.Textbox(
        label="When does this happen?",
        placeholder="a red circle appears",
        lines=2,
        max_lines=4,
        submit_btn=False,
        max_length=MAX_QUERY_CHARACTERS,
        elem_id="ground-query",
    )
    with gr.Row():
        ask = gr.Button("Ask", variant="primary", elem_id="ground-ask", min_width=120)
        cancel = gr.Button("Cancel", interactive=False, elem_id="ground-cancel", min_width=120)
    return {"clip": clip, "cards": cards, "query": query, "ask": ask, "cancel": cancel, **_settings()}


def _settings() -> dict[str, Any]:
    with gr.Accordion("Settings", open=False, elem_id="ground-settings"):
        token_budget = gr.Number(
            None,
            label="Token budget",
            info="Visual tokens for the whole clip; empty: the model's own.",
            precision=0,
        )
        allocator = gr.Radio(
            [("By content change (SAA)", "saa"), ("Uniform", "uniform")],
            value="saa",
            label="Share the tokens",
        )
        step_s = gr.Number(
            None, label="Sampling step", info="Seconds between frames; empty: chosen for the clip."
        )
        n_best = gr.Slider(1, MAX_N_BEST, value=5, step=1, label="Ranked windows")
    return {"token_budget": token_budget, "allocator": allocator, "step_s": step_s, "n_best": n_best}


def _answer() -> dict[str, Any]:
    status = gr.HTML(status_html(), elem_id="ground-status")
    timeline = Timeline(elem_id="ground-timeline")
    with gr.Tabs():
        with gr.Tab("What it cost"):
            result = gr.HTML(EMPTY_RESULT, elem_id="ground-result")
        with gr.Tab("Charts"):
            curves = gr.Plot(label="Allocation and variation over time", elem_id="ground-curves")
            sizes = gr.Plot(label="Sizes of the frames", elem_id="ground-sizes")
    return {
        "status": status,
        "timeline": timeline,
        "result": result,
        "curves": curves,
        "sizes": sizes,
    }
