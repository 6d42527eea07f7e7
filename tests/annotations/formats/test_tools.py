"""Files of other tools: Label Studio's frames, ELAN's XML, WebVTT's cues, spreadsheets, cards."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.formats import ExportOptions, ReadOptions, RowsRejected, read, write
from annotations.formats.adjudication import adjudicated, shared_by_most
from annotations.formats.csv import safe, unsafe
from annotations.formats.label_studio import frames_of, seconds_of
from annotations.rows import AnnotatorVersion, Row
from tempo_core.errors import InputError

ROW = Row(
    qid="7",
    qid_is_int=True,
    query="a dog & <b>",
    vid="clip",
    duration_s=20.0,
    windows=((1.2345678, 5.5), (9.0, 9.25)),
)


@settings(derandomize=True, deadline=None)
@given(st.floats(0, 3600), st.floats(0.001, 600), st.sampled_from([9.53, 23.976, 25.0, 29.97, 30.0, 60.0]))
def test_frames_keep_times_within_one_frame(start_s: float, length_s: float, fps: float) -> None:
    end_s = start_s + length_s
    first, last = frames_of(start_s, end_s, fps)
    assert 1 <= first <= last
    shown_start, shown_end = seconds_of((first, last), fps)
    assert abs(shown_start - start_s) <= 1 / fps + 1e-6
    assert abs(shown_end - end_s) <= 1 / fps + 1e-6
    assert frames_of(shown_start, shown_end, fps) == (first, last)


def test_label_studio_frames_by_hand() -> None:
    assert frames_of(82, 150, 30) == (2461, 4500)
    assert frames_of(0, 2, 30) == (1, 60)
    assert frames_of(0.1, 0.2, 30) == (4, 6)


def tasks(path: Path, row: Row = ROW) -> list[dict[str, Any]]:
    write([row], path, format="label-studio", options=ExportOptions(frame_rate=30.0))
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return found


def test_a_range_moved_in_label_studio_counts_and_the_other_stays_exact(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    found = tasks(path)
    regions = found[0]["annotations"][0]["result"]
    regions[1]["value"]["ranges"][0] = {"start": 301, "end": 330}
    path.write_text(json.dumps(found), "utf-8")
    (row,) = read(path).rows
    assert row.windows == ((1.2345678, 5.5), (10.0, 11.0))


def test_a_foreign_label_studio_task(tmp_path: Path) -> None:
    task = {
        "data": {"video": "/data/upload/clip.mp4", "qid": "a", "query": "q", "fps": 30},
        "annotations": [
            {
                "completed_by": 7,
                "result": [
                    {
                        "type": "timelinelabels",
                        "from_name": "moments",
                        "value": {"ranges": [{"start": 1, "end": 60}], "timelinelabels": ["Moment"]},
                    }
                ],
            }
        ],
    }
    path = tmp_path / "t.json"
    path.write_text(json.dumps([task]), "utf-8")
    (row,) = read(path).rows
    assert row.vid == "clip"
    assert row.annotations == (AnnotatorVersion(annotator="7", windows=((0.0, 2.0),)),)


def test_an_empty_annotation_without_a_choice_is_no_refusal(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    found = tasks(path)
    found[0]["annotations"][0]["result"] = []
    path.write_text(json.dumps(found), "utf-8")
    with pytest.raises(RowsRejected, match="must choose no-moment"):
        read(path)


def test_label_studio_needs_a_frame_rate(tmp_path: Path) -> None:
    with pytest.raises(RowsRejected, match="give frame_rate"):
        write([ROW], tmp_path / "t.json", format="label-studio")


def test_webvtt_as_a_player_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "clip.vtt"
    write([ROW], path, format="webvtt")
    blocks = path.read_text("utf-8").split("\n\n")
    assert blocks[0] == "WEBVTT"
    assert blocks[2] == "7-1\n00:00:01.235 --> 00:00:05.500\na dog &amp; &lt;b&gt;"
    moved = path.read_text("utf-8").replace("00:00:09.250", "00:00:11.000")
    path.write_text(moved, "utf-8")
    assert read(path).rows[0].windows == ((1.2345678, 5.5), (9.0, 11.0))


def test_a_foreign_webvtt_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.vtt"
    first = "4-1\n00:01.000 --> 00:02.500 align:start\nopens &amp; shuts"
    second = "4-2\n01:00:03.000 --> 01:00:04.000\nopens"
    path.write_text(f"WEBVTT - title\r\n\r\nNOTE by hand\r\n\r\n{first}\n\n{second}\n", "utf-8")
    (row,) = read(path).rows
    assert (row.qid, row.vid, row.query) == ("4", "clip", "opens & shuts")
    assert row.windows == ((1.0, 2.5), (3603.0, 3604.0))


def test_a_bad_cue_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "clip.vtt"
    path.write_text("WEBVTT\n\n1-1\n00:05.000 --> 00:02.000\nq\n", "utf-8")
    with pytest.raises(RowsRejected, match=r"clip\.vtt, line 3: cue = .*must end after"):
        read(path)


def test_elan_has_a_tier_for_each_party(tmp_path: Path) -> None:
    version = AnnotatorVersion(annotator="ann", windows=((2.0, 3.0),))
    row = Row(
        qid="1",
        query="q\x01",
        vid="clip",
        windows=((1.0, 2.0),),
        original_windows=((0.0, 2.0),),
        annotations=(version,),
    )
    path = tmp_path / "clip.eaf"
    write([row], path, format="elan")
    text = path.read_text("utf-8")
    for tier in ("1/moments", "1/original", "1/annotator/1 ann"):
        assert f'TIER_ID="{tier}"' in text
    assert read(path).rows == (row,)
    path.write_text(text.replace('TIME_VALUE="3000"', 'TIME_VALUE="3500"'), "utf-8")
    (moved,) = read(path).rows
    assert moved.annotations is not None
    assert moved.annotations[0].windows == ((2.0, 3.5),)


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c SYSTEM "file:///etc/passwd">]><ANNOTATION_DOCUMENT>&b;&c;</ANNOTATION_DOCUMENT>'


@pytest.mark.parametrize(
    "encoded", [BOMB, BOMB.replace("<!DOCTYPE", "<!doctype"), BOMB.replace("DOCTYPE a", "DOCTYPE\na")]
)
def test_elan_never_expands_an_entity(tmp_path: Path, encoded: str) -> None:
    path = tmp_path / "x.eaf"
    path.write_text(encoded, "utf-8")
    with pytest.raises(InputError, match="DOCTYPE or an entity"):
        read(path)


def test_elan_in_another_encoding_cannot_hide_a_doctype(tmp_path: Path) -> None:
    path = tmp_path / "x.eaf"
    path.write_bytes(BOMB.encode("utf-16"))
    with pytest.raises(InputError, match="not UTF-8"):
        read(path, format="elan")


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "'=1", "'", "＝1", "=cmd|' /C calc'!A0"],
)
def test_no_cell_begins_like_a_formula(cell: str) -> None:
    assert safe(cell).startswith("'")
    assert unsafe(safe(cell)) == cell


@settings(derandomize=True)
@given(st.text())
def test_safe_cells_come_back(cell: str) -> None:
    assert unsafe(safe(cell)) == cell


def test_a_csv_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "mine_val.csv"
    path.write_text(
        "qid,vid,query,start_s,end_s\n3,v,'twas here,1,2.5\n3,v,'twas here,4,5\nx,v,nothing,,\n", "utf-8"
    )
    first, second = read(path).rows
    assert (first.qid, first.qid_is_int, first.split, first.query) == ("3", True, "val", "'twas here")
    assert first.windows == ((1.0, 2.5), (4.0, 5.0))
    assert (second.qid_is_int, second.windows) == (False, None)


def test_csv_cells_are_what_a_spreadsheet_shows(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    row = Row(qid="7", query="=HYPERLINK(1)", vid="-v", windows=((1.0, 2.0),))
    write([row], path, format="csv", options=ExportOptions(frame_rate=30.0))
    with path.open(newline="", encoding="utf-8") as stream:
        (cells,) = csv.DictReader(stream)
    assert (cells["query"], cells["vid"]) == ("'=HYPERLINK(1)", "'-v")
    assert (cells["start_s"], cells["start_frame"], cells["end_frame"]) == ("1.0", "31", "60")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("3,v,q,1,x", "end_s = 'x': must be a number"),
        ("3,v,q,2,1", "must end after"),
        ("3,v,q,1,", "end_s = '': must be a number"),
    ],
)
def test_bad_csv_names_line_and_column(tmp_path: Path, line: str, rule: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"qid,vid,query,start_s,end_s\n{line}\n", "utf-8")
    with pytest.raises(RowsRejected, match=f"x.csv, line 2: .*{rule}"):
        read(path)


def test_the_dataset_card(tmp_path: Path) -> None:
    write([ROW.corrected(((1.0, 2.0),), split="val")], tmp_path / "set", format="parquet")
    card = (tmp_path / "set" / "README.md").read_text("utf-8")
    assert card.startswith("---\nlicense: other\n")
    assert "QVHighlights" not in card
    assert "path: data/val-*.parquet" in card
    assert "Changes were made: the moments of 1 of 1" in card
    assert (tmp_path / "set" / "data" / "val-00000-of-00001.parquet").exists()


def test_a_damaged_parquet_file_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match="not readable as Parquet"):
        read(path)


def test_timelens_100k_and_charades_read_their_published_form(tmp_path: Path) -> None:
    path = tmp_path / "timelens.jsonl"
    event = {"query": "q", "span": [[1, 2], [4, 5]]}
    path.write_text(
        json.dumps({"source": "s", "video_path": "s/v.mp4", "duration": 9, "events": [event]}), "utf-8"
    )
    (row,) = read(path).rows
    assert (row.qid, row.vid, row.windows) == ("v/0", "v", ((1.0, 2.0), (4.0, 5.0)))
    assert row.extra == {"source": "s", "video_path": "s/v.mp4"}
    text = tmp_path / "charades_sta_test.txt"
    text.write_text("V1 1.0 2.5##opens.\nV1 4.0 5.0##opens.\nV1 0.0 1.0##shuts.\n", "utf-8")
    opens, shuts = read(text, options=ReadOptions(durations={"V1": 30.0})).rows
    assert (opens.qid, opens.windows, opens.duration_s, opens.split) == (
        "V1/0",
        ((1.0, 2.5), (4.0, 5.0)),
        30.0,
        "test",
    )
    assert shuts.qid == "V1/1"
    assert len(read(text, options=ReadOptions(join_repeats=False)).rows) == 3


def test_shared_by_most_is_the_median_of_three() -> None:
    assert shared_by_most([((1.0, 5.0),), ((2.0, 6.0),), ((3.0, 9.0),)]) == ((2.0, 6.0),)
    assert shared_by_most([((1.0, 2.0),), ((3.0, 4.0),)]) == ()
    assert shared_by_most([((1.0, 2.0),)]) == ((1.0, 2.0),)


def test_adjudication_rules() -> None:
    early = AnnotatorVersion(annotator="a", windows=((0.0, 1.0),), updated_at="2026-01-01")
    late = AnnotatorVersion(annotator="b", windows=(), reason="event absent", updated_at="2026-02-01")
    row = Row(qid="1", query="q", vid="v", windows=((0.0, 9.0),), annotations=(late, early))
    assert adjudicated(row, "as-given") is row
    assert adjudicated(row, "majority") is row
    latest = adjudicated(row, "latest")
    assert (latest.verdict, latest.reason, latest.original_windows) == (
        "no-moment",
        "event absent",
        ((0.0, 9.0),),
    )
