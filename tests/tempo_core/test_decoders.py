"""Decord against PyAV, skipping against plain decoding, and the turns and bits that they lean on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tempo_core.bitstream import is_hidden, is_soft_key, length_bytes
from tempo_core.decoders import DecordReader, Doubt, PyavReader, Reader, choose_reader, shown_positions, turn
from tempo_core.demux import read_index
from tempo_core.picture_index import PictureIndex, VideoFile
from tests.videos import constant, numbers_of, picture, write_clip

NATURAL = [
    "bigbuckbunny.mp4",
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
        file=str(path), name=path.name, demuxer=demuxer, max_pixels=10**7, max_side_px=8192
    )
    return video_file, read_index(video_file)


def read(reader: Reader, times_s: list[float], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    times, frames = zip(
        *((t, f.copy()) for t, f in reader.shown_at(times_s, size, lambda _: None)), strict=True
    )
    return np.array(times), np.stack(frames)


def assert_readers_agree(path: Path, times_s: list[float] | None = None) -> None:
    video_file, index = opened(path)
    wanted = times_s if times_s is not None else index.times_s.tolist()
    size = index.shown_size
    plain_times, plain = read(PyavReader(video_file, index, leave_out=False), wanted, size)
    for reader in (choose_reader(video_file, index)[0], PyavReader(video_file, index)):
        times, frames = read(reader, wanted, size)
        np.testing.assert_array_equal(times, plain_times)
        difference = np.abs(frames.astype(int) - plain)
        # Two FFmpegs convert to RGB with other roundings; a neighbouring frame differs by far more.
        assert difference.mean() < 2.0, (reader.name, difference.mean(), difference.max())
        assert not reader.notes


@pytest.mark.parametrize("name", X264)
def test_all_readers_give_every_frame_of_rendered_clips(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / "clip.mp4", constant(75), options={"x264-params": X264[name]})
    video_file, index = opened(path)
    assert isinstance(choose_reader(video_file, index)[0], DecordReader)
    assert_readers_agree(path)
    times, frames = read(DecordReader(video_file, index), constant(75), (96, 128))
    assert numbers_of(frames) == list(range(75))
    np.testing.assert_allclose(times, constant(75), atol=1e-9)


@pytest.mark.parametrize("name", NATURAL)
def test_all_readers_agree_on_natural_clips(shared_data: Path, name: str) -> None:
    path = shared_data / "videos" / name
    video_file, index = opened(path)
    assert isinstance(choose_reader(video_file, index)[0], DecordReader)
    wanted = np.arange(0.0, min(index.end_s, 12.0), 0.37).tolist()
    assert_readers_agree(path, wanted)


def test_the_readers_scale_alike(shared_data: Path) -> None:
    video_file, index = opened(shared_data / "videos" / "bigbuckbunny.mp4")
    wanted = [0.0, 1.0, 3.0]
    _, small = read(DecordReader(video_file, index), wanted, (90, 160))
    _, plain = read(PyavReader(video_file, index), wanted, (90, 160))
    assert np.abs(small.astype(int) - plain).mean() < 2.0


def test_decord_is_not_believed_when_it_sees_other_pictures(tmp_path: Path) -> None:
    video_file, index = opened(write_clip(tmp_path / "clip.mp4", constant(50)))
    index.times_s = index.times_s[:-1]
    with pytest.raises(Doubt, match="Decord counts 50 pictures where the container holds 49"):
        DecordReader(video_file, index)
    index.times_s = np.append(index.times_s, 7.0)
    with pytest.raises(Doubt, match=r"times differ from the container's by 5\.0"):
        DecordReader(video_file, index)
    reader, why = choose_reader(video_file, index)
    assert reader.name == "pyav"
    assert "times differ" in why


def test_groups_that_lean_on_each_other_are_kept_from_decord(tmp_path: Path) -> None:
    params = "open-gop=1:bframes=3:keyint=20:scenecut=0"
    path = write_clip(tmp_path / "clip.mp4", constant(100), options={"x264-params": params})
    video_file, index = opened(path)
    reader, why = choose_reader(video_file, index)
    assert (reader.name, index.open_groups, index.oddities.soft_keys) == ("pyav", True, 0)
    assert "lean on the group before" in why
    assert_readers_agree(path)
    assert_readers_agree(path, [0.6, 0.76, 0.8, 1.56, 3.16])


def test_intra_refresh_is_kept_from_decord_and_from_skipping(tmp_path: Path) -> None:
    params = "intra-refresh=1:keyint=20:bframes=0"
    path = write_clip(tmp_path / "clip.mp4", constant(100), options={"x264-params": params})
    video_file, index = opened(path)
    reader, why = choose_reader(video_file, index)
    assert (reader.name, index.oddities.soft_keys > 0) == ("pyav", True)
    assert "do not stand alone" in why
    _, frames = read(reader, [1.0, 1.48, 3.2], (96, 128))
    assert numbers_of(frames) == [25, 37, 80]


def test_skipping_decodes_only_what_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempo_core.decoders as decoders

    path = write_clip(tmp_path / "clip.mp4", constant(300), gop=25, options={"x264-params": "scenecut=0"})
    video_file, index = opened(path)
    fed = 0
    decode: Callable = decoders.decode_packet

    def counting(stream: object, packet: object, health: object) -> list:
        nonlocal fed
        fed += packet is not None
        return decode(stream, packet, health)

    monkeypatch.setattr(decoders, "decode_packet", counting)
    _, frames = read(PyavReader(video_file, index), [0.0, 5.0, 10.04], (96, 128))
    assert numbers_of(frames) == [0, 125, 251]
    assert fed < 20


def test_the_picture_shown_is_the_last_that_has_begun() -> None:
    shown = np.array([0.5, 1.0, 1.001, 4.0])
    assert shown_positions(shown, [0.0, 0.5, 0.99, 0.9995, 1.0, 1.1, 3.9, 99.0]).tolist() == [
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


def test_a_numbered_picture_reads_back() -> None:
    for number in (0, 1, 4096, 65_535, 12_345):
        assert numbers_of(picture(number, 16, 16)[None]) == [number]
