"""A small app around the timeline: FastAPI, a rendered clip, its film strip, and one button per state.

Run `python -m tests.app.timeline.harness PORT` to look at it by hand.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import gradio as gr
import numpy as np
import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse
from PIL import Image

from app.__main__ import claim_port
from app.timeline import Timeline, empty_value, error_value, loading_value, mount_assets
from tests.app.serving import served

RATE, DURATION_S, SIZE = 25, 12.0, (320, 180)
TILE = (96, 54)


def picture(idx: int) -> np.ndarray:
    """Frame `idx` of the clip: its number in binary as twelve blocks at the top, a disc that drifts below."""
    width, height = SIZE
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[:] = (40, 60 + int(60 * idx / (RATE * DURATION_S)), 90)
    for bit in range(12):
        rgb[4:24, 8 + bit * 25 : 28 + bit * 25] = 235 if idx >> bit & 1 else 16
    y, x = np.mgrid[:height, :width]
    disc = (x - 30 - idx * 0.85) ** 2 + (y - 110) ** 2 < 35**2
    rgb[disc] = (225, 140, 40) if 100 <= idx < 175 else (120, 130, 140)
    return rgb


def read_number(rgb: np.ndarray) -> int:
    """The number that `picture` drew, from a picture of the clip's own size."""
    return sum(1 << bit for bit in range(12) if rgb[14, 18 + bit * 25].mean() > 128)


