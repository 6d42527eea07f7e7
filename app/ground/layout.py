"""Where things stand on the ground page."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app.ground.clip_input import ClipInput
from app.ground.engines import EngineStatus
from app.ground.examples import Example
from app.ground.service import MAX_N_BEST
from app.ground.view import EMPTY_RESULT, about_html, model_html, status_html
from app.library.view import index_html
from app.timeline import Timeline
from app.ui.json_component import json_component

ASSETS = Path(__file__).parent / "assets"
LIBRARY_ASSETS = Path(__file__).parents[1] / "library" / "assets"
CHECK_MODEL_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TabState:
    """What is remembered of a browser tab between two events."""

    context_id: str | None = None
    """The context that the shown result came from."""
    source: str | None = None
    """The uploaded file that was asked about."""
    library: str = ""
    """The folder whose clips were asked."""
    library_answer: Any = None
    """What the model said about them (`tempo_core.library.search.LibraryAnswer`)."""
    answer: tuple[str, str] | None = None
    """Clip and id of the answer on the page, where it is kept."""


class GroundView:
    """The page's components by name, made inside the current Blocks."""

    def __init__(self, examples: list[Example], libraries: list[str]) -> None:
        loading = EngineStatus(state="loading", message="Connecting.")
        self.head = gr.HTML(model_html(loading), elem_id="ground-head")
        self.ticker = gr.Timer(CHECK_MODEL_EVERY_S)
        self.library_ticker = gr.Timer(CHECK_MODEL_EVERY_S, active=False)
        self.state = gr.State(TabState())
        with gr.Row(elem_id="ground"):
            with gr.Column(scale=2, min_width=330, elem_id="ground-form"):
                self.scope = gr.Radio(
                    [("One clip", ""), *((f"All clips of {name}", name) for name in libraries)],
                    value="",
                    label="Where to look",
                    visible=bool(libraries),
                    elem_id="ground-scope",
                )
                self.library_line = gr.HTML(index_html(None), visible=False, elem_id="ground-library")
                self.clip = ClipInput(label="Clip", height=250, elem_id="ground-clip")
                self.query = gr.Textbox(
                    label="When does this happen?",
                    placeholder="a red circle appears",
                    lines=1,  # so that Enter asks; Shift and Enter begin a line
                    max_lines=4,
                    submit_btn=False,
                    elem_id="ground-query",
                )
                self.models = gr.CheckboxGroup(
                    [],
                    value=[],
                    label="Which models",
                    info="Several are shown side by side.",
                    visible=False,
                    elem_id="ground-models",
                )
                """The served one is "", so that it is whichever is served then."""
                with gr.Row():
                    self.ask = gr.Button("Ask", variant="primary", elem_id="ground-ask", min_width=120)
                    self.cancel = gr.Button(
                        "Cancel", interactive=False, elem_id="ground-cancel", min_width=120
                    )
                self.cards = json_component(
                    ASSETS / "example_cards.js",
                    "ground-examples",
                    value=json.dumps([example.card() for example in examples]),
                    visible=bool(examples),
                )
                """Selects {"clip"}, and submits {"clip", "question"}, by number."""
                with gr.Accordion("Settings", open=False, elem_id="ground-settings") as self.settings:
                    self.token_budget = gr.Number(
                        None,
                        label="Token budget",
                        info="Visual tokens for the whole clip; empty: the model's own.",
                        precision=0,
                    )
                    self.allocator = gr.Radio(
                        [
                            ("As the model was trained", ""),
                            ("By content change (SAA)", "saa"),
                            ("Uniform", "uniform"),
                        ],
                        value="",
                        label="Share the tokens",
                    )
                    self.step_s = gr.Number(
                        None,
                        label="Sampling step",
                        info="Seconds between frames; empty: chosen for the clip.",
                    )
                    self.n_best = gr.Slider(1, MAX_N_BEST, value=5, step=1, label="Ranked windows")
                self.about = gr.HTML(about_html(None, {}), elem_id="ground-about")
            with gr.Column(scale=5, min_width=330, elem_id="ground-answer"):
                self.status = gr.HTML(status_html(), elem_id="ground-status")
                self.ranked = json_component(
                    LIBRARY_ASSETS / "ranked_moments.js", "ground-ranked", visible=False
                )
                """Selects {"rank"} of a moment."""
                self.timeline = Timeline(elem_id="ground-timeline")
                with gr.Tabs():
                    with gr.Tab("What it cost"):
                        self.result = gr.HTML(EMPTY_RESULT, elem_id="ground-result")
                    with gr.Tab("Charts"):
                        self.curves = gr.Plot(
                            label="Allocation and variation over time", elem_id="ground-curves"
                        )
                        self.sizes = gr.Plot(label="Sizes of the frames", elem_id="ground-sizes")
                with gr.Row():
                    self.share = gr.Button("Make a link to this answer", size="sm", interactive=False)
                    self.unshare = gr.Button("End the link", size="sm", interactive=False)
                self.earlier = json_component(ASSETS / "answer_list.js", "ground-earlier")
                """Selects {"id"}: an answer as "<clip>/<answer>"."""
                self.opening = gr.Textbox(visible=False)
                """The answer that the page's address names."""
        self.form: list[Any] = [
            *(self.clip, self.query, self.token_budget, self.allocator, self.step_s, self.n_best)
        ]
        """What a question is made of, in the order of the handlers' parameters."""
        self.outputs: list[Any] = [
            *(self.timeline, self.status, self.result, self.curves, self.sizes, self.state),
            *(self.ask, self.cancel, self.share, self.unshare, self.earlier, self.ranked),
        ]
        """What a run may write to."""
