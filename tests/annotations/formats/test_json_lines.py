"""Lighthouse's and predictions' JSON lines: the lines themselves, refusals apart, and the rows that come back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotations.formats import RowsRejected, read
from annotations.rows import AnnotatorVersion, Row
from tempo_core.errors import InputError
from tests.annotations.formats.sample_rows import FULL, REFUSAL, TINY, UNCLEAR, UNLABELLED, export

QUERY = json.dumps(FULL.query)


def test_lighthouse_lines_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    scored = replace(
        FULL, qid="8", original_windows=None, relevant_clip_ids=(1,), saliency_scores=((4, 3, 2),)
    )
    corrected = replace(scored, qid="9", original_windows=((0.0, 2.0),))
    report = export(path, "lighthouse", FULL, scored, corrected, REFUSAL, UNLABELLED, UNCLEAR)
    head, tail = (
        f'"query": {QUERY}, "duration": 20, "vid": "cl ip", ',
        '"source": "made", "reason": "boundary off"',
    )
    windows = '"relevant_windows": [[1.2345678, 5.5], [9, 9.25]], '
    assert path.read_text("utf-8").split("\n") == [
        f'{{"qid": 7, {head}{windows}{tail}}}',
        f'{{"qid": 8, {head}"relevant_clip_ids": [1], "saliency_scores": [[4, 3, 2]], {windows}{tail}}}',
        # Lighthouse's loader needs clips and scores in every line of QVHighlights, in corrected ones too.
        f'{{"qid": 9, {head}"relevant_clip_ids": [0, 1, 2, 4], '
        f'"saliency_scores": [[2, 2, 2], [4, 3, 2], [2, 2, 2], [2, 2, 2]], {windows}{tail}}}',
        '{"qid": "c", "query": "a bird", "duration": 9.5, "vid": "other"}',
        '{"qid": "d", "query": "it", "duration": 9.5, "vid": "other", "relevant_windows": [[1, 2]], '
        '"verdict": "cannot-judge"}',
    ]
    refused = (
        '{"qid": "b-2", "query": "a cat", "duration": 20, "vid": "cl ip", "relevant_windows": [], '
        '"reason": "event absent"}'
    )
    assert (tmp_path / "rows_no_moment.jsonl").read_text("utf-8") == refused
    assert report.counts == {
        "passed through byte for byte": 0,
        "no moment, kept in a file of their own": 1,
    }
    again = read(path, format="lighthouse").rows
    report = export(tmp_path / "again.jsonl", "lighthouse", *again)
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()
    assert report.counts == {
        "passed through byte for byte": 4,
        "no moment, kept in a file of their own": 0,
    }
    assert not (tmp_path / "again_no_moment.jsonl").exists()
    export(tmp_path / "inline.jsonl", "lighthouse", REFUSAL, UNLABELLED, refusals="inline")
    assert (tmp_path / "inline.jsonl").read_text("utf-8").split("\n")[0] == refused


def test_lighthouse_needs_a_duration(tmp_path: Path) -> None:
    with pytest.raises(RowsRejected, match="Lighthouse needs the video's duration in seconds"):
        export(tmp_path / "x.jsonl", "lighthouse", replace(FULL, duration_s=None))


def test_a_line_passes_only_while_it_says_what_the_row_says(tmp_path: Path) -> None:
    line = '{"vid": "v",  "qid": 1, "duration": 10, "query": "q", "relevant_windows": [[1.0, 2]], "x": null}'
    (tmp_path / "in.jsonl").write_text(line)
    (row,) = read(tmp_path / "in.jsonl", format="lighthouse").rows
    export(tmp_path / "same.jsonl", "lighthouse", row)
    assert (tmp_path / "same.jsonl").read_text() == line
    changes: list[dict[str, Any]] = [
        {"qid": "2"},
        {"qid_is_int": False},
        {"query": "p"},
        {"vid": "w"},
        {"duration_s": 11.0},
        {"windows": ((1.0, 3.0),)},
        {"extra": {"x": 1}},
        {"relevant_clip_ids": (0,)},
    ]
    for number, change in enumerate(changes):
        export(tmp_path / f"{number}.jsonl", "lighthouse", replace(row, **change))
        assert (tmp_path / f"{number}.jsonl").read_text() != line, change
    broken = replace(row, raw='{"qid": 1}')
    export(tmp_path / "broken.jsonl", "lighthouse", broken)
    assert json.loads((tmp_path / "broken.jsonl").read_text())["relevant_windows"] == [[1, 2]]


PREDICTED = replace(FULL, annotations=(TINY,), windows=None, verdict=None)


def test_prediction_lines_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    unnamed = AnnotatorVersion(annotator="model", source="model", windows=((0.0, 1.0),), scores=(1.0,))
    refusal = AnnotatorVersion(annotator="model", source="model")
    plain = Row(qid="b", query="q", vid="v", annotations=(unnamed,))
    refused = Row(qid="c", query="r", vid="v", annotations=(refusal,))
    report = export(path, "predictions", PREDICTED, plain, refused)
    assert path.read_text("utf-8").split("\n") == [
        f'{{"qid": 7, "query": {QUERY}, "vid": "cl ip", "duration": 20, "pred_relevant_windows": '
        '[[2.0, 6.0, 0.875], [1.0, 2.5, 0.25]], "pred_saliency_scores": [0.5, -1.0], '
        '"model": "tempo/tiny+lora", "source": "made"}',
        '{"qid": "b", "query": "q", "vid": "v", "pred_relevant_windows": [[0.0, 1.0, 1.0]]}',
    ]
    line = '{"qid": "c", "query": "r", "vid": "v", "pred_relevant_windows": []}'
    assert (tmp_path / "p_no_moment.jsonl").read_text("utf-8") == line
    assert report.counts == {"no moment, kept in a file of their own": 1}
    assert export(tmp_path / "q.jsonl", "predictions", plain, refused, refusals="inline").counts == {
        "no moment, kept in a file of their own": 0
    }
    assert (tmp_path / "q.jsonl").read_text("utf-8").split("\n")[1] == line
    assert not (tmp_path / "q_no_moment.jsonl").exists()
    first, second = read(path).rows
    assert first == Row(
        qid="7",
        qid_is_int=True,
        query=FULL.query,
        vid="cl ip",
        duration_s=20.0,
        annotations=(TINY,),
        extra={"source": "made"},
    )
    assert second == plain
    assert read(tmp_path / "p_no_moment.jsonl").rows == (refused,)


def test_a_question_that_was_not_understood_has_no_prediction(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    line = {"qid": "a", "query": "a dog", "vid": "v", "pred_relevant_windows": []}
    unknown = {**line, "qid": "b", "understood": {"probability": 0.0, "words": ["dog"]}}
    path.write_text(f"{json.dumps(line)}\n{json.dumps(unknown)}\n")
    report = read(path)
    first, second = report.rows
    assert (len(first.annotations or ()), len(second.annotations or ())) == (1, 0)
    assert [omission.place for omission in report.omissions] == ["line 2 (qid b)"]
    assert "which is no refusal" in report.omissions[0].reason


ANSWER: dict[str, Any] = {
    "qid": 1,
    "query": "q",
    "vid": "v",
    "pred_relevant_windows": [[4, 8, 0.6], [1, 2, 0.3]],
    "moments": [[1, 2]],
    "confidences": [0.9],
    "relevance": 0.75,
    "refused": False,
    "run": {"model_id": "tiny"},
}
"""A line as `tempo_core predict` writes it."""


@pytest.mark.parametrize(
    ("change", "windows", "scores"),
    [
        ({}, ((1.0, 2.0),), (0.9,)),
        ({"confidences": [None]}, ((1.0, 2.0),), (0.3,)),
        ({"confidences": [None], "moments": [[2, 3]]}, ((2.0, 3.0),), None),
        ({"moments": [], "refused": True}, (), None),
        ({"pred_relevant_windows": [], "moments": [], "refused": True}, (), None),
    ],
)
def test_the_answer_as_a_set_is_the_models_answer(
    tmp_path: Path, change: dict[str, Any], windows: Any, scores: Any
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({**ANSWER, **change}))
    (row,) = read(path).rows
    expected = AnnotatorVersion(
        annotator="tiny", source="model", windows=windows, scores=scores, relevance=0.75
    )
    assert row.annotations == (expected,)


def test_windows_beside_a_refusal_are_named(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    refusal = {**ANSWER, "qid": 2, "moments": [], "refused": True}
    path.write_text(f"{json.dumps(ANSWER)}\n{json.dumps(refusal)}")
    result = read(path)
    assert [str(item) for item in (*result.omissions, *result.contents)] == [
        "p.jsonl, 2 queries: 3 ranked windows are no part of the answer: it is a refusal, or stands in moments",
        "1 of 4 windows taken",
    ]


def test_neither_moments_nor_a_refusal_is_no_refusal(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({**ANSWER, "moments": [], "confidences": []}))
    result = read(path)
    assert [row.annotations for row in result.rows] == [()]
    assert "neither moments nor a refusal" in result.omissions[0].reason


def test_a_refusal_needs_no_windows(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"qid": "a", "query": "q", "vid": "v", "refused": true}')
    (row,) = read(path).rows
    assert row.annotations == (AnnotatorVersion(annotator="model", source="model"),)


def test_predictions_of_na_vmr_are_read(tmp_path: Path) -> None:
    """One object; a qid for a query and for the refusal that is made from it; `pred_class` decides."""
    path = tmp_path / "inference_test.json"
    item = {"qid": "test0", "query": "q", "vid": "v", "pred_relevant_windows": [[1.0, 2.0, 0.9]]}
    further = {"pred_saliency_scores": [0.5], "raw_pred_saliency_scores": [0.25]}
    items = [{**item, **further, "pred_class": 0.5}, {**item, **further, "vid": "w", "pred_class": 0.25}]
    path.write_text(json.dumps({"preds": items}))
    result = read(path)
    prediction = AnnotatorVersion(
        annotator="model", source="model", windows=((1, 2),), scores=(0.9,), saliency=(0.5,), relevance=0.5
    )
    refusal = replace(prediction, windows=(), scores=None, verdict="no-moment", relevance=0.25)
    assert result.format == "predictions"
    assert [(row.qid, row.vid, row.annotations) for row in result.rows] == [
        ("test0", "v", (prediction,)),
        ("test0#2", "w", (refusal,)),
    ]
    assert [row.extra for row in result.rows] == [{"raw_pred_saliency_scores": [0.25]}] * 2
    lines = tmp_path / "lines_test.jsonl"
    lines.write_text("\n".join(map(json.dumps, items)))
    assert read(lines).rows == result.rows


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"preds": [3]}', "x.json, item 1 of preds: the item is 3; it must be a JSON object"),
        ('{"preds": [{"qid": 1}]}', "x.json, item 1 of preds: query is null; the field is missing"),
        ('{"preds": [], "more": 1}', "has one field, the list 'preds'"),
        ('{"preds": {}}', "has one field, the list 'preds'"),
        ('{"preds": [{"qid": 1}', "x.json is not JSON"),
    ],
)
def test_a_bad_object_of_predictions(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        read(path, format="predictions")
    assert fault in str(error.value)


def test_a_prediction_passes_only_while_its_line_says_it(tmp_path: Path) -> None:
    line = '{"vid":  "v", "qid": 1, "query": "q", "pred_relevant_windows": [[1, 2, 0.5]], "x": 3}'
    (tmp_path / "in.jsonl").write_text(line)
    (row,) = read(tmp_path / "in.jsonl").rows
    export(tmp_path / "same.jsonl", "predictions", row)
    assert (tmp_path / "same.jsonl").read_text() == line
    changes: list[dict[str, Any]] = [
        {"qid": "2"},
        {"qid_is_int": False},
        {"query": "p"},
        {"vid": "w"},
        {"duration_s": 3.0},
        {"extra": {}},
        {"annotations": (replace(TINY, windows=((1.0, 2.0),), scores=(0.5,)),)},
        {"raw": '{"qid": 1}'},
    ]
    for number, change in enumerate(changes):
        export(tmp_path / f"{number}.jsonl", "predictions", replace(row, **change))
        assert (tmp_path / f"{number}.jsonl").read_text() != line, change


def test_one_model_is_chosen(tmp_path: Path) -> None:
    second = replace(TINY, annotator="b", reason="r")
    row = replace(FULL, annotations=(*(FULL.annotations or ()), second))
    with pytest.raises(RowsRejected, match=r'annotations is \["tempo/tiny\+lora", "b"\]; needs exactly one'):
        export(tmp_path / "p.jsonl", "predictions", row)
    with pytest.raises(RowsRejected, match=r"annotations is \[\]; needs exactly one model's version"):
        export(tmp_path / "p.jsonl", "predictions", row, predictions_of="c")
    report = export(tmp_path / "p.jsonl", "predictions", row, predictions_of="b")
    assert json.loads((tmp_path / "p.jsonl").read_text())["model"] == "b"
    assert report.dropped == {
        "alpha_clip": 1,
        "annotations.circumstances": 1,
        "annotations.others": 1,
        "mean_tiou": 1,
        "model_version": 1,
        "original_windows": 1,
        "reason": 1,
        "row_rev": 1,
        "split": 1,
        "verdict": 1,
        "windows": 1,
    }
    assert export(tmp_path / "val.jsonl", "predictions", PREDICTED).dropped.get("annotations.others") is None


@pytest.mark.parametrize(
    "circumstance", [{"reason": "r"}, {"arm": "a"}, {"active_ms": 1}, {"updated_at": "t"}, {"revision": 1}]
)
def test_what_a_prediction_does_not_say_is_counted(tmp_path: Path, circumstance: dict[str, Any]) -> None:
    row = Row(qid="1", query="q", vid="v", annotations=(replace(TINY, **circumstance),))
    assert export(tmp_path / "p.jsonl", "predictions", row).dropped == {"annotations.circumstances": 1}


def test_a_prediction_needs_scores(tmp_path: Path) -> None:
    row = replace(PREDICTED, annotations=(replace(TINY, scores=None),))
    with pytest.raises(RowsRejected, match="every predicted window needs a score"):
        export(tmp_path / "p.jsonl", "predictions", row)


LINE: dict[str, Any] = {"qid": 1, "query": "q", "vid": "v", "pred_relevant_windows": [[1, 2, 0.5]]}


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"qid": 1.5}, "qid", "whole number"),
        ({"query": ""}, "query", "must be text"),
        ({"vid": 3}, "vid", "must be text"),
        ({"duration": 0}, "duration", "above 0"),
        ({"pred_relevant_windows": [[1, 2]]}, "pred_relevant_windows", r"must be \[start, end, score\]"),
        ({"pred_relevant_windows": 3}, "pred_relevant_windows", "must be a list"),
        ({"pred_relevant_windows": [3]}, "pred_relevant_windows", "must be a list"),
        ({"pred_relevant_windows": [[2, 1, 0.5]]}, "pred_relevant_windows", "end after it starts"),
        (
            {"pred_relevant_windows": [[3, 3, 0.5]]},
            "pred_relevant_windows",
            "none of the windows has a length",
        ),
        ({"pred_relevant_windows": [[1, 2, "x"]]}, "pred_relevant_windows", "finite number"),
        ({"pred_saliency_scores": ["x"]}, "pred_saliency_scores", "finite number"),
        ({"model": ""}, "model", "must be text"),
        ({"pred_class": 1.5}, "pred_class", "probability from 0 to 1"),
        ({"refused": 1}, "refused", "true or false"),
        ({"refused": True, "moments": [[1, 2]]}, "moments", "contradicts the refusal"),
    ],
)
def test_a_bad_prediction(tmp_path: Path, change: dict[str, Any], field: str, rule: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({**LINE, **change}), "utf-8")
    with pytest.raises(RowsRejected, match=rf"p\.jsonl, line 1: {field} is .*{rule}"):
        read(path, format="predictions")


def test_bytes_that_are_no_text_are_refused_without_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"qid": 1, "query": "\xff"}')
    with pytest.raises(
        InputError, match=r"^in\.jsonl cannot be read as UTF-8 text: .*byte 0xff.* Save it as UTF-8\."
    ):
        read(path, format="qvhighlights")