def render_clip(path: Path) -> None:
    """An H.264 clip of constant rate whose pictures carry their number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "18", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for idx in range(int(RATE * DURATION_S)):
            frame = av.VideoFrame.from_ndarray(picture(idx), format="rgb24")
            frame.pts, frame.time_base = idx, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def render_strip(path: Path, times_s: list[float], columns: int) -> None:
    """The sprite picture of the clip at the given times."""
    rows = -(-len(times_s) // columns)
    sheet = Image.new("RGB", (columns * TILE[0], rows * TILE[1]))
    for place, time_s in enumerate(times_s):
        tile = Image.fromarray(picture(round(time_s * RATE))).resize(TILE)
        sheet.paste(tile, (place % columns * TILE[0], place // columns * TILE[1]))
    sheet.save(path)


def ready_value(**changes: Any) -> dict[str, Any]:
    """A full answer on the clip: two moments, three ranked windows, 24 frames with a hole at 8 to 9.5 s."""
    times_s = [t for t in np.arange(0, 11.5, 0.5).round(3).tolist() if not 8.0 < t < 9.5]
    variation = [round(float(np.exp(-(min(abs(t - 4), abs(t - 7)) ** 2))), 3) for t in times_s]
    tokens = [8 + 2 * round(24 * v) for v in variation]
    value: dict[str, Any] = dict(empty_value())
    value.update(
        state="ready",
        query="When is the disc orange?",
        video={
            "url": "/clip.mp4",
            "duration_s": DURATION_S,
            "frame_rate": RATE,
            "width": SIZE[0],
            "height": SIZE[1],
        },
        strip={
            "url": "/strip.png",
            "tile_width": TILE[0],
            "tile_height": TILE[1],
            "columns": 6,
            "times_s": np.arange(0, 12, 0.5).tolist(),
        },
        frames={
            "times_s": times_s,
            "end_s": 11.5,
            "tokens": tokens,
            "variation": variation,
            "sizes_px": [[56, 14 * count] for count in tokens],
            "uniform_tokens": sum(tokens) / len(tokens),
            "budget_tokens": 640,
        },
        moments=[
            {"start_s": 4.0, "end_s": 7.0, "confidence": 0.83},
            {"start_s": 9.5, "end_s": 10.0, "confidence": 0.41},
        ],
        ranked=[
            {"start_s": 4.0, "end_s": 7.0, "score": 0.71},
            {"start_s": 3.5, "end_s": 7.5, "score": 0.17},
            {"start_s": 9.5, "end_s": 10.0, "score": 0.05},
        ],
        refusal={"refused": False, "relevance": 0.94},
    )
    return value | changes


def refused_value() -> dict[str, Any]:
    return ready_value(
        moments=[], refusal={"refused": True, "relevance": 0.07}, query="When does a giraffe dance?"
    )


def unknown_value() -> dict[str, Any]:
    """The model does not know what was asked."""
    understood = {"probability": 0.0, "words": ["giraffe"], "sentence": "This model does not know “giraffe”."}
    value = refused_value()
    return {**value, "ranked": [], "refusal": {"refused": False, "relevance": None}, "understood": understood}


def loading_with_clip() -> dict[str, Any]:
    ready = ready_value()
    return {**loading_value("Encoding 24 frames", query=ready["query"]), "video": ready["video"]}


def unplayable_value() -> dict[str, Any]:
    video = ready_value()["video"]
    assert video is not None
    return ready_value(video={**video, "url": "/broken.mp4"})


def hostile_value() -> dict[str, Any]:
    image = "<img src=x onerror='document.body.dataset.hit=1'>"
    text = image + " ${document.body.dataset.hit=2} {{value}} שלום 🎈 "
    return ready_value(query=text * 60)


def crowded_value() -> dict[str, Any]:
    """150 frames and 20 moments: what drawing is measured on."""
    times_s = np.linspace(0, 11.9, 150).round(4).tolist()
    rng = np.random.default_rng(7)
    tokens = rng.integers(4, 65, 150).tolist()
    moments = [
        {"start_s": 0.1 + idx * 0.59, "end_s": 0.5 + idx * 0.59, "confidence": 0.05 * idx + 0.02}
        for idx in range(20)
    ]
    frames = {
        "times_s": times_s,
        "end_s": DURATION_S,
        "tokens": tokens,
        "variation": rng.random(150).round(3).tolist(),
        "sizes_px": [[112, 112]] * 150,
        "uniform_tokens": sum(tokens) / 150,
        "budget_tokens": 5000,
    }
    return ready_value(frames=frames, moments=moments)


def even_value() -> dict[str, Any]:
    """Every frame was given the same number of tokens."""
    frames = ready_value()["frames"]
    return ready_value(frames={**frames, "tokens": [8] * len(frames["tokens"])})


def film_value() -> dict[str, Any]:
    """The clip looked at as a film: three windows of a scan, and two second looks, one of which found a moment."""
    scan = [
        {"start_s": 4.0 * idx, "end_s": 4.0 * idx + 4, "kind": "scan", "step_s": 2.0, "frames": 2}
        | {"relevance": relevance, "moments": moments}
        for idx, (relevance, moments) in enumerate([(0.01, 0), (0.93, 1), (0.4, 0)])
    ]
    second = [
        {"start_s": 2.0, "end_s": 6.0, "kind": "second", "step_s": 0.5, "frames": 8}
        | {"relevance": 0.97, "moments": 1},
        {"start_s": 8.0, "end_s": 10.0, "kind": "second", "step_s": 0.5, "frames": 4}
        | {"relevance": None, "moments": 0},
    ]
    return ready_value(looks=[*scan, *second])


STATES: dict[str, Callable[[], dict[str, Any]]] = {
    "ready": ready_value,
    "empty": empty_value,
    "loading": lambda: loading_value("Decoding the clip", query="When is the disc orange?"),
    "loading clip": loading_with_clip,
    "error": lambda: error_value(
        "clip.mkv holds no picture. The timeline needs a file with video. Choose another file.",
        query="When is the disc orange?",
    ),
    "refused": refused_value,
    "unknown": unknown_value,
    "unplayable": unplayable_value,
    "hostile": hostile_value,
    "crowded": crowded_value,
    "even": even_value,
    "film": film_value,
    "loading film": lambda: {**loading_with_clip(), "looks": []},
}


def build(folder: Path) -> FastAPI:
    """The app: the timeline, a textbox, a button per state, and a switch that removes and remounts it."""
    render_clip(folder / "clip.mp4")
    render_strip(folder / "strip.png", np.arange(0, 12, 0.5).tolist(), 6)
    app = FastAPI()
    mount_assets(app)
    app.get("/clip.mp4")(lambda: FileResponse(folder / "clip.mp4"))
    app.get("/strip.png")(lambda: FileResponse(folder / "strip.png"))
    app.get("/broken.mp4")(lambda: FileResponse(folder / "strip.png", media_type="video/mp4"))
    with gr.Blocks(analytics_enabled=False) as demo:
        gr.Textbox(label="Words")
        with gr.Column(visible=True) as column:
            timeline = Timeline(elem_id="timeline")
        with gr.Row():
            for name, make in STATES.items():
                gr.Button(name, elem_id=f"to-{name.replace(' ', '-')}").click(
                    make, None, timeline, show_progress="hidden", api_name=name.replace(" ", "_")
                )
        gr.Button("hide", elem_id="hide").click(lambda: gr.update(visible=False), None, column)
        gr.Button("show", elem_id="show").click(lambda: gr.update(visible=True), None, column)
    return gr.mount_gradio_app(app, demo, path="/", footer_links=[], run_history=False)


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The address of `app`, served from a thread until the block ends."""
    with served(app, claim_port("127.0.0.1", 0)) as url:
        yield url


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        uvicorn.run(build(Path(name)), host="127.0.0.1", port=int(sys.argv[1]))
