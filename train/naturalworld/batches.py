"""Batches of naturalworld as pure functions of (recipe seed, step), in the form of `train.scratch.batches`."""

from dataclasses import replace

import numpy as np
from transformers import PreTrainedTokenizerBase

from tempo_core.allocation import allocate
from train.naturalworld.assets import Assets
from train.naturalworld.labels import NaturalLabels
from train.naturalworld.queries import NaturalMix, sample_queries
from train.naturalworld.render import VARIANTS, render
from train.naturalworld.scene import ASPECTS, NaturalScene, sample_scene, still_scene
from train.scratch.batches import Clip, Frames, Videos, frames_with_labels, make_clip, pack, stamps_of
from train.scratch.recipe import Mixture

WORLD = "naturalworld"
_STILL_SIZES = {(84, 84): 0.3, (112, 112): 0.2, (56, 84): 0.3, (56, 56): 0.2}
"""Sizes of still pictures (height, width) with their shares: those that allocations lead to."""


def still_frames(step: int, *, seed: int, count: int, assets: Assets) -> list[Frames]:
    """A batch for the vision stage: single pictures with things before photographs."""
    rng = np.random.default_rng([seed, 3, step])
    groups = []
    for size, share in _STILL_SIZES.items():
        aspect = (1, 1) if size[0] == size[1] else (2, 3)
        pictures = []
        for _ in range(max(1, round(count * share))):
            scene = still_scene(int(rng.integers(2**31)), assets, aspect=aspect)
            pictures.append((NaturalLabels(scene, assets), 0, render(scene, assets, short_side_px=112)[0]))
        groups.append(frames_with_labels(pictures, size))
    return groups


def _vary(scene: NaturalScene, rng: np.random.Generator, assets: Assets) -> None:
    """Show other parts of the photographs, mirrored or in another light: a few dozen photographs are soon known."""
    count = len(assets.photographs)
    offset = {shot.photograph: count * int(rng.integers(VARIANTS)) for shot in scene.shots}
    scene.shots = [
        replace(shot, photograph=shot.photograph + offset[shot.photograph]) for shot in scene.shots
    ]
    scene.other += count * int(rng.integers(VARIANTS))
    nearness = float(rng.uniform(1.2, 2.8))
    scene.zoom, scene.spread = (nearness, 1.25 * nearness), 0.4


def videos(
    step: int, *, seed: int, mixture: Mixture, tokenizer: PreTrainedTokenizerBase, assets: Assets
) -> Videos:
    """B videos of one length, aspect and token budget, with K questions each."""
    rng = np.random.default_rng([seed, 4, step])
    ticks = int(rng.integers(mixture.ticks[0], mixture.ticks[1] + 1))
    aspect = ASPECTS[int(rng.integers(len(ASPECTS)))]
    tokens_per_frame, min_tokens = mixture.tokens_per_frame, mixture.min_tokens
    if rng.random() < mixture.other_budgets:
        tokens_per_frame, min_tokens = rng.uniform(4.0, 10.0), 2
    names, shares = zip(*mixture.allocators, strict=True)
    allocator = names[int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))]
    scenes: list[NaturalScene] = []
    while len(scenes) < mixture.videos:
        montage = bool(rng.random() < mixture.montage_share) if mixture.montage_share else False
        scene = sample_scene(int(rng.integers(2**31)), assets, ticks=ticks, aspect=aspect, montage=montage)
        if mixture.varied:
            _vary(scene, rng, assets)
        if scene.events or scene.things:
            scenes.append(scene)
    clips: list[Clip] = []
    for scene in scenes:
        frames = render(scene, assets, short_side_px=112)
        allocation = allocate(
            frames,
            budget_tokens=round(ticks * tokens_per_frame),
            min_tokens=min_tokens,
            max_tokens=mixture.max_tokens,
            allocator=allocator,
            seed=scene.seed,
        )
        stamps = stamps_of(rng, mixture, scene.step_s, ticks)
        other_scenes = [other for other in scenes if other is not scene]
        queries = sample_queries(rng, scene, assets, mixture.questions + 2, mixture.natural_mix, other_scenes)
        if not queries:
            # nothing of it can be asked for: what it does not show
            queries = sample_queries(
                rng, scene, assets, 2, NaturalMix(irrelevant=1.0, negatives=(0.0, 1.0, 0.0))
            )
        clips.append(
            make_clip(tokenizer, mixture, NaturalLabels(scene, assets), frames, allocation, stamps, queries)
        )
    return pack(clips, tokenizer, world=WORLD)
