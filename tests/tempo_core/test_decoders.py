"""Decord against PyAV, skipping against plain decoding, and the turns and bits that they lean on."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from tempo_core import video_tasks
from tempo_core.bitstream import is_hidden, is_soft_key, length_bytes, referral
from tempo_core.decoders import (
    DecordFailed,
    Picture,
    PyavReader,
    decord_pictures,
    shown_positions,
    turn,
)
from tempo_core.demux import read_index
from tempo_core.errors import VideoError
from tempo_core.picture_index import PictureIndex, VideoFile
from tempo_core.proxy import normalise
from tests.videos import TICKS, constant, numbers_of, picture, write_clip

NATURAL = [
    "charades_OHOFG.mp4",
    "gradio_video_sample.webm",
    "kinetics_flipping_a_pancake.mkv",
]
NATURAL += ["kinetics_mmaction2_demo.mp4", "vidat_example.mp4", "charades_unknown_univtg_example.mp4"]
X264 = {
    "plain": "scenecut=0",
    "b_frames": "bframes=5:b-pyramid=normal:scenecut=0",
    "short_groups": "bframes=3:keyint=20:scenecut=0",
    "one_gop": "keyint=1000:scenecut=0",
}


def opened(path: Path, demuxer: str | None = None) -> tuple[VideoFile, PictureIndex]:
    demuxer = demuxer or ("matroska" if path.suffix in (".mkv", ".webm") else "mov")
    video_file = VideoFile(
        path=str(path), name=path.name, demuxer=demuxer, max_pixels=10**7, max_side_px=8192
    )
    return video_file, read_index(video_file)


def collected(pictures: Iterator[Picture]) -> tuple[np.ndarray, np.ndarray]:
    times, frames = zip(*((time_s, frame.copy()) for time_s, frame in pictures), strict=True)
    return np.array(times), np.stack(frames)


def with_pyav(
    path: Path, times_s: list[float], size: tuple[int, int], *, skip: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    reader = PyavReader(*opened(path), skip=skip)
    read = collected(reader.pictures_at(times_s, size, lambda _: None))
    assert reader.notes == []
    return read


def with_decord(path: Path, times_s: list[float], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return collected(decord_pictures(*opened(path), times_s, size, lambda _: None))


def assert_readers_agree(path: Path, times_s: list[float] | None = None, *, decord: bool = True) -> None:
    _, index = opened(path)
    requested = times_s if times_s is not None else index.times_s.tolist()
    size = index.shown_size
    plain_times, plain = with_pyav(path, requested, size, skip=False)
    reads = [with_pyav(path, requested, size)] + ([with_decord(path, requested, size)] if decord else [])
    for times, frames in reads:
        np.testing.assert_array_equal(times, plain_times)
        difference = np.abs(frames.astype(int) - plain)
        # Two FFmpegs convert to RGB with other roundings; a neighbouring frame differs by far more.
        assert difference.mean() < 2.0, (difference.mean(), difference.max())


@pytest.mark.parametrize("name", X264)
def test_both_readers_give_every_frame_of_rendered_clips(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / "clip.mp4", constant(75), options={"x264-params": X264[name]})
    assert_readers_agree(path)
    for read in (with_pyav, with_decord):
        times, frames = read(path, constant(75), (96, 128))
        assert numbers_of(frames) == list(range(75))
        np.testing.assert_allclose(times, constant(75), atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", NATURAL)
def test_both_readers_agree_on_natural_clips(shared_data: Path, name: str) -> None:
    path = shared_data / "videos" / name
    _, index = opened(path)
    assert_readers_agree(path, np.arange(0.0, min(index.end_s, 12.0), 0.37).tolist())


@pytest.mark.slow
def test_pictures_are_those_that_ffmpeg_gives(shared_data: Path) -> None:
    """Held against a plain pass of PyAV's own, without any code of ours."""
    path = shared_data / "videos" / "bigbuckbunny.mp4"
    exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    with av.open(str(path)) as container:
        expected = [
            (
                float(frame.time or 0),
                frame.reformat(format="rgb24", src_colorspace="ITU709", interpolation=exact).to_ndarray(),
            )
            for frame in container.decode(video=0)
        ]
    first_s = expected[0][0]
    times, frames = with_pyav(path, [time_s - first_s for time_s, _ in expected], expected[0][1].shape[:2])
    np.testing.assert_allclose(times, [time_s - first_s for time_s, _ in expected], atol=1e-6)
    for frame, (_, plain) in zip(frames, expected, strict=True):
        assert np.abs(frame.astype(int) - plain).mean() < 1.0


