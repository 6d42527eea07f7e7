"""Neighbours of clips as people have them: another way into the same kind of fault, read at its true times or named."""

import io
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tempo_core.__main__ import main
from tempo_core.errors import VideoError
from tempo_core.video import probe, sample
from tests.tempo_core.test_video import LATE, LATE_SOUND_S, REORDERED, SPARSE, assert_true, shown_at
from tests.videos import (
    constant,
    numbers_of,
    picture,
    shortened,
    tone,
    trimmed,
    write_clip,
    write_webp,
)

FEW = constant(20)
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
LOCK = {  # of ISO/IEC 23001-7
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "00112233445566778899aabbccddeeff",
    "encryption_kid": "ffeeddccbbaa99887766554433221100",
}
KINDS: dict[str, dict[str, Any]] = {
    ".mp4": {},
    ".mkv": {"ticks": 1000},
    ".webm": {"codec": "libvpx", "ticks": 1000, "options": {"deadline": "realtime", "cpu-used": "8"}},
    ".flv": {"container": "flv", "ticks": 1000},
    ".wmv": {"codec": "wmv2", "container": "asf", "ticks": 1000},
    ".avi": {"codec": "mpeg4", "ticks": 25},
    ".mpg": {"codec": "mpeg2video", "container": "mpeg", "ticks": 25},
    ".ts": {"container": "mpegts", "ticks": 90_000},
    ".gif": {"codec": "gif", "pixels": "rgb8", "ticks": 100},
}
"""How `write_clip` writes each kind of file."""


def written(path: Path, times_s: list[float], **options: Any) -> Path:
    return write_clip(path, times_s, **{**KINDS[path.suffix], **options})


def turned_and_cropped(degrees: int, quarter: int) -> Callable[[Path], Path]:
    """Sides that are no multiple of 16 make the encoder crop."""
    size = (97, 131) if degrees == 180 else (131, 97)
    return lambda path: written(
        path,
        FEW,
        size=size,
        pixels="yuv444p",
        draw=lambda number: np.rot90(picture(number, 97, 131), quarter),
        prepare=lambda stream: stream.set_display_rotation(-degrees),
    )


def two_tracks(path: Path) -> Path:
    """A small first track of number 9, and a larger one of 0, 1, 2, ... that the file calls the default."""
    with av.open(str(path), "w") as out:
        streams: list[Any] = []
        for size in ((16, 16), (96, 128)):
            stream: Any = out.add_stream("libx264", rate=25)
            (stream.height, stream.width), stream.pix_fmt = size, "yuv420p"
            stream.disposition = av.stream.Disposition.default if streams else av.stream.Disposition(0)
            streams.append(stream)
        for number in range(len(FEW)):
            for stream, number_shown in zip(streams, (9, number), strict=True):
                image = picture(number_shown, stream.height, stream.width)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                out.mux(stream.encode(frame))
        for stream in streams:
            out.mux(stream.encode(None))
    return path


def with_cover(path: Path) -> Path:
    """A Matroska film whose attachment is a picture that is larger than the film's."""
    png = io.BytesIO()
    Image.fromarray(picture(9, 192, 256)).save(png, "PNG")
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        out.add_attachment("cover.png", "image/png", png.getvalue())
        for number in range(len(FEW)):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def one_animated_picture(path: Path) -> Path:
    """An animated PNG of a single picture, which stays for half a second."""
    pictures = [Image.fromarray(picture(0)), Image.fromarray(picture(1))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[500, 500])
    content = path.read_bytes()
    chunks, place = [content[:8]], 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunk = content[place : place + 12 + length]
        place += len(chunk)
        if chunk[4:8] == b"acTL":  # how many pictures, how often
            chunk = with_checksum(b"acTL" + (1).to_bytes(4, "big") + chunk[12:16])
        is_second = chunk[4:8] == b"fdAT" or (chunk[4:8] == b"fcTL" and chunk[8:12] != bytes(4))
        if not is_second:
            chunks.append(chunk)
    path.write_bytes(b"".join(chunks))
    return path


