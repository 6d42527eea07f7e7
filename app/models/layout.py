"""What the Models page consists of: one component whose script draws everything."""

from pathlib import Path

import gradio as gr

from app.http.base_path import address_script

SCRIPT = Path(__file__).parent / "assets" / "models.js"


def models_component() -> gr.HTML:
    """Make the component inside the current page. Its template is static; every text is set as text."""
    gr.HTML("<h1>Models</h1>", elem_id="models-head")
    return gr.HTML(
        html_template='<div class="tempo-models"></div>',
        js_on_load=address_script() + SCRIPT.read_text(encoding="utf-8"),
        apply_default_css=False,
        padding=False,
        elem_id="models",
    )
