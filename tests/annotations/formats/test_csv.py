"""Tidy CSV: the text as a spreadsheet reads it, formulas defused, and the rows that come back."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.formats import ReadOptions, RowsRejected, read
from annotations.formats.csv import safe, unsafe
from annotations.rows import AnnotatorVersion, Row
from tempo_core.errors import InputError
from tests.annotations.formats.sample_rows import (
    ADA,
    BEN,
    CAL,
    FULL,
    REFUSAL,
    TINY,
    UNCLEAR,
    UNLABELLED,
    export,
)

HEADER = (
    "qid,vid,split,source,annotator,span_idx,start_s,end_s,start_frame,end_frame,verdict,reason,score,arm,"
    "active_ms,updated_at,row_rev,duration_s,query\r\n"
)
ROWS = """7,v,val,truth,,0,1.2345678,5.5,31,138,moments,boundary off,,,,,3,20.0,a dog
7,v,val,truth,,1,9.0,9.25,226,232,moments,boundary off,,,,,3,20.0,a dog
7,v,val,original,,0,0.0,2.0,1,50,,,,,,,,20.0,a dog
7,v,val,original,,1,4.0,6.0,101,150,,,,,,,,20.0,a dog
7,v,val,annotator,ada,0,1.2344,5.5,31,138,moments,clearer,,blind,12400,2026-11-21T01:02:03Z,4,20.0,a dog
7,v,val,annotator,ada,1,8.9999,9.25,225,232,moments,clearer,,blind,12400,2026-11-21T01:02:03Z,4,20.0,a dog
7,v,val,annotator,7,,,,,,no-moment,event absent,,,,,2,20.0,a dog
7,v,val,annotator,cal,,,,,,cannot-judge,too dark,,,,,,20.0,a dog
7,v,val,model,tempo/tiny+lora,0,2.0,6.0,51,150,moments,,0.875,,,,,20.0,a dog
7,v,val,model,tempo/tiny+lora,1,1.0,2.5,26,63,moments,,0.25,,,,,20.0,a dog
b-2,cl ip,unknown,truth,,,,,,,no-moment,event absent,,,,,,20.0,a cat
c,other,unknown,truth,,,,,,,,,,,,,,9.5,a bird
d,other,unknown,truth,,0,1.0,2.0,26,50,cannot-judge,,,,,,,9.5,it
""".replace("\n", "\r\n")


def test_every_line_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    full = replace(FULL, query="a dog", vid="v")
    report = export(path, "csv", full, REFUSAL, UNLABELLED, UNCLEAR, frame_rate=25.0)
    assert path.read_bytes().decode("utf-8") == HEADER + ROWS
    assert report.counts == {"lines": 13}
    assert report.dropped == {
        "alpha_clip": 1,
        "annotations.saliency": 1,
        "extra": 1,
        "mean_tiou": 1,
        "model_version": 1,
    }
    assert read(path).rows == (
        Row(
            qid="7",
            qid_is_int=True,
            query="a dog",
            vid="v",
            duration_s=20.0,
            split="val",
            windows=FULL.windows,
            original_windows=FULL.original_windows,
            reason="boundary off",
            row_rev=3,
            annotations=(ADA, BEN, CAL, replace(TINY, saliency=None)),
        ),
        REFUSAL,
        UNLABELLED,
        UNCLEAR,
    )


def test_frames_need_a_rate_and_the_rows_own_goes_first(tmp_path: Path) -> None:
    row = Row(qid="1", query="q", vid="v", windows=((1.0, 2.0),))
    export(tmp_path / "x.csv", "csv", row)
    line = "1,v,unknown,truth,,0,1.0,2.0,{},{},moments,,,,,,,,q\r\n"
    assert (tmp_path / "x.csv").read_bytes().decode() == HEADER + line.format("", "")
    export(tmp_path / "y.csv", "csv", replace(row, extra={"fps": 9.53}), frame_rate=25.0)
    assert (tmp_path / "y.csv").read_bytes().decode() == HEADER + line.format(10, 20)


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "'=1", "'", "＝1", "＋1", "－1", "＠1"],
)
def test_no_cell_begins_like_a_formula(cell: str) -> None:
    assert safe(cell) == f"'{cell}"
    assert unsafe(safe(cell)) == cell


@pytest.mark.parametrize("cell", ["a=1", "7", "", " a", "twas"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert safe(cell) == cell
    assert unsafe(cell) == cell


@settings(derandomize=True)
@given(st.text())
def test_safe_cells_come_back(cell: str) -> None:
    assert unsafe(safe(cell)) == cell


def test_csv_cells_are_what_a_spreadsheet_shows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    row = Row(qid="-7", query="=HYPERLINK(1)", vid="-v", windows=((1.0, 2.0),))
    export(path, "csv", row, frame_rate=30.0)
    with path.open(newline="", encoding="utf-8") as stream:
        (cells,) = csv.DictReader(stream)
    assert (cells["qid"], cells["query"], cells["vid"]) == ("'-7", "'=HYPERLINK(1)", "'-v")
    assert (cells["start_s"], cells["start_frame"], cells["end_frame"]) == ("1.0", "31", "60")
    assert read(path).rows == (replace(row, qid_is_int=True),)


def written(path: Path, *lines: str, header: str = "qid,vid,query,start_s,end_s") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", "utf-8")
    return path


def test_a_csv_written_by_hand(tmp_path: Path) -> None:
    path = written(
        tmp_path / "mine_val.csv",
        "3,v,'twas here,1,2.5",
        "3,v,'twas here,4,5",
        "",
        "x,v,nothing,,",
        "007,v,bond,0,1",
    )
    first, second, third = read(path).rows
    assert (first.qid, first.qid_is_int, first.split, first.query) == ("3", True, "val", "'twas here")
    assert first.windows == ((1.0, 2.5), (4.0, 5.0))
    assert (second.qid_is_int, second.windows, second.verdict) == (False, None, None)
    assert (third.qid, third.qid_is_int) == ("007", False)
    assert [row.origin.line for row in (first, second, third) if row.origin] == [2, 5, 6]
    assert read(path, options=ReadOptions(split="train")).rows[0].split == "train"


def test_columns_that_nothing_reads_are_named_with_their_lines(tmp_path: Path) -> None:
    path = written(
        tmp_path / "x.csv",
        "a,v,a dog,1,2,red,",
        "b,v,a cat,1,2,,",
        "c,v,a bird,1,2,blue,",
        header="qid,vid,query,start_s,end_s,mood,remark",
    )
    (omission,) = read(path).omissions
    assert (omission.place, omission.reason) == ("columns mood (2)", "not read")
    assert read(written(tmp_path / "y.csv", "a,v,a dog,1,2")).omissions == ()


def test_columns_of_one_meaning(tmp_path: Path) -> None:
    """The first of several synonyms counts, and the others are named; a name that stands twice is refused."""
    path = written(tmp_path / "x.csv", "v.mp4,v,a dog,1,2", header="filename,video,sentence,start,end")
    result = read(path)
    assert [(row.vid, row.query) for row in result.rows] == [("v.mp4", "a dog")]
    assert [omission.place for omission in result.omissions] == ["columns video (1)"]
    path = written(tmp_path / "y.csv", "v,a dog,1,2,3,4", header="video,query,start,end,start,end")
    with pytest.raises(InputError, match=r"y\.csv has two columns start, end\."):
        read(path)


def test_a_line_break_in_a_cell_counts_as_a_line(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", '1,v,"a\nb",1,2', "2,v,c,1,2")
    assert [row.origin.line for row in read(path).rows if row.origin] == [2, 4]


def test_an_older_export_says_by_a_column_what_its_ids_are(tmp_path: Path) -> None:
    path = written(
        tmp_path / "x.csv", "7,v,q,1,2,int", "b,v,q,1,2,text", header="qid,vid,query,start_s,end_s,qid_type"
    )
    assert [(row.qid, row.qid_is_int) for row in read(path).rows] == [("7", True), ("b", False)]


def test_verdicts_without_times(tmp_path: Path) -> None:
    header = "qid,vid,query,start_s,end_s,verdict"
    path = written(tmp_path / "x.csv", "1,v,q,,,no-moment", "2,v,q,,,cannot-judge", "3,v,q,,,", header=header)
    rows = read(path).rows
    assert [(row.windows, row.verdict) for row in rows] == [
        ((), "no-moment"),
        (None, "cannot-judge"),
        (None, None),
    ]


def test_parties_of_one_query(tmp_path: Path) -> None:
    header = "qid,vid,query,start_s,end_s,source,annotator,score,row_rev,active_ms"
    path = written(
        tmp_path / "x.csv",
        "1,v,q,5,6,model,m,0.5,,",
        "1,v,q,1,2,,,,9,",
        "1,v,q,3,4,original,,,,",
        "1,v,q,3,5,original,released,,,",
        "1,v,q,1,3,model,m,0.25,,",
        "1,v,q,1,3,annotator,a,,1,70",
        "1,v,q,1,4,annotator,a,,2,80",
        header=header,
    )
    (row,) = read(path).rows
    assert (row.windows, row.original_windows, row.row_rev) == (((1.0, 2.0),), ((3.0, 4.0),), 9)
    assert row.annotations == (
        AnnotatorVersion(annotator="m", source="model", windows=((5.0, 6.0), (1.0, 3.0)), scores=(0.5, 0.25)),
        AnnotatorVersion(annotator="released", source="original", windows=((3.0, 5.0),)),
        AnnotatorVersion(annotator="a", windows=((1.0, 3.0),), revision=1, active_ms=70),
        AnnotatorVersion(annotator="a", windows=((1.0, 4.0),), revision=2, active_ms=80),
    )


HEAD = "qid,vid,query,start_s,end_s"


@pytest.mark.parametrize(
    ("header", "line", "rule"),
    [
        ("start_s,end_s,qid,vid,query", "1,2,3,v", "query is null; must be text, and not empty"),
        (
            "start_s,end_s,qid,vid,query",
            "1,2,3,v,he sits, then stands",
            'line is " then stands"; is beyond the last',
        ),
        (HEAD, "3,v,q,1,x", 'end_s is "x"; must be a number'),
        (HEAD, "3,v,q,2,1", "start_s, end_s is .*must end after"),
        (HEAD, "3,v,q,1,", 'end_s is ""; must be a number'),
        (HEAD, "3,v,q,,1", 'start_s is ""; must be a number'),
        (HEAD, "3,v,q,1,nan", 'end_s is "nan"; must be a finite number'),
        (HEAD, "3,v, ,1,2", 'query is " "; must be text'),
        (HEAD, "3,,q,1,2", 'vid is ""; must be text'),
        (HEAD, ",v,q,1,2", 'qid is ""; must be text'),
        (f"{HEAD},split", "3,v,q,1,2,no", 'split is "no"; must be one of'),
        (f"{HEAD},verdict", "3,v,q,1,2,no", 'verdict is "no"; must be one of'),
        (f"{HEAD},verdict", "3,v,q,1,2,no-moment", 'verdict is "no-moment"; .*needs none'),
        (f"{HEAD},duration_s", "3,v,q,1,2,x", 'duration_s is "x"; must be a number'),
        (f"{HEAD},duration_s", "3,v,q,1,2,0", "duration_s is 0.0; must be seconds above 0"),
        (f"{HEAD},duration_s", "3,v,q,1,2,1.5", "start_s, end_s is .*inside the video"),
        (f"{HEAD},row_rev", "3,v,q,1,2,x", 'row_rev is "x"; must be a whole number'),
        (
            f"{HEAD},source",
            "3,v,q,1,2,me",
            'source is "me"; must be truth .once., original, model, annotator',
        ),
        (f"{HEAD},source,annotator", "3,v,q,1,2,model,", 'annotator is ""; must be text'),
        (f"{HEAD},source,annotator,active_ms", "3,v,q,1,2,model,m,x", 'active_ms is "x"; must be a whole'),
        (f"{HEAD},score", "3,v,q,1,2,x", 'score is "x"; must be a number'),
    ],
)
def test_bad_csv_names_line_and_column(tmp_path: Path, header: str, line: str, rule: str) -> None:
    path = written(tmp_path / "x.csv", line, header=header)
    with pytest.raises(RowsRejected, match=f"x.csv, line 2: {rule}"):
        read(path, format="csv")


@pytest.mark.parametrize(
    ("second", "rule"),
    [
        ("3,w,q,1,2,truth,,", 'line 3: vid is "w"; differs from line 2'),
        ("3,v,p,1,2,truth,,", 'line 3: query is "p"; differs from line 2'),
        ("3,v,q,1.5,3,truth,,", "line 2: start_s, end_s is .*overlap"),
        ("3,v,q,1,2,model,m,\n3,v,q,4,5,model,m,0.5", r"line 2: score is \[0\.5\]; every moment of a party"),
    ],
)
def test_lines_of_one_query_must_agree(tmp_path: Path, second: str, rule: str) -> None:
    path = written(
        tmp_path / "x.csv",
        "3,v,q,1,2,truth,,",
        second,
        "4,v,q,1,2,truth,,",
        header=f"{HEAD},source,annotator,score",
    )
    with pytest.raises(RowsRejected, match=rule) as caught:
        read(path)
    assert len(caught.value.problems) == 1
    result = read(path, options=ReadOptions(keep_going=True))
    assert [row.qid for row in result.rows] == ["4"]


def test_a_file_that_is_no_csv(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"x\.csv has no column query, end_s\. Name them in its first line, which has qid, vid, start_s\.",
    ):
        read(written(tmp_path / "x.csv", "1", header="qid,vid,start_s"), format="csv")
    with pytest.raises(InputError, match=r"x\.csv, line 2: is not CSV"):
        read(written(tmp_path / "x.csv", '1,v,"q"x,1,2'))


def test_versions_that_lines_would_mix_are_refused(tmp_path: Path) -> None:
    twice = replace(FULL, annotations=(ADA, replace(ADA, reason="other")))
    with pytest.raises(RowsRejected, match="two versions of one party must differ in revision or time"):
        export(tmp_path / "x.csv", "csv", twice)
    assert (
        export(tmp_path / "x.csv", "csv", replace(FULL, annotations=(ADA, replace(ADA, revision=5)))).rows
        == 1
    )