def test_the_readers_scale_alike(shared_data: Path) -> None:
    path = shared_data / "videos" / "kinetics_mmaction2_demo.mp4"
    _, small = with_decord(path, [0.0, 1.0, 3.0], (90, 160))
    _, plain = with_pyav(path, [0.0, 1.0, 3.0], (90, 160))
    assert np.abs(small.astype(int) - plain).mean() < 2.0


def test_decord_is_not_believed_when_it_sees_other_pictures(tmp_path: Path) -> None:
    video_file, index = opened(write_clip(tmp_path / "clip.mp4", constant(50)))
    index.times_s = index.times_s[:-1]
    with pytest.raises(DecordFailed, match="Decord counts 50 pictures of 49"):
        next(decord_pictures(video_file, index, [0.0], (96, 128), lambda _: None))
    index.times_s = np.append(index.times_s, 7.0)
    with pytest.raises(DecordFailed, match=r"times differ from the container's by 5\.0"):
        next(decord_pictures(video_file, index, [0.0], (96, 128), lambda _: None))


def sampled(path: Path, times_s: list[float]) -> tuple[dict[str, Any], np.ndarray]:
    """What the child's task answers and writes, run in this process."""
    output = os.memfd_create("pictures")
    job = {
        "file": str(path),
        "video_file": {"name": path.name, "demuxer": "mov", "max_pixels": 10**7, "max_side_px": 8192},
        "max_duration_s": 3600.0,
        "request": {"at": times_s},
        "size": None,
        "max_pixels": None,
        "force": None,
        "output": output,
        "limits": [2**30, 60, 2**30],
    }
    try:
        result = video_tasks.sample_task(job, lambda _: None)
        data = os.pread(output, 2**30, 0)
    finally:
        os.close(output)
    return result, np.frombuffer(data, np.uint8).reshape(len(result["times_s"]), *result["size"], 3)


@pytest.fixture(name="copy")
def _copy(tmp_path: Path) -> Path:
    return normalise(write_clip(tmp_path / "clip.mp4", constant(75)), tmp_path / "copy.mp4").path


def test_a_normal_copy_is_read_with_decord(copy: Path) -> None:
    result, frames = sampled(copy, constant(75))
    assert (result["reader"], result["notes"]) == ("decord", [])
    assert numbers_of(frames) == list(range(75))
    np.testing.assert_allclose(result["times_s"], constant(75), atol=1e-9)


