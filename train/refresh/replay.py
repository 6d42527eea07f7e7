"""Replay: rows of what a model knew before, mixed in so that it is not forgotten, and held-out ones to see that.

For the model that ships they are shapeworld clips, rendered once into a cache folder from seeds of their own; for
any other model, a file of rows.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from tempo_core.checkpoint import find_checkpoint
from tempo_core.defaults import FILE_NAME, read_json
from train.checkpoints import exclusive_lock
from train.data.example_files import read_examples
from train.data.examples import Example, ExampleSplit
from train.shapeworld.clips import SetPlan, make_set
from train.shapeworld.queries import QueryMix

TEACHING_SEED = 2_000_000
"""Sets of clips from here on teach; the command makes sets below 1,000,000, and experiments use those."""
MEASURING_SEED = 1_500_000
QUESTIONS = 6
"""About each replay clip."""
TYPICAL_S = 25.0
"""A rendered clip lasts 10 to 40 beats of a second or so."""
SHORT_SIDE_PX = 112
"""tempo-tiny sees at most 16 tokens a frame, 112 pixels square."""

HARD_SHARE, HARD = 0.2, ("motion", "order", "several")
"""Of the relevant questions, and which kinds these are."""
MOTION = 0.25
"""Share of the things that slide."""

OnProgress = Callable[[int, int], None]


def knows_shapeworld(checkpoint: str | Path | None) -> bool:
    """Whether a checkpoint was trained on shapeworld: its `tempo.json` names a recipe of `train.scratch`."""
    from train.recipes import RECIPES

    path = find_checkpoint(checkpoint) / FILE_NAME
    return path.is_file() and read_json(path).get("recipe") in RECIPES


def shapeworld_replay(
    rows: int, cache: Path, *, seed: int, on_progress: OnProgress = lambda done, total: None
) -> list[Example]:
    """At least `rows` training rows about rendered clips, a share of them refusals; the seed decides."""
    clips = max(1, math.ceil(rows / QUESTIONS))
    mix = QueryMix(hard_share=HARD_SHARE, hard_kinds=HARD)
    return [
        replace(example, split="train")
        for example in _rendered(clips, TEACHING_SEED + seed, mix, cache, on_progress)
    ]


def placeholder_rows(rows: int) -> list[Example]:
    """As many rows as shapeworld's replay would have, about clips that are not rendered: for counting only."""
    return [
        Example(
            row_id=f"shapeworld/{number}",
            video=Path(f"shapeworld-{number // QUESTIONS}"),
            query="a red square",
            duration_s=TYPICAL_S,
            moments=(),
            clip_id=f"shapeworld-{number // QUESTIONS}",
        )
        for number in range(math.ceil(rows / QUESTIONS) * QUESTIONS)
    ]


def shapeworld_held_out(
    clips: int, cache: Path, *, on_progress: OnProgress = lambda done, total: None
) -> list[Example]:
    """Rows about `clips` clips that nothing ever trains on, always the same."""
    mix = QueryMix(hard_share=HARD_SHARE, hard_kinds=HARD, held_out_words=True)
    return [
        replace(example, split="test")
        for example in _rendered(clips, MEASURING_SEED, mix, cache, on_progress)
    ]


def _rendered(clips: int, seed: int, mix: QueryMix, cache: Path, on_progress: OnProgress) -> list[Example]:
    """Half plain, half rich pictures."""
    found: list[Example] = []
    halves = (("plain", clips // 2), ("rich", clips - clips // 2))
    for tier, count in halves:
        if not count:
            continue
        plan = SetPlan(
            clips=count,
            queries=QUESTIONS,
            tier=tier,
            seed=seed,
            mix=mix,
            short_side_px=SHORT_SIDE_PX,
            motion=MOTION,
        )
        named = hashlib.sha256(repr(plan).encode()).hexdigest()[:12]
        folder = cache / f"{tier}-{named}"
        with exclusive_lock(folder, wait=True):  # refreshes share the cache
            if not (folder / "complete").is_file():
                before = len(found) // QUESTIONS
                make_set(plan, folder, on_progress=partial(_later, on_progress, before, clips))
                (folder / "complete").touch()
        found += read_examples(folder / "rows.jsonl").training
    return [replace(example, row_id=f"shapeworld-{seed}/{number}") for number, example in enumerate(found)]


def _later(on_progress: OnProgress, before: int, total: int, done: int, _: int) -> None:
    on_progress(before + done, total)


def file_replay(
    path: Path, rows: int, videos: Path | None, *, seed: int
) -> tuple[list[Example], ExampleSplit]:
    """`rows` training rows of a file, drawn without repeats, and everything that the file holds."""
    gathered = read_examples(path, videos=videos)
    order = np.random.default_rng([seed, 11]).permutation(len(gathered.training))[:rows]
    chosen = [gathered.training[place] for place in sorted(order.tolist())]
    return [replace(example, row_id=f"replay/{example.row_id}") for example in chosen], gathered


def replay_size(taught: int, share: float, least: int) -> int:
    """How many replay rows make up `share` of all, `least` at least; none for a share of 0."""
    return 0 if share == 0 else max(least, round(taught * share / (1 - share)))
