"""WebVTT: the text of the files as a player reads it, and the rows that come back."""

from dataclasses import replace
from pathlib import Path

import pytest

from annotations.formats import Mending, ReadOptions, RowsRejected, read
from annotations.rows import Row
from tempo_core.errors import InputError
from tests.annotations.formats.sample_rows import FOUR, FULL, REFUSAL, UNCLEAR, UNLABELLED, export

CUES = """WEBVTT

7-1
00:00:01.235 --> 00:00:05.500
a dog &amp; "cat" &lt;b&gt;&#10;in  two lines 

7-2
00:00:09.000 --> 00:00:09.250
a dog &amp; "cat" &lt;b&gt;&#10;in  two lines 

"""  # noqa: W291 - the query ends in a space


def test_a_cue_for_each_moment_and_nothing_else(tmp_path: Path) -> None:
    report = export(tmp_path / "out", "webvtt", FULL)
    assert (tmp_path / "out" / "cl%20ip.vtt").read_text("utf-8") == CUES
    assert {path.name for path in report.files} == {"cl%20ip.vtt", "MANIFEST.json", "LICENSE"}


def test_rows_without_moments_are_left_out_and_counted(tmp_path: Path) -> None:
    report = export(tmp_path / "out", "webvtt", *FOUR)
    assert (tmp_path / "out" / "cl%20ip.vtt").read_text("utf-8") == CUES
    assert not (tmp_path / "out" / "other.vtt").exists()
    assert report.rows == 1
    assert report.counts == {
        "videos": 1,
        "no matching moment, left out": 1,
        "no ground truth, left out": 1,
        "cannot judge, left out": 1,
    }


def test_what_cues_cannot_hold_is_counted(tmp_path: Path) -> None:
    assert export(tmp_path / "out", "webvtt", FULL, REFUSAL).dropped == {
        "alpha_clip": 1,
        "annotations": 1,
        "duration_s": 1,
        "extra": 1,
        "mean_tiou": 1,
        "model_version": 1,
        "original_windows": 1,
        "reason": 1,
        "row_rev": 1,
        "split": 1,
    }


def test_only_refusals_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no rows to write to .*out\. 2 rows: no matching moment, left out\."
    ):
        export(tmp_path / "out", "webvtt", REFUSAL, replace(REFUSAL, qid="3"))


def test_the_cues_come_back_in_milliseconds(tmp_path: Path) -> None:
    export(tmp_path / "out", "webvtt", *FOUR)
    assert read(tmp_path / "out").rows == (
        Row(qid="7", qid_is_int=True, query=FULL.query, vid="cl ip", windows=((1.235, 5.5), (9.0, 9.25))),
    )


def test_hours_and_more_queries_of_one_video(tmp_path: Path) -> None:
    late = Row(qid="a-b", query="late", vid="v", windows=((3599.9996, 3661.0015),))
    later = Row(qid="5", query="later\r\n\r\nstill", vid="v", windows=((360_000.0, 360_000.5),))
    export(tmp_path / "val_v.vtt", "webvtt", late, later)
    assert (tmp_path / "val_v.vtt").read_text("utf-8") == (
        "WEBVTT\n\na-b-1\n01:00:00.000 --> 01:01:01.002\nlate\n\n"
        "5-1\n100:00:00.000 --> 100:00:00.500\nlater&#13;&#10;&#13;&#10;still\n\n"
    )
    first, second = read(tmp_path / "val_v.vtt").rows
    assert (first.qid, first.qid_is_int, first.windows, first.split) == (
        "a-b",
        False,
        ((3600.0, 3661.002),),
        "val",
    )
    assert (second.qid, second.qid_is_int, second.query) == ("5", True, "later\r\n\r\nstill")
    assert second.windows == ((360_000.0, 360_000.5),)
    assert [row.origin.line for row in (first, second) if row.origin] == [3, 7]


