"""Stamps are held against the pixels' own times, on files where a frame's number says little about its time."""

import json
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core import conformance
from tempo_core.__main__ import main
from tempo_core.conformance import check_file
from tempo_core.protocols import protocol_named
from tempo_core.protocols.base import Protocol, Timeline
from tests.videos import constant, numbers_of, trimmed, write_clip

UNEVEN = [0.0, 0.04, 0.08, 0.5, 0.54, 1.6, 1.64, 1.68, 3.0, 3.04, 3.9, 4.2, 4.24]
TOLD_BY_POSITIONS = ["time_r1", "tvg_r1", "ra_rft", "qwen2_5_vl"]
PROTOCOLS = ["tempo", "timelens_8b", "unitime", "marlin", *TOLD_BY_POSITIONS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A variable rate, a late start behind sound, an odd number of frames, and an edit list."""
    clips = tmp_path_factory.mktemp("hostile")
    write_clip(clips / "uneven.mp4", UNEVEN)
    write_clip(clips / "late.mp4", constant(40, start_s=1.2), audio_s=3.0)
    write_clip(clips / "odd.mp4", constant(51))
    whole = write_clip(tmp_path_factory.mktemp("whole") / "whole.mp4", constant(75))
    trimmed(whole, clips / "cut.mp4", 1.4)
    return clips


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("file", ["uneven.mp4", "late.mp4", "odd.mp4", "cut.mp4"])
def test_what_is_told_is_true(folder: Path, name: str, file: str) -> None:
    report = check_file(folder / file, protocol_named(name))
    assert report.problems == ()
    assert report.largest_gap_s <= report.allowed_s
    assert len({pair["sha256"] for pair in report.pairs}) > 1


def test_the_pairs_are_the_files_own_times(folder: Path) -> None:
    report = check_file(folder / "uneven.mp4", protocol_named("timelens_8b"))
    stamp_pairs = [(pair["stamp"], pair["time_s"]) for pair in report.pairs]
    times = {round(time_s, 3) for time_s in UNEVEN}
    video = conformance.sample(folder / "uneven.mp4", at=UNEVEN)
    assert {round(float(time_s), 3) for time_s in video.times_s} == times
    for stamp, time_s in stamp_pairs:
        assert f"<{time_s:.1f} seconds>" == stamp
        assert any(abs((a + b) / 2 - float(time_s)) < 1e-6 for a in times for b in times)


def test_times_by_frame_number_are_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What serving stacks do: a frame's time is its number by the average rate."""
    true_sample = conformance.sample

    def by_number(path: Path, **request: Any) -> Any:
        video = true_sample(path, **request)
        numbers = np.array(numbers_of(true_sample(path, at=video.times_s.tolist()).frames))
        return replace(video, times_s=numbers * 4.28 / len(UNEVEN))

    monkeypatch.setattr(conformance, "sample", by_number)
    report = check_file(folder / "uneven.mp4", protocol_named("timelens_8b"))
    assert not report.conforms


def test_a_stamp_that_is_off_is_named(folder: Path) -> None:
    protocol = replace(protocol_named("timelens_8b"), stamp_time=lambda first_s, last_s: f"{last_s + 1:.1f}")
    report = check_file(folder / "odd.mp4", protocol)
    assert len(report.problems) == 1
    assert report.problems[0].endswith("s.")
    assert "stamps are off; the first is" in report.problems[0]


@pytest.mark.parametrize("name", TOLD_BY_POSITIONS)
@pytest.mark.parametrize("file", ["late.mp4", "cut.mp4", "uneven.mp4"])
def test_positions_are_held_against_the_pixels(folder: Path, name: str, file: str) -> None:
    report = check_file(folder / file, protocol_named(name))
    assert report.pairs
    for pair in report.pairs:
        assert -0.5 < float(pair["told_s"]) - float(pair["begins_s"]) <= 1e-6
    if file == "late.mp4":
        assert float(report.pairs[0]["told_s"]) == pytest.approx(1.2, abs=1e-3)


class ClipClock(Protocol):
    """Positions from the first picture, and answers on the clip's clock."""

    __slots__ = ()

    def timeline(self, times_s: Iterable[float], end_s: float) -> Timeline:
        times = list(times_s)
        timeline = Protocol.timeline(self, times, end_s)
        return replace(
            timeline, mark_texts=[self.spell(time_s) for time_s in timeline.marks_s], **self.clock()
        )

    def clock(self) -> dict[str, float]:
        return {"zero_s": 0.0}


class TwoClocks(ClipClock):
    """The same answers, read as if they were on the positions' clock."""

    __slots__ = ()

    def clock(self) -> dict[str, float]:
        return {}


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (ClipClock, "positions are off; the first is 0.000 s for pixels of 1.200 s."),
        (TwoClocks, "times of answers are off; the first is 1.20 for pixels of 1.200 s."),
    ],
)
def test_positions_and_answers_on_two_clocks_are_named(
    folder: Path, kind: type[Protocol], problem: str
) -> None:
    base = protocol_named("time_r1")
    protocol = kind(**{field.name: getattr(base, field.name) for field in fields(base)})
    report = check_file(folder / "late.mp4", protocol)
    assert len(report.problems) == 1
    assert report.problems[0].endswith(problem)
    assert check_file(folder / "odd.mp4", protocol).conforms  # from 0 s there is one clock


def test_the_command_checks_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", str(folder), "--protocol", "timelens-8b", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [report["file"] for report in data["files"]] == ["cut.mp4", "late.mp4", "odd.mp4", "uneven.mp4"]
    assert data["unread"] == {}


def test_of_two_frames_with_one_stamp_the_later_is_sampled(tmp_path: Path) -> None:
    write_clip(tmp_path / "burst.mp4", [0.0, 0.04, 1.8, 1.84])
    report = check_file(tmp_path / "burst.mp4", protocol_named("tempo"))
    assert report.problems == ()
    assert report.n_frames == 1


def test_an_unreadable_file_fails_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    assert main(["conform", str(tmp_path)]) == 1
    assert "notes.txt" in capsys.readouterr().out
    assert main(["conform", str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().err
