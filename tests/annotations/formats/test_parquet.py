"""Parquet: the columns as pyarrow reads them, the dataset card, and the rows that come back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotations.formats import ReadOptions, RowsRejected, read
from annotations.rows import Row
from tempo_core.errors import InputError
from tests.annotations.formats.sample_rows import FULL, REFUSAL, UNLABELLED, export

CLIPS = {"relevant_clip_ids": (0, 2), "saliency_scores": ((4, 3, 2), (0, 1, 1))}


def version(**changes: Any) -> dict[str, Any]:
    names = ("annotator", "source", "windows", "scores", "saliency", "relevance", "verdict", "reason", "arm")
    return {**dict.fromkeys((*names, "active_ms", "updated_at", "revision")), **changes}


def test_every_column_of_a_full_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    export(path, "parquet", replace(FULL, **CLIPS))
    table = pq.read_table(path)
    windows = pa.list_(pa.list_(pa.float64()))
    assert {field.name: field.type for field in table.schema if field.name != "annotations"} == {
        "qid": pa.int64(),
        "qid_is_int": pa.bool_(),
        "query": pa.string(),
        "vid": pa.string(),
        "duration": pa.float64(),
        "split": pa.string(),
        "verdict": pa.string(),
        "relevant_windows": windows,
        "relevant_clip_ids": pa.list_(pa.int32()),
        "saliency_scores": pa.list_(pa.list_(pa.int8())),
        "original_windows": windows,
        "reason": pa.string(),
        "n_annotators": pa.int32(),
        "mean_tiou": pa.float64(),
        "alpha_clip": pa.float64(),
        "model_version": pa.string(),
        "row_rev": pa.int64(),
        "extra": pa.string(),
    }
    assert table.to_pylist() == [
        {
            "qid": 7,
            "qid_is_int": True,
            "query": FULL.query,
            "vid": "cl ip",
            "duration": 20.0,
            "split": "val",
            "verdict": "moments",
            "relevant_windows": [[1.2345678, 5.5], [9.0, 9.25]],
            "relevant_clip_ids": [0, 2],
            "saliency_scores": [[4, 3, 2], [0, 1, 1]],
            "original_windows": [[0.0, 2.0], [4.0, 6.0]],
            "reason": "boundary off",
            "n_annotators": 3,
            "mean_tiou": 0.5,
            "alpha_clip": 0.25,
            "model_version": "tempo-tiny",
            "row_rev": 3,
            "annotations": [
                version(
                    annotator="ada",
                    source="annotator",
                    windows=[[1.2344, 5.5], [8.9999, 9.25]],
                    verdict="moments",
                    reason="clearer",
                    arm="blind",
                    active_ms=12_400,
                    updated_at="2026-11-21T01:02:03Z",
                    revision=4,
                ),
                version(
                    annotator="7",
                    source="annotator",
                    windows=[],
                    verdict="no-moment",
                    reason="event absent",
                    revision=2,
                ),
                version(
                    annotator="cal",
                    source="annotator",
                    windows=[],
                    verdict="cannot-judge",
                    reason="too dark",
                ),
                version(
                    annotator="tempo/tiny+lora",
                    source="model",
                    windows=[[2.0, 6.0], [1.0, 2.5]],
                    scores=[0.875, 0.25],
                    saliency=[0.5, -1.0],
                    verdict="moments",
                ),
            ],
            "extra": '{"source": "made"}',
        }
    ]
    assert read(path).rows == (replace(FULL, **CLIPS),)


def test_refusals_and_unlabelled_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    report = export(path, "parquet", FULL, REFUSAL, UNLABELLED)
    cells = pq.read_table(path).to_pylist()
    assert [row["qid"] for row in cells] == ["7", "b-2", "c"]
    assert [row["qid_is_int"] for row in cells] == [True, False, False]
    assert [row["relevant_windows"] for row in cells[1:]] == [[], None]
    assert [row["verdict"] for row in cells[1:]] == ["no-moment", None]
    assert [row["n_annotators"] for row in cells[1:]] == [0, 0]
    assert [row["annotations"] for row in cells[1:]] == [None, None]
    assert [row["extra"] for row in cells[1:]] == [None, None]
    assert report.counts == {"shards": 1}
    assert report.dropped == {}
    assert read(path).rows == (FULL, REFUSAL, UNLABELLED)


def test_a_folder_has_a_file_for_each_split(tmp_path: Path) -> None:
    train = replace(FULL, qid="8", split="train")
    report = export(tmp_path / "set", "parquet", FULL, train, replace(FULL, qid="9"))
    data = tmp_path / "set" / "data"
    assert {path.name for path in data.iterdir()} == {
        "train-00000-of-00001.parquet",
        "val-00000-of-00001.parquet",
    }
    assert pq.read_table(data / "val-00000-of-00001.parquet")["qid"].to_pylist() == [7, 9]
    assert report.counts == {"shards": 2}
    assert [row.qid for row in read(tmp_path / "set").rows] == ["8", "7", "9"]


def test_an_id_beyond_64_bits_is_refused(tmp_path: Path) -> None:
    assert export(tmp_path / "a.parquet", "parquet", replace(FULL, qid=str(2**63 - 1))).rows == 1
    assert read(tmp_path / "a.parquet").rows[0].qid_value == 2**63 - 1
    with pytest.raises(RowsRejected, match="does not fit in 64 bits; make it a text"):
        export(tmp_path / "b.parquet", "parquet", replace(FULL, qid=str(2**63)))
    assert export(tmp_path / "c.parquet", "parquet", replace(REFUSAL, qid=str(2**70))).rows == 1


GOOD = {"qid": 1, "query": "q", "vid": "v"}


def foreign(path: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def test_a_foreign_table_needs_three_columns(tmp_path: Path) -> None:
    path = foreign(tmp_path / "val.parquet", {**GOOD, "relevant_windows": [[1, 2]], "split": "train"})
    assert read(path).rows == (
        Row(**{**GOOD, "qid": "1"}, qid_is_int=True, windows=((1.0, 2.0),), split="train"),
    )
    assert read(path, options=ReadOptions(split="test")).rows[0].split == "test"
    assert read(foreign(tmp_path / "b.parquet", GOOD)).rows[0].split == "unknown"


def test_columns_of_another_table_are_named(tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.parquet", {**GOOD, "camera": "left"}, {**GOOD, "qid": 2, "camera": None})
    result = read(path)
    assert [row.qid for row in result.rows] == ["1", "2"]
    assert [str(omission) for omission in result.omissions] == ["a.parquet, columns camera (1): not read"]


BROKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"query": " "}, "query", "must be text"),
    ({"vid": None}, "vid", "missing"),
    ({"split": "x"}, "split", "must be one of"),
    ({"duration": -1.0}, "duration", "above 0"),
    ({"verdict": "x"}, "verdict", "must be one of"),
    ({"verdict": "moments"}, "verdict", "contradicts"),
    ({"relevant_windows": [[2.0, 1.0]]}, "relevant_windows", "end after it starts"),
    ({"original_windows": [[2.0, 1.0]]}, "original_windows", "end after it starts"),
    ({"relevant_clip_ids": [3, 1]}, "relevant_clip_ids", "sorted"),
    ({"saliency_scores": [[1, 2, 3]]}, "saliency_scores", "one triple for each of the 0"),
    ({"mean_tiou": float("nan")}, "mean_tiou", "finite"),
    ({"row_rev": 1.5}, "row_rev", "whole"),
    ({"extra": "{"}, "line", "not valid JSON"),
    ({"extra": "[1]"}, "extra", "JSON object"),
    ({"qid": "x", "qid_is_int": True}, "qid_is_int", "is a number"),
    ({"annotations": [{"annotator": ""}]}, "annotator", "must be text"),
    ({"annotations": [{"annotator": "a", "source": "x"}]}, "source", "must be one of"),
    ({"annotations": [{"annotator": "a", "verdict": "x"}]}, "verdict", "must be one of"),
    ({"annotations": [{"annotator": "a", "verdict": "moments"}]}, "annotations", "needs at least one window"),
    ({"annotations": [{"annotator": "a", "windows": [[2.0, 1.0]]}]}, "windows", "end after it starts"),
    (
        {"annotations": [{"annotator": "a", "windows": [[1.0, 2.0]], "scores": [0.1, 0.2]}]},
        "annotations",
        "2 scores",
    ),
    ({"annotations": [{"annotator": "a", "active_ms": 1.5}]}, "active_ms", "whole"),
]


@pytest.mark.parametrize(("change", "field", "rule"), BROKEN)
def test_a_bad_row_names_file_row_field_and_rule(
    tmp_path: Path, change: dict[str, Any], field: str, rule: str
) -> None:
    path = foreign(tmp_path / "x.parquet", {**GOOD, **change})
    with pytest.raises(RowsRejected) as caught:
        read(path)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.field) == ("x.parquet", 1, field)
    assert rule in problem.rule
    assert "'vid'" in (problem.raw or "")


def test_the_dataset_card(tmp_path: Path) -> None:
    export(tmp_path / "set", "parquet", REFUSAL.corrected(((1.0, 2.0),), split="val"), UNLABELLED)
    card = (tmp_path / "set" / "README.md").read_text("utf-8")
    assert card.startswith("---\nlicense: other\n")
    assert "QVHighlights" not in card
    assert "path: data/val-*.parquet" in card
    assert "Changes were made: the moments of 1 of 2" in card
    assert (tmp_path / "set" / "data" / "val-00000-of-00001.parquet").exists()


def test_a_damaged_parquet_file_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match="not readable as Parquet"):
        read(path)


def test_a_damaged_file_is_refused_whatever_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    export(path, "parquet", FULL)
    content = path.read_bytes()
    refusals = []
    for place in range(4, len(content), 31):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            read(path, options=ReadOptions(keep_going=True), format="parquet")
        except InputError as error:
            refusals.append(str(error))
    assert len(refusals) > 20
    assert [line for line in refusals if str(tmp_path) in line] == []
