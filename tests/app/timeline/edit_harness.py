"""The timeline on bare pages: a rendered clip whose pictures carry their number, and items to edit.

Run `python -m tests.app.timeline.edit_harness PORT` to look at it by hand (?item=crowded&theme=dark&mode=review).
"""

import json
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from PIL import Image

from annotations.records import ERROR_CATEGORIES
from app.timeline import mount_assets
from tests import videos
from tests.app.timeline.harness import (
    DURATION_S,
    RATE,
    STATES,
    TILE,
    crowded_value,
    ready_value,
    render_clip,
    render_strip,
)

PAGE = """<!doctype html><html lang="en" class="{theme}"><head><meta charset="utf-8"><title>Annotate</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ margin: 16px; font-family: system-ui, sans-serif; background: {paper}; }}
body.dark {{ color-scheme: dark; }}</style></head>
<body class="gradio-container {theme}"><main id="host"><div class="tl-root"></div></main>
<output id="said" hidden></output>
<script type="module">
const {{ mount }} = await import("/ui-assets/timeline.js");
const host = document.getElementById("host"), said = document.getElementById("said");
document.addEventListener("tl-submit", (event) => submits.push(event.detail.edit));
window.openItem = async (query) => {{
  document.body.dataset.ready = "false";
  const {{ item = "ready", mode = "annotate" }} = Object.fromEntries(new URLSearchParams(query));
  const value = await (await fetch(`/items/${{item}}`)).json();
  host.replaceChildren(Object.assign(document.createElement("div"), {{ className: "tl-root" }}));
  await mount(host, {{ props: {{ value: null }}, watch() {{}}, assets: "/ui-assets", version: "0", mode }});
  window.view = host.querySelector(".tl-root").timeline;
  const {{ message }} = view.bar;
  const hear = () => message.textContent && (said.textContent = message.textContent);
  said.textContent = "";
  new MutationObserver(hear).observe(message, {{ childList: true, characterData: true, subtree: true }});
  [window.commits, window.submits] = [[], []];
  view.editor.addEventListener("commit", (event) => commits.push(event.detail));
  const history = sessionStorage.getItem("history");
  view.load(value, {{ history: history && JSON.parse(history) }});
  document.body.dataset.ready = "true";
}};
await openItem(location.search);
</script></body></html>"""

"""`openItem(query)` opens an item as a fresh page would. What the timeline says last stays in #said."""

GROUND_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Ground</title>
<style>body { margin: 16px; font-family: system-ui, sans-serif; }</style></head>
<body class="gradio-container"><input aria-label="Words"><main id="host"><div class="tl-root"></div></main>
<script type="module">
const { mount } = await import("/ui-assets/timeline.js");
const host = document.getElementById("host"), props = { value: null };
let update = null;
window.openTimeline = async () => {
  props.value = null;
  host.replaceChildren(Object.assign(document.createElement("div"), { className: "tl-root" }));
  const watch = (_, call) => (update = call);
  await mount(host, { props, watch, assets: "/ui-assets", version: "0", mode: "ground" });
};
window.showValue = async (name) => {
  props.value = await (await fetch(`/values/${encodeURIComponent(name)}`)).json();
  update();
};
await openTimeline();
document.body.dataset.ready = "true";
</script></body></html>"""
"""The read-only timeline without Gradio; `showValue(name)` gives it one of the harness' STATES."""


def edit_part(**changes: Any) -> dict[str, Any]:
    """The editing part of an item: two original moments, two of the model, shots and a grid."""
    part: dict[str, Any] = {
        "query_id": 7,
        "qid": "2579",
        "dataset": "discs",
        "vid": "disc_0.0_12.0",
        "query": "When is the disc orange?",
        "annotator": "ada",
        "parent_id": None,
        "edit": None,
        "arm": "original-first",
        "blind_share": 0.2,
        "original": {
            "moments": [{"start_ms": 2000, "end_ms": 4000}, {"start_ms": 6000, "end_ms": 8000}],
            "refused": False,
        },
        "model": {
            "proposal_id": 3,
            "model_id": "tempo-tiny",
            "moments": [
                {"start_ms": 2120, "end_ms": 4400, "confidence": 0.83},
                {"start_ms": 9000, "end_ms": 10000, "confidence": 0.41},
            ],
            "refused": False,
            "relevance": 0.94,
            "worth": {"answers": 12, "mean_tiou": 0.43},
        },
        "model_absence": None,
        "others": [],
        "frame_rate": RATE,
        "frame_count": int(RATE * DURATION_S),
        "grid_ms": 2000,
        "shots_ms": [3960, 7000],
        "saliency": [[k * 2000, k * 2000 + 2000, 1 + k % 4] for k in range(1, 5)],
        "reasons": [{"kind": "hole", "text": "One-clip hole between 4 s and 6 s"}],
        "error_categories": ERROR_CATEGORIES,
        "progress": {"done": 3, "left": 9},
        "missing_video": None,
    }
    return part | changes


