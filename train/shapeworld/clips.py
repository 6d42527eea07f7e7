"""Shapeworld on disk: video files with rows in QVHighlights form, resumable, from seeds that training never uses."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from tempo_core.files import move
from train.shapeworld.queries import HARD_KINDS, TEST_MIX, QueryMix, sample_queries
from train.shapeworld.render import canvas_size, render
from train.shapeworld.scene import TIERS, Scene, other_scenes, sample_scene

HELD_OUT_SEEDS = 2**40
"""Training draws seeds below 2**31; sets on disk start here."""

CLIPS_RATE = 4
"""Pictures a second in the files: every beat falls on a picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SetPlan:
    """A set of clips to make."""

    clips: int
    queries: int = 5
    tier: str = "rich"
    seed: int = 0
    short_side_px: int = 224
    mix: QueryMix = TEST_MIX
    motion: float = 0.0


MIXES: dict[str, QueryMix] = {
    "main": TEST_MIX,
    "hard": QueryMix(hard_share=1.0, hard_kinds=HARD_KINDS, held_out_words=True),
    "unseen-pairs": QueryMix(hard_share=0.0, hard_kinds=(), irrelevant=0.0, held_out_pairs="only"),
}
"""Which questions a set asks: the ten main kinds, the hard ones, or colour-shape pairs never asked in training."""


def make_set(
    plan: SetPlan, folder: Path, *, on_progress: Callable[[int, int], None] = lambda count, total: None
) -> Path:
    """Render `plan.clips` clips into `folder/videos` and their rows into `folder/rows.jsonl`; returns the rows' path.

    Clips that are already there are kept, so that a stopped run goes on. Deterministic in the plan.
    """
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    clip_count = 0
    fewest = 1 if plan.mix.held_out_pairs == "only" else plan.queries
    for number in range(20 * plan.clips):
        seed = HELD_OUT_SEEDS + plan.seed * 100_000 + number
        scene = sample_scene(seed, TIERS[plan.tier], motion=plan.motion)
        rng = np.random.default_rng([seed, 3])
        queries = sample_queries(rng, scene, plan.queries, plan.mix, other_scenes(scene))
        if len(queries) < fewest:
            continue
        name = f"{plan.tier}-{seed - HELD_OUT_SEEDS:08d}"
        if not (videos / f"{name}.mp4").exists():
            write_clip(scene, videos / f"{name}.mp4", short_side_px=plan.short_side_px)
        # QVHighlights rows: no window means no matching moment, `kind`, `tier` and `negative` say what was asked
        rows += [
            {
                "qid": len(rows) + i,
                "query": query.text,
                "duration": scene.duration_s,
                "vid": name,
                "relevant_windows": [[start * scene.step_s, end * scene.step_s] for start, end in query.runs],
                "verdict": "moments" if query.runs else "no-moment",
                "kind": query.kind,
                "tier": scene.tier.name,
                "negative": query.negative,
            }
            for i, query in enumerate(queries)
        ]
        clip_count += 1
        on_progress(clip_count, plan.clips)
        if clip_count == plan.clips:
            break
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def write_clip(
    scene: Scene,
    path: Path,
    *,
    short_side_px: int,
    rate: int = CLIPS_RATE,
    crf: int = 26,
    for_editing: bool = False,
) -> None:
    """Encode a scene as H.264 at `rate` pictures a second; the file appears whole or not at all.

    `for_editing` puts a key picture at every half second and the index first, so that players seek at once.
    """
    per_tick = scene.step_s * rate
    ticks = (tick + np.arange(round(per_tick)) / per_tick for tick in range(scene.ticks))
    pieces = (render(scene, short_side_px=short_side_px, times=times, compress=False) for times in ticks)
    write_frames(
        (frame for piece in pieces for frame in piece),
        path,
        size=canvas_size(scene, short_side_px),
        rate=rate,
        crf=crf,
        for_editing=for_editing,
    )


def write_frames(
    frames: Iterable[np.ndarray],
    path: Path,
    *,
    size: tuple[int, int],
    rate: int = CLIPS_RATE,
    crf: int = 26,
    for_editing: bool = False,
) -> None:
    """Encode frames uint8[H, W, 3] of one (height, width) as H.264; the file appears whole or not at all."""
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w", options={"movflags": "+faststart"} if for_editing else {}) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = max(1, rate // 2) if for_editing else rate * 2
        # With macroblock trees x264 gives other bytes each time (findings/x264-same-frames-other-bytes.sh).
        stream.options = {"preset": "veryfast", "crf": str(crf), "threads": "1", "x264-params": "mbtree=0"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    move(part, path)