@pytest.mark.parametrize("before", [0, 1, 40])
def test_where_decord_fails_pyav_gives_every_frame(
    copy: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    def failing(*arguments: Any) -> Iterator[Picture]:
        for count, pair in enumerate(decord_pictures(*arguments)):
            if count == before:
                raise DecordFailed("Decord cannot read it")
            yield pair

    monkeypatch.setattr(video_tasks, "decord_pictures", failing)
    result, frames = sampled(copy, constant(75))
    assert (result["reader"], result["notes"]) == ("pyav", ["Decord cannot read it; it was read with PyAV."])
    assert numbers_of(frames) == list(range(75))
    np.testing.assert_allclose(result["times_s"], constant(75), atol=1e-9)


def test_decords_own_errors_hand_over_to_pyav(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import decord

    def damaged(reader: Any, numbers: list[int]) -> Any:
        raise decord.DECORDError("cannot decode")

    monkeypatch.setattr(decord.VideoReader, "get_batch", damaged)
    result, frames = sampled(copy, [0.0, 1.0, 2.96])
    assert result["reader"] == "pyav"
    assert numbers_of(frames) == [0, 25, 74]


def test_skipping_that_misses_a_picture_is_replaced_by_plain_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempo_core.decoders as decoders

    path = write_clip(tmp_path / "clip.mp4", constant(75), gop=25, options={"x264-params": "scenecut=0"})
    reader = PyavReader(*opened(path))
    needed_frames: Callable = decoders._needed_frames

    def one_missing(*arguments: Any) -> Iterator[Any]:
        return (frame for count, frame in enumerate(needed_frames(*arguments)) if count != 27)

    monkeypatch.setattr(decoders, "_needed_frames", one_missing)
    times, frames = collected(reader.pictures_at(constant(75), (96, 128), lambda _: None))
    assert numbers_of(frames) == list(range(75))
    np.testing.assert_allclose(times, constant(75), atol=1e-9)
    assert "Skipping pictures" in reader.notes[0]


def test_groups_that_lean_on_each_other(tmp_path: Path) -> None:
    params = "open-gop=1:bframes=3:keyint=20:scenecut=0"
    path = write_clip(tmp_path / "clip.mp4", constant(100), options={"x264-params": params})
    _, index = opened(path)
    assert (index.stands_in_order, index.oddities.soft_keys) == (False, 0)
    assert_readers_agree(path, decord=False)
    assert_readers_agree(path, [0.6, 0.76, 0.8, 1.56, 3.16], decord=False)


def test_intra_refresh_is_kept_from_decord_and_from_skipping(tmp_path: Path) -> None:
    params = "intra-refresh=1:keyint=20:bframes=0"
    path = write_clip(tmp_path / "clip.mp4", constant(100), options={"x264-params": params})
    _, index = opened(path)
    assert (index.stands_in_order, index.oddities.soft_keys > 0) == (False, True)
    _, frames = with_pyav(path, [1.0, 1.48, 3.2], (96, 128))
    assert numbers_of(frames) == [25, 37, 80]


@pytest.mark.parametrize("skip", [True, False])
def test_a_picture_over_the_limit_is_never_decoded(tmp_path: Path, skip: bool) -> None:
    video_file, index = opened(write_clip(tmp_path / "clip.mp4", constant(50)))
    reader = PyavReader(replace(video_file, max_pixels=100), index, skip=skip)
    with pytest.raises(VideoError):
        collected(reader.pictures_at([0.0, 1.0], (96, 128), lambda _: None))


def test_skipping_decodes_only_what_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempo_core.decoders as decoders

    path = write_clip(tmp_path / "clip.mp4", constant(300), gop=25, options={"x264-params": "scenecut=0"})
    fed = 0
    decode: Callable = decoders.decode_packet

    def counting(stream: object, packet: object, health: object) -> list:
        nonlocal fed
        fed += packet is not None
        return decode(stream, packet, health)

    monkeypatch.setattr(decoders, "decode_packet", counting)
    _, frames = with_pyav(path, [0.0, 5.0, 10.04], (96, 128))
    assert numbers_of(frames) == [0, 125, 251]
    assert fed < 20


B_PICTURES = {
    "h264": ("clip.mp4", "libx264", {"x264-params": "bframes=3:b-pyramid=normal:keyint=250:scenecut=0"}),
    "h264 by fields": ("clip.mp4", "libx264", {"x264-params": "bframes=3:keyint=250:tff=1:scenecut=0"}),
    "h264 with start codes": ("clip.ts", "libx264", {"x264-params": "bframes=3:keyint=250:scenecut=0"}),
    "hevc": ("clip.mp4", "libx265", {"x265-params": "bframes=4:b-pyramid=1:keyint=250:log-level=none"}),
    "hevc in layers": (
        "clip.mkv",
        "libx265",
        {"x265-params": "bframes=4:temporal-layers=3:b-adapt=0:keyint=250:log-level=none"},
    ),
    "mpeg2": ("clip.mkv", "mpeg2video", {"bf": "2"}),
    "mpeg4": ("clip.mkv", "mpeg4", {"bf": "2"}),
}


@pytest.mark.parametrize("kind", B_PICTURES)
def test_pictures_that_no_other_needs_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import tempo_core.decoders as decoders

    name, codec, options = B_PICTURES[kind]
    random = np.random.default_rng(4)
    wall = random.integers(0, 256, (160, 400, 3), dtype=np.uint8)
    path = write_clip(
        tmp_path / name,
        constant(120),
        codec=codec,
        options=options,
        gop=120,
        ticks=25 if codec == "mpeg2video" else TICKS,
        draw=lambda number: np.ascontiguousarray(wall[number // 4 :, 2 * number :][:96, :128]),
    )
    demuxer = "mpegts" if path.suffix == ".ts" else None
    video_file, index = opened(path, demuxer)
    assert 30 < np.count_nonzero(~index.referred) < 100
    fed = 0
    decode: Callable = decoders.decode_packet

    def counting(stream: object, packet: object, health: object) -> list:
        nonlocal fed
        fed += packet is not None
        return decode(stream, packet, health)

    monkeypatch.setattr(decoders, "decode_packet", counting)
    # Pictures that nothing refers to and others are asked for, one by one.
    for step in (1, 7, 25):
        fed, wanted_s = 0, index.times_s[step // 2 :: step].tolist()
        reader = PyavReader(video_file, index)
        times, frames = collected(reader.pictures_at(wanted_s, (96, 128), lambda _: None))
        assert reader.notes == []
        assert fed <= min(120, np.count_nonzero(index.referred) + len(wanted_s))
        plain = PyavReader(video_file, index, skip=False)
        plain_times, plain_frames = collected(plain.pictures_at(wanted_s, (96, 128), lambda _: None))
        np.testing.assert_array_equal(times, plain_times)
        np.testing.assert_array_equal(frames, plain_frames)


def test_the_picture_shown_is_the_last_that_has_begun() -> None:
    shown_s = np.array([0.5, 1.0, 1.001, 4.0])
    assert shown_positions(shown_s, [0.0, 0.5, 0.99, 0.9995, 1.0, 1.1, 3.9, 99.0]).tolist() == [
        0,
        0,
        0,
        1,
        1,
        2,
        2,
        3,
    ]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), [[1, 2], [3, 4]]),
        ((0, 1, -1, 0), [[3, 1], [4, 2]]),
        ((-1, 0, 0, -1), [[4, 3], [2, 1]]),
        ((0, -1, 1, 0), [[2, 4], [1, 3]]),
        ((-1, 0, 0, 1), [[2, 1], [4, 3]]),
        ((1, 0, 0, -1), [[3, 4], [1, 2]]),
        ((0, 1, 1, 0), [[1, 3], [2, 4]]),
        ((0, -1, -1, 0), [[4, 2], [3, 1]]),
    ],
)
def test_the_eight_ways_a_picture_can_lie(matrix: tuple[int, int, int, int], expected: list) -> None:
    image = np.array([[1, 2], [3, 4]], dtype=np.uint8)[..., None]
    assert turn(image, matrix)[..., 0].tolist() == expected


def test_bits_of_coded_pictures() -> None:
    avcc = b"\x01\x64\x00\x1f\xff"
    assert length_bytes("h264", avcc) == 4
    assert length_bytes("h264", b"\0\0\0\1\x67\x64") == 0
    assert length_bytes("vp9", b"\x01\0\0\0\xff") == 0

    def packet(*units: bytes) -> memoryview:
        return memoryview(b"".join(len(u).to_bytes(4, "big") + u for u in units))

    idr, plain = b"\x65\x88", b"\x41\x9a"
    at_once, later = b"\x06\x06\x01\xc4\x80", b"\x06\x06\x01\x44\x80"
    long_sei = b"\x06\x05\xff\x10" + bytes(271) + b"\x80"  # a unit of 0x114 bytes looks like a start code
    assert not is_soft_key("h264", packet(long_sei, idr), 4)
    assert not is_soft_key("h264", packet(at_once, plain), 4)
    assert is_soft_key("h264", packet(later, plain), 4)
    assert is_soft_key("h264", packet(plain), 4)
    assert not is_soft_key("h264", memoryview(b"\0\0\0\1\x09\xf0\0\0\1" + idr), 0)
    assert is_soft_key("hevc", packet(b"\x02\x01"), 4)
    assert not is_soft_key("hevc", packet(b"\x2a\x01"), 4)
    assert not is_soft_key("av1", packet(plain), 0)
    assert is_hidden("vp8", memoryview(b"\x00\x00"))
    assert not is_hidden("vp8", memoryview(b"\x10\x00"))
    assert is_hidden("vp9", memoryview(b"\x84\x00"))
    assert not is_hidden("vp9", memoryview(b"\x86\x00"))
    assert not is_hidden("vp9", memoryview(b"\x84\xc1"))
    assert not is_hidden("h264", memoryview(b"\x00"))
    one_field, unused = b"\x41\x9a", b"\x01\x9a"
    assert referral("h264", packet(unused, unused), 4) == (False, 0)
    assert referral("h264", packet(unused, one_field), 4) == (True, 0)
    assert referral("h264", packet(at_once), 4) == (True, 0)
    assert referral("hevc", packet(b"\x00\x03\xaf", b"\x00\x03\x2f"), 4) == (False, 2)
    assert referral("hevc", packet(b"\x02\x01\xaf"), 4) == (True, 0)
    assert referral("hevc", packet(b"\x26\x01\xaf"), 4) == (True, 0)
    assert referral("vp9", memoryview(b"\x86\x00"), 0) == (True, 0)


def test_a_numbered_picture_reads_back() -> None:
    for number in (0, 1, 4096, 65_535, 12_345):
        assert numbers_of(picture(number, 16, 16)[None]) == [number]
