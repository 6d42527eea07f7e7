"""Example clips as cards, and the questions of the chosen one as chips."""

import json
from pathlib import Path

import gradio as gr

from app.ground.examples import Example
from app.ui.json_component import json_component

SCRIPT = Path(__file__).parent / "assets" / "example_cards.js"


def example_cards(examples: list[Example]) -> gr.HTML:
    """The cards; the `select` event carries {"clip", "question", "keep_clip"} by number."""
    rows = [
        {"title": e.title, "questions": list(e.questions), "licence": e.licence, "source": e.source}
        for e in examples
    ]
    return json_component(SCRIPT, "ground-examples", value=json.dumps(rows), visible=bool(rows))
