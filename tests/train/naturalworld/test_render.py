"""What the scene says can be seen, the same every time, and files and batches are made from it."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tempo_core.video import sample
from train.naturalworld import batches
from train.naturalworld.assets import Assets
from train.naturalworld.clips import NaturalSet, make_set
from train.naturalworld.labels import NaturalLabels, spec_of
from train.naturalworld.render import VARIANTS, _Painter, _photograph, render
from train.naturalworld.scene import Event, NaturalScene, Shot, beat_for, sample_scene
from train.recipes import RECIPES
from train.scratch.tokenizer import build_tokenizer, carry_over


def clip(*events: tuple[str, int, int], shots: int = 1, **changes: object) -> NaturalScene:
    """Twelve beats of footage without grain, with events."""
    edges = [0, 12] if shots == 1 else [0, 6, 12]
    return NaturalScene(
        seed=3,
        ticks=12,
        step_s=1.0,
        aspect=(3, 4),
        shots=[
            Shot(photograph=i, start=start, end=end, seed=i) for i, (start, end) in enumerate(pairwise(edges))
        ],
        events=[Event(kind=kind, start=start, end=end) for kind, start, end in events],
        grain=0.0,
        hand=0.0,
        **changes,  # type: ignore[arg-type]
    )


def frames_of(scene: NaturalScene, assets: Assets) -> np.ndarray:
    return render(scene, assets, short_side_px=56).astype(int)


def test_a_clip_is_the_same_every_time(assets: Assets) -> None:
    scene = sample_scene(5, assets, ticks=10)
    assert np.array_equal(
        render(scene, assets, short_side_px=56),
        render(sample_scene(5, assets, ticks=10), assets, short_side_px=56),
    )
    assert render(scene, assets, short_side_px=56, times=np.array([2.0, 2.5])).shape[0] == 2


@pytest.mark.parametrize("kind", ["black and white", "darker", "brighter", "blurred", "sepia", "blue cast"])
def test_a_look_is_seen_while_it_lasts_and_no_longer(assets: Assets, kind: str) -> None:
    plain, changed = frames_of(clip(), assets), frames_of(clip((kind, 4, 8)), assets)
    difference = abs(plain - changed).mean(axis=(1, 2, 3))
    assert (difference[4:8] > 3).all()
    assert (np.delete(difference, range(4, 8)) == 0).all()
    if kind == "black and white":
        assert (changed[5, ..., 0] == changed[5, ..., 2]).all()
    if kind == "darker":
        assert changed[5].mean() < 0.5 * plain[5].mean()


def test_blank_pictures_bars_and_frozen_frames(assets: Assets) -> None:
    frames = frames_of(clip(("black", 2, 4), ("letterbox", 5, 7), ("frozen", 8, 11)), assets)
    assert frames[2:4].max() == 0
    assert frames[5:7, :6].max() == 0
    assert frames[4, :6].max() > 0
    assert (frames[8] == frames[9]).all()
    assert (frames[9] == frames[10]).all()
    assert (frames[10] != frames[11]).any()


def test_a_stretch_of_a_frozen_picture_can_be_drawn_by_itself(assets: Assets) -> None:
    scene = replace(clip(("frozen", 3, 8)), grain=5.0)
    whole = render(scene, assets, short_side_px=84)
    within = render(scene, assets, short_side_px=84, times=np.array([5.5, 6.0, 8.0]))
    assert np.array_equal(within[0], whole[3])
    assert np.array_equal(within[1], whole[6])
    assert np.array_equal(within[2], whole[8])
    assert not np.array_equal(whole[8], whole[7])


def test_a_pan_to_the_right_moves_the_picture_to_the_left(assets: Assets) -> None:
    right = frames_of(clip(("pan right", 2, 10), drift=0.0), assets)
    assert (right[0] == right[1]).all()
    shifts = range(-15, 16)
    errors = [
        abs(right[4][:, 15:-15] - np.roll(right[5], shift, axis=1)[:, 15:-15]).mean() for shift in shifts
    ]
    assert shifts[int(np.argmin(errors))] > 0, "what was seen lies further left now"
    assert (right[10] == right[11]).all(), "the camera stays where it went"


def test_transitions_join_two_shots(assets: Assets) -> None:
    cut = frames_of(clip(("cut", 6, 7), shots=2, drift=0.0), assets)
    dissolve = frames_of(clip(("dissolve", 5, 7), shots=2, drift=0.0), assets)
    assert abs(cut[6] - cut[5]).mean() > 5 * abs(cut[5] - cut[4]).mean() + 5
    assert abs(dissolve[5] - (cut[5] + cut[6]) / 2).mean() < abs(cut[5] - cut[6]).mean() / 2
    assert (dissolve[8] == cut[8]).all()


def test_a_montage_is_cut_fast(assets: Assets) -> None:
    slow, fast = (
        [sample_scene(seed, assets, ticks=20, montage=montage) for seed in range(20)]
        for montage in (False, True)
    )
    assert max(len(scene.shots) for scene in slow) <= 5 <= min(len(scene.shots) for scene in fast)
    assert min(shot.end - shot.start for scene in fast for shot in scene.shots) == 1
    for scene in fast:
        assert [shot.start for shot in scene.shots[1:]] == [shot.end for shot in scene.shots[:-1]]
        assert scene.during("cut").sum() >= 4


def test_beats_follow_the_samplers_rule() -> None:
    assert [beat_for(duration_s) for duration_s in (10, 40, 41, 90, 180)] == [1, 1, 2, 4, 8]


def test_a_set_has_truth_in_seconds_and_resumes(assets: Assets, tmp_path: Path) -> None:
    plan = NaturalSet(clips=2, queries=3, split="test", short_side_px=56)
    rows_path = make_set(plan, tmp_path, assets)
    rows = [json.loads(line) for line in rows_path.read_text().splitlines()]
    assert len(rows) == 6
    video = tmp_path / "videos" / f"{rows[0]['vid']}.mp4"
    before = video.stat().st_mtime_ns
    assert sample(video, step_s=rows[0]["duration"] / 4).end_s == pytest.approx(rows[0]["duration"], abs=0.3)
    for row in rows:
        assert (row["verdict"] == "moments") == bool(row["relevant_windows"])
        assert all(0 <= start < end <= row["duration"] for start, end in row["relevant_windows"])
    assert make_set(plan, tmp_path, assets).read_text() == rows_path.read_text()
    assert video.stat().st_mtime_ns == before


@pytest.mark.slow
def test_batches_are_functions_of_their_number(assets: Assets) -> None:
    mixture = replace(RECIPES["tempo-tiny-natural"]().phases[0].mixture, videos=2, questions=3)
    tokenizer = build_tokenizer(0)
    first, again = (
        batches.videos(9, seed=0, mixture=mixture, tokenizer=tokenizer, assets=assets) for _ in range(2)
    )
    assert first.world == "naturalworld"
    for name in ("context", "questions", "targets", "facts", "inside", "points"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name
    assert first.facts.shape[-1] == spec_of(assets).facts
    assert first.frames[0].looks.shape[-1] == spec_of(assets).looks


def test_variants_of_a_photograph_are_mirrored_and_in_other_light(assets: Assets) -> None:
    def shown(variant: int) -> np.ndarray:
        scene = clip(drift=0.0)
        scene.zoom = (1.0, 1.0)
        scene.shots = [replace(scene.shots[0], photograph=variant * len(assets.photographs))]
        painter = _Painter(scene, assets, (90, 120), lambda idx, time: _photograph(assets, idx))
        straight = painter._through_camera(_photograph(assets, scene.shots[0].photograph), 0.5, 0.5, 1.0, 0.0)
        return np.asarray(straight, dtype=np.float32)

    variants = [shown(variant) for variant in range(VARIANTS)]
    assert np.abs(variants[1] - variants[0][:, ::-1]).mean() < 2, "mirrored, but for a pixel's edge"
    means = [variant.mean() for variant in variants]
    assert means[6] > means[0] + 5 > means[12] + 10, (
        "brighter with a gamma under one, darker with one over it"
    )
    spreads = [np.ptp(variant, axis=2).mean() for variant in variants[:6:2]]
    assert spreads[1] < spreads[0] < spreads[2], "paler, then more colourful"


def test_varied_batches_show_variants_of_training_photographs(assets: Assets) -> None:
    recipe = RECIPES["tempo-tiny-footage"]()
    scene = sample_scene(1, assets, ticks=12)
    before = [shot.photograph for shot in scene.shots]
    batches._vary(scene, np.random.default_rng(0), assets)
    count = len(assets.photographs)
    assert [shot.photograph % count for shot in scene.shots] == before
    assert any(shot.photograph >= count for shot in scene.shots)
    assert all(shot.photograph < VARIANTS * count for shot in scene.shots)
    assert recipe.phases[0].mixture.varied
    assert not RECIPES["tempo-tiny-natural"]().phases[0].mixture.varied


def test_labels_say_where_a_thing_is(assets: Assets) -> None:
    scene = next(
        scene
        for seed in range(50)
        if (scene := sample_scene(seed, assets, ticks=10, aspect=(1, 1))).things
        and not scene.things[0].direction
    )
    thing = scene.things[0]
    cells = NaturalLabels(scene, assets).cells(thing.start, 4, 4)
    cell = int(thing.y * 4) * 4 + int(thing.x * 4)
    assert cells[cell, list(assets.concepts).index(thing.name)]


def test_a_larger_tokenizer_keeps_the_embeddings_of_the_tokens_that_there_were(assets: Assets) -> None:
    before = build_tokenizer(0)
    after = build_tokenizer(0, sentences=["a wine glass"] * 50 + ["hippopotamus"] * 50)
    embeddings = torch.arange(len(before), dtype=torch.float32)[:, None].expand(-1, 2)
    carried = carry_over(embeddings, before, after)
    old_ids = before.get_vocab()
    assert carried.shape == (len(after), 2)
    shared = [token for token in after.get_vocab() if token in old_ids]
    assert len(shared) > 500
    assert all(carried[after.get_vocab()[token], 0] == old_ids[token] for token in shared)
    pieces = before.encode("hippopotamus", add_special_tokens=False)
    whole = after.encode("hippopotamus", add_special_tokens=False)
    assert len(whole) < len(pieces)
