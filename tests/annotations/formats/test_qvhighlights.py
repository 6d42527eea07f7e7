"""QVHighlights in and out: bytes kept, corrections snapped, refusals apart, and what the manifest says."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotations.exporting import majority
from annotations.formats import ExportOptions, ReadOptions, RowsRejected, read, write
from annotations.rows import AnnotatorVersion, Row
from tempo_core.errors import InputError
from tempo_core.metrics import evaluate_files

RELEASES = ["highlight_val_release", "highlight_test_with_gt", "highlight_test_release"]


@pytest.mark.parametrize("name", RELEASES)
def test_an_unedited_split_comes_out_byte_for_byte(shared_data: Path, tmp_path: Path, name: str) -> None:
    source = shared_data / "qvhighlights" / f"{name}.jsonl"
    source_file = read(source)
    report = write(source_file.rows, tmp_path / "export", format="qvhighlights")
    split = source_file.rows[0].split
    corrected = (tmp_path / "export" / f"highlight_{split}_corrected.jsonl").read_bytes()
    assert corrected == source.read_bytes()
    assert (tmp_path / "export" / f"highlight_{split}_raw.jsonl").read_bytes() == source.read_bytes()
    assert not corrected.endswith(b"\n")
    assert {path.name for path in report.files} == {
        f"highlight_{split}_corrected.jsonl",
        f"highlight_{split}_raw.jsonl",
        "MANIFEST.json",
        "LICENSE",
    }


def test_a_line_without_ground_truth_stays_as_it_was_spaced(tmp_path: Path) -> None:
    odd = '{"qid":  9, "query": "q",   "duration": 20, "vid": "abc_-_0.0_20.0"}'
    path = tmp_path / "highlight_test_release.jsonl"
    path.write_text(f"{json.dumps(LINE)}\n{odd}", "utf-8")
    labelled, bare = read(path).rows
    file = "highlight_test_unlabelled.jsonl"
    write([labelled, bare], tmp_path / "raw", format="qvhighlights")
    assert (tmp_path / "raw" / file).read_text().strip("\n") == odd
    write([labelled, replace(bare, raw=None)], tmp_path / "made", format="qvhighlights")
    assert json.loads((tmp_path / "made" / file).read_text()) == json.loads(odd)


def test_the_same_rows_without_their_lines_make_the_same_bytes(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "qvhighlights" / "highlight_val_release.jsonl"
    confirmed = [row.corrected(row.windows or ()) for row in read(source).rows]
    write(confirmed, tmp_path / "val.jsonl", format="qvhighlights")
    assert (tmp_path / "val.jsonl").read_bytes() == source.read_bytes()


LINE: dict[str, Any] = {
    "qid": 7,
    "query": "a dog runs",
    "duration": 20,
    "vid": "abc_-_0.0_20.0",
    "relevant_clip_ids": [2, 3],
    "saliency_scores": [[4, 3, 2], [1, 0, 1]],
    "relevant_windows": [[4, 8]],
}


def released(tmp_path: Path, *lines: dict[str, Any]) -> tuple[Row, ...]:
    path = tmp_path / "highlight_val_release.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines or (LINE,)), "utf-8")
    return read(path).rows


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")]


def exported(tmp_path: Path, *rows: Row, **options: Any) -> Path:
    folder = tmp_path / "export"
    write(rows, folder, format="qvhighlights", options=ExportOptions(**options))
    return folder


def test_a_correction_is_snapped_outward_and_its_new_clips_are_neutral(tmp_path: Path) -> None:
    row = released(tmp_path)[0].corrected(((5.3, 9.2), (15.0, 15.5)), reason="boundary off")
    folder = exported(tmp_path, row)
    assert lines_of(folder / "highlight_val_corrected.jsonl") == [
        {
            **LINE,
            "relevant_clip_ids": [2, 3, 4, 7],
            "saliency_scores": [[4, 3, 2], [1, 0, 1], [2, 2, 2], [2, 2, 2]],
            "relevant_windows": [[4, 10], [14, 16]],
        }
    ]
    raw = lines_of(folder / "highlight_val_raw.jsonl")[0]
    assert raw["relevant_windows"] == [[5.3, 9.2], [15, 15.5]]
    assert lines_of(folder / "highlight_val_diff.jsonl") == [
        {
            "qid": 7,
            "vid": "abc_-_0.0_20.0",
            "verdict": "moments",
            "old": [[4, 8]],
            "new": [[5.3, 9.2], [15, 15.5]],
            "reason": "boundary off",
            "mean_tiou": None,
            "alpha_clip": None,
            "n_annotators": 0,
            "row_rev": None,
        }
    ]


def test_nearest_snapping_with_carried_saliency(tmp_path: Path) -> None:
    row = released(tmp_path)[0].corrected(((5.3, 9.2),))
    line = lines_of(
        exported(tmp_path, row, snapping="nearest", saliency="carry") / "highlight_val_corrected.jsonl"
    )[0]
    assert line["relevant_windows"] == [[6, 10]]
    assert line["relevant_clip_ids"] == [3, 4]
    assert line["saliency_scores"] == [[1, 0, 1], [1, 0, 1]]


def test_dropped_saliency_is_gone_from_every_row(tmp_path: Path) -> None:
    rows = released(tmp_path, LINE, {**LINE, "qid": 8})
    folder = exported(tmp_path, rows[0], rows[1].corrected(((0.0, 2.0),)), saliency="drop")
    for line in lines_of(folder / "highlight_val_corrected.jsonl"):
        assert "saliency_scores" not in line
        assert line["relevant_clip_ids"]


def test_windows_are_clamped_and_merged(tmp_path: Path) -> None:
    row = released(tmp_path)[0].corrected(((0.0, 4.0), (4.0, 6.0), (18.5, 25.0)))
    folder = exported(tmp_path, row)
    assert lines_of(folder / "highlight_val_corrected.jsonl")[0]["relevant_windows"] == [[0, 6], [18, 20]]
    assert lines_of(folder / "highlight_val_raw.jsonl")[0]["relevant_windows"] == [[0, 6], [18.5, 20]]


def test_refusals_are_only_in_their_own_file(tmp_path: Path) -> None:
    rows = released(tmp_path, LINE, {**LINE, "qid": 8})
    refused = rows[1].corrected((), reason="event absent")
    folder = exported(tmp_path, rows[0], refused)
    assert [line["qid"] for line in lines_of(folder / "highlight_val_corrected.jsonl")] == [7]
    assert [line["qid"] for line in lines_of(folder / "highlight_val_raw.jsonl")] == [7]
    assert lines_of(folder / "highlight_val_no_moment.jsonl") == [
        {
            "qid": 8,
            "query": "a dog runs",
            "duration": 20,
            "vid": "abc_-_0.0_20.0",
            "verdict": "no-moment",
            "reason": "event absent",
            "relevant_windows": [],
        }
    ]
    back = {row.qid: row for row in read(folder).rows}
    assert back["7"] == rows[0]
    assert back["8"].verdict == "no-moment"
    assert back["8"].original_windows == ((4.0, 8.0),)
    assert back["8"].reason == "event absent"


def test_a_row_that_nobody_could_judge_keeps_its_release(tmp_path: Path) -> None:
    row = released(tmp_path)[0]
    unclear = row.corrected(row.windows or (), verdict="cannot-judge", reason="query unclear")
    folder = exported(tmp_path, unclear)
    assert lines_of(folder / "highlight_val_corrected.jsonl") == [LINE]
    assert lines_of(folder / "highlight_val_diff.jsonl")[0]["verdict"] == "cannot-judge"


def test_a_stale_source_line_never_passes_through(tmp_path: Path) -> None:
    row = released(tmp_path)[0]
    stale = Row(
        qid="7",
        qid_is_int=True,
        query="a cat runs",
        vid=row.vid,
        duration_s=20,
        split="val",
        windows=row.windows,
        raw=row.raw,
    )
    assert lines_of(exported(tmp_path, stale) / "highlight_val_corrected.jsonl")[0]["query"] == "a cat runs"


def test_the_manifest_records_options_counts_licence_and_hashes(tmp_path: Path) -> None:
    rows = released(tmp_path, LINE, {**LINE, "qid": 8})
    folder = exported(
        tmp_path, rows[0], rows[1].corrected(((5.3, 9.2),)), snapping="nearest", snapshot_sha="abc"
    )
    manifest = json.loads((folder / "MANIFEST.json").read_text("utf-8"))
    assert manifest["options"]["snapping"] == "nearest"
    assert manifest["options"]["saliency"] == "keep+neutral"
    assert manifest["options"] == {
        "snapping": "nearest",
        "saliency": "keep+neutral",
        "adjudication": "as-given",
        "keep_going": False,
        "frame_rate": None,
        "frame_rates": {},
        "video_prefix": "",
        "predictions_of": None,
        "refusals": "apart",
        "licence": None,
        "decided_by": None,
        "dataset": None,
        "split": None,
        "edited_text": False,
    }
    assert manifest["created_at"] is None
    assert manifest["rows"] == 2
    assert manifest["changed_rows"] == 1
    assert manifest["counts"]["passed through byte for byte"] == 1
    assert manifest["snapshot_sha"] == "abc"
    assert manifest["licence"]["id"] == "cc-by-nc-sa-4.0"
    assert "Changes were made" in manifest["licence"]["notice"]
    assert "Changes were made: the moments of 1 of 2" in (folder / "LICENSE").read_text("utf-8")
    for name, facts in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == facts["sha256"]


def test_a_single_file_does_not_mix_splits(tmp_path: Path) -> None:
    row = released(tmp_path)[0]
    other = Row(qid="9", query="q", vid="v", duration_s=10, split="train", windows=((0, 2),))
    with pytest.raises(InputError, match=r"mix rows of train, val\. Give a folder"):
        write([row, other], tmp_path / "both.jsonl", format="qvhighlights")
    assert not (tmp_path / "both.jsonl").exists()


BROKEN = [
    ({"qid": True}, "qid", "whole number"),
    ({"query": "  "}, "query", "not empty"),
    ({"duration": "20"}, "duration", "finite number"),
    ({"duration": -1}, "duration", "above 0"),
    ({"relevant_windows": [[8, 4]]}, "relevant_windows", "end after it starts"),
    ({"relevant_windows": [[4, 22]]}, "relevant_windows", "lasts 20 s"),
    ({"relevant_windows": [[4, 8], [6, 10]]}, "relevant_windows", "overlap"),
    ({"relevant_windows": [[4, 8, 1]]}, "relevant_windows", "pair"),
    ({"relevant_windows": 3}, "relevant_windows", "list"),
    ({"relevant_clip_ids": [2, 3, 4]}, "saliency_scores", "one triple for each of the 3"),
    ({"relevant_clip_ids": [2, 10]}, "relevant_clip_ids", r"0\.\.9"),
    ({"relevant_clip_ids": [1, 2]}, "relevant_clip_ids", r"exactly the clips .* cover \[2, 3\]"),
    ({"saliency_scores": [[4, 3], [1, 0]]}, "saliency_scores", "exactly three"),
    ({"saliency_scores": [[4, 3, 5], [1, 0, 1]]}, "saliency_scores", r"0\.\.4"),
]


@pytest.mark.parametrize(("change", "field", "rule"), BROKEN)
def test_a_bad_row_names_file_line_field_value_and_rule(
    tmp_path: Path, change: dict[str, Any], field: str, rule: str
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in (LINE, {**LINE, "qid": 8, **change})), "utf-8")
    with pytest.raises(RowsRejected, match=rf"mine\.jsonl, line 2: {field} is .*{rule}") as caught:
        read(path, format="qvhighlights")
    assert len(caught.value.problems) == 1


def test_the_export_of_a_majority(tmp_path: Path) -> None:
    marks = [((4.0, 8.0),), ((6.0, 10.0),), ((5.0, 12.0),)]
    versions = tuple(
        AnnotatorVersion(annotator=str(place), windows=marked) for place, marked in enumerate(marks)
    )
    row = Row(
        qid="1", query="q", vid="v", duration_s=20, split="val", windows=((0, 2),), annotations=versions
    )
    folder = exported(tmp_path, majority(row))
    assert lines_of(folder / "highlight_val_raw.jsonl")[0]["relevant_windows"] == [[5, 10]]


@pytest.mark.parametrize("saliency", ["keep+neutral", "carry", "drop"])
@pytest.mark.parametrize("snapping", ["outward", "nearest"])
def test_official_rules_score_every_export(
    shared_data: Path, tmp_path: Path, saliency: str, snapping: str
) -> None:
    source = read(shared_data / "qvhighlights" / "highlight_val_release.jsonl").rows[:60]
    rows = [_edited(place, row) for place, row in enumerate(source)]
    folder = exported(tmp_path, *rows, saliency=saliency, snapping=snapping)
    for kind in ("corrected", "raw"):
        truth = read(folder / f"highlight_val_{kind}.jsonl", format="qvhighlights").rows
        assert len(truth) == 54
        predictions = tmp_path / f"{kind}_predictions.jsonl"
        write([_identity(row) for row in truth], predictions, format="predictions")
        evaluation = evaluate_files(
            predictions, folder / f"highlight_val_{kind}.jsonl", rules="official", samples=10
        )
        assert evaluation.scores["brief"]["MR-full-R1@0.7"] == 100


def _edited(place: int, row: Row) -> Row:
    """Every tenth row refused, the next one moved off the grid, the others as released."""
    windows = row.windows or ()
    if place % 10 == 0:
        return row.corrected((), reason="event absent")
    return row.corrected(((windows[0][0] + 0.3, windows[-1][1] - 0.4),)) if place % 10 == 1 else row


def _identity(row: Row) -> Row:
    """The ground truth as a model would say it."""
    windows = row.windows or ()
    clips = tuple(1.0 for _ in range(int((row.duration_s or 0) / 2)))
    version = AnnotatorVersion(
        annotator="model", source="model", windows=windows, scores=tuple(1.0 for _ in windows), saliency=clips
    )
    return Row(qid=row.qid, qid_is_int=True, query=row.query, vid=row.vid, annotations=(version,))


@pytest.mark.parametrize(
    "line",
    [
        '{"qid": 1',
        '{"old": [[0, 2]]}',
        '{"qid": 1, "old": [[0, 2]]}',
        '{"qid": 1, "old": 5, "verdict": "moments"}',
        '{"qid": 1, "old": null, "verdict": "perhaps"}',
        '{"qid": 1, "old": null, "verdict": "moments", "row_rev": "x"}',
        '{"qid": 1, "old": null, "verdict": "moments", "mean_tiou": []}',
    ],
)
def test_a_line_of_the_differences_that_breaks_a_rule_is_named(tmp_path: Path, line: str) -> None:
    row = {"qid": 1, "query": "q", "vid": "v", "duration": 10, "relevant_windows": [[0, 4]]}
    (tmp_path / "highlight_val_raw.jsonl").write_text(json.dumps(row))
    (tmp_path / "highlight_val_diff.jsonl").write_text(line)
    result = read(tmp_path, options=ReadOptions(keep_going=True))
    assert [(problem.file, problem.line) for problem in result.problems] == [("highlight_val_diff.jsonl", 1)]
    assert [row.qid for row in result.rows] == ["1"]
