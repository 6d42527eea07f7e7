"""The Gradio side of the timeline: one `gr.HTML` subclass whose behaviour is a small ES module.

The template is static, so that Gradio never redraws what the module builds (its <video>, canvases and
listeners survive every update), and no text of a person or a model ever passes through a template.
Constants stand in the script itself, because Gradio drops a component's extra props on updates;
everything that changes travels in `value`, which starts as None because a constructor's value is
baked into the page of every visitor. Return raw values from handlers, never `gr.update(...)`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import gradio as gr
from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app.http.base_path import address_of
from app.timeline.parts import check_value

ASSETS = Path(__file__).parent / "assets"
ASSETS_PREFIX = "/ui-assets"
"""Not "/static": that prefix would hide Gradio's own files."""

_LOAD = """
const assets = %s, version = %s, mode = %s, workspace = %s;
import(`${assets}/timeline.js?v=${version}`).then(
  (module) => module.mount(element, { props, watch, assets, version, mode, workspace }),
  (error) => {
    const root = element.querySelector(".tl-root") ?? element;
    root.textContent = `The timeline could not load its script (${error.message}). Reload the page.`;
  },
);
"""


class AssetFiles(StaticFiles):
    """Static files that a browser keeps but revalidates: modules import each other without a version."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def assets_version() -> str:
    """A short hash of every asset's content: it changes exactly when one of them does."""
    digest = hashlib.sha256()
    for path in sorted(ASSETS.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def mount_assets(app: FastAPI) -> None:
    """Serve the timeline's modules and stylesheet under ASSETS_PREFIX. Call it before Gradio is mounted at "/"."""
    app.mount(ASSETS_PREFIX, AssetFiles(directory=ASSETS), name="timeline-assets")


class Timeline(gr.HTML):
    """A clip with the model's answer and allocation on one time axis.

    `mode="ground"` is read-only: the value is a `TimelineValue` (see `timeline_value`) or None. Use
    `show_progress="hidden"` on events that write to it: it shows its own loading state.
    In the other modes moments can be edited, and the value stays None: `workspace`, a module among the assets,
    gets the root element in its `start(root, ...)` and opens items with `root.timeline.load(item, {history})`.
    """

    def __init__(
        self,
        *,
        label: str = "Timeline",
        mode: Literal["ground", "annotate", "review"] = "ground",
        workspace: str | None = None,
        elem_id: str | None = None,
        **options: Any,  # Gradio makes the component anew when its value changes, with some of its own (`render`)
    ) -> None:
        super().__init__(
            None,
            label=label,
            html_template='<div class="tl-root" style="min-height: 40rem"></div>',
            js_on_load=_LOAD
            % tuple(
                json.dumps(part) for part in (address_of(ASSETS_PREFIX), assets_version(), mode, workspace)
            ),
            apply_default_css=False,
            elem_id=elem_id,
            **options,
        )

    def postprocess(self, value: Any) -> dict[str, Any] | None:  # type: ignore[override]
        """What a handler returned, checked. Raises InputError when the component could not draw it."""
        return None if value is None else check_value(value)
