"""The rows of the sample project: exact truth from shapeworld, and the damage done to some of it.

Each kind of damage is one that `annotations.suspicion` knows or that the model's proposal brings to light.
"""

from collections.abc import Callable
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
Damage = Callable[[Runs, int], Runs]


def sample_scenes(count: int) -> dict[str, Scene]:
    """The project's scenes by vid: plain pictures whose beat is QVHighlights' 2-second clip."""
    found: dict[str, Scene] = {}
    seed = SEED
    while len(found) < count:
        scene = sample_scene(seed, TIERS["plain"])
        seed += 1
        wanted = PLAN[len(found) % len(PLAN)]
        if scene.step_s == CLIP_S and scene.duration_s <= LONGEST_S and _question(scene, wanted) is not None:
            found[_vid(len(found), scene, wanted)] = scene
    return found


def sample_rows(scenes: dict[str, Scene]) -> list[dict[str, Any]]:
    """QVHighlights rows, one or two a clip."""
    rows: list[dict[str, Any]] = []
    for number, (vid, scene) in enumerate(scenes.items()):
        plan = PLAN[number % len(PLAN)]
        asked = _question(scene, plan)
        assert asked is not None, "scenes are chosen by their question"
        text, truth = asked
        for shown in (plan, *TWINS.get(plan, ())):
            rows.append(_row(len(rows), vid, scene, text, truth, DAMAGES[shown](truth, scene.ticks)))
    return rows


def _hole(truth: Runs, ticks: int) -> Runs:
    start, end = truth[0]
    middle = (start + end) // 2
    return ((start, middle), (middle + 1, end), *truth[1:])


def _late_end(truth: Runs, ticks: int) -> Runs:
    start, end = truth[0]
    return ((start, min(ticks, end + 4)),)


def _early_start(truth: Runs, ticks: int) -> Runs:
    start, end = truth[0]
    return ((max(0, start - 4), end),)


def _first_clip(truth: Runs, ticks: int) -> Runs:
    return ((truth[0][0], truth[0][0] + 1),)


def _elsewhere(truth: Runs, ticks: int) -> Runs:
    return ((ticks // 3, ticks // 3 + 5),)


DAMAGES: dict[str, Damage] = {
    "hole": _hole,
    "late-end": _late_end,
    "early-start": _early_start,
    "dropped": lambda truth, ticks: truth[:1],
    "whole": lambda truth, ticks: ((0, ticks),),
    "invented": _elsewhere,
    "first-clip": _first_clip,
    "renamed": lambda truth, ticks: truth,
    "right": lambda truth, ticks: truth,
    "refused": lambda truth, ticks: truth,
}
PLAN = (
    "hole", "late-end", "dropped", "whole", "invented", "right",
    "early-start", "renamed", "refused", "right", "dropped", "right",
)  # fmt: skip
"""What each clip's row shows; a plan of a longer project begins again."""
TWINS = {"early-start": ("first-clip",)}
"""Rows that ask the same again, with another answer."""
_NEEDS = {"hole": 4, "late-end": 3, "early-start": 3, "dropped": 2}
"""Fewest clips of the first moment."""
_ABSENT = {"invented": "a man plays the guitar", "refused": "a dog runs through the snow"}


def _question(scene: Scene, plan: str) -> tuple[str, Runs] | None:
    """A question of the scene that the plan can be carried out on, and its true clips; None: not here."""
    if plan in _ABSENT:
        return _ABSENT[plan], ()
    kinds = ("several",) if plan == "dropped" else ("existence",)
    for predicate, runs in (each for kind in kinds for each in askable(scene).get(kind, [])):
        start, end = runs[0]
        room = start >= 5 if plan == "early-start" else end <= scene.ticks - 5
        if end - start >= _NEEDS.get(plan, 2) and room and start > 0:
            return say(np.random.default_rng([scene.seed, 5]), predicate), tuple(runs)
    return None


def _vid(number: int, scene: Scene, plan: str) -> str:
    """`sample-03`; the renamed clip says a longer time range in its name than it lasts."""
    name = f"sample-{number + 1:02d}"
    return f"{name}_0.0_{scene.duration_s + 10:.1f}" if plan == "renamed" else name


def _row(qid: int, vid: str, scene: Scene, text: str, truth: Runs, shown: Runs) -> dict[str, Any]:
    right = {clip for start, end in truth for clip in range(start, end)}
    clips = [clip for start, end in shown for clip in range(start, end)]
    return {
        "qid": qid + 1,
        "query": text,
        "duration": scene.duration_s,
        "vid": vid,
        "relevant_windows": [[start * CLIP_S, end * CLIP_S] for start, end in shown],
        "relevant_clip_ids": clips,
        "saliency_scores": [[4, 3, 4] if clip in right else [1, 0, 1] for clip in clips],
    }
