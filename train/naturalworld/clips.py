"""Naturalworld on disk: video files with rows in QVHighlights form, resumable, from seeds that training never uses."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from train.naturalworld.assets import Assets, Split
from train.naturalworld.queries import (
    EVENT_MIX,
    FOOTAGE_MIX,
    TEST_MIX,
    THING_MIX,
    UNSEEN_MIX,
    NaturalMix,
    sample_queries,
)
from train.naturalworld.render import render
from train.naturalworld.scene import NaturalScene, sample_scene
from train.shapeworld.clips import CLIPS_RATE, HELD_OUT_SEEDS, write_frames
from train.shapeworld.queries import Query
from train.shapeworld.render import canvas_size

MIXES: dict[str, NaturalMix] = {
    "all": TEST_MIX,
    "events": EVENT_MIX,
    "footage": FOOTAGE_MIX,
    "things": THING_MIX,
    "unseen-tints": UNSEEN_MIX,
}
"""Which questions a set asks: every kind; those about camera, picture and cutting; those of them that
tempo-tiny-footage is taught; those about things; or names with a tint that training never asks for together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NaturalSet:
    """A set of clips to make."""

    clips: int
    queries: int = 5
    split: Split = "test"
    questions: str = "all"
    """One of MIXES."""
    seed: int = 0
    short_side_px: int = 224


def make_set(
    plan: NaturalSet,
    folder: Path,
    assets: Assets,
    *,
    on_progress: Callable[[int, int], None] = lambda count, total: None,
) -> Path:
    """Render `plan.clips` clips into `folder/videos` and their rows into `folder/rows.jsonl`; returns the rows' path.

    Clips that are already there are kept, so that a stopped run goes on. Deterministic in plan and assets. Clips of
    val, test and outside show things by pictures that training never saw, where a thing has one.
    """
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    pictures: tuple[Split, ...] = ("train",) if plan.split == "train" else ("test", "train")
    rows: list[dict[str, Any]] = []
    clip_count = 0
    for number in range(40 * plan.clips):
        seed = HELD_OUT_SEEDS + plan.seed * 100_000 + number
        scene = sample_scene(seed, assets, (plan.split,), picture_splits=pictures)
        other_scenes = [
            sample_scene(seed + 10**9 * i, assets, (plan.split,), ticks=scene.ticks, picture_splits=pictures)
            for i in (1, 2)
        ]
        rng = np.random.default_rng([seed, 3])
        queries = sample_queries(rng, scene, assets, plan.queries, MIXES[plan.questions], other_scenes)
        if len(queries) < (1 if plan.questions == "unseen-tints" else plan.queries):
            continue
        name = f"{plan.split}-{seed - HELD_OUT_SEEDS:08d}"
        path = folder / "videos" / f"{name}.mp4"
        if not path.exists():
            write_clip(scene, assets, path, short_side_px=plan.short_side_px)
        rows += rows_of(queries, name, scene, first_qid=len(rows))
        clip_count += 1
        on_progress(clip_count, plan.clips)
        if clip_count == plan.clips:
            break
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def rows_of(queries: list[Query], vid: str, scene: NaturalScene, *, first_qid: int) -> list[dict[str, Any]]:
    """Rows in QVHighlights form; no window means no matching moment."""
    return [
        {
            "qid": first_qid + i,
            "query": query.text,
            "duration": scene.duration_s,
            "vid": vid,
            "relevant_windows": [[start * scene.step_s, end * scene.step_s] for start, end in query.runs],
            "verdict": "moments" if query.runs else "no-moment",
            "kind": query.kind,
            "negative": query.negative,
            "asked": query.predicate[1] if query.predicate and query.predicate[0] == "event" else None,
        }
        for i, query in enumerate(queries)
    ]


def write_clip(
    scene: NaturalScene, assets: Assets, path: Path, *, short_side_px: int, rate: int = CLIPS_RATE
) -> None:
    """Encode a clip at `rate` pictures a second; the file appears whole or not at all."""
    per_tick = scene.step_s * rate
    ticks = (tick + np.arange(round(per_tick)) / per_tick for tick in range(scene.ticks))
    pieces = (
        render(scene, assets, short_side_px=short_side_px, times=times, compress=False) for times in ticks
    )
    write_frames(
        (frame for piece in pieces for frame in piece),
        path,
        size=canvas_size(scene, short_side_px),
        rate=rate,
    )
