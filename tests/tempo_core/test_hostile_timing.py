"""Clips whose timing is meant to mislead: no stamp of any protocol is further from its pixels' time than half a frame.

    TEMPO_CLIPS=500 python -m pytest tests/tempo_core/test_hostile_timing.py

makes so many; the suite makes one of each kind. Each picture carries its number, so that its time is known from how it
was written, whatever a reader says.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tempo_core.__main__ import main
from tempo_core.conformance import wanted_times
from tempo_core.protocols import NAMES, protocol_named
from tempo_core.video import probe, sample
from tests.videos import numbers_of, trimmed, write_clip

Rng = np.random.Generator
Written = tuple[list[float], float]
"""When each picture is shown, and where the player's clock begins: at the first picture, or the sound before it."""


def uneven(rng: Rng, path: Path) -> Written:
    """A variable rate: any gap from two hundredths of a second to one."""
    times = np.cumsum(rng.uniform(0.02, 1.0, int(rng.integers(8, 24)))).tolist()
    write_clip(path, times)
    return times, times[0]


def late(rng: Rng, path: Path) -> Written:
    """Pictures that begin behind the sound."""
    times = (rng.uniform(0.2, 2.5) + np.arange(int(rng.integers(20, 50))) / 12).tolist()
    write_clip(path, times, audio_s=times[-1] + 0.5)
    return times, 0.0


def cut(rng: Rng, path: Path) -> Written:
    """An edit list that begins between two key pictures."""
    times = (np.arange(60) / 15).tolist()
    whole = write_clip(path.with_name(f".{path.name}"), times, gop=int(rng.integers(10, 30)))
    first = int(rng.integers(3, 25))
    trimmed(whole, path, times[first])
    whole.unlink()
    return times, times[first]


def ntsc(rng: Rng, path: Path) -> Written:
    """A rate that is no decimal, with pictures left out."""
    numbers = np.sort(rng.choice(120, int(rng.integers(20, 60)), replace=False))
    times = (numbers * 1001 / 30000).tolist()
    write_clip(path, times, ticks=30_000)
    return times, times[0]


def bursts(rng: Rng, path: Path) -> Written:
    """Stills of seconds with bursts between."""
    times = [0.0]
    while len(times) < 18:
        times.append(times[-1] + (rng.uniform(1.0, 3.0) if rng.random() < 0.4 else 1 / 60))
    write_clip(path, times)
    return times, times[0]


def reordered(rng: Rng, path: Path) -> Written:
    """B-frames at a variable rate, in Matroska's milliseconds."""
    times = np.cumsum(rng.integers(20, 400, int(rng.integers(12, 30))) / 1000).tolist()
    write_clip(path, times, ticks=1000, options={"bf": "3"})
    return times, times[0]


def slides(rng: Rng, path: Path) -> Written:
    """A picture every few seconds."""
    times = np.cumsum(rng.uniform(1.5, 6.0, 6)).tolist()
    write_clip(path, times)
    return times, times[0]


def fast(rng: Rng, path: Path) -> Written:
    """More than a hundred pictures a second, and a start that is none of ours."""
    times = (rng.uniform(0, 0.5) + np.arange(150) / 119.88).tolist()
    write_clip(path, times, ticks=90_000)
    return times, times[0]


KINDS: list[tuple[Callable[[Rng, Path], Written], str]] = [
    (uneven, "mp4"),
    (late, "mp4"),
    (cut, "mp4"),
    (ntsc, "mp4"),
    (bursts, "mp4"),
    (reordered, "mkv"),
    (slides, "mkv"),
    (fast, "mp4"),
]
CLIPS = int(os.environ.get("TEMPO_CLIPS", str(len(KINDS))))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Written]:
    """The clips, with the times that their pictures were written with."""
    folder = tmp_path_factory.mktemp("hostile")
    written = {}
    for seed in range(CLIPS):
        write, suffix = KINDS[seed % len(KINDS)]
        path = folder / f"{seed:04d}-{write.__name__}.{suffix}"
        written[path] = write(np.random.default_rng(seed), path)
    return written


def test_no_stamp_is_further_from_its_pixels_than_half_a_frame(
    clips: dict[Path, Written], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = next(iter(clips)).parent
    main(["conform", str(folder), "--protocol", "all", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert data["unread"] == {}
    assert len(data["files"]) == len(NAMES) * CLIPS
    off = [report for report in data["files"] if report["problems"]]
    assert off == []
    # Only frames that no stamp in tenths can tell apart are refused, by the one protocol that writes every frame's.
    assert {report["protocol"] for report in data["files"] if report["refusal"]} <= {"tempo"}
    assert data["stamps"] > len(NAMES) * CLIPS


def test_the_times_that_come_with_pixels_are_those_that_they_were_written_with(
    clips: dict[Path, Written],
) -> None:
    protocols = [protocol_named(name) for name in NAMES]
    for path, (times, zero_s) in clips.items():
        info = probe(path)
        times_s = {t for protocol in protocols for t in wanted_times(info, protocol, 64)}
        video = sample(path, at=sorted(times_s))
        numbers = numbers_of(video.frames)
        true_s = np.array([times[number] for number in numbers])
        half_frame_s = (info.end_s - info.start_s) / info.frame_count / 2
        assert np.abs(true_s - zero_s - video.times_s).max() <= min(half_frame_s, 0.002), path.name
