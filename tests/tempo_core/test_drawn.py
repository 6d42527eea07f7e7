"""Flat drawings are told from films by how many colours their pictures need."""

from pathlib import Path

import numpy as np

from tempo_core.drawn import coarse_colours, is_drawn
from tempo_core.video import sample
from train.shapeworld.clips import write_clip
from train.shapeworld.scene import RICH, sample_scene


def test_colours_are_counted_for_all_but_a_twentieth_of_a_picture() -> None:
    picture = np.zeros((10, 10, 3), dtype=np.uint8)
    picture[:5] = 255
    picture[0, :4] = (255, 0, 0)  # four of a hundred
    more = picture.copy()
    more[0, :8] = (0, 255, 0)
    assert coarse_colours(np.stack([picture, more])).tolist() == [2, 3]
    assert coarse_colours(np.full((1, 10, 10, 3), 7, dtype=np.uint8)).tolist() == [1], "the same to four bits"


def test_shapes_are_drawn_and_films_are_not(tmp_path: Path, shared_data: Path) -> None:
    for seed in range(3):
        write_clip(sample_scene(seed, RICH, ticks=8), tmp_path / "clip.mp4", short_side_px=120)
        assert is_drawn(sample(tmp_path / "clip.mp4", fps=0.5, max_pixels=112 * 200).frames)
    for name in ("charades_3MSZA.mp4", "nasa_13013.mp4", "vidat_example.mp4"):
        assert not is_drawn(sample(shared_data / "videos" / name, fps=0.5, max_pixels=112 * 200).frames)
