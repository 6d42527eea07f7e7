"""The normal copy: frame k shows the picture of the original at k / rate, and both share one clock."""

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tempo_core import transcode
from tempo_core.errors import Cancelled, InputError, VideoError
from tempo_core.proxy import conforms, normalise, plays_as_is
from tempo_core.video import probe, sample
from tests.videos import constant, number_of, numbers_of, picture, state_plain_colours, trimmed, write_clip

CFR = constant(60)
LATE = constant(25, start_s=1.5)
SPARSE = [k / 24 for k in (0, 19, 20, 50, 71)]
VFR = (
    np.round(np.cumsum([0.0] + [1 / 25 if (k // 10) % 2 == 0 else 0.3 for k in range(40)]) * 12_800) / 12_800
)


def edited(path: Path) -> Path:
    whole = write_clip(
        path.with_name("whole.mp4"), constant(97), gop=50, options={"x264-params": "scenecut=0"}
    )
    return trimmed(whole, path, 1.48)


def on_its_side(path: Path) -> Path:
    return write_clip(
        path,
        CFR,
        size=(128, 96),
        draw=lambda n: np.rot90(picture(n), 1),
        prepare=lambda stream: stream.set_display_rotation(-90),
    )


# name: (writer, true times of the original's frames, number of the first, the copy's rate)
CASES: dict[str, tuple[Callable[[Path], Path], object, int, float]] = {
    "plain.mp4": (lambda p: write_clip(p, CFR, audio_s=2.4), CFR, 0, 25),
    "vfr.mp4": (lambda p: write_clip(p, VFR), VFR, 0, 30),
    "sparse.mp4": (lambda p: write_clip(p, SPARSE), SPARSE, 0, 24),
    "late.mp4": (lambda p: write_clip(p, LATE, audio_s=2.5), LATE, 0, 25),
    "edited.mp4": (edited, CFR, 37, 25),
    "turned.mp4": (on_its_side, CFR, 0, 25),
    "stream.ts": (lambda p: write_clip(p, CFR, container="mpegts"), CFR, 0, 25),
    "fast.mp4": (
        lambda p: write_clip(p, constant(240, 240), ticks=24_000, rate=240),
        constant(240, 240),
        0,
        60,
    ),
    "slides.mp4": (lambda p: write_clip(p, constant(3, 0.5)), constant(3, 0.5), 0, 2),
    "odd.mp4": (lambda p: write_clip(p, CFR, size=(97, 131), pixels="yuv444p"), CFR, 0, 25),
    "drawn.gif": (
        lambda p: write_clip(p, constant(20, 10), codec="gif", pixels="rgb8", ticks=100, rate=10),
        constant(20, 10),
        0,
        10,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_frame_k_shows_the_original_at_that_time(tmp_path: Path, name: str) -> None:
    write, times, first, rate = CASES[name]
    path, out = write(tmp_path / name), tmp_path / "copy" / "out.mp4"
    out.parent.mkdir()
    original, shares = probe(path), list[float]()
    info = normalise(path, out, on_progress=shares.append)
    assert info.path == out
    assert conforms(probe(out)), info
    assert info.frame_rate == rate
    assert (info.codec, info.start_s, info.reader) == ("h264", 0.0, "decord")
    assert abs(info.end_s - original.end_s) <= 0.5 / rate + 1e-6
    assert (info.audio_codec is None) == (original.audio_codec is None)
    assert shares == sorted(shares)
    copied = sample(out, fps=rate)
    k = np.arange(info.frame_count)
    np.testing.assert_allclose(copied.times_s, k / rate, atol=1e-6)
    positions = np.searchsorted(np.asarray(times), k / rate + 6e-4, side="right") - 1
    assert numbers_of(copied.frames) == (np.maximum(positions, 0) + first).tolist()
    grid = [int(info.frame_count * share) / rate for share in (0.0, 0.31, 0.77)]
    ours = [number_of(sample(out, at=[time_s]).frames[0]) for time_s in grid]
    assert ours == [number_of(sample(path, at=[time_s]).frames[0]) for time_s in grid]
    assert os.listdir(out.parent) == ["out.mp4"]


def test_the_sound_stays_where_it_was(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "late.mp4", LATE, audio_s=2.5)
    normalise(path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        sound = container.streams.audio[0]
        frames = [(float(f.time or 0), np.abs(f.to_ndarray()).max()) for f in container.decode(sound)]
    assert frames[0][0] == pytest.approx(0, abs=0.03)
    assert frames[-1][0] == pytest.approx(2.48, abs=0.05)
    assert max(level for _, level in frames[2:-2]) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("whole_packets", "codec", "notes"),
    [
        (
            0,
            None,
            (
                "The sound is damaged after 0.0 s and is cut there.",
                "The sound cannot be decoded and is left out.",
            ),
        ),
        (30, "aac", ("The sound is damaged after 0.6 s and is cut there.",)),
    ],
)
def test_damaged_sound_is_cut_and_said(
    tmp_path: Path, whole_packets: int, codec: str | None, notes: tuple[str, ...]
) -> None:
    path = write_clip(tmp_path / "clip.mp4", CFR, audio_s=2.4)
    with av.open(str(path)) as container:
        packets = [(packet.pos or 0, packet.size) for packet in container.demux(audio=0) if packet.size]
    content = bytearray(path.read_bytes())
    for position, size in packets[whole_packets:]:
        content[position : position + size] = bytes(size)
    path.write_bytes(content)
    info = normalise(path, tmp_path / "out.mp4")
    assert (info.notes, info.audio_codec, info.frame_count) == (notes, codec, 60)


def test_large_pictures_are_scaled_and_colours_kept(tmp_path: Path) -> None:
    green = np.zeros((560, 840, 3), np.uint8) + np.array([40, 160, 90], np.uint8)
    path = write_clip(tmp_path / "large.mp4", constant(5), size=(560, 840), draw=lambda _: green)
    info = normalise(path, tmp_path / "out.mp4", short_side_px=200)
    assert (info.height, info.width) == (200, 300)
    frame = sample(info.path, at=[0.0]).frames[0]
    np.testing.assert_allclose(frame.reshape(-1, 3).mean(axis=0), [40, 160, 90], atol=6)


def test_a_stretch_may_end_a_second_behind_the_clip_and_no_later(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", constant(50))
    end_s = probe(path).end_s
    copy = normalise(path, tmp_path / "out.mp4", stretch_s=(end_s - 1.0, end_s + 0.9))
    assert copy.duration_s == pytest.approx(1.0, abs=0.05)
    with pytest.raises(VideoError, match="goes beyond it"):
        normalise(path, tmp_path / "out.mp4", stretch_s=(0.0, end_s + 1.1))


def test_a_picture_that_stays_is_scaled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file can show three large pictures for half an hour: the copy costs what they cost."""
    scaled = []

    def counted(scaler: object, frame: object, *where: object) -> object:
        scaled.append(frame)
        return upright(scaler, frame, *where)

    upright = transcode._upright
    monkeypatch.setattr(transcode, "_upright", counted)
    source = write_clip(tmp_path / "slides.mp4", np.array([0.0, 1.3, 59.0]))
    out = tmp_path / "copy.mp4"
    file = {"name": "slides.mp4", "demuxer": "mov", "max_pixels": 2**24, "max_side_px": 2**13, "threads": 1}
    job = {
        "file": str(source),
        "video_file": file,
        "max_duration_s": 100.0,
        "out": str(out),
        "short_side_px": 448,
    }
    transcode.normalise_task(job, lambda fraction: None)
    assert len(scaled) == 3
    assert probe(out).frame_count == 59 * 30 + 1


def test_only_a_file_like_the_copy_passes_through(tmp_path: Path) -> None:
    info = normalise(write_clip(tmp_path / "clip.mp4", CFR, audio_s=2.4), tmp_path / "out.mp4")
    assert conforms(info)
    assert not conforms(info, short_side_px=64)
    for change in (
        {"codec": "hevc"},
        {"container": "matroska,webm"},
        {"index_first": False},
        {"pixel_format": "yuv444p"},
        {"as_coded": False},
        {"plain_colour": False},
        {"variable_rate": True},
        {"edit_list": True},
        {"notes": ("cut short",)},
        {"start_s": 0.1},
        {"zero_s": 0.5},
        {"frame_rate": None},
        {"frame_rate": Fraction(120)},
        {"key_gap_s": 2.0},
        {"audio_codec": "opus"},
        {"duration_s": info.end_s + 3},
    ):
        assert not conforms(replace(info, **change)), change  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "plays", "options"),
    [
        ("plain.mp4", True, {"audio_s": 2.0}),
        ("reordered.mov", True, {"options": {"bf": "2"}}),
        ("varied.mp4", True, {"times_s": VFR}),
        ("reordered_sparse.mp4", False, {"times_s": [0.0, 1.0, 3.0, 6.0, 9.96], "options": {"bf": "2"}}),
        ("late.mp4", False, {"times_s": LATE, "audio_s": 2.5}),
        ("vp9.mp4", True, {"codec": "libvpx-vp9"}),
        ("vp8.webm", True, {"codec": "libvpx", "audio_s": 1.0, "audio_codec": "libopus"}),
        ("late-clock.mp4", False, {"times_s": constant(25, start_s=1.0)}),
        ("stream.ts", False, {"container": "mpegts"}),
        ("recorded.webm", False, {"codec": "libvpx", "container_options": {"live": "1"}}),
        ("pieces.mp4", False, {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("h264.mkv", False, {}),
        ("old.mp4", False, {"codec": "mpeg4"}),
        ("fine.mp4", False, {"pixels": "yuv444p"}),
        ("ac3.mp4", False, {"audio_s": 1.0, "audio_codec": "ac3"}),
        ("turned.mp4", False, {"prepare": lambda stream: stream.set_display_rotation(-90)}),
    ],
)
def test_what_browsers_show_as_the_model_sees_it(
    tmp_path: Path, name: str, plays: bool, options: dict[str, Any]
) -> None:
    times_s = options.pop("times_s", CFR)
    assert plays_as_is(probe(write_clip(tmp_path / name, times_s, **options))) == plays


def test_a_cut_by_an_edit_list_is_left_to_the_copy(tmp_path: Path) -> None:
    assert not plays_as_is(probe(edited(tmp_path / "cut.mp4")))
    assert plays_as_is(probe(tmp_path / "whole.mp4"))


def test_a_clip_that_begins_after_zero_is_moved_to_zero_for_everybody(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "late.mp4",
        constant(25, start_s=0.5),
        gop=12,
        options={"x264-params": "bframes=0:scenecut=0"},
        container_options={"movflags": "faststart"},
        prepare=state_plain_colours,
    )
    info = probe(path)
    assert (info.zero_s, info.start_s, info.end_s) == (0.5, 0.0, 1.0)
    assert not conforms(info)
    copy = normalise(path, tmp_path / "out.mp4").path
    with av.open(str(copy)) as container:
        own_clock_s = [float(frame.time or 0) for frame in container.decode(video=0)]
    np.testing.assert_allclose(own_clock_s, constant(25), atol=1e-6)
    assert numbers_of(sample(copy, fps=25).frames) == numbers_of(sample(path, fps=25).frames) == [*range(25)]


def test_a_copy_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path, out, cancel = write_clip(tmp_path / "clip.mp4", CFR), tmp_path / "out", threading.Event()
    out.mkdir()
    with pytest.raises(Cancelled):
        normalise(path, out / "a.mp4", cancel=cancel, on_progress=lambda _: cancel.set())
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"\0\0\0\x20ftypisom" + bytes(500))
    with pytest.raises(VideoError):
        normalise(bad, out / "b.mp4")
    assert os.listdir(out) == []
    with pytest.raises(InputError, match=r"The copy of 'clip\.mp4' cannot be written .No such file"):
        normalise(path, tmp_path / "none" / "c.mp4")
