"""The rows of the sample project: exact truth from shapeworld, and the damage done to some of it.

Each kind of damage is one that `annotations.suspicion` knows or that the model's proposal brings to light.
"""

from typing import Any

import numpy as np

from train.shapeworld.clips import HELD_OUT_SEEDS
from train.shapeworld.queries import askable, say
from train.shapeworld.scene import TIERS, Scene, sample_scene

SEED = HELD_OUT_SEEDS + 9_000_000
CLIP_S = 2
LONGEST_S = 72.0

Runs = tuple[tuple[int, int], ...]
"""Half-open intervals of 2-second clips."""

PLAN = (
    "hole",
    "late-end",
    "dropped",
    "whole",
    "invented",
    "right",
    "early-start",
    "renamed",
    "refused",
    "right",
    "dropped",
    "right",
)
"""What each clip's row shows; a plan of a longer project begins again."""
TWINS = {"early-start": ("first-clip",)}
"""Rows that ask the same again, with another answer."""
MIN_CLIPS = {"hole": 4, "late-end": 3, "early-start": 3, "dropped": 2}
"""Fewest 2-second clips of the first moment; 2 for other plans."""
ABSENT_EVENTS = {"invented": "a man plays the guitar", "refused": "a dog runs through the snow"}


def damaged(plan: str, truth: Runs, clip_count: int) -> Runs:
    """The intervals that a row of this plan shows in place of the truth."""
    if plan == "invented":
        return ((clip_count // 3, clip_count // 3 + 5),)
    if plan == "whole":
        return ((0, clip_count),)
    if plan not in ("hole", "late-end", "early-start", "first-clip", "dropped"):
        return truth
    start, end = truth[0]
    if plan == "hole":
        middle = (start + end) // 2
        return ((start, middle), (middle + 1, end), *truth[1:])
    first = {
        "late-end": (start, min(clip_count, end + 4)),
        "early-start": (max(0, start - 4), end),
        "first-clip": (start, start + 1),
        "dropped": (start, end),
    }
    return (first[plan],)


def sample_scenes(count: int) -> dict[str, Scene]:
    """The project's scenes by vid: plain pictures whose beat is QVHighlights' 2-second clip."""
    scenes: dict[str, Scene] = {}
    seed = SEED
    while len(scenes) < count:
        scene = sample_scene(seed, TIERS["plain"])
        seed += 1
        plan = PLAN[len(scenes) % len(PLAN)]
        if scene.step_s == CLIP_S and scene.duration_s <= LONGEST_S and _question(scene, plan) is not None:
            # The renamed clip has a longer time range in its name than it lasts.
            suffix = f"_0.0_{scene.duration_s + 10:.1f}" if plan == "renamed" else ""
            scenes[f"sample-{len(scenes) + 1:02d}{suffix}"] = scene
    return scenes


def sample_rows(scenes: dict[str, Scene]) -> list[dict[str, Any]]:
    """QVHighlights rows, one or two a clip."""
    rows: list[dict[str, Any]] = []
    for number, (vid, scene) in enumerate(scenes.items()):
        plan = PLAN[number % len(PLAN)]
        question = _question(scene, plan)
        assert question is not None, "scenes are chosen by their question"
        text, truth = question
        right = {clip for start, end in truth for clip in range(start, end)}
        for damage in (plan, *TWINS.get(plan, ())):
            windows = damaged(damage, truth, scene.ticks)
            clips = [clip for start, end in windows for clip in range(start, end)]
            rows.append(
                {
                    "qid": len(rows) + 1,
                    "query": text,
                    "duration": scene.duration_s,
                    "vid": vid,
                    "relevant_windows": [[start * CLIP_S, end * CLIP_S] for start, end in windows],
                    "relevant_clip_ids": clips,
                    "saliency_scores": [[4, 3, 4] if clip in right else [1, 0, 1] for clip in clips],
                }
            )
    return rows


def _question(scene: Scene, plan: str) -> tuple[str, Runs] | None:
    """A question of the scene that the plan can be carried out on, and its true clips; None: not here."""
    if plan in ABSENT_EVENTS:
        return ABSENT_EVENTS[plan], ()
    kind = "several" if plan == "dropped" else "existence"
    for predicate, runs in askable(scene).get(kind, []):
        start, end = runs[0]
        has_room = start >= 5 if plan == "early-start" else end <= scene.ticks - 5
        if end - start >= MIN_CLIPS.get(plan, 2) and has_room and start > 0:
            return say(np.random.default_rng([scene.seed, 5]), predicate), tuple(runs)
    return None