def test_a_moment_is_never_shorter_than_a_millisecond(tmp_path: Path) -> None:
    export(tmp_path / "v.vtt", "webvtt", Row(qid="1", query="q", vid="v", windows=((1.0001, 1.0002),)))
    assert "00:00:01.000 --> 00:00:01.001" in (tmp_path / "v.vtt").read_text("utf-8")


def test_a_file_holds_one_video_and_its_name_is_the_videos(tmp_path: Path) -> None:
    row = Row(qid="1", query="q", vid="v", windows=((0.0, 1.0),))
    with pytest.raises(InputError, match=r"v\.vtt would hold 2 videos; cues belong to one\. Give a folder\."):
        export(tmp_path / "v.vtt", "webvtt", row, replace(row, qid="2", vid="w"))
    assert export(tmp_path / "v.vtt", "webvtt", row).dropped == {}
    assert export(tmp_path / "w.vtt", "webvtt", row).dropped == {"vid": 1}
    assert read(tmp_path / "w.vtt").rows[0].vid == "w"


@pytest.mark.parametrize("qid", ["a\nb", "a\rb", "a-->b"])
def test_an_id_that_no_cue_can_have_is_refused(tmp_path: Path, qid: str) -> None:
    row = Row(qid=qid, query="q", vid="v", windows=((0.0, 1.0),))
    with pytest.raises(RowsRejected, match=r"a cue's id is one line without an arrow \(-->\)"):
        export(tmp_path / "v.vtt", "webvtt", row)


def test_an_export_with_notes_still_reads_and_its_notes_say_nothing(tmp_path: Path) -> None:
    note = '{"qid": "7", "qid_is_int": true, "query": "other", "vid": "x", "windows": [[1.2345678, 5.5]]}'
    cue = "7-1\n00:00:01.235 --> 00:00:05.500\na dog"
    refusal = 'NOTE row {"qid": "8", "query": "a cat", "vid": "clip", "windows": []}'
    path = tmp_path / "clip.vtt"
    path.write_text(f"WEBVTT\n\nNOTE row {note}\n\n{cue}\n\n{refusal}\n\n", "utf-8")
    assert read(path).rows == (
        Row(qid="7", qid_is_int=True, query="a dog", vid="clip", windows=((1.235, 5.5),)),
    )


def test_a_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.vtt"
    blocks = [
        "WEBVTT - title\r\nKind: captions",
        "STYLE\r\n::cue { color: red }",
        "REGION\r\nid:fred",
        "NOTE by hand",
        "4-1\r\n00:01.000 --> 00:02.500 align:start\r\nopens &amp; shuts",
        "4-2\r\n01:00:03.000 --> 01:00:04.000\r\nopens",
        "intro\r\n00:05.000 --> 00:06.000\r\nfirst line\r\nsecond line",
        "00:07.000 --> 00:08.000\r\nwithout an id",
        "NOTE-1\r\n00:09.000 --> 00:10.000\r\nan id like a note",
    ]
    path.write_bytes("\r\n\r\n".join(blocks).encode() + b"\r\n")
    rows = read(path, options=ReadOptions(split="test")).rows
    assert [(row.qid, row.query, row.windows) for row in rows] == [
        ("4-1", "opens & shuts", ((1.0, 2.5),)),
        ("4-2", "opens", ((3603.0, 3604.0),)),
        ("intro", "first line\nsecond line", ((5.0, 6.0),)),
        ("clip/25", "without an id", ((7.0, 8.0),)),
        ("NOTE", "an id like a note", ((9.0, 10.0),)),
    ]
    assert {(row.vid, row.split) for row in rows} == {("clip", "test")}
    assert [str(row.origin) for row in rows] == [
        "clip.vtt, cue 1 (line 12)",
        "clip.vtt, cue 2 (line 16)",
        "clip.vtt, cue 3 (line 20)",
        "clip.vtt, cue 4 (line 25)",
        "clip.vtt, cue 5 (line 28)",
    ]


