"""What is written beside an answer: a page without any request, rows, and cuts that say their true times."""

import base64
import csv
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tempo_core.errors import InputError
from tempo_core.library.cutting import cut_shots
from tempo_core.library.index import ClipIndex, index_folder
from tempo_core.library.reports import SUFFIXES, csv_text, page, shots_of, write_report
from tempo_core.library.search import ClipMoment, LibraryAnswer, ask_library
from tempo_core.moments import Moment
from tempo_core.video import probe
from tempo_core.vocabulary import Understanding


@pytest.fixture
def answer(engine: Any, two_clips: Path, index: ClipIndex) -> LibraryAnswer:
    index_folder(engine, two_clips, index)
    moments = [
        ClipMoment(clip="later/b.mp4", moment=Moment(1.0, 2.5), probability=0.9, confidence=0.5),
        ClipMoment(clip="a.mp4", moment=Moment(0.3, 0.7), probability=0.8, confidence=None),
    ]
    without = {"<b>.mp4": 0.25}
    return replace(ask_library(engine, two_clips, index, "a <red> circle"), moments=moments, without=without)


def test_every_form_is_written(answer: LibraryAnswer, index: ClipIndex, tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        write_report(tmp_path / f"answer{suffix}", answer, index, lambda: shots_of(answer))
    assert json.loads((tmp_path / "answer.json").read_text())["moments"][0]["clip"] == "later/b.mp4"
    assert "00:00:00:10 00:00:01:00" not in (tmp_path / "answer.edl").read_text()
    assert (
        "00:00:01:00 00:00:02:15" in (tmp_path / "answer.edl").read_text()
    )  # ten pictures a second, counted by 30
    assert sorted(path.name for path in tmp_path.glob("answer*")) == sorted(f"answer{s}" for s in SUFFIXES)
    with pytest.raises(InputError, match="ends with none of"):
        write_report(tmp_path / "answer.xls", answer, index, list)


def test_the_page_asks_for_nothing_but_the_clips(
    answer: LibraryAnswer, index: ClipIndex, two_clips: Path
) -> None:
    html = page(answer, index, two_clips.parent)
    sources = re.findall(r'src="([^"]+)"', html)
    assert [unquote(source) for source in sources] == [
        "clips/later/b.mp4#t=1.000,2.500",
        "clips/a.mp4#t=0.300,0.700",
    ]
    assert "http:" not in html.replace("http-equiv", "")
    assert "https:" not in html
    assert "<script" not in html
    posters = re.findall(r'poster="data:image/jpeg;base64,([^"]+)"', html)
    assert [base64.b64decode(poster)[:2] for poster in posters] == [b"\xff\xd8"] * 2
    assert "a &lt;red&gt; circle" in html
    assert "&lt;b&gt;.mp4" in html
    unknown = replace(answer, moments=[], understood=Understanding(probability=0.0, words=("dog",)))
    assert "does not know “dog”" in page(unknown, index, two_clips)


def test_rows_are_ranked_and_no_formula(answer: LibraryAnswer) -> None:
    formula = replace(answer.moments[0], clip="=cmd.mp4")
    rows = list(csv.DictReader(io.StringIO(csv_text(replace(answer, moments=[*answer.moments, formula])))))
    assert [row["clip"] for row in rows] == ["later/b.mp4", "a.mp4", "'=cmd.mp4"]
    assert rows[0]["end_s"] == "2.5"
    assert rows[1]["confidence"] == ""


def test_exact_cuts_have_the_moments_times(answer: LibraryAnswer, tmp_path: Path) -> None:
    cuts = cut_shots(shots_of(answer), tmp_path / "cut")
    assert [cut.file.name if cut.file else None for cut in cuts] == [
        "001-b-1.00-2.50.mp4",
        "002-a-0.30-0.70.mp4",
    ]
    for cut in cuts:
        assert cut.file is not None
        assert (cut.start_s, cut.end_s) == pytest.approx((cut.shot.moment.start_s, cut.shot.moment.end_s))
        assert probe(cut.file).end_s == pytest.approx(cut.shot.moment.duration_s)


def test_copied_cuts_tell_where_they_truly_begin(engine: Any, answer: LibraryAnswer, tmp_path: Path) -> None:
    late = replace(answer.moments[0], moment=Moment(2.3, 3.5))  # a key picture every second
    cuts = cut_shots(shots_of(replace(answer, moments=[late])), tmp_path, is_copy=True)
    [cut] = cuts
    assert cut.file is not None
    assert cut.start_s == pytest.approx(2.0)
    assert 3.5 - 1e-6 <= cut.end_s < 3.8
    assert probe(cut.file).frame_count == pytest.approx((cut.end_s - cut.start_s) * 10)
    assert list(tmp_path.glob(".*")) == []


def test_a_clip_that_is_gone_is_named(answer: LibraryAnswer, tmp_path: Path) -> None:
    shots = shots_of(answer)
    missing_shot = replace(shots[0], path=tmp_path / "gone.mp4")
    cuts = cut_shots([missing_shot, shots[1]], tmp_path / "cut")
    assert [cut.file is None for cut in cuts] == [True, False]
    assert "no file 'gone.mp4'" in (cuts[0].problem or "")
    problems: list[tuple[str, str]] = []
    vanished = replace(answer, folder=tmp_path)
    assert shots_of(vanished, lambda clip, problem: problems.append((clip, problem))) == []
    assert [clip for clip, _ in problems] == ["later/b.mp4", "a.mp4"]
    assert os.path.isdir(tmp_path / "cut")