def item(part: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {**ready_value(), "edit": part or edit_part(), **changes}


def crowded() -> dict[str, Any]:
    """150 bars, 20 moments of one's own, 20 of the model, every lane."""
    spans = [{"start_ms": 120 + 580 * k, "end_ms": 480 + 580 * k} for k in range(20)]
    model = {
        **edit_part()["model"],
        "moments": [{**span, "confidence": 0.05 * k + 0.02} for k, span in enumerate(spans)],
    }
    saliency = [[k * 400, k * 400 + 400, k % 5] for k in range(30)]
    part = edit_part(
        original={"moments": spans, "refused": False},
        model=model,
        saliency=saliency,
        grid_ms=400,
        shots_ms=np.arange(300, 12000, 700).tolist(),
    )
    return {**crowded_value(), "edit": part}


def reviewed() -> dict[str, Any]:
    other_answers = [
        {"name": "ada", "moments": [{"start_ms": 2040, "end_ms": 4000}], "verdict": "moments"},
        {"name": "grace", "moments": [{"start_ms": 2400, "end_ms": 4400}], "verdict": "moments"},
        {"name": "edsger", "moments": [], "verdict": "no-moment"},
    ]
    return item(edit_part(others=other_answers))


def refused() -> dict[str, Any]:
    model = {**edit_part()["model"], "moments": [], "refused": True, "relevance": 0.06}
    return item(edit_part(model=model))


def hostile() -> dict[str, Any]:
    text = "<img src=x onerror='document.body.dataset.hit=1'> ${document.body.dataset.hit=2} שלום 🎈 " * 110
    return item(edit_part(query=text, reasons=[{"kind": "x", "text": text[:90]}]))


LONG_QUERY = "A person in a dark coat walks through the door and puts a bag on the table beside the lamp " * 2
FOUR_REASONS = [{"kind": f"kind-{k}", "text": f"{k} holes of one clip between two moments"} for k in range(4)]

TWIN = {
    "qid": "2580",
    "decided": "verdict",
    "verdict": "moments",
    "moments": [{"start_ms": 1800, "end_ms": 4600}],
}

ITEMS: dict[str, Callable[[], dict[str, Any]]] = {
    "ready": item,
    "blind": lambda: item(edit_part(arm="blind", model=None)),
    "model-first": lambda: item(edit_part(arm="model-first")),
    "waiting": lambda: item(edit_part(model=None)),
    "empty": lambda: item(edit_part(original={"moments": [], "refused": True})),
    "crowded": crowded,
    "reviewed": reviewed,
    "refused": refused,
    "refused-model-first": lambda: item(refused()["edit"] | {"arm": "model-first"}),
    "coming": lambda: item(edit_part(arm="model-first", model=None), frames=None, ranked=[]),
    "deep": lambda: item(strip={**item()["strip"], "levels": 2}),
    "sounding": lambda: item(video={**item()["video"], "sound_url": "/sound.bin"}),
    "twin": lambda: item(edit_part(twins=[TWIN])),
    "reasons": lambda: item(edit_part(query=LONG_QUERY, reasons=FOUR_REASONS)),
    "unreasoned": lambda: item(edit_part(query="A disc", reasons=[])),
    "unanswered": lambda: item(moments=[]),
    "hostile": hostile,
    "numbered": lambda: numbered(),
}


NTSC = 30_000 / 1001
NTSC_FRAMES = 45


def numbered() -> dict[str, Any]:
    """A short clip at 29.97 frames a second, all of it one moment."""
    duration_s = NTSC_FRAMES / NTSC
    span = {"start_ms": 0, "end_ms": round(1000 * duration_s)}
    part = edit_part(
        original={"moments": [span], "refused": False},
        model=None,
        frame_rate=NTSC,
        frame_count=NTSC_FRAMES,
        grid_ms=None,
        shots_ms=[],
        saliency=[],
    )
    video = {
        "url": "/numbered.mp4",
        "duration_s": duration_s,
        "frame_rate": NTSC,
        "width": 128,
        "height": 96,
    }
    return {**item(part), "video": video, "frames": None, "strip": None, "moments": [], "ranked": []}


def build(folder: Path) -> FastAPI:
    """The page at /?item=NAME&theme=light|dark&mode=annotate|review, and the read-only one at /ground."""
    videos.write_clip(
        folder / "numbered.mp4", videos.constant(NTSC_FRAMES, fps=NTSC), ticks=30_000, rate=30, gop=12
    )
    app = FastAPI()
    app.get("/numbered.mp4")(lambda: FileResponse(folder / "numbered.mp4"))
    render_clip(folder / "clip.mp4")
    render_strip(folder / "strip.png", np.arange(0, 12, 0.5).tolist(), 6)
    mount_assets(app)
    app.get("/clip.mp4")(lambda: FileResponse(folder / "clip.mp4"))
    app.get("/strip.png")(lambda: FileResponse(folder / "strip.png"))

    @app.get("/strip.png/{level}/{number}")
    def sheet(level: int, number: int) -> Response:
        """One colour a level, a little different from picture to picture."""
        picture, buffer = (
            Image.new("RGB", (8 * TILE[0], 2 * TILE[1]), (250 * (level == 2), 90 * level, number)),
            BytesIO(),
        )
        picture.save(buffer, format="PNG")
        return Response(buffer.getvalue(), media_type="image/png")

    loud = bytes(300) + bytes([255]) * 300  # six seconds of silence, and six at full amplitude
    app.get("/sound.bin")(lambda: Response(loud, media_type="application/octet-stream"))

    app.get("/broken.mp4")(lambda: FileResponse(folder / "strip.png", media_type="video/mp4"))

    @app.get("/items/{name}")
    def item_json(name: str) -> JSONResponse:
        return JSONResponse(json.loads(json.dumps(ITEMS[name]())))

    @app.get("/", response_class=HTMLResponse)
    def page(theme: str = "light") -> str:
        return PAGE.format(theme=theme, paper="#0f141b" if theme == "dark" else "#f7f8fa")

    @app.get("/values/{name}")
    def value_json(name: str) -> JSONResponse:
        return JSONResponse(json.loads(json.dumps(STATES[name]())))

    app.get("/ground")(lambda: HTMLResponse(GROUND_PAGE))

    return app


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        uvicorn.run(build(Path(name)), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