@pytest.mark.parametrize(
    ("cue", "value", "rule"),
    [
        ("1-1\n00:05.000 --> 00:02.000\nq", '"00:05.000 --> 00:02.000"', "must end after it starts"),
        ("1-1\n00:05.000 --> 00:05.000\nq", '"00:05.000 --> 00:05.000"', "must end after it starts"),
        ("1-1", '"1-1"', "needs a line with `START --> END`"),
        ("1-1\nq", '"1-1\\nq"', "needs a line with `START --> END`"),
        ("1-1\n00:05.000 -->\nq", '"00:05.000 -->"', "must be two times such as 00:01:22.000"),
        ("1-1\n00:65.000 --> 00:70.000\nq", '"00:65.000 --> 00:70.000"', "must be two times"),
        ("1-1\n5:05.000 --> 5:07.000\nq", '"5:05.000 --> 5:07.000"', "must be two times"),
        ("1-1\n00:05.0000 --> 00:07.000\nq", '"00:05.0000 --> 00:07.000"', "must be two times"),
        ("1-1\n00:05,000 --> 00:07,000\nq", '"00:05,000 --> 00:07,000"', "must be two times"),
    ],
)
def test_a_bad_cue_names_its_line(tmp_path: Path, cue: str, value: str, rule: str) -> None:
    path = tmp_path / "clip.vtt"
    path.write_text(f"WEBVTT\n\n2-1\n00:01.000 --> 00:02.000\ngood\n\n{cue}\n", "utf-8")
    with pytest.raises(RowsRejected) as caught:
        read(path, format="webvtt")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.field, problem.value) == ("clip.vtt", 7, "cue", value)
    assert str(problem).startswith("clip.vtt, cue 2 (line 7): cue is ")
    assert rule in problem.rule
    assert problem.raw == cue


def test_an_empty_text_and_overlapping_cues_name_the_querys_first_line(tmp_path: Path) -> None:
    path = tmp_path / "clip.vtt"
    path.write_text(
        "WEBVTT\n\n1-1\n00:01.000 --> 00:02.000\n\n2-1\n00:01.000 --> 00:03.000\nq\n\n2-2\n00:02.000 --> 00:04.000\nq\n"
    )
    with pytest.raises(RowsRejected) as caught:
        read(path)
    assert [(problem.line, problem.field) for problem in caught.value.problems] == [
        (3, "cue text"),
        (6, "cue"),
    ]


def queries(path: Path, text: str) -> list[tuple[str, str, float, float]]:
    path.write_text(f"WEBVTT\n\n{text}", "utf-8")
    return [(row.qid, row.query, *row.windows[0]) for row in read(path).rows if row.windows]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # An id of any kind is an id; only our own numbering, with one text, is one query.
        (
            "s-1\n00:01.000 --> 00:02.000\npour\n\ns-2\n00:03.000 --> 00:04.000\nstir\n\n"
            "s-3\n00:05.000 --> 00:06.000\npour",
            [("s-1", "pour", 1, 2), ("s-2", "stir", 3, 4), ("s-3", "pour", 5, 6)],
        ),
        (
            "s-2\n00:01.000 --> 00:02.000\npour\n\ns-3\n00:03.000 --> 00:04.000\npour",
            [("s-2", "pour", 1, 2), ("s-3", "pour", 3, 4)],
        ),
        (
            "a\n00:01.000 --> 00:02.000\npour\n\na\n00:03.000 --> 00:04.000\nstir",
            [("a", "pour", 1, 2), ("clip/7", "stir", 3, 4)],
        ),
        # Times begin the next cue, also where the empty line is missing or holds a space.
        (
            "00:01.000 --> 00:02.000\npour\n00:03.000 --> 00:04.000\nstir",
            [("clip/3", "pour", 1, 2), ("clip/5", "stir", 3, 4)],
        ),
        (
            "00:01.000 --> 00:02.000\npour\n \n00:03.000 --> 00:04.000\n\t\nstir\n \n",
            [("clip/3", "pour", 1, 2), ("clip/6", "stir", 3, 4)],
        ),
        # Tags and settings are for the looks; a bracket that nothing closes is text.
        (
            "00:01.000-->00:02.000 align:start\n<c.y>1 &lt; 2</c>, <00:01.500><i>3</i> < 4",
            [("clip/3", "1 < 2, 3 < 4", 1, 2)],
        ),
        ("1:00:01.000 --> 123:00:02.000\nlong", [("clip/3", "long", 3601, 442802)]),
    ],
)
def test_cues_are_read_as_browsers_read_them(
    tmp_path: Path, text: str, rows: list[tuple[str, str, float, float]]
) -> None:
    assert queries(tmp_path / "clip.vtt", text) == rows


