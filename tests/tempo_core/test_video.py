"""Every kind of file: the frames shown at true times, or a clear error."""

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from tempo_core import demux
from tempo_core.demux import best_video
from tempo_core.errors import Cancelled, InputError, VideoError
from tempo_core.picture_index import VideoFile
from tempo_core.proxy import normalise
from tempo_core.sandbox import ChildLimits
from tempo_core.video import DEFAULT_LIMITS, SampledVideo, VideoLimits, demuxer_for, probe, sample
from tests.videos import (
    constant,
    flipped_bits,
    joined,
    number_of,
    numbers_of,
    picture,
    shortened,
    state_plain_colours,
    tone,
    trimmed,
    two_videos,
    write_clip,
    write_webp,
)

EVEN = {"x264-params": "scenecut=0"}
NORMAL = {"x264-params": "bframes=0:scenecut=0"}
CFR = constant(100)
LATE = constant(50, start_s=2.5)
GAP = constant(50) + constant(50, start_s=10)
VFR = (
    np.round(np.cumsum([0.0] + [1 / 25 if (k // 10) % 2 == 0 else 1 / 2.8 for k in range(80)]) * 12_800)
    / 12_800
)
SPARSE = [0.0, 3.0, 6.0, 9.96]
REORDERED = {"x264-params": "bframes=2:scenecut=0"}
LATE_SOUND_S = 1024 / 48_000  # where no edit list hides it, the encoder's run-in delays the picture


def turned(degrees: int, quarter: int) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        size = (128, 96) if degrees != 180 else (96, 128)
        return write_clip(
            path,
            CFR,
            size=size,
            draw=lambda n: np.rot90(picture(n), quarter),
            prepare=lambda stream: stream.set_display_rotation(-degrees),
        )

    return write


def stretched(stream: object) -> None:
    stream.codec_context.sample_aspect_ratio = Fraction(4, 3)  # type: ignore[attr-defined]


# name: (writer, true times of frames 0, 1, 2, ... on the player's clock, reader, facts)
CASES: dict[str, tuple[Callable[[Path], Path], object, str, dict[str, object]]] = {
    "normal.mp4": (
        lambda p: write_clip(
            p,
            CFR,
            gop=12,
            options=NORMAL,
            container_options={"movflags": "faststart"},
            prepare=state_plain_colours,
        ),
        CFR,
        "decord",
        {"frame_rate": 25, "index_first": True, "plain_colour": True},
    ),
    "normal_untagged.mp4": (
        lambda p: write_clip(p, CFR, gop=12, options=NORMAL, container_options={"movflags": "faststart"}),
        CFR,
        "pyav",
        {"index_first": True, "plain_colour": False},
    ),
    "normal_b_frames.mp4": (
        lambda p: write_clip(
            p,
            CFR,
            gop=12,
            options=REORDERED,
            container_options={"movflags": "faststart"},
            prepare=state_plain_colours,
        ),
        CFR,
        "pyav",
        {"index_first": True},
    ),
    "normal_fragmented.mp4": (
        lambda p: write_clip(
            p,
            CFR,
            gop=12,
            options=NORMAL,
            container_options={"movflags": "frag_keyframe+empty_moov"},
            prepare=state_plain_colours,
        ),
        CFR,
        "pyav",
        {"frame_count": 100},
    ),
    "cfr.mp4": (
        lambda p: write_clip(p, CFR, audio_s=4),
        CFR,
        "pyav",
        {"audio_codec": "aac", "frame_rate": 25},
    ),
    "ntsc.mp4": (
        lambda p: write_clip(p, constant(90, 30_000 / 1001), ticks=30_000),
        constant(90, 30_000 / 1001),
        "pyav",
        {"frame_rate": Fraction(30_000, 1001), "variable_rate": False},
    ),
    "f240.mp4": (
        lambda p: write_clip(p, constant(480, 240), ticks=24_000, rate=240),
        constant(480, 240),
        "pyav",
        {"frame_rate": 240, "frame_count": 480},
    ),
    "one_a_second.mp4": (
        lambda p: write_clip(p, constant(9, 1)),
        constant(9, 1),
        "pyav",
        {"frame_rate": 1},
    ),
    "vfr.mp4": (lambda p: write_clip(p, VFR), VFR, "pyav", {"variable_rate": True}),
    "gap.mp4": (lambda p: write_clip(p, GAP), GAP, "pyav", {"variable_rate": True, "end_s": 12.0}),
    "sparse.mp4": (
        lambda p: write_clip(p, SPARSE, options=REORDERED),
        SPARSE,
        "pyav",
        {"variable_rate": True, "end_s": 10.0, "duration_s": 10.0},
    ),
    "sparse_in_order.mp4": (
        lambda p: write_clip(p, SPARSE, options=NORMAL),
        SPARSE,
        "pyav",
        {"end_s": 10.0},
    ),
    "sparse_fragmented.mp4": (
        lambda p: write_clip(
            p, SPARSE, options=REORDERED, container_options={"movflags": "frag_keyframe+empty_moov"}
        ),
        SPARSE,
        "pyav",
        {"end_s": 10.0},
    ),
    "sparse.mkv": (
        lambda p: write_clip(p, SPARSE, options=REORDERED, ticks=1000),
        SPARSE,
        "pyav",
        {"end_s": 10.0},
    ),
    "sparse.ts": (
        lambda p: write_clip(p, SPARSE, options=REORDERED, ticks=90_000, container="mpegts"),
        SPARSE,
        "pyav",
        {"end_s": 10.0},
    ),
    "late.mp4": (
        lambda p: write_clip(p, LATE, audio_s=4.5),
        LATE,
        "pyav",
        {"start_s": 2.5, "end_s": 4.5, "frame_count": 50},
    ),
    "late_silent.mp4": (
        lambda p: write_clip(p, LATE),
        constant(50),
        "pyav",
        {"start_s": 0.0, "end_s": 2.0},
    ),
    "b_frames.mp4": (
        lambda p: write_clip(p, CFR, options={"x264-params": "bframes=4:open-gop=1:keyint=24:scenecut=0"}),
        CFR,
        "pyav",
        {"edit_list": False},
    ),
    "fragmented.mp4": (
        lambda p: write_clip(p, CFR, container_options={"movflags": "frag_keyframe+empty_moov"}),
        CFR,
        "pyav",
        {"frame_count": 100},
    ),
    "matroska.mkv": (lambda p: write_clip(p, CFR, ticks=1000), CFR, "pyav", {"variable_rate": False}),
    "hevc.mp4": (
        lambda p: write_clip(
            p, CFR, codec="libx265", options={"x265-params": "log-level=none:open-gop=0:keyint=20"}
        ),
        CFR,
        "pyav",
        {"codec": "hevc"},
    ),
    "hevc_open.mp4": (
        lambda p: write_clip(p, CFR, codec="libx265", options={"x265-params": "log-level=none:keyint=20"}),
        CFR,
        "pyav",
        {"codec": "hevc"},
    ),
    "ten_bit.mp4": (lambda p: write_clip(p, CFR, pixels="yuv420p10le"), CFR, "pyav", {}),
    "vp8.webm": (
        lambda p: write_clip(
            p, CFR, codec="libvpx", ticks=1000, options={"deadline": "realtime", "cpu-used": "8"}
        ),
        CFR,
        "pyav",
        {"codec": "vp8"},
    ),
    "vp9.webm": (
        lambda p: write_clip(
            p, CFR, codec="libvpx-vp9", ticks=1000, options={"deadline": "realtime", "cpu-used": "8"}
        ),
        CFR,
        "pyav",
        {"codec": "vp9"},
    ),
    "odd.mp4": (
        lambda p: write_clip(p, CFR, size=(97, 131), pixels="yuv444p"),
        CFR,
        "pyav",
        {"height": 97, "width": 131},
    ),
    "stretched.mp4": (
        lambda p: write_clip(p, CFR, prepare=stretched),
        CFR,
        "pyav",
        {"height": 96, "width": 171, "as_coded": False},
    ),
    "turned90.mp4": (turned(90, 1), CFR, "pyav", {"height": 96, "width": 128}),
    "turned180.mp4": (turned(180, 2), CFR, "pyav", {"as_coded": False}),
    "turned270.mp4": (turned(270, 3), CFR, "pyav", {"height": 96, "width": 128}),
    "mirrored.mp4": (
        lambda p: write_clip(
            p,
            CFR,
            draw=lambda n: picture(n)[:, ::-1],
            prepare=lambda s: s.set_display_rotation(0, hflip=True),
        ),
        CFR,
        "pyav",
        {"as_coded": False},
    ),
    "stream.ts": (lambda p: write_clip(p, CFR, container="mpegts"), CFR, "pyav", {"end_s": 4.0}),
    "late_ten_hours.ts": (
        lambda p: write_clip(p, constant(100, start_s=36_000), container="mpegts", ticks=90_000),
        CFR,
        "pyav",
        {"duration_s": 4.0},
    ),
    "with_sound.ts": (
        lambda p: write_clip(p, CFR, container="mpegts", audio_s=4),
        [t + LATE_SOUND_S for t in CFR],
        "pyav",
        {"audio_codec": "aac"},
    ),
    "program.mpg": (
        lambda p: write_clip(p, CFR, container="mpeg", codec="mpeg2video", ticks=25),
        CFR,
        "pyav",
        {"codec": "mpeg2video"},
    ),
    "b_frames.avi": (
        lambda p: write_clip(p, CFR, codec="mpeg4", options={"bf": "2"}, ticks=25),
        CFR,
        "pyav",
        {"frame_count": 100},
    ),
    "av1.mp4": (
        lambda p: write_clip(p, CFR, codec="libsvtav1", options={"preset": "8", "crf": "20"}),
        CFR,
        "pyav",
        {"codec": "av1"},
    ),
    "drawn.gif": (
        lambda p: write_clip(p, constant(20, 10), codec="gif", pixels="rgb8", ticks=100, rate=10),
        constant(20, 10),
        "pyav",
        {"end_s": 2.0},
    ),
    "material.mxf": (
        lambda p: write_clip(p, CFR, codec="mpeg2video", container="mxf", ticks=25),
        CFR,
        "pyav",
        {"end_s": 4.0},
    ),
    "windows.wmv": (
        lambda p: write_clip(p, CFR, codec="wmv2", container="asf", ticks=1000),
        CFR,
        "pyav",
        {"end_s": 4.0, "frame_rate": 25},
    ),
    "flash.flv": (
        lambda p: write_clip(p, CFR, container="flv", ticks=1000),
        CFR,
        "pyav",
        {"end_s": 4.0},
    ),
    "tape.dv": (
        lambda p: write_clip(p, CFR, codec="dvvideo", container="dv", ticks=25, size=(576, 720)),
        CFR,
        "pyav",
        {"end_s": 4.0, "height": 576},
    ),
    "drawn.png": (
        lambda p: write_clip(p, constant(20, 10), codec="apng", container="apng", pixels="rgb24", rate=10),
        constant(20, 10),
        "pyav",
        {"end_s": 2.0},
    ),
    "drawn.webp": (
        lambda p: write_webp(p, [40, 200, 10, 80, 500]),
        [0, 0.04, 0.24, 0.34, 0.42],
        "pyav",
        {"end_s": 0.92, "variable_rate": True},
    ),
    "no_duration.webm": (
        lambda p: write_clip(p, CFR, codec="libvpx", ticks=1000, container_options={"live": "1"}),
        CFR,
        "pyav",
        {"duration_s": 4.0},
    ),
    "tiny.mp4": (lambda p: write_clip(p, CFR, size=(16, 16)), CFR, "pyav", {"height": 16}),
    "two_tracks.mp4": (two_videos, constant(50), "pyav", {"height": 96, "frame_count": 50}),
}


def shown_at(times_s: object, requested: list[float]) -> list[int]:
    """Numbers of the frames on screen, each once."""
    positions = np.searchsorted(np.asarray(times_s), np.asarray(requested) + 5e-4, side="right") - 1
    return np.unique(np.maximum(positions, 0)).tolist()


def assert_true(sampled: SampledVideo, times_s: object, expected: list[int]) -> None:
    assert numbers_of(sampled.frames) == expected
    np.testing.assert_allclose(sampled.times_s, np.asarray(times_s)[expected], atol=0.0011)
    assert (np.diff(sampled.times_s) > 0).all()
    assert sampled.end_s > sampled.times_s[-1]


def test_an_encoder_leaves_the_priority_as_it_was(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", constant(10), codec="libsvtav1", options={"preset": "8"})
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.parametrize("name", CASES)
def test_the_frames_shown_at_true_times(tmp_path: Path, name: str) -> None:
    write, times, reader, facts = CASES[name]
    path = write(tmp_path / name)
    info = probe(path)
    assert info.reader == reader
    assert {key: getattr(info, key) for key in facts} == pytest.approx(facts, abs=1e-6)
    assert info.frame_count == len(np.asarray(times))
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.size_bytes == path.stat().st_size
    random = np.random.default_rng(5)
    middle = np.sort(random.uniform(0, info.end_s, 24)).tolist()
    everything = [k / 50 for k in range(int(info.end_s * 50))]
    for requested in (middle, everything):
        sampled = sample(path, at=requested)
        assert sampled.reader == reader, sampled.notes
        assert sampled.frames.shape[1:] == (info.height, info.width, 3)
        assert_true(sampled, times, shown_at(times, requested))
        assert sampled.end_s == info.end_s
        assert sampled.sha256 == info.sha256


def test_an_edit_list_cuts_what_the_player_does_not_show(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", CFR, gop=50, options=EVEN)
    path = trimmed(whole, tmp_path / "cut.mp4", 1.48)
    info, sampled = probe(path), sample(path, fps=25)
    assert (info.edit_list, info.frame_count, info.reader) == (True, 63, "pyav")
    assert "cuts 37 pictures" in info.notes[0]
    assert numbers_of(sampled.frames) == list(range(37, 100))
    np.testing.assert_allclose(sampled.times_s, constant(63), atol=1e-6)


def test_one_picture_is_a_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "one.mp4", [0.0])
    info, sampled = probe(path), sample(path)
    assert (info.frame_rate, info.frame_count, info.variable_rate) == (None, 1, False)
    assert (sampled.times_s.tolist(), sampled.end_s) == ([0.0], pytest.approx(0.04))


def test_a_late_picture_stands_in_for_the_time_before_it_with_a_note(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "late.mp4", LATE, audio_s=4.5)
    sampled = sample(path, step_s=1.0)
    assert sampled.times_s.tolist() == [2.5, 2.98, 3.98]
    assert numbers_of(sampled.frames) == [0, 12, 37]
    assert "No picture is shown before 2.500 s" in sampled.notes[0]


def test_a_frame_wanted_twice_comes_once(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "slow.mp4", constant(5, 1))
    sampled = sample(path, at=[3.9, 0.1, 0.2, 0.9, 3.0])
    assert sampled.times_s.tolist() == [0.0, 3.0]


def test_sizes_steps_and_progress(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", CFR)
    shares: list[float] = []
    assert sample(path, step_s=0.5, on_progress=shares.append).frames.shape == (8, 96, 128, 3)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert sample(path, fps=2, size=(56, 84)).frames.shape == (8, 56, 84, 3)
    assert sample(path, max_frames=2, max_pixels=3072).frames.shape == (2, 48, 64, 3)
    turned_path = turned(90, 1)(tmp_path / "turned.mp4")
    for reader in (None, "pyav"):
        small = sample(turned_path, at=[2.0], size=(60, 160), force_reader=reader)
        assert small.frames.shape == (1, 60, 160, 3)
        assert number_of(small.frames[0]) == 50


def test_the_frames_belong_to_the_caller(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", CFR)
    first, second = sample(path, at=[0.0]), sample(path, at=[0.0])
    first.frames[:] = 7
    assert second.frames.max() > 7


def test_colours_are_kept(tmp_path: Path) -> None:
    red = np.zeros((96, 128, 3), np.uint8) + np.array([200, 30, 60], np.uint8)
    path = write_clip(tmp_path / "red.mp4", constant(5), draw=lambda _: red)
    for reader in (None, "pyav"):
        frame = sample(path, at=[0.0], force_reader=reader).frames[0]
        np.testing.assert_allclose(frame.reshape(-1, 3).mean(axis=0), [200, 30, 60], atol=5)


def test_a_change_of_size_on_the_way_is_scaled_to_the_first(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "a.ts", constant(50), container="mpegts", ticks=90_000)
    large = write_clip(
        tmp_path / "b.ts",
        constant(50, start_s=2.08),
        container="mpegts",
        ticks=90_000,
        size=(192, 256),
        numbers=range(50, 100),
    )
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    sampled = sample(path, fps=25)
    assert sampled.frames.shape[1:] == (96, 128, 3)
    assert_true(sampled, CFR, list(range(100)))


def test_what_is_left_of_a_cut_file_is_true(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "w.mp4", CFR, audio_s=4, container_options={"movflags": "faststart"})
    path = shortened(whole, tmp_path / "cut.mp4", 0.5)
    info, sampled = probe(path), sample(path, fps=25)
    assert info.reader == "pyav"
    assert "cut short: its header promises 4.00 s" in info.notes[0]
    assert 20 < info.frame_count < 80
    assert info.end_s < 3.5
    expected = np.round(sampled.times_s * 25).astype(int).tolist()
    assert numbers_of(sampled.frames) == expected


def readable_numbers(path: Path) -> list[int]:
    """What a plain pass of PyAV on one thread gives, up to the packet that the cut goes through."""
    frames: list[Any] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in [*(packet for packet in container.demux(stream) if packet.size), None]:
            with suppress(av.InvalidDataError):
                frames += stream.decode(packet)
    return numbers_of(np.stack([frame.to_ndarray(format="rgb24") for frame in frames]))


@pytest.mark.parametrize("share", [0.5, 0.63, 0.8])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_cut_file_gives_every_picture_that_can_be_read(tmp_path: Path, suffix: str, share: float) -> None:
    whole = write_clip(
        tmp_path / f"whole{suffix}",
        CFR,
        ticks={".mp4": 12_800, ".mkv": 1000, ".ts": 90_000}[suffix],
        options=REORDERED,
        container_options={"movflags": "faststart"} if suffix == ".mp4" else {},
    )
    path = shortened(whole, tmp_path / f"cut{suffix}", share)
    sampled = sample(path, fps=25)
    assert numbers_of(sampled.frames) == readable_numbers(path)
    assert numbers_of(sampled.frames) == np.round(sampled.times_s * 25).astype(int).tolist()


def test_a_file_without_its_index_is_refused(tmp_path: Path) -> None:
    path = shortened(write_clip(tmp_path / "w.mp4", CFR), tmp_path / "cut.mp4", 0.5)
    assert_refused(path, "cut short or damaged. Re-encode it")


@pytest.mark.parametrize("every", [6000, 300])
def test_flipped_bits_give_true_frames_or_say_so(tmp_path: Path, every: int) -> None:
    whole = write_clip(tmp_path / "w.mp4", CFR, gop=10, options=EVEN)
    path = flipped_bits(whole, tmp_path / "flipped.mp4", every=every)
    sampled = sample(path, fps=25)
    numbers = np.array(numbers_of(sampled.frames))
    wrong = np.count_nonzero(numbers != np.round(sampled.times_s * 25))
    assert wrong == 0 or any("cannot be decoded" in n or "damaged" in n for n in sampled.notes)
    assert wrong < 30


@pytest.mark.parametrize("copies", [2, 3])
def test_joined_recordings_are_laid_end_to_end(tmp_path: Path, copies: int) -> None:
    path = joined(tmp_path / "joined.ts", copies)
    info, everything, few = probe(path), sample(path, fps=25), sample(path, at=[0.5, 2.5])
    assert (info.frame_count, info.end_s) == (50 * copies, pytest.approx(2.0 * copies))
    assert f"{copies} recordings were joined; they are laid end to end" in info.notes[0]
    assert numbers_of(everything.frames) == list(range(50)) * copies
    np.testing.assert_allclose(everything.times_s, constant(50 * copies), atol=1e-4)
    assert numbers_of(few.frames) == [12, 12]


def test_too_many_joints_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demux, "MAX_JOINTS", 1)
    path = joined(tmp_path / "joined.ts", 3)
    video_file = VideoFile(
        path=str(path), name=path.name, demuxer="mpegts", max_pixels=10**7, max_side_px=8192
    )
    with pytest.raises(VideoError, match=r"jumps back by 2\.0 s on the way: two recordings were joined"):
        demux.read_index(video_file)


def test_joined_recordings_keep_their_sound(tmp_path: Path) -> None:
    path = joined(tmp_path / "joined.ts", 2, audio_s=2.0)
    info = normalise(path, tmp_path / "copy.mp4")
    assert info.end_s == pytest.approx(4.0, abs=0.1)
    with av.open(str(info.path)) as container:
        levels = [
            (float(frame.time or 0), np.abs(frame.to_ndarray()).max()) for frame in container.decode(audio=0)
        ]
    assert levels[-1][0] == pytest.approx(4.0, abs=0.1)
    for start_s in (0.5, 2.5):
        assert max(level for time_s, level in levels if start_s < time_s < start_s + 1) > 0.05


def test_a_dashcams_joined_files(shared_data: Path) -> None:
    path = shared_data / "field" / "dashcam_concat.ts"
    if not path.is_file():
        pytest.skip("needs dashcam_concat.ts of the shared test data")
    info, sampled = probe(path), sample(path, at=[0.5, 10.5])
    assert (info.frame_count, info.end_s) == (500, pytest.approx(20.0))
    np.testing.assert_allclose(sampled.times_s, [0.48, 10.48], atol=1e-4)


def assert_refused(path: Path, message: str, limits: VideoLimits = DEFAULT_LIMITS) -> None:
    """Both entrances say the same, in one line, without a path of this machine."""
    for entrance in (probe, sample):
        with pytest.raises(VideoError, match=message) as caught:
            entrance(path, limits=limits)  # type: ignore[operator]
        text = str(caught.value)
        assert "\n" not in text
        assert path.name in text
        assert str(path.parent) not in text
        assert "/proc" not in text


def bad_file(path: Path) -> Path:
    secret = write_clip(path.parent / "secret.ts", constant(5), container="mpegts")
    contents: dict[str, bytes] = {
        "empty.mp4": b"",
        "first_byte.webm": b"\x1a",
        "zeros.mp4": bytes(100_000),
        "random.mp4": np.random.default_rng(1).bytes(100_000),
        "text.mp4": b"not a video\n" * 50,
        "playlist.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n".encode(),
        "list.mp4": f"ffconcat version 1.0\nfile '{secret}'\n".encode(),
        "page.mp4": b"<!doctype html><title>Sign in</title>",
        "picture.mp4": b"\x89PNG\r\n\x1a\n" + bytes(500),
        "head_only.mp4": b"\0\0\0\x20ftypisom" + bytes(500),
        "head_only.webm": b"\x1a\x45\xdf\xa3" + np.random.default_rng(2).bytes(5000),
        "head_only.avi": b"RIFF\xff\0\0\0AVI " + np.random.default_rng(3).bytes(5000),
        "head_only.ogg": b"OggS" + np.random.default_rng(4).bytes(5000),
        "head_only.gif": b"GIF89a" + bytes(50),
        "head_only.webp": b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0\x02" + bytes(500),
        "still.webp": b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0\0" + bytes(500),
        "head_only.mpg": b"\0\0\1\xba" + bytes(5000),
        "head_only.ts": (b"\x47" + bytes(187)) * 50,
    }
    path.write_bytes(contents[path.name])
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.mp4", "is empty .0 B."),
        ("first_byte.webm", "is empty .1 B.. Copy, upload or record it again"),
        ("zeros.mp4", "is not a video file that is read here: MP4"),
        ("random.mp4", "is not a video file"),
        ("text.mp4", "is not a video file"),
        ("playlist.mp4", "is not a video file"),
        ("list.mp4", "is not a video file"),
        ("page.mp4", "is not a video file"),
        ("picture.mp4", "is not a video file"),
        ("head_only.mp4", "."),
        ("head_only.webm", "."),
        ("head_only.avi", "."),
        ("head_only.ogg", "."),
        ("head_only.gif", "."),
        ("head_only.webp", "begins like an animated WebP but cannot be read"),
        ("still.webp", "is not a video file"),
        ("head_only.mpg", "."),
        ("head_only.ts", "."),
    ],
)
def test_what_is_not_a_video_is_refused(tmp_path: Path, name: str, message: str) -> None:
    assert_refused(bad_file(tmp_path / name), message)


def test_sound_alone_is_refused(tmp_path: Path) -> None:

    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=48_000)
        for frame in tone(1.0):
            out.mux(stream.encode(frame))  # type: ignore[union-attr, arg-type]
        out.mux(stream.encode(None))  # type: ignore[union-attr]
    assert_refused(path, "no video that can be decoded .it holds: audio.")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("encrypted_cenc.mp4", "is encrypted .DRM., so its pictures cannot be read"),
        ("cover_only.m4a", "is sound with a cover picture"),
        ("unknown_codec.mp4", "is in a format that is not known here"),
    ],
)
def test_files_from_the_field_are_refused_for_what_they_are(
    shared_data: Path, name: str, message: str
) -> None:
    path = shared_data / "field" / name
    if not path.is_file():
        pytest.skip(f"needs {name} of the shared test data")
    assert_refused(path, message)


def test_files_from_the_field_end_and_look_as_they_should(shared_data: Path) -> None:
    for name, end_s in {
        "sparse_vfr_bframes.mp4": 10.0,
        "rotated_709.mp4": 1.0,
        "untagged_hd.mp4": 1.0,
    }.items():
        path = shared_data / "field" / name
        if not path.is_file():
            pytest.skip(f"needs {name} of the shared test data")
        assert probe(path).end_s == pytest.approx(end_s)
        if name != "sparse_vfr_bframes.mp4":
            frame = sample(path, at=[0.5]).frames[0]
            middle = frame[frame.shape[0] // 2, frame.shape[1] // 2]
            np.testing.assert_allclose(middle.astype(int), [0, 188, 60], atol=1)


def test_a_song_with_a_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        sound: Any = out.add_stream("aac", rate=48_000)
        cover: Any = out.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 128, 96, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        out.mux(cover.encode(av.VideoFrame.from_ndarray(picture(1), format="rgb24")))
        for frame in tone(1.0):
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    assert_refused(path, "is sound with a cover picture")


def test_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", constant(5))
    content = path.read_bytes()
    assert content.count(b"avc1") >= 1
    path.write_bytes(content.replace(b"avc1", b"zzz1"))
    assert_refused(path, "is in a format that is not known here")


def test_an_unknown_codec_beside_a_cover_that_is_known_is_refused() -> None:
    """The cover is the only picture that can be decoded, and is not the video."""
    disposition = av.stream.Disposition
    cover = SimpleNamespace(disposition=disposition.attached_pic, codec_context=object())
    film = SimpleNamespace(disposition=disposition.default, codec_context=None)

    class Streams(list[SimpleNamespace]):
        video = (cover, film)

        def best(self, kind: str) -> SimpleNamespace:
            return cover

    container = SimpleNamespace(streams=Streams((cover, film)))
    with pytest.raises(VideoError, match=r"'film\.mp4' is in a format that is not known here"):
        best_video(container, "film.mp4")


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    for name, message in {
        "pipe": "regular file",
        "folder": "folder",
        "no": "no file",
    }.items():
        assert_refused(tmp_path / f"{name}.mp4", message)


def test_a_link_is_read_unless_links_are_not_followed(tmp_path: Path) -> None:
    clip, link = write_clip(tmp_path / "clip.mp4", constant(5)), tmp_path / "link.mp4"
    link.symlink_to(clip)
    assert probe(link).sha256 == probe(clip).sha256
    assert_refused(link, "symbolic link. Give the file", VideoLimits(follow_links=False))


def test_large_files_pictures_and_lengths_are_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", CFR)
    assert_refused(path, "has 0.0 GiB; the limit is", VideoLimits(max_bytes=1000))
    assert_refused(path, "has pictures of 128x96; the limit is 10000 pixels", VideoLimits(max_pixels=10_000))
    assert_refused(path, "and 100 a side. Scale it down", VideoLimits(max_side_px=100))
    assert_refused(path, "lasts 0.0 hours; the limit is", VideoLimits(max_duration_s=3.0))
    with pytest.raises(VideoError, match="100 pictures of 128x96 need 4 MiB; the limit is 1"):
        sample(path, fps=25, limits=VideoLimits(child=ChildLimits(output_bytes=2**20)))


def test_a_picture_bomb_is_refused_without_decoding_it(tmp_path: Path) -> None:
    flat = np.zeros((9000, 9000), np.uint8)
    path = write_clip(
        tmp_path / "bomb.mov",
        [0.0],
        codec="png",
        size=(9000, 9000),
        pixels="gray",
        draw=lambda _: flat[..., None].repeat(3, 2),
        ticks=1000,
    )
    assert path.stat().st_size < 2_000_000
    assert_refused(
        path,
        "pictures of 9000x9000|pictures are over the limit of 40000000 pixels",
        VideoLimits(child=ChildLimits(memory_bytes=2**29)),
    )


def test_memory_and_time_limits_are_clear_errors(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", constant(20), size=(1200, 1600))
    assert_refused(
        path,
        "more memory than its limit",
        VideoLimits(child=ChildLimits(memory_bytes=150 * 2**20)),
    )
    assert_refused(path, "not read within 0 s", VideoLimits(child=ChildLimits(wall_s=0.0)))


def test_requests_outside_the_video_are_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", CFR)
    with pytest.raises(
        InputError, match=r"Times must lie in \[0, 4.000\), the length of 'clip.mp4'; got \[4.0, 9.0\]"
    ):
        sample(path, at=[1.0, 4.0, 9.0])
    with pytest.raises(InputError, match="give one of step_s, fps and at"):
        sample(path, at=[1.0], fps=2)
    with pytest.raises(InputError, match="the most allowed is 3"):
        sample(path, fps=2, max_frames=3)


def test_reading_can_be_cancelled(tmp_path: Path) -> None:
    path, cancel = write_clip(tmp_path / "clip.mp4", CFR), threading.Event()
    cancel.set()
    for entrance in (probe, sample):
        with pytest.raises(Cancelled, match=r"'clip\.mp4' was stopped"):
            entrance(path, cancel=cancel)  # type: ignore[operator]


def test_a_crash_gets_a_second_try_without_decord(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempo_core.video as video
    from tempo_core.sandbox import ChildAnswer, ChildDied

    tried = []
    run = video.run_child

    def crash_once(task: str, job: dict, **keywords: object) -> ChildAnswer:
        tried.append(job.get("force"))
        if len(tried) == 1:
            raise ChildDied("it crashed", "crash")
        return run(task, job, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(video, "run_child", crash_once)
    assert sample(write_clip(tmp_path / "clip.mp4", CFR), at=[1.0]).reader == "pyav"
    assert tried == [None, "pyav"]


@pytest.mark.slow
def test_an_hour_is_sampled_in_moments(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "hour.mp4", constant(7200, 2), size=(64, 64), rate=2, options={"preset": "ultrafast"}
    )
    info, sampled = probe(path), sample(path, max_frames=120)
    assert info.duration_s == pytest.approx(3600)
    assert_true(sampled, constant(7200, 2), list(range(0, 7200, 64)))


def test_containers_are_known_by_their_first_bytes() -> None:
    assert demuxer_for(b"\0\0\0\x18ftypmp42") == "mov"
    assert demuxer_for(b"\0\0\0\0" + (b"\x47" + bytes(191)) * 5) == "mpegts"
    assert demuxer_for(b"G" * 400) == "mpegts"  # parsed by that demuxer alone, which finds nothing in it
    assert demuxer_for(b"\x89PNG\r\n\x1a\n" + bytes(500)) is None
    assert demuxer_for(b"RIFF1234WAVE") is None
    assert demuxer_for(b"") is None


# Seconds and frames as measured once with another tool.
REAL = {
    "charades_3MSZA.mp4": ("h264", 270, 480, 30, 31.09, 930, "pyav"),
    "charades_OHOFG.mp4": ("h264", 360, 640, Fraction(10_000, 1049), 35.23, 335, "pyav"),
    "charades_unknown_univtg_example.mp4": ("h264", 270, 480, Fraction(15_000, 1001), 30.74, 460, "pyav"),
    "gradio_world.mp4": ("h264", 270, 480, 30, 30.53, 901, "pyav"),
    "gradio_video_sample.webm": ("vp9", 270, 480, 30, 5.01, 150, "pyav"),
    "gradio_av1.mp4": ("av1", 540, 960, 25, 15.04, 375, "pyav"),
    "nasa_13013.mp4": ("h264", 270, 480, Fraction(30_000, 1001), 13.06, 390, "pyav"),
    "kinetics_flipping_a_pancake.mkv": ("h264", 240, 426, 30, 10.38, 310, "pyav"),
    "kinetics_mmaction2_demo.mp4": ("h264", 256, 427, 28, 10.0, 280, "pyav"),
    "bigbuckbunny.mp4": ("h264", 720, 1280, 25, 5.31, 132, "pyav"),
    "vidat_example.mp4": ("h264", 480, 640, Fraction(2992, 100), 13.54, 390, "pyav"),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(shared_data: Path, name: str) -> None:
    path = shared_data / "videos" / name
    codec, height, width, rate, duration_s, frames, reader = REAL[name]
    info = probe(path)
    assert (info.codec, info.height, info.width) == (codec, height, width)
    assert float(info.frame_rate or 0) == pytest.approx(float(rate), rel=1e-3)
    assert (info.frame_count, info.reader) == (frames, reader)
    assert info.duration_s == pytest.approx(duration_s, abs=0.04)
    sampled = sample(path, step_s=1.0, max_pixels=100_000)
    assert len(sampled.times_s) == int(np.ceil(info.end_s))
    assert sampled.times_s[0] == info.start_s < 0.01
    assert np.abs(sampled.times_s - np.arange(len(sampled.times_s))).max() < 1 / float(rate) + 0.01
    assert np.abs(np.diff(sampled.frames.astype(int), axis=0)).mean() > 0.1


def test_pictures_that_all_carry_one_time_are_refused(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", constant(10), codec="mjpeg", pixels="yuvj420p")
    content = bytearray(clip.read_bytes())
    # Each SimpleBlock (EBML id a3) has the track's number and its time within the cluster behind its length.
    assert content.count(b"\x81\x00\x00\x80") >= 1
    for number in range(1, 10):
        time_ms = round(number * 40).to_bytes(2, "big")
        assert content.count(b"\x81" + time_ms + b"\x80") == 1
        content = bytearray(bytes(content).replace(b"\x81" + time_ms + b"\x80", b"\x81\x00\x00\x80"))
    clip.write_bytes(content)
    with pytest.raises(
        VideoError, match=r"All 10 pictures of 'clip\.mkv' carry the same time, so nobody can say"
    ):
        probe(clip)
