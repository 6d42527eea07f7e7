"""Scenes as pictures and files: beats fall on frames, sets resume, seeds stay apart."""

import json
from pathlib import Path

import numpy as np
import pytest

from tempo_core.video import probe, sample
from train.__main__ import main
from train.shapeworld.clips import HELD_OUT_SEEDS, SetPlan, make_set, write_clip
from train.shapeworld.render import canvas_size, render
from train.shapeworld.scene import (
    MAX_SHARE,
    PLAIN,
    RICH,
    Motion,
    Thing,
    sample_interval,
    sample_scene,
    step_for,
)


@pytest.mark.parametrize("tier", [PLAIN, RICH])
def test_rendering_is_deterministic_and_shows_changes(tier) -> None:
    scene = sample_scene(5, tier, ticks=20)
    frames = render(scene, short_side_px=56)
    assert frames.dtype == np.uint8
    assert frames.shape == (20, *canvas_size(scene, 56), 3)
    assert (frames == render(scene, short_side_px=56)).all()
    assert np.abs(np.diff(frames.astype(int), axis=0)).max() > 60


def test_a_large_picture_can_be_drawn_too() -> None:
    scene = sample_scene(5, RICH, ticks=10, aspect=(9, 16))
    assert render(scene, short_side_px=360, times=np.array([0.0, 3.5])).shape == (2, 360, 640, 3)


def test_a_thing_that_slides_out_of_the_picture_is_drawn_as_far_as_it_shows() -> None:
    scene = sample_scene(3, PLAIN, ticks=12)
    slide = Motion(direction="left", start=2, end=10, distance=6.0)
    scene.things = [Thing("red", "circle", "large", 0.16, x=0.5, y=0.5, start=2, end=10, motion=slide)]
    frames = render(scene, short_side_px=56, compress=False)
    still = render(sample_scene(3, PLAIN, ticks=12), short_side_px=56, compress=False)
    assert frames.shape == still.shape


def test_intervals_cover_a_fair_share() -> None:
    rng = np.random.default_rng(0)
    for ticks in (10, 17, 40):
        lengths = [b - a for a, b in (sample_interval(rng, ticks) for _ in range(300))]
        assert min(lengths) >= 2
        assert max(lengths) <= max(2, MAX_SHARE * ticks)


@pytest.mark.parametrize(("duration_s", "step_s"), [(10, 1), (40, 1), (41, 2), (80, 2), (120, 4)])
def test_the_beat_grows_with_the_clip(duration_s: float, step_s: float) -> None:
    assert step_for(duration_s) == step_s


def test_the_file_shows_each_beat_at_its_true_time(tmp_path: Path) -> None:
    scene = sample_scene(11, PLAIN, ticks=12)
    write_clip(scene, tmp_path / "clip.mp4", short_side_px=112)
    info = probe(tmp_path / "clip.mp4")
    assert info.duration_s == pytest.approx(scene.duration_s, abs=0.01)
    video = sample(tmp_path / "clip.mp4", step_s=scene.step_s)
    assert video.times_s.tolist() == pytest.approx([i * scene.step_s for i in range(12)], abs=1e-6)
    picture = render(scene, short_side_px=112, compress=False).astype(int)
    assert np.abs(video.frames.astype(int) - picture).mean() < 4


@pytest.mark.slow
def test_a_scene_is_the_same_file_whatever_lay_in_memory_before(tmp_path: Path) -> None:
    scene = sample_scene(HELD_OUT_SEEDS + 300_001, RICH)
    files = set()
    for seed in range(4):
        np.random.default_rng(seed).integers(0, 255, 50_000 * (seed + 1), dtype=np.uint8)
        write_clip(scene, tmp_path / "clip.mp4", short_side_px=112)
        files.add((tmp_path / "clip.mp4").read_bytes())
    assert len(files) == 1


def test_a_set_has_rows_in_qvhighlights_form_and_resumes(tmp_path: Path) -> None:
    plan = SetPlan(clips=2, queries=3, tier="plain", short_side_px=64)
    rows_path = make_set(plan, tmp_path)
    rows = [json.loads(line) for line in rows_path.read_text().splitlines()]
    assert len(rows) == 6
    assert [row["qid"] for row in rows] == list(range(6))
    for row in rows:
        assert (tmp_path / "videos" / f"{row['vid']}.mp4").exists()
        assert all(0 <= a < b <= row["duration"] for a, b in row["relevant_windows"])
        assert (row["verdict"] == "no-moment") == (row["relevant_windows"] == [])
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "videos").iterdir()}
    assert make_set(plan, tmp_path).read_text().splitlines() == [json.dumps(row) for row in rows]
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "videos").iterdir()}


def test_held_out_seeds_are_beyond_what_training_draws() -> None:
    assert HELD_OUT_SEEDS > 2**31


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shapeworld", "--out", str(tmp_path), "--clips", "0"]) == 2
    assert "--clips must lie between 1 and 100000; got 0" in capsys.readouterr().err
