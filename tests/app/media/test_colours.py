"""A table of colours and times: what the file says is what model, film strip, normal copy and player show."""

import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from app.media.clips import prepare_clip
from tempo_core.colour import narrowed, to_709, tone_mapped
from tempo_core.video import probe, sample
from tests.app.media.colour_clips import (
    BT2020,
    DISPLAY_P3,
    FRAME_S,
    HLG,
    MEASURED,
    OF_709,
    PATCHES,
    PQ,
    TABLE,
    WEIGHTS,
    measure,
    patches_of,
    seen_in_strip,
)
from tests.videos import number_of


def decoded_by_tags(path: Path) -> list[tuple[float, np.ndarray]]:
    """(time, rgb) of every frame of a copy, by the arithmetic of the tags that it must carry."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    red, blue = WEIGHTS["601"]
    pictures = []
    for frame in frames:
        assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (5, 1, 1, 1)
        y, cb, cr = (
            np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width].astype(float)
            for plane in frame.planes
        )
        y = (y - 16) / 219
        cb, cr = (
            (plane.repeat(2, 0).repeat(2, 1)[: y.shape[0], : y.shape[1]] - 128) / 224 for plane in (cb, cr)
        )
        r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
        g = (y - red * r - blue * b) / (1 - red - blue)
        pictures.append((float(frame.time or 0), np.clip(np.stack([r, g, b], 2), 0, 1) * 255))
    return pictures


def assert_shown(image: np.ndarray, number: int, tolerance: int = 3) -> None:
    np.testing.assert_allclose(patches_of(image), PATCHES, atol=tolerance)
    assert number_of(image[image.shape[0] // 2 :]) == number


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_model_strip_and_copy_show_the_files_own_colours_and_times(tmp_path: Path, name: str) -> None:
    clip = TABLE[name]
    path = clip.write(tmp_path)
    times_s = np.array(clip.starts_s)
    assert probe(path).end_s == pytest.approx(times_s[-1] + FRAME_S, abs=0.001)

    def shown_at(time_s: float) -> int:
        return max(0, int(np.searchsorted(times_s, time_s + 0.001, side="right")) - 1)

    model = sample(path, at=times_s.tolist())
    np.testing.assert_allclose(model.times_s, times_s, atol=0.001)
    for number, image in enumerate(model.frames):
        assert_shown(image, number)

    (folder := tmp_path / "library").mkdir()
    facts = prepare_clip(path, folder, cancel=threading.Event(), on_progress=lambda _: None)
    copy = decoded_by_tags(folder / "clip.mp4")
    assert facts.frame_rate is not None
    assert len(copy) == facts.frame_count == round((times_s[-1] + FRAME_S) * facts.frame_rate)
    for k, (time_s, image) in enumerate(copy):
        assert time_s == pytest.approx(k / facts.frame_rate, abs=1e-6)
        assert_shown(image, shown_at(time_s))
    # Decord's own conversion to RGB always rounds down, which adds to the copy's rounding.
    for reader, tolerance in (("pyav", 3), (None, 4)):
        in_copy = sample(folder / "clip.mp4", at=times_s.tolist(), force_reader=reader)
        for time_s, image in zip(in_copy.times_s, in_copy.frames, strict=True):
            assert_shown(image, shown_at(time_s), tolerance)

    for time_s, tile in seen_in_strip(folder, facts):
        assert_shown(tile, shown_at(time_s))


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_tone_mapping_keeps_black_and_hue_and_ends_at_white(transfer: int) -> None:
    grey = np.repeat(np.arange(0, 65536, 257, dtype=np.uint16)[:, None], 3, 1)[None]
    mapped = tone_mapped(grey, transfer)[0].astype(int)
    assert mapped[0].tolist() == [0, 0, 0]
    assert mapped[-1].tolist() == [255, 255, 255]
    assert np.ptp(mapped, axis=1).max() <= 1  # grey stays grey
    assert (np.diff(mapped[:, 1]) >= 0).all()


def test_reference_white_of_pq_becomes_a_light_grey() -> None:
    """203 nits are 58 % of PQ's code (ITU-R BT.2408 table 1); Reinhard's curve makes 0.521 of white of it: sRGB 191."""
    white = np.full((1, 1, 3), round(0.5807 * 65535), np.uint16)
    assert tone_mapped(white, PQ)[0, 0].tolist() == [191, 191, 191]


@pytest.mark.parametrize("primaries", [BT2020, DISPLAY_P3])
def test_wide_colours_are_narrowed_by_the_published_matrix_and_grey_stays(primaries: int) -> None:
    np.testing.assert_allclose(to_709(primaries), np.linalg.inv(OF_709[primaries]), atol=1e-5)
    grey = np.repeat(np.arange(0, 65536, 257, dtype=np.uint16)[:, None], 3, 1)[None]
    np.testing.assert_array_equal(narrowed(grey, primaries)[0], np.arange(256)[:, None].repeat(3, 1))
    green = np.array([[[0, 65535, 0]]], np.uint16)  # which BT.709 cannot show
    assert narrowed(green, primaries)[0, 0].tolist() == [0, 255, 0]


def test_a_clip_of_wide_colours_says_so(tmp_path: Path) -> None:
    notes = probe(TABLE["wide_sdr"].write(tmp_path)).notes
    assert notes == ("The pictures are in the colours of BT.2020; they are narrowed for ordinary screens.",)


@pytest.mark.browser
@pytest.mark.parametrize("name", MEASURED)
def test_the_player_shows_the_files_own_colours_and_times(page: Any, tmp_path: Path, name: str) -> None:
    for surface, (colour, time) in measure(name, tmp_path, page).items():
        assert colour <= 3, surface
        assert time <= 0.5, surface