def with_checksum(chunk: bytes) -> bytes:
    """A PNG chunk of its kind and data."""
    import zlib

    return (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")


# name: (writer, true times of pictures 0, 1, 2, ..., where the last ends, what a note says)
READ: dict[str, tuple[Callable[[Path], Path], list[float], float, str]] = {
    # sparse_vfr_bframes.mp4
    "sparse.webm": (lambda path: written(path, SPARSE), SPARSE, 10.0, ""),
    "sparse.flv": (lambda path: written(path, SPARSE, options=REORDERED), SPARSE, 10.0, ""),
    "sparse_with_sound.mkv": (
        lambda path: written(path, SPARSE, options=REORDERED, audio_s=3.0),
        SPARSE,
        10.0,
        "",
    ),
    # a late start
    "late.ts": (
        lambda path: written(path, LATE, audio_s=4.5),
        [time_s + LATE_SOUND_S for time_s in LATE],
        4.5 + LATE_SOUND_S,
        "No picture is shown before 2.521 s",
    ),
    "late.mkv": (lambda path: written(path, LATE, audio_s=4.5), LATE, 4.5, "before 2.500 s"),
    "late_silent.mkv": (lambda path: written(path, LATE), constant(50), 2.0, ""),
    # rotated_709.mp4
    "turned90_cropped.mp4": (turned_and_cropped(90, 1), FEW, 0.8, ""),
    "turned180_cropped.mkv": (turned_and_cropped(180, 2), FEW, 0.8, ""),
    "turned270_cropped.mkv": (turned_and_cropped(270, 3), FEW, 0.8, ""),
    # two tracks, and cover_only.m4a
    "two_tracks.mkv": (two_tracks, FEW, 0.8, "There are 2 video tracks; the default one, 128x96, is read"),
    "with_cover.mkv": (with_cover, FEW, 0.8, "There are 2 video tracks"),
    # pictures that move
    "one.png": (one_animated_picture, [0.0], 0.5, ""),
}


@pytest.mark.parametrize("name", READ)
def test_the_frames_shown_at_true_times(tmp_path: Path, name: str) -> None:
    write, times, end_s, note = READ[name]
    sampled = sample(write(tmp_path / name), fps=25)
    assert sampled.end_s == pytest.approx(end_s, abs=0.0011)
    moments = [number / 25 for number in range(math.ceil(sampled.end_s * 25 - 1e-6))]
    assert_true(sampled, times, shown_at(times, moments))
    assert note in " ".join(sampled.notes)
    assert bool(note) == bool(sampled.notes)


def test_an_edit_list_into_a_sparse_clip_keeps_its_end(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole.mp4", [0.0, 1.0, 3.0, 6.0, 9.96], options=REORDERED)
    sampled = sample(trimmed(whole, tmp_path / "cut.mp4", 1.0), fps=25)
    assert numbers_of(sampled.frames) == [1, 2, 3, 4]
    np.testing.assert_allclose(sampled.times_s, [0.0, 2.0, 5.0, 8.96], atol=1e-4)
    assert sampled.end_s == pytest.approx(9.0)


# --- cut off


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".flv", ".wmv", ".avi", ".gif"])
def test_a_cut_file_says_so_and_a_whole_one_does_not(tmp_path: Path, suffix: str) -> None:
    whole = written(tmp_path / f"whole{suffix}", constant(60), rate=25)
    assert not any("cut short" in note for note in probe(whole).notes)
    info = probe(shortened(whole, tmp_path / f"cut{suffix}", 0.6))
    assert any("The file is cut short" in note for note in info.notes)
    assert 0.3 < info.end_s < 2.2


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_what_was_sent_while_it_was_recorded_is_not_called_cut(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"live{suffix}", FEW, container_options={"live": "1"})
    assert probe(path).notes == ()


# --- dashcam_concat.ts


def test_joined_recordings_of_two_sizes_are_scaled_to_the_first(tmp_path: Path) -> None:
    small = written(tmp_path / "small.ts", FEW)
    large = written(tmp_path / "large.ts", FEW, size=(192, 256), numbers=range(20, 40))
    path = tmp_path / "joined.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    sampled = sample(path, fps=25)
    assert sampled.frames.shape[1:] == (96, 128, 3)
    assert "2 recordings were joined" in sampled.notes[0]
    assert_true(sampled, constant(40), list(range(40)))


def test_joined_program_streams_are_laid_end_to_end(tmp_path: Path) -> None:
    """Most of their pictures begin inside a PES packet, and have no position in the file."""
    part = written(tmp_path / "part.mpg", FEW)
    path = tmp_path / "joined.mpg"
    path.write_bytes(part.read_bytes() * 2)
    sampled = sample(path, fps=25)
    assert numbers_of(sampled.frames) == [*range(20)] * 2
    np.testing.assert_allclose(sampled.times_s, constant(40), atol=1e-4)


@pytest.mark.parametrize("suffix", [".mp4", ".flv"])
def test_a_recording_that_no_player_reaches_is_named(tmp_path: Path, suffix: str) -> None:
    part = written(tmp_path / f"part{suffix}", FEW)
    path = tmp_path / f"joined{suffix}"
    path.write_bytes(part.read_bytes() * 3)
    info = probe(path)
    assert info.frame_count == 20
    assert any("3 recordings stand in the file one behind the other" in note for note in info.notes)
    assert probe(part).notes == ()


