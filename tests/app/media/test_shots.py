"""Shot changes: what stands out from its neighbours and does not show the same again."""

import threading
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from app.media import shots
from app.media.clips import prepare_clip
from app.media.library import ClipFacts
from app.media.shots import SIZE, content_changes, cut_places, find_shots, likeness
from tests.app.media.cut_clips import cut_clips


def shots_clip(path: Path, cuts: list[int], *, frames: int = 100, rate: int = 25) -> Path:
    """A clip whose colour changes at the frames of `cuts`, with a little noise."""
    rng = np.random.default_rng(3)
    colours = [(40, 90, 140), (200, 60, 60), (60, 180, 80), (220, 210, 60)]
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"g": "10", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for idx in range(frames):
            shot = sum(idx >= cut for cut in cuts)
            picture = np.clip(rng.normal(colours[shot], 3, (96, 160, 3)), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("cuts", [[], [37], [13, 52, 81]])
def test_shot_changes_are_found_to_the_frame(tmp_path: Path, cuts: list[int]) -> None:
    clip = shots_clip(tmp_path / "clip.mp4", cuts)
    facts = ClipFacts(duration_s=4.0, frame_rate=25.0, width=160, height=96)
    assert find_shots(clip, facts, cancel=threading.Event()) == [cut * 40 for cut in cuts]


def walls(seed: int, count: int) -> list[npt.NDArray[np.uint8]]:
    """Different textured pictures of the size that is compared."""
    generator = np.random.default_rng(seed)
    return [
        np.kron(generator.integers(0, 255, (12, 16, 3)), np.ones((4, 4, 1))).astype(np.uint8)
        for _ in range(count)
    ]


def test_only_what_stands_out_from_its_neighbours_is_a_cut() -> None:
    first, second, third = walls(1, 3)
    assert cut_places(np.stack([first])) == []
    assert cut_places(np.stack([first] * 20)) == []
    assert cut_places(np.stack([first] * 9 + [second] * 9 + [third] * 9)) == [9, 18]
    assert cut_places(np.stack(walls(2, 20))) == []  # everything changes all the time
    near = np.clip(first.astype(int) + np.random.default_rng(0).integers(-20, 20, first.shape), 0, 255)
    assert cut_places(np.stack([first] * 9 + [near.astype(np.uint8)] * 9)) == []  # too little


def test_another_light_and_a_return_are_no_cuts() -> None:
    first, second = walls(1, 2)
    dark, white = (first * 0.3).astype(np.uint8), np.full_like(first, 255)
    assert cut_places(np.stack([first] * 9 + [dark] * 9)) == []
    for length in (1, 2, 3):
        assert cut_places(np.stack([first] * 9 + [white] * length + [first] * 9)) == []
    # A flash hides no cut beside it.
    assert cut_places(np.stack([first] * 9 + [white] + [first] * 9 + [second] * 9)) == [19]


def test_pictures_are_alike_once_they_are_laid_over_each_other() -> None:
    wall = np.random.default_rng(4).normal(0, 1, (12, 40)).repeat(4, 0).repeat(4, 1).astype(np.float32)
    left, right = wall[:, 20:84], wall[:, 37:101]
    assert likeness(left, left) == pytest.approx(1)
    assert likeness(left, right) == pytest.approx(1, abs=1e-3)
    assert likeness(left, 0.2 * right + 7) == pytest.approx(1, abs=1e-3)
    assert likeness(left, wall[:, 96:160]) < 0.7
    assert likeness(left, np.zeros_like(left)) == 0


MADE = {clip.name: clip for clip in cut_clips(0)}


@pytest.mark.parametrize(
    "name",
    ["cuts in a pan", "cuts in a fast pan", "jump cuts", "flashes", "strobe", "whip pan", "shaken camera"],
)
def test_the_cuts_of_a_made_clip_are_detected_and_no_others(name: str) -> None:
    size = SIZE[::-1]
    frames = np.stack(
        [np.asarray(Image.fromarray(picture).resize(size)) for picture in MADE[name].pictures()]
    )
    assert cut_places(frames) == list(MADE[name].cuts)


def test_chunks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = shots_clip(tmp_path / "clip.mp4", [13, 52, 81])
    facts = ClipFacts(duration_s=4.0, frame_rate=25.0, width=160, height=96)
    for chunk in (52, 53):
        monkeypatch.setattr(shots, "CHUNK_FRAMES", chunk)
        assert find_shots(clip, facts, cancel=threading.Event()) == [520, 2080, 3240]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["charades_3MSZA.mp4", "charades_OHOFG.mp4"])
def test_one_take_has_no_cut(tmp_path: Path, shared_data: Path, name: str) -> None:
    facts = prepare_clip(
        shared_data / "videos" / name, tmp_path, cancel=threading.Event(), on_progress=lambda fraction: None
    )
    assert find_shots(tmp_path / "clip.mp4", facts, cancel=threading.Event()) == []


@pytest.mark.parametrize("cut", [None, 40])
def test_a_swift_pan_is_no_cut_and_hides_none(tmp_path: Path, cut: int | None) -> None:
    """Every picture of the pan differs from the one before as much as slow cuts do."""
    generator = np.random.default_rng(5)
    walls = [
        np.kron(generator.integers(low, low + 120, (6, 60, 3)), np.ones((16, 16, 1))) for low in (0, 130)
    ]
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for frame_idx in range(80):
            wall = walls[cut is not None and frame_idx >= cut]
            view = wall[:, frame_idx * 10 : frame_idx * 10 + 160].astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode())
    facts = ClipFacts(duration_s=3.2, frame_rate=25.0, width=160, height=96)
    shots_ms = find_shots(tmp_path / "clip.mp4", facts, cancel=threading.Event())
    assert shots_ms == ([] if cut is None else [cut * 40])


def test_the_changes_of_many_pictures_are_those_of_each_pair() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), dtype=np.uint8)
    expected = []
    for one, other in pairwise(Image.fromarray(frame).convert("HSV") for frame in frames):
        difference = np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other, dtype=np.int16))
        difference[..., 0] = np.minimum(difference[..., 0], 256 - difference[..., 0])
        expected.append(difference.mean() / 255)
    assert content_changes(frames).tolist() == expected
