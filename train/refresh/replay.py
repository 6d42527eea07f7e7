"""Replay: rows of what a model knew before, mixed in so that it is not forgotten, and held-out ones to see that.

For the model that ships they are shapeworld clips, rendered once into a cache folder from seeds of their own; for
any other model, a file of rows.
"""

import hashlib
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tempo_core.checkpoint import find_checkpoint
from tempo_core.defaults import FILE_NAME, read_json
from train.checkpoints import exclusive_lock
from train.data.example_files import read_examples
from train.data.examples import Example, ExampleSplit
from train.scratch.recipe import ScratchRecipe
from train.shapeworld.clips import SetPlan, make_set
from train.shapeworld.queries import QueryMix

TRAINING_SEED = 2_000_000
"""Sets of clips from here on teach; the command makes sets below 1,000,000, and experiments use those."""
HELD_OUT_SEED = 1_500_000
QUESTIONS = 6
"""About each replay clip."""
TYPICAL_S = 25.0
"""A rendered clip lasts 10 to 40 beats of a second or so."""
SHORT_SIDE_PX = 112
"""tempo-tiny sees at most 16 tokens a frame, 112 pixels square."""
MIX = QueryMix(hard_share=0.2, hard_kinds=("motion", "order", "several"))
MOTION = 0.25
"""Share of the things that slide."""

OnProgress = Callable[[int, int], None]
"""Called with the clips that are there and the clips that there will be."""


def scratch_recipe(checkpoint: str | Path | None) -> ScratchRecipe | None:
    """The recipe of `train.scratch` that a checkpoint's `tempo.json` names, None where it names none."""
    from train.recipes import RECIPES

    path = find_checkpoint(checkpoint) / FILE_NAME
    name = read_json(path).get("recipe") if path.is_file() else None
    return RECIPES[name]() if name in RECIPES else None


def knows_shapeworld(checkpoint: str | Path | None) -> bool:
    """Whether a checkpoint was trained on shapeworld, by its recipe."""
    recipe = scratch_recipe(checkpoint)
    return recipe is not None and recipe.shows_shapes


def replay_size(corrections: int, share: float, at_least: int) -> int:
    """How many replay rows make up `share` of all, `at_least` so many; none for a share of 0."""
    return 0 if share == 0 else max(at_least, round(corrections * share / (1 - share)))


def replay_clips(rows: int) -> int:
    """How many clips have at least so many rows."""
    return math.ceil(rows / QUESTIONS)


def shapeworld_replay(
    rows: int,
    cache: Path,
    *,
    seed: int,
    on_progress: OnProgress = lambda completed, total: None,
    cancel: threading.Event | None = None,
) -> list[Example]:
    """At least `rows` training rows about rendered clips, a share of them refusals; the seed decides.

    `cancel` ends the wait for another refresh that renders.
    """
    examples = _render(max(1, replay_clips(rows)), TRAINING_SEED + seed, MIX, cache, on_progress, cancel)
    return [replace(example, split="train") for example in examples]


def shapeworld_held_out(
    clips: int,
    cache: Path,
    *,
    on_progress: OnProgress = lambda completed, total: None,
    cancel: threading.Event | None = None,
) -> list[Example]:
    """Rows about `clips` clips that nothing ever trains on, always the same."""
    examples = _render(clips, HELD_OUT_SEED, replace(MIX, held_out_words=True), cache, on_progress, cancel)
    return [replace(example, split="test") for example in examples]


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
        for number in range(replay_clips(rows) * QUESTIONS)
    ]


def _render(
    clips: int,
    seed: int,
    mix: QueryMix,
    cache: Path,
    on_progress: OnProgress,
    cancel: threading.Event | None,
) -> list[Example]:
    """Half plain, half rich pictures; what an earlier refresh rendered is read."""
    examples: list[Example] = []
    for tier, count in (("plain", clips // 2), ("rich", clips - clips // 2)):
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
        folder = cache / f"{tier}-{hashlib.sha256(repr(plan).encode()).hexdigest()[:12]}"
        with exclusive_lock(folder, wait=True, cancel=cancel):  # refreshes share the cache
            if not (folder / "complete").is_file():
                earlier = len(examples) // QUESTIONS

                def report(count: int, _: int, earlier: int = earlier) -> None:
                    on_progress(earlier + count, clips)

                make_set(plan, folder, on_progress=report)
                (folder / "complete").touch()
        on_progress((len(examples) // QUESTIONS) + count, clips)
        examples += read_examples(folder / "rows.jsonl").training
    return [replace(example, row_id=f"shapeworld-{seed}/{idx}") for idx, example in enumerate(examples)]


def file_replay(
    path: Path, rows: int, videos: Path | None, *, seed: int
) -> tuple[list[Example], ExampleSplit]:
    """`rows` training rows of a file, drawn without repeats, and everything that the file holds."""
    split = read_examples(path, videos=videos)
    order = np.random.default_rng([seed, 11]).permutation(len(split.training))[:rows]
    chosen = [split.training[idx] for idx in sorted(order.tolist())]
    return [replace(example, row_id=f"replay/{example.row_id}") for example in chosen], split