@pytest.mark.parametrize(
    ("name", "options"),
    [("part.mkv", {}), ("part.webm", {}), ("part.mp4", {"container_options": FRAGMENTED})],
)
def test_recordings_whose_clocks_cannot_be_told_apart_are_refused(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = written(tmp_path / name, FEW, **options)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(VideoError, match="two recordings were joined"):
        probe(path)


# --- pictures that are partly transparent


@pytest.mark.parametrize("name", ["drawn.webp", "drawn.gif", "drawn.png"])
def test_transparent_parts_are_shown_on_white(tmp_path: Path, name: str) -> None:
    """The dark cells are black ink, the others transparent, whatever colour the file has there."""
    images = []
    for number in (1, 2, 3, 4):
        ink = picture(number)[..., :1] < 100
        images.append(Image.fromarray(np.where(ink, [0, 0, 0, 255], [0, 0, 0, 0]).astype(np.uint8), "RGBA"))
    path = tmp_path / name
    disposal = 2 if name == "drawn.gif" else 0
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=100,
        disposal=disposal,
        lossless=True,
        exact=True,
    )
    sampled = sample(path, fps=10)
    assert numbers_of(sampled.frames) == [1, 2, 3, 4]
    assert sampled.frames.max() == 255
    assert "Parts of the pictures are transparent; they are shown on white." in sampled.notes


def test_pictures_that_hide_nothing_say_nothing(tmp_path: Path) -> None:
    assert probe(write_webp(tmp_path / "drawn.webp", [100, 100])).notes == ()
    assert probe(written(tmp_path / "drawn.gif", constant(4, 10), rate=10)).notes == ()


# --- encrypted_cenc.mp4, cover_only.m4a, unknown_codec.mp4


def scrambled(path: Path) -> Path:
    """A transport stream whose video is encrypted, and says so in each packet."""
    content = bytearray(written(path, FEW).read_bytes())
    random = np.random.default_rng(3)
    for start in range(0, len(content), 188):
        if int.from_bytes(content[start + 1 : start + 3], "big") & 0x1FFF == 0x100:
            payload = start + 4 + (content[start + 4] + 1 if content[start + 3] & 0x20 else 0)
            content[start + 3] |= 0x80
            content[payload : start + 188] = random.bytes(start + 188 - payload)
    path.write_bytes(content)
    return path


def song(path: Path, covers: int) -> Path:
    """A second of sound with so many cover pictures."""
    with av.open(str(path), "w", format="mp4") as out:
        sound: Any = out.add_stream("aac", rate=48_000)
        for _ in range(covers):
            cover: Any = out.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = 128, 96, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
        for stream in out.streams.video:
            frame = av.VideoFrame.from_ndarray(picture(1), format="rgb24").reformat(format="yuvj420p")
            out.mux(stream.encode(frame))
        for part in tone(1.0):
            out.mux(sound.encode(part))
        out.mux(sound.encode(None))
    return path


def attached(path: Path) -> Path:
    """Matroska sound whose cover is an attachment."""
    png = io.BytesIO()
    Image.fromarray(picture(1)).save(png, "PNG")
    with av.open(str(path), "w", format="matroska") as out:
        sound: Any = out.add_stream("aac", rate=48_000)
        out.add_attachment("cover.png", "image/png", png.getvalue())
        for part in tone(1.0):
            out.mux(sound.encode(part))
        out.mux(sound.encode(None))
    return path


def renamed_codec(path: Path, old: bytes, new: bytes) -> Path:
    content = written(path, FEW).read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "locked.mp4": (
        lambda path: written(path, FEW, audio_s=0.8, container_options={**LOCK, **FRAGMENTED}),
        r"is encrypted \(DRM\)",
    ),
    "locked_hevc.mp4": (
        lambda path: written(
            path,
            FEW,
            codec="libx265",
            options={"x265-params": "log-level=none"},
            container_options=LOCK,
        ),
        r"is encrypted \(DRM\)",
    ),
    "scrambled.ts": (scrambled, r"is encrypted \(DRM\)"),
    "two_covers.m4a": (lambda path: song(path, 2), "is sound with a cover picture"),
    "attached_cover.mka": (attached, "is sound with a cover picture"),
    "unknown.mkv": (
        lambda path: renamed_codec(path, b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/ZZZ"),
        "is in a format that is not known here",
    ),
    "unknown.avi": (
        lambda path: renamed_codec(path, b"FMP4", b"ZZZ4"),
        "is in a format that is not known here",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_for_what_it_is(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence and with exit code 2, from a command too."""
    write, message = REFUSED[name]
    path = write(tmp_path / name)
    with pytest.raises(VideoError, match=message):
        probe(path)
    assert main(["frames", str(path), "--at", "0.4", "--out", str(tmp_path / "frames")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert name in captured.err
