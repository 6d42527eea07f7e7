"""Charades-STA, ActivityNet Captions and TimeLens: the files' own text, and the rows that come back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotations.formats import ReadOptions, RowsRejected, read
from annotations.rows import Row
from tempo_core.errors import InputError
from tests.annotations.formats.sample_rows import FULL, REFUSAL, UNLABELLED, export

OPENS = Row(qid="V1/0", query="opens.", vid="V1", duration_s=30.5, windows=((1.0, 2.5), (4.25, 5.0)))
SHUTS = Row(qid="V1/1", query="shuts##", vid="V1", duration_s=30.5, windows=((0.0, 1.0),))
LIFTS = Row(qid="V2/0", query=" lifts", vid="V2", duration_s=9.0, windows=((3.0, 9.0),))
THREE = (OPENS, SHUTS, LIFTS)


def test_charades_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    report = export(path, "charades-sta", *THREE)
    assert path.read_text("utf-8") == (
        "V1 1.0 2.5##opens.\nV1 4.25 5.0##opens.\nV1 0.0 1.0##shuts##\nV2 3.0 9.0## lifts\n"
    )
    assert json.loads((tmp_path / "rows.durations.json").read_bytes()) == {"V1": 30.5, "V2": 9.0}
    assert report.counts == {
        "lines": 4,
        "neighbouring queries that repeat a sentence, read back as one": 0,
    }
    assert report.dropped == {"qid": 3}
    assert read(path).rows == THREE
    assert [row.origin.line for row in read(path).rows if row.origin] == [1, 3, 4]


def test_charades_durations(tmp_path: Path) -> None:
    text = tmp_path / "charades_sta_test.txt"
    text.write_text("V1 1.0 2.5##opens.\nV1 4.0 5.0##opens.\nV1 0.0 1.0##shuts.\nV2 0 1##x\n", "utf-8")
    opens, shuts, unknown = read(text, options=ReadOptions(durations={"V1": 30.0})).rows
    assert (opens.qid, opens.windows, opens.duration_s, opens.split) == (
        "V1/0",
        ((1.0, 2.5), (4.0, 5.0)),
        30.0,
        "test",
    )
    assert shuts.qid == "V1/1"
    assert (unknown.qid, unknown.duration_s) == ("V2/0", None)
    assert len(read(text, options=ReadOptions(join_repeats=False)).rows) == 4
    (tmp_path / "charades_sta_test.durations.json").write_text('{"V2": 1}')
    assert [row.duration_s for row in read(text).rows] == [None, None, 1.0]
    assert [row.duration_s for row in read(text, options=ReadOptions(durations={})).rows] == [None] * 3
    (tmp_path / "charades_sta_test.durations.json").write_text('{"V3": 0}')
    with pytest.raises(
        InputError, match="cannot be read as charades-sta: duration is 0; must be seconds above 0"
    ):
        read(text)
    assert not (tmp_path / "none.durations.json").exists()
    export(tmp_path / "none.txt", "charades-sta", replace(LIFTS, duration_s=None))
    assert not (tmp_path / "none.durations.json").exists()


@pytest.mark.parametrize(
    ("line", "field", "rule"),
    [
        ("V1 1.0 2.0 opens", "line", "must be `VID START END##SENTENCE`"),
        ("V1 1.0##opens", "line", "must be `VID START END##SENTENCE`"),
        ("V1 1.0 2.0 3.0##opens", "line", "must be `VID START END##SENTENCE`"),
        ("V1 1.0 x##opens", "window", "must be a number of seconds"),
        ("V1 2.0 1.0##opens", "window", "must end after it starts"),
        ("V1 1.0 31.0##opens", "window", "inside the video, which lasts 30 s"),
        ("V1 1.0 2.0## ", "sentence", "must be text"),
    ],
)
def test_a_bad_charades_line(tmp_path: Path, line: str, field: str, rule: str) -> None:
    path = tmp_path / "x.txt"
    path.write_text(f"V1 1.0 2.0##good\n{line}\n", "utf-8")
    with pytest.raises(RowsRejected) as caught:
        read(path, format="charades-sta", options=ReadOptions(durations={"V1": 30}))
    (problem,) = caught.value.problems
    assert (problem.line, problem.field, problem.raw) == (2, field, line)
    assert rule in problem.rule


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"windows": ()}, "has no line for a query without moments"),
        ({"windows": None}, "has no line for a query without moments"),
        ({"query": "a\nb"}, "cannot hold a newline"),
        ({"query": "a\rb"}, "cannot hold a newline"),
        ({"vid": "a b"}, "ends the vid at a space"),
        ({"vid": "a##b"}, "ends the vid at a space"),
        ({"vid": "\ufeffa"}, "ends the vid at a space"),
    ],
)
def test_what_a_charades_line_cannot_hold(tmp_path: Path, change: dict[str, Any], rule: str) -> None:
    with pytest.raises(RowsRejected, match=rule):
        export(tmp_path / "x.txt", "charades-sta", replace(OPENS, verdict=None, **change))


def test_neighbours_that_repeat_a_sentence_are_counted(tmp_path: Path) -> None:
    twice = replace(OPENS, qid="9", windows=((7.0, 8.0),))
    report = export(tmp_path / "x.txt", "charades-sta", OPENS, twice, SHUTS, replace(OPENS, qid="10"))
    assert report.counts["neighbouring queries that repeat a sentence, read back as one"] == 1
    rows = read(tmp_path / "x.txt").rows
    assert [row.windows for row in rows] == [
        ((1.0, 2.5), (4.25, 5.0), (7.0, 8.0)),
        ((0.0, 1.0),),
        OPENS.windows,
    ]


def test_a_repeated_sentence_that_overlaps_itself_is_two_queries(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("V 1 3##q\nV 3 4##q\nV 2 2.5##q\nW 5 6##q\n", "utf-8")
    rows = read(path, format="charades-sta").rows
    assert [(row.qid, row.windows) for row in rows] == [
        ("V/0", ((1.0, 3.0), (3.0, 4.0))),
        ("V/1", ((2.0, 2.5),)),
        ("W/0", ((5.0, 6.0),)),
    ]


PARALLEL = [("activitynet", "timestamps", "sentences"), ("timelens", "spans", "queries")]


@pytest.mark.parametrize(("form", "times", "sentences"), PARALLEL)
def test_parallel_arrays_by_hand(tmp_path: Path, form: str, times: str, sentences: str) -> None:
    path = tmp_path / "rows.json"
    report = export(path, form, *THREE)
    assert json.loads(path.read_bytes()) == {
        "V1": {
            "duration": 30.5,
            times: [[1, 2.5], [4.25, 5], [0, 1]],
            sentences: ["opens.", "opens.", "shuts##"],
        },
        "V2": {"duration": 9, times: [[3, 9]], sentences: [" lifts"]},
    }
    assert report.counts == {"videos": 2}
    assert report.dropped == {}
    assert read(path).rows == THREE
    assert [str(row.origin) for row in read(path).rows] == [
        f"rows.json, video V1, {times}[0]",
        f"rows.json, video V1, {times}[2]",
        f"rows.json, video V2, {times}[0]",
    ]


@pytest.mark.parametrize(("form", "times", "sentences"), PARALLEL)
def test_ids_stand_in_an_array_of_their_own(tmp_path: Path, form: str, times: str, sentences: str) -> None:
    rows = (replace(OPENS, qid="7", qid_is_int=True), replace(SHUTS, qid="b"), LIFTS)
    export(tmp_path / "rows.json", form, *rows)
    videos = json.loads((tmp_path / "rows.json").read_bytes())
    assert videos["V1"]["qids"] == [7, 7, "b"]
    assert "qids" not in videos["V2"]
    assert read(tmp_path / "rows.json").rows == rows
    repeated = (OPENS, replace(OPENS, qid="V1/1", windows=((7.0, 8.0),)))
    export(tmp_path / "again.json", form, *repeated)
    assert json.loads((tmp_path / "again.json").read_bytes())["V1"]["qids"] == ["V1/0", "V1/0", "V1/1"]
    assert read(tmp_path / "again.json").rows == repeated


def test_a_videos_rows_must_agree_on_its_duration(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"Video 'V1' has rows with durations \[30\.5, 40\.0\]; the format holds one"
    ):
        export(tmp_path / "x.json", "activitynet", OPENS, replace(SHUTS, duration_s=40.0))


@pytest.mark.parametrize("row", [REFUSAL, UNLABELLED])
def test_activitynet_has_no_place_for_rows_without_moments(tmp_path: Path, row: Row) -> None:
    with pytest.raises(RowsRejected, match="no entry for a query without moments"):
        export(tmp_path / "x.json", "activitynet", row)


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_a_duration_is_needed(tmp_path: Path, name: str) -> None:
    for form in ("activitynet", "timelens"):
        with pytest.raises(RowsRejected, match="needs the video's duration"):
            export(tmp_path / name, form, replace(OPENS, duration_s=None))


VIDEO: dict[str, Any] = {"duration": 9, "timestamps": [[1, 2]], "sentences": ["q"]}


@pytest.mark.parametrize(
    ("video", "field", "rule"),
    [
        (3, "v", "JSON object"),
        ({**VIDEO, "duration": 0}, "duration", "above 0"),
        ({**VIDEO, "timestamps": [[1, 2], [3, 4]]}, "v", "timestamps, sentences and qids must be as many"),
        ({**VIDEO, "qids": [1, 2]}, "v", "must be as many"),
        ({**VIDEO, "timestamps": [[1, 12]]}, "timestamps", "inside the video"),
        ({**VIDEO, "sentences": [""]}, "sentences", "must be text"),
        ({**VIDEO, "qids": [True]}, "qid", "whole number"),
        ({"duration": 9, "sentences": ["q"]}, "timestamps", "missing"),
    ],
)
def test_a_bad_video_names_its_number(tmp_path: Path, video: Any, field: str, rule: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"good": VIDEO, "v": video}), "utf-8")
    with pytest.raises(RowsRejected) as caught:
        read(path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.field) == (2, field)
    assert rule in problem.rule
    assert json.loads(problem.raw or "") == {"v": video}
    assert [row.vid for row in read(path, options=ReadOptions(keep_going=True)).rows] == ["good"]


def test_timelens_lines_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = (
        replace(OPENS, extra={"source": "s", "video_path": "s/V1.mp4", "fps": 3}),
        replace(SHUTS, qid="7", qid_is_int=True, extra={"source": "s", "video_path": "s/V1.mp4", "fps": 3}),
        replace(LIFTS, extra={"event": {"level": 2}}),
        replace(LIFTS, qid="V2/1", windows=(), verdict="no-moment", extra={"video_path": "a/b.mkv"}),
    )
    report = export(path, "timelens", *rows)
    assert path.read_text("utf-8").split("\n") == [
        '{"source": "s", "video_path": "s/V1.mp4", "fps": 3, "duration": 30.5, "events": [{"query": "opens.", '
        '"span": [[1, 2.5], [4.25, 5]]}, {"qid": 7, "query": "shuts##", "span": [[0, 1]]}]}',
        # TimeLens' loader needs a source.
        '{"source": "tempo-studio", "video_path": "V2.mp4", "duration": 9, "events": [{"query": " lifts", '
        '"span": [[3, 9]], "level": 2}]}',
        '{"source": "tempo-studio", "video_path": "a/b.mkv", "vid": "V2", "duration": 9, "events": '
        '[{"qid": "V2/1", "query": " lifts", "span": []}]}',
    ]
    assert report.counts == {"videos": 3}
    assert report.dropped == {}
    assert read(path).rows == rows
    assert [row.origin.line for row in read(path).rows if row.origin] == [1, 1, 2, 3]
    assert export(tmp_path / "x.json", "timelens", rows[0]).dropped == {"extra": 1}


def test_timelens_100k_in_its_published_form(tmp_path: Path) -> None:
    path = tmp_path / "timelens.jsonl"
    event = {"query": "q", "span": [[1, 2], [4, 5]]}
    path.write_text(
        json.dumps({"source": "s", "video_path": "s/v.mp4", "duration": 9, "events": [event]}), "utf-8"
    )
    (row,) = read(path).rows
    assert (row.qid, row.vid, row.windows) == ("v/0", "v", ((1.0, 2.0), (4.0, 5.0)))
    assert row.extra == {"source": "s", "video_path": "s/v.mp4"}


def test_what_timelens_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(RowsRejected, match="no entry for a query without ground truth"):
        export(tmp_path / "x.jsonl", "timelens", UNLABELLED)
    with pytest.raises(RowsRejected, match="the benchmark's JSON has no entry for a query without moments"):
        export(tmp_path / "x.json", "timelens", REFUSAL)


@pytest.mark.parametrize(
    ("line", "field", "rule"),
    [
        ("[1]", "the line", "JSON object"),
        ('{"video_path": "v.mp4", "events": []}', "duration", "missing"),
        ('{"duration": 3, "events": []}', "video_path", "missing"),
        ('{"video_path": "v.mp4", "duration": 3, "events": {}}', "events", "list"),
        ('{"video_path": "v.mp4", "duration": 3, "events": [3]}', "events", "JSON object"),
        ('{"video_path": "v.mp4", "duration": 3, "events": [{"query": "q"}]}', "span", "missing"),
        ('{"video_path": "v.mp4", "duration": 3, "events": [{"span": [[1, 2]]}]}', "query", "missing"),
        (
            '{"video_path": "v.mp4", "duration": 3, "events": [{"query": "q", "span": [[1, 4]]}]}',
            "span",
            "inside the video",
        ),
    ],
)
def test_a_bad_timelens_line(tmp_path: Path, line: str, field: str, rule: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f"\n{line}", "utf-8")
    with pytest.raises(RowsRejected) as caught:
        read(path, format="timelens")
    (problem,) = caught.value.problems
    assert (problem.line, problem.field, problem.raw) == (2, field, line)
    assert rule in problem.rule


def test_what_the_formats_lose_of_a_full_row(tmp_path: Path) -> None:
    row = replace(FULL, vid="v", query="q")
    lost = {
        "alpha_clip": 1,
        "annotations": 1,
        "extra": 1,
        "mean_tiou": 1,
        "model_version": 1,
        "original_windows": 1,
        "reason": 1,
        "row_rev": 1,
        "split": 1,
    }
    assert export(tmp_path / "a.json", "activitynet", row).dropped == lost
    assert export(tmp_path / "b.json", "timelens", row).dropped == lost
    assert export(tmp_path / "c.txt", "charades-sta", row).dropped == {**lost, "qid": 1, "qid_is_int": 1}


def test_a_sentence_of_very_many_moments_is_one_row(tmp_path: Path) -> None:
    """In a time that grows with their number, not with its square: the file may be anybody's."""
    path = tmp_path / "rows.txt"
    order = [place * 7919 % 60_000 for place in range(60_000)]
    path.write_text("".join(f"V {place} {place + 1}##q\n" for place in order) + "V 0 1##q\n")
    joined, again = read(path, format="charades-sta").rows
    assert joined.windows == tuple((float(place), float(place + 1)) for place in range(60_000))
    assert again.windows == ((0.0, 1.0),)
