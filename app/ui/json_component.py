"""An HTML component that a script draws from JSON.

Its template is empty: the value is JSON text, and the script builds nodes of it with `textContent`, so that no text of
a person or a model ever passes through a template.
"""

from pathlib import Path

import gradio as gr

from app.http.base_path import address_script

SHARED_SCRIPT = Path(__file__).parent / "assets" / "component.js"


def json_component(script: Path, elem_id: str, *, value: str | None = None, visible: bool = True) -> gr.HTML:
    """The component. `script` defines `build(value)`, which returns nodes, may `trigger("select", {...})`, and asks
    `addressOf("/some/path")` for addresses of the app."""
    sources = [path.read_text(encoding="utf-8") for path in (SHARED_SCRIPT, script)]
    return gr.HTML(
        value,
        html_template="<div></div>",
        js_on_load=address_script() + "\n".join(sources),
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes=[f"tempo-{script.stem}"],
        visible=visible,
    )