def test_what_cues_say_beside_their_texts_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.vtt"
    path.write_text(
        "WEBVTT\n\nSTYLE\n::cue {}\n\nNOTE draft\n\n00:01.000 --> 00:02.000\n<v Ann>hi</v>\n\n"
        "00:03.000 --> 00:02.000\nlo\n"
    )
    result = read(path, options=ReadOptions(keep_going=True))
    assert [str(contents) for contents in result.contents] == ["1 of 2 cues taken"]
    assert [str(omission) for omission in result.omissions] == [
        "clip.vtt, 1 NOTE blocks: comments are no moments",
        "clip.vtt, 1 cues with a <v NAME> tag: the text is read, who speaks it is not",
    ]
    assert [str(problem) for problem in result.problems] == [
        'clip.vtt, cue 2 (line 11): cue is "00:03.000 --> 00:02.000"; a cue must end after it starts'
    ]


def test_the_clock_of_a_broadcast_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.vtt"
    mapping = "X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000"
    path.write_text(f"WEBVTT\n{mapping}\n\n00:01.000 --> 00:02.000\na\n")
    result = read(path)
    assert [(row.query, row.windows) for row in result.rows] == [("a", ((1.0, 2.0),))]
    assert [str(omission) for omission in result.omissions] == [
        f"clip.vtt, {mapping}: places the cues in a broadcast's stream; their times are read as those of the clip"
    ]


def test_cues_are_mended_on_request(tmp_path: Path) -> None:
    path = tmp_path / "clip.vtt"
    path.write_text("WEBVTT\n\n00:04.000 --> 00:03.000\na\n\n00:05.000 --> 00:06.000\nb\n")
    result = read(path, options=ReadOptions(mending=Mending()))
    assert [(row.windows, row.extra) for row in result.rows] == [
        (((3.0, 4.0),), {"mended": ["edges swapped"]}),
        (((5.0, 6.0),), {}),
    ]
    path.write_text("WEBVTT\n\n00:04.000 --> 00:04.000\na\n")
    with pytest.raises(RowsRejected, match="a cue must end after it starts"):
        read(path, options=ReadOptions(mending=Mending()))


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.vtt"
    path.write_text("WEBVTTX\n", "utf-8")
    with pytest.raises(InputError, match="does not begin with WEBVTT, so it is no WebVTT file"):
        read(path, format="webvtt")
    path.write_text("\ufeffWEBVTT", "utf-8")
    assert read(path).rows == ()


def test_only_vtt_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    rows = [Row(qid=str(number), query="q", vid=f"v{number}", windows=((0.0, 1.0),)) for number in (3, 1, 2)]
    export(tmp_path / "out", "webvtt", *rows)
    (tmp_path / "out" / "notes.txt").write_text("hello")
    assert [row.vid for row in read(tmp_path / "out").rows] == ["v1", "v2", "v3"]


def test_unlabelled_and_unclear_rows_alone(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"1 row: no ground truth, left out\. 1 row: cannot judge, left out\."
    ):
        export(tmp_path / "out", "webvtt", UNLABELLED, UNCLEAR)
