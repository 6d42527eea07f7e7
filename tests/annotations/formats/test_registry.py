"""The registry: all or nothing, rejects, detection, lazy imports, and the table in docs/formats.md."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from annotations.choices import ExportFormat, FormatName
from annotations.formats import (
    FORMATS,
    ExportOptions,
    ReadOptions,
    RowsRejected,
    detect,
    export_names,
    names,
    read,
    write,
)
from annotations.formats.files import safe_name, sha256_of, vid_of_name
from annotations.formats.options import SHOWN_PROBLEMS
from annotations.rows import AnnotatorVersion, Row
from tempo_core.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
GOOD = {"qid": 1, "query": "q", "duration": 10.0, "vid": "v", "relevant_windows": [[0.5, 2.5]]}
BAD = {**GOOD, "qid": 2, "relevant_windows": [[3, 1]]}


def lines(path: Path, *objects: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in objects), "utf-8")
    return path


def a_row(**changes: object) -> Row:
    return Row(
        **{"qid": "1", "query": "q", "vid": "v", "duration_s": 10.0, "windows": ((0.5, 2.5),), **changes}
    )  # type: ignore[arg-type]


def test_one_bad_row_rejects_the_file(tmp_path: Path) -> None:
    with pytest.raises(RowsRejected, match=r"1 row breaks a rule, so nothing was imported") as caught:
        read(lines(tmp_path / "x.jsonl", GOOD, BAD))
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.field, problem.value) == (
        "x.jsonl",
        2,
        "relevant_windows",
        "[3, 1]",
    )
    assert problem.rule == "a window must end after it starts"


def test_keep_going_leaves_the_bad_row_out_and_writes_it(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.jsonl"
    options = ReadOptions(keep_going=True, rejects_path=rejects)
    result = read(lines(tmp_path / "x.jsonl", GOOD, BAD), options=options)
    assert [row.qid for row in result.rows] == ["1"]
    rejected_line = json.loads(rejects.read_text("utf-8"))
    assert rejected_line["line"] == 2
    assert json.loads(rejected_line["raw"]) == BAD


def test_a_repeated_id_names_its_first_line(tmp_path: Path) -> None:
    with pytest.raises(RowsRejected, match=r"line 3: qid is 1; was given already in x\.jsonl, line 1"):
        read(lines(tmp_path / "x.jsonl", GOOD, {**GOOD, "qid": 5}, GOOD))


def test_many_problems_are_counted(tmp_path: Path) -> None:
    bad = [{**BAD, "qid": place} for place in range(SHOWN_PROBLEMS + 3)]
    with pytest.raises(RowsRejected, match=r"13 rows break a rule(.|\n)*and 3 more") as caught:
        read(lines(tmp_path / "x.jsonl", *bad))
    assert len(caught.value.problems) == SHOWN_PROBLEMS + 3


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ('{"qid": 1', "it is not JSON"),
        ('{"qid": 1, "qid": 2}', "given twice"),
        ('{"qid": NaN}', "NaN is not a JSON number"),
        ("[1]", "JSON object"),
        ("[" * 100_000, "it is not JSON"),
        ('{"qid": 1, "query": "\\ud800", "vid": "v", "duration": 3}', "surrogate"),
    ],
)
def test_broken_json_is_a_bad_row(tmp_path: Path, line: str, rule: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(line, "utf-8")
    with pytest.raises(RowsRejected, match=rule) as caught:
        read(path, format="lighthouse")
    assert str(caught.value).encode("utf-8"), "it can be printed"


def test_bytes_that_are_not_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"qid": "\xff"}')
    with pytest.raises(InputError, match=r"x\.jsonl cannot be read as UTF-8 text: .*byte 0xff in position 9"):
        read(path, format="lighthouse")


def test_an_export_is_all_or_nothing(tmp_path: Path) -> None:
    rows = [a_row(), a_row(qid="2", windows=())]
    with pytest.raises(RowsRejected, match=r"nothing was written(.|\n)*qid '2': windows"):
        write(rows, tmp_path / "x.txt", format="charades-sta")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_keeps_going_reports_the_rest(tmp_path: Path) -> None:
    rows = [a_row(), a_row(qid="2", windows=())]
    options = ExportOptions(keep_going=True, rejects_path=tmp_path / "rejects.jsonl")
    report = write(rows, tmp_path / "x.txt", format="charades-sta", options=options)
    assert report.rows == 1
    assert [problem.line for problem in report.problems] == [2]
    assert (tmp_path / "rejects.jsonl").exists()
    assert json.loads(json.dumps(report.to_dict()))["rows"] == 1


def test_a_file_is_not_replaced_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write([a_row()], path, format="csv")
    with pytest.raises(InputError, match=r"exists already"):
        write([a_row()], path, format="csv")
    write([a_row(query="other")], path, format="csv", options=ExportOptions(overwrite=True))
    assert read(path).rows[0].query == "other"


def test_what_is_lost_is_counted(tmp_path: Path) -> None:
    version = AnnotatorVersion(annotator="ann", windows=((0.0, 1.0),))
    row = a_row(qid_is_int=True, split="val", annotations=(version,), extra={"fps": 30})
    report = write([row, a_row(qid="2")], tmp_path / "x.json", format="activitynet")
    assert report.dropped == {"annotations": 1, "extra": 1, "split": 1}


def test_a_file_name_carries_its_split(tmp_path: Path) -> None:
    path = tmp_path / "mine_val_2.json"
    assert write([a_row(split="val")], path, format="activitynet").dropped == {}
    assert read(path).rows[0].split == "val"


def test_nothing_to_write_and_unknown_names_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rows to write"):
        write([], tmp_path / "x.csv", format="csv")
    with pytest.raises(InputError, match=r"no format 'vtt'. The formats that are written: qvhighlights, "):
        write([a_row()], tmp_path / "x.csv", format="vtt")
    with pytest.raises(InputError, match=r"Format 'didemo' is not written"):
        write([a_row()], tmp_path / "x.csv", format="didemo")
    (tmp_path / "rows.jsonl").write_text("{}")
    with pytest.raises(InputError, match=r"Format 'ms-swift' is not read\. The formats that are read: "):
        read(tmp_path / "rows.jsonl", format="ms-swift")
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "none.csv")
    with pytest.raises(InputError, match="snapping = 'up'"):
        ExportOptions(snapping="up")  # type: ignore[arg-type]


@pytest.mark.parametrize("form", sorted({*names()} & {*export_names()} - {"predictions", "na-vmr"}))
def test_every_export_is_recognised(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"rows{FORMATS[form].suffix}"
    write([a_row()], path, format=form, options=ExportOptions(frame_rate=30.0))
    assert detect(path) == form
    if FORMATS[form].folder:
        write([a_row()], tmp_path / "folder", format=form)
        assert detect(tmp_path / "folder") == form


def test_an_unknown_file_is_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello", "utf-8")
    with pytest.raises(InputError, match=r"notes\.txt is in no format known here"):
        detect(path)


def test_pyarrow_is_imported_only_when_used() -> None:
    code = "import sys, annotations.formats as f; f.names(); sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_format_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "formats.md").read_text("utf-8")
    for name in FORMATS:
        assert f"| `{name}` |" in text


CONTENTS = [
    ('{"qid": 1, "pred_relevant_windows": []}', "predictions"),
    ('{"video_path": "v.mp4", "events": []}\n{"qid": 1}', "timelens"),
    ('{"qid": 1, "relevant_windows": [], "relevant_clip_ids": []}', "qvhighlights"),
    ('{"qid": 1, "relevant_windows": [], "saliency_scores": []}', "qvhighlights"),
    ('{"qid": 1, "vid": "abc_0.0_150.0"}', "qvhighlights"),
    ('{"qid": 1, "vid": "abc_0.0_150.0", "relevant_windows": []}', "lighthouse"),
    ('{"qid": 1, "vid": "abc"}', "lighthouse"),
    ('{"qid": 1, "verdict": "no-moment", "relevant_windows": []}', "qvhighlights"),
    ('{"v": {"timestamps": []}}', "activitynet"),
    ('{\n"v": {"spans": []}}', "timelens"),
    ('[{"data": {}}]', "label-studio"),
    ("\ufeff\n\nWEBVTT\n", "webvtt"),
    ('<?xml version="1.0"?>\n<ANNOTATION_DOCUMENT/>', "elan"),
    ("3MSZA 24.3 30.4##person turns", "charades-sta"),
    ('"qid","x",start_s,"end_s"\r\n', "csv"),
    ("PAR1", "parquet"),
    (
        '{"qid": 1, "vid": "v", "relevant_windows": [[1, 2]]}\n{"qid": 2, "vid": "v", "relevant_windows": [[0, 0]]}',
        "na-vmr",
    ),
    ('{"qid": 1, "relevant_windows": [[-1,-1]], "saliency_scores": [[]]}', "na-vmr"),
    ('{"video_path": "v.mp4", "query": "q", "span": [[1, 2]]}', "timelens"),
    ('[{"annotation_id": 1, "annotator": 2, "id": 3}]', "label-studio"),
    ('[{"qid": 0, "annos": []}]', "unitime"),
    ('[{"query_text": "q", "timestamp": []}]', "ra-rft"),
    ('[{"sentence": "q", "timestamp": []}]', "time-r1"),
    ('[{"path": "p", "question": "q", "answer": "1-2"}]', "time-r1"),
    ('[{"description": "q", "times": []}]', "didemo"),
    ('{"v.avi": {"timestamps": [], "sentences": [], "fps": 25, "num_frames": 1}}', "tacos"),
    (
        '{"database": {"t": {"annotations": []}, "v": {"annotations": [{"segment": [], "sentence": "q"}]}}}',
        "youcook2",
    ),
    (
        '{"version": "1.3", "database": {"v": {"annotations": [{"segment": [], "label": "q"}]}}}',
        "activitynet13",
    ),
    ('{"version": "1", "videos": []}', "ego4d-nlq"),
    ('{"project": {}, "attribute": {}, "view": {}, "metadata": {}}', "via"),
    ('{"classes": [], "labels": {}}', "fiftyone"),
    ("{\n  mediaFileName: 'v.mp4',\n  cutSegments: [],\n}", "losslesscut"),
    ("Start,End,Name\n1,2,q", "losslesscut"),
    (",00:01.5,q", "losslesscut"),
    ("1.5\t2.5\tq", "audacity"),
    ("1,5\t2,5", "audacity"),
    ("1\r\n00:00:01,000 --> 00:00:02,000\r\nq", "srt"),
    ('<?xml version="1.0"?><annotations><version>1.1</version></annotations>', "cvat"),
    ("qid;vid;query;start_s;end_s", "csv"),
    ("Video\tSentence\tStart\tEnd", "csv"),
]


@pytest.mark.parametrize(("content", "form"), CONTENTS)
def test_contents_say_their_format(tmp_path: Path, content: str, form: str) -> None:
    path = tmp_path / "x"
    path.write_text(content, "utf-8")
    assert detect(path) == form


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[3]",
        '[{"id": 1}]',
        "{}",
        '{"v": 3}',
        '{"v": {"x": 1}}',
        "<html>",
        "{",
        "qid,start_s\n",
        "##",
    ],
)
def test_other_contents_are_not_guessed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x"
    path.write_text(content, "utf-8")
    with pytest.raises(InputError, match="is in no format known here"):
        detect(path)


@pytest.mark.parametrize(
    ("content", "look"),
    [
        ('[{"clip": "v", "t": [1, 2]}]', "a JSON list whose first item has the fields clip, t"),
        ('{"rows": []}', "a JSON object with the fields rows"),
        (
            '{"database": {"v": {"annotations": [{"segment": []}]}}}',
            "a JSON object with a database whose first segment has the fields segment",
        ),
        ("<html><body>", "XML that begins with <html>"),
        ("hello there", "text that begins with 'hello there'"),
        ("\0\0\0 ftypisom", "no text"),
        ("", "empty"),
    ],
)
def test_an_unknown_file_is_described_and_the_formats_are_named(
    tmp_path: Path, content: str, look: str
) -> None:
    path = tmp_path / "x"
    path.write_text(content, "utf-8")
    with pytest.raises(InputError) as caught:
        detect(path)
    assert f"it is {look}" in str(caught.value)
    assert ", ".join(names()) in str(caught.value)
    assert "`python -m annotations formats`" in str(caught.value)


def test_a_file_name_that_has_a_split_in_a_word_says_nothing(tmp_path: Path) -> None:
    for name, split in [
        ("val.jsonl", "val"),
        ("x-TEST-1.jsonl", "test"),
        ("my.train.jsonl", "train"),
        ("interval.jsonl", "unknown"),
        ("tested.jsonl", "unknown"),
    ]:
        assert read(lines(tmp_path / name, GOOD)).rows[0].split == split
        options = ReadOptions(split="train")
        assert read(lines(tmp_path / name, GOOD), options=options).rows[0].split == "train"


def test_names_of_files_say_the_videos_id_again() -> None:
    for vid, name in [("a_b-C.0", "a_b-C.0"), ("a b/é%", "a%20b%2fé%25"), ("..", "%2e."), ("日本", "日本")]:
        assert safe_name(vid) == name
        assert vid_of_name(name) == vid


def test_the_hash_of_a_folder_is_of_names_and_contents(tmp_path: Path) -> None:
    row = a_row()
    for folder, vid in (("one", "v"), ("two", "v"), ("three", "w")):
        write([replace(row, vid=vid)], tmp_path / folder, format="elan")
    first, second, third = (read(tmp_path / name).sha256 for name in ("one", "two", "three"))
    assert first == second != third
    file = tmp_path / "one" / "v.eaf"
    assert read(file).sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    names = ("LICENSE", "MANIFEST.json", "v.eaf")
    listing = "".join(f"{name} {sha256_of(tmp_path / 'one' / name)}\n" for name in names)
    assert first == hashlib.sha256(listing.encode()).hexdigest()


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match=r"cannot be written"):
        write([a_row()], tmp_path / "out" / "in", format="elan")
    with pytest.raises(InputError, match=r"is a folder; csv needs a file, such as .*rows\.csv"):
        write([a_row()], tmp_path, format="csv")
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_files_are_readable_by_others(tmp_path: Path) -> None:
    write([a_row()], tmp_path / "x.csv", format="csv")
    assert (tmp_path / "x.csv").stat().st_mode & 0o777 == 0o644
    assert {path.name for path in tmp_path.iterdir()} == {"x.csv", "x.csv.manifest.json", "x.csv.LICENSE"}


def test_the_manifest_beside_a_file(tmp_path: Path) -> None:
    rows = [
        a_row(split="val"),
        a_row(qid="2", windows=(), original_windows=((1.0, 2.0),)),
        a_row(qid="3", windows=None),
    ]
    report = write(rows, tmp_path / "x.csv", format="csv")
    manifest = json.loads((tmp_path / "x.csv.manifest.json").read_text("utf-8"))
    content = (tmp_path / "x.csv").read_bytes()
    notice = (
        "The licence of the dataset that these rows come from applies; see its release.\n\n"
        "Changes were made: the moments of 1 of 3 queries were corrected.\n"
        "This copy is offered under the same licence. The authors of the original do not endorse it.\n"
    )
    del manifest["options"]
    assert manifest == {
        "format": "csv",
        "created_at": None,
        "snapshot_sha": None,
        "rows": 3,
        "rows_by_split": {"unknown": 2, "val": 1},
        "rows_by_verdict": {"moments": 1, "no ground truth": 1, "no-moment": 1},
        "changed_rows": 1,
        "mended_rows": {},
        "counts": {"lines": 4},
        "dropped_fields": {},
        "licence": {"id": "other", "notice": notice},
        "files": {"x.csv": {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}},
    }
    assert (tmp_path / "x.csv.LICENSE").read_text("utf-8") == notice
    assert report.to_dict() == {
        "format": "csv",
        "rows": 3,
        "files": [str(tmp_path / name) for name in ("x.csv", "x.csv.LICENSE", "x.csv.manifest.json")],
        "counts": {"lines": 4},
        "dropped": {},
        "problems": [],
    }


def test_the_notice_of_a_named_licence(tmp_path: Path) -> None:
    options = ExportOptions(licence="cc0-1.0")
    write([a_row(vid="abc_0.0_150.0")], tmp_path / "x.csv", format="csv", options=options)
    assert (tmp_path / "x.csv.LICENSE").read_text("utf-8") == (
        "cc0-1.0\n\nNo changes were made to the moments of this query.\n"
        "This copy is offered under the same licence. The authors of the original do not endorse it.\n"
    )
    write([a_row(vid="abc_0.0_150.0")], tmp_path / "y.csv", format="csv")
    notice = (tmp_path / "y.csv.LICENSE").read_text("utf-8")
    assert notice.startswith(
        "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International\n"
        "https://creativecommons.org/licenses/by-nc-sa/4.0/\n\nDerived from QVHighlights: "
    )


def test_the_words_of_options_are_the_formats_and_the_help_names_them() -> None:
    assert names() == get_args(FormatName)
    assert export_names() == get_args(ExportFormat)
    code = "import sys, annotations.commands; sys.exit(bool({'numpy', 'sqlalchemy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
