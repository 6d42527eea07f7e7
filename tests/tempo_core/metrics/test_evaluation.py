"""A whole evaluation: measures by hand, groups, comparison, the command, the page."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tempo_core import moments
from tempo_core.__main__ import main
from tempo_core.errors import InputError
from tempo_core.metrics import compare, evaluate
from tempo_core.metrics.measures import measure, score_queries
from tempo_core.metrics.pairing import pair, read_answers
from tempo_core.metrics.rows import PredictionRow, TruthRow
from tests.tempo_core.metrics import plain
from tests.tempo_core.metrics.builders import possible_window, predicted_row, scored, truth, write_rows

ROWS = [
    truth(1, [(0, 10)], fields={"kind": "a"}),
    truth(2, [(20, 30)], fields={"kind": "a"}),
    truth(3, [], fields={"kind": "b"}),
    truth(4, [], fields={"kind": "b"}),
]
SAID = [
    predicted_row(1, [(0.0, 8.0, 0.9)], relevance=0.9),
    predicted_row(2, [], refused=True, relevance=0.4),
    predicted_row(3, [], refused=True, relevance=0.1),
    predicted_row(4, [(0.0, 5.0, 0.6)], relevance=0.6),
]


def test_measures_by_hand() -> None:
    evaluation = evaluate(SAID, ROWS, samples=50)
    values = {name: entry["value"] for name, entry in evaluation.measures.items()}
    assert values == {
        "miou": pytest.approx(0.4),  # .8 and a refusal
        "recall@0.3": 0.5,
        "recall@0.5": 0.5,
        "recall@0.7": 0.5,
        "set_iou": pytest.approx(0.45),  # .8, 0, 1, 0
        "relevant_set_iou": pytest.approx(0.4),
        "set_f1@0.3": 0.5,
        "set_f1@0.5": 0.5,
        "set_f1@0.7": 0.5,
        "count_accuracy": 0.5,
        "start_error_s": 0.0,
        "end_error_s": 2.0,
        "refused_f1": 0.5,
        "relevant_f1": 0.5,
        "mean_f1": 0.5,
        "ra_iou": pytest.approx(0.45),
        "over_refusal": 0.5,
        "missed_refusal": 0.5,
        "not_understood": 0.0,
    }
    assert evaluation.auroc == 0.75
    assert (
        evaluation.counts["relevant"] == evaluation.counts["irrelevant"] == evaluation.counts["refused"] == 2
    )
    assert evaluation.whole_clip["miou"] == pytest.approx(10 / 150)
    assert evaluation.whole_clip["missed_refusal"] == 1.0


def test_an_empty_answer_that_does_not_refuse_earns_nothing() -> None:
    rows = [truth(1, [(0, 10)]), truth(2, []), truth(3, [])]
    silent = evaluate(
        [predicted_row(1, [(0.0, 10.0, 1.0)]), predicted_row(2, [], refused=False)], rows, samples=5
    )
    assert silent.measures["set_iou"]["value"] == pytest.approx(1 / 3)
    assert silent.measures["ra_iou"]["value"] == pytest.approx(1 / 3)
    assert silent.measures["missed_refusal"]["value"] == 1.0


def test_what_is_not_defined_is_none_and_never_nan() -> None:
    report = evaluate([predicted_row(1, [])], [truth(1, [(0, 10)], duration_s=None)], samples=5).to_dict()
    assert report["measures"]["missed_refusal"] == {"value": None, "low": None, "high": None}
    assert report["measures"]["start_error_s"]["value"] is None
    assert report["whole_clip"] == {}
    assert report["auroc"] is None
    json.dumps(report, allow_nan=False)


def test_groups_have_their_own_measures() -> None:
    groups = evaluate(SAID, ROWS, by=["kind"], samples=20).groups["kind"]
    assert groups["a"]["queries"]["value"] == groups["b"]["queries"]["value"] == 2
    assert groups["a"]["miou"]["value"] == pytest.approx(0.4)
    assert groups["b"]["miou"]["value"] is None
    assert groups["b"]["missed_refusal"]["value"] == 0.5


def test_official_rules_need_every_query_unless_partial() -> None:
    with pytest.raises(InputError, match=r"1 qids are not in the predictions \(2\).*--partial"):
        evaluate(
            [predicted_row(1, [(0.0, 10.0, 1.0)])],
            [truth(1, [(0, 10)]), truth(2, [(0, 10)])],
            rules="official",
        )
    with pytest.raises(InputError, match=r"1 qids are not in the ground truth \(2\)"):
        evaluate(
            [predicted_row(q, [(0.0, 10.0, 1.0)]) for q in (1, 2)], [truth(1, [(0, 10)])], rules="official"
        )
    rows = [truth(1, [(0, 10)]), truth(2, [(0, 10)])]
    partial = evaluate(
        [predicted_row(1, [(0.0, 10.0, 1.0)])], rows, rules="official", partial=True, samples=5
    )
    assert partial.scores["full"]["MR-mAP"]["average"] == 100.0
    assert partial.counts["scored"] == 1


def test_impossible_windows_are_noted_under_the_official_rules() -> None:
    evaluation = evaluate(
        [predicted_row(1, [(30.0, 20.0, 1.0)])], [truth(1, [(0, 10)])], rules="official", samples=5
    )
    assert evaluation.scores["full"]["MR-mAP"]["average"] == 100.0
    assert evaluation.measures["miou"]["value"] == 0.0
    assert "1 impossible windows are scored as they are" in evaluation.notes[0]


def test_compare_says_which_is_better() -> None:
    rows = [truth(q, [(0, 10)]) for q in range(40)]
    short = [predicted_row(q, [(0.0, 5.0 + q % 3, 1.0)]) for q in range(40)]
    longer = [predicted_row(q, [(0.0, 6.0 + q % 3, 1.0)]) for q in range(40)]
    evaluation = compare(short, longer, rows, samples=200)
    assert evaluation["miou"].second - evaluation["miou"].first == pytest.approx(0.1)
    assert evaluation["miou"].low == pytest.approx(0.1)
    assert evaluation["miou"].p_value < 0.02
    assert evaluation["over_refusal"].p_value == 1.0


def test_not_knowing_what_was_asked_is_neither_an_answer_nor_a_refusal() -> None:
    rows = [truth(0, [(0, 10)]), truth(1, [(0, 10)]), truth(2, []), truth(3, []), truth(4, [])]
    predictions = [
        predicted_row(0, [(0.0, 10.0, 1.0)]),
        predicted_row(1, [], refused=False, understood=False),
        predicted_row(2, [], refused=True),
        predicted_row(3, [], refused=False, understood=False),
        predicted_row(4, [], understood=False),  # no window alone would be a refusal
    ]
    measures = evaluate(predictions, rows, rules="strict").measures
    values = {name: measures[name]["value"] for name in ("miou", "set_iou", "over_refusal", "missed_refusal")}
    assert values == {
        "miou": 0.5,
        "set_iou": pytest.approx(2 / 3),
        "over_refusal": 0.0,
        "missed_refusal": 0.0,
    }
    assert measures["refused_f1"]["value"] == 1.0
    assert measures["relevant_f1"]["value"] == pytest.approx(2 / 3)
    assert measures["not_understood"]["value"] == pytest.approx(3 / 5)


query = st.tuples(
    st.lists(possible_window, max_size=3),
    st.lists(scored(possible_window), max_size=4),
    st.one_of(st.none(), st.booleans()),
)


@settings(max_examples=100)
@given(st.lists(query, min_size=1, max_size=6))
def test_measures_equal_their_plain_twins(rows: list[tuple[list, list, bool | None]]) -> None:
    truths = [truth(q, windows) for q, (windows, _, _) in enumerate(rows)]
    predictions = [predicted_row(q, windows, refused=refused) for q, (_, windows, refused) in enumerate(rows)]
    pairs = pair(truths, predictions)
    fast = {name: r.value() for name, r in measure(score_queries(pairs, read_answers(pairs)[0])).items()}
    relevant = [bool(row.windows) for row in truths]
    refused = [row.has_refused for row in predictions]
    overlap = [set_iou_of(*row) for row in zip(truths, predictions, strict=True)]
    first = [top_iou_of(*row) for row in zip(truths, predictions, strict=True)]
    right = [iou if so else float(not_) for iou, so, not_ in zip(overlap, relevant, refused, strict=True)]
    assert fast["set_iou"] == pytest.approx(sum(right) / len(right))
    assert fast["refused_f1"] == pytest.approx(plain.f1(refused, [not so for so in relevant]), nan_ok=True)
    assert fast["relevant_f1"] == pytest.approx(plain.f1([not r for r in refused], relevant), nan_ok=True)
    wrong = [so == not_ for so, not_ in zip(relevant, refused, strict=True)]
    assert fast["ra_iou"] == pytest.approx(
        sum(0 if w else v for w, v in zip(wrong, right, strict=True)) / len(right)
    )
    if any(relevant):
        ours = [iou for iou, so in zip(first, relevant, strict=True) if so]
        assert fast["miou"] == pytest.approx(sum(ours) / len(ours))
        assert fast["recall@0.5"] == pytest.approx(sum(iou >= 0.5 for iou in ours) / len(ours))


def set_iou_of(row: TruthRow, prediction: PredictionRow) -> float:
    ranked = [] if prediction.has_refused else sorted(prediction.windows or (), key=lambda w: -w[2])
    answer = [w for w in ranked if w[2] >= 0.5] or ranked[:1]
    return moments.set_iou(moments.moments_from_pairs(answer), moments.moments_from_pairs(row.windows))


def top_iou_of(row: TruthRow, prediction: PredictionRow) -> float:
    ranked = [] if prediction.has_refused else sorted(prediction.windows or (), key=lambda w: -w[2])
    return plain.best_iou(ranked, row.windows)


def call(*words: str | Path) -> int:
    return main(["evaluate", *map(str, words)])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    true = [
        {"qid": 1, "vid": "a", "duration": 20, "relevant_windows": [[0, 10]], "kind": "<b>"},
        {"qid": 2, "vid": "b", "duration": 20, "relevant_windows": [], "verdict": "no-moment", "kind": "x"},
    ]
    predictions = [
        {"qid": 1, "pred_relevant_windows": [[0, 8, 0.9], [9, 3, 0.1]], "relevance": 0.8},
        {"qid": 2, "pred_relevant_windows": [], "refused": True, "relevance": 0.2},
    ]
    return write_rows(tmp_path / "p.jsonl", predictions), write_rows(tmp_path / "g.jsonl", true)


@pytest.mark.parametrize("rules", ["official", "strict"])
def test_the_command_prints_a_table(
    files: tuple[Path, Path], rules: str, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, true = files
    words = ["--predictions", predictions, "--ground-truth", true, "--corrected", true, "--by", "kind"]
    assert call(*words, "--rules", rules) == 0
    out = capsys.readouterr().out
    assert f"{rules} rules: 2 of 2 queries scored (1 with a moment, 1 without; 2 videos), 0 missing" in out
    assert "its ceiling" in out
    assert "by kind" in out
    assert f"left out: {predictions}, line 1 (qid 1): pred_relevant_windows[1] is [9.0, 3.0, 0.1]" in out
    assert "nan" not in out.lower()


def test_the_command_prints_json(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    predictions, true = files
    assert call("--predictions", predictions, "--ground-truth", true, "--corrected", true, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["measures"]["miou"]["value"] == pytest.approx(0.8)
    assert report["rejected"][0]["rule"] == "a window must end after it starts"
    assert report["corrected"]["counts"] == report["counts"]
    assert report["ceiling"]["full"]["MR-mAP"]["average"] == 100.0


def test_the_command_names_every_broken_row(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, true = files
    broken = write_rows(true.parent / "broken.jsonl", [{"qid": 1}, {"qid": 2, "refused": 3}])
    assert call("--predictions", broken, "--ground-truth", true) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "line 2 (qid 2): refused is 3; it must be true or false" in lines[1]
    assert re.search(r"^evaluate: .*line 1 .* \(and 1 more", lines[2])


def test_the_page_stands_alone_and_escapes_what_it_shows(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, true = files
    out = true.parent / "o.html"
    words = ["--predictions", predictions, "--ground-truth", true, "--corrected", true, "--by", "kind"]
    assert call(*words, "--html", out) == 0
    page = out.read_text(encoding="utf-8")
    head, _, rest = page.partition("<script>")
    own = rest.rpartition("<script>")[2]
    assert "&lt;b&gt;" in head
    assert "<b>" not in head
    assert "http" not in head
    assert "http" not in own
    figures = json.loads(own[own.index("{") : own.index(";\n")])
    assert set(figures) == {"length", "iou", "edges", "calibration", "corrected"}
    assert sum(figures["iou"]["data"][0]["y"]) == 1
    assert call(*words, "--html", true.parent / "absent" / "o.html") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_page_without_anything_to_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    true = write_rows(tmp_path / "g", [{"qid": 1, "relevant_windows": [[0, 5]]}])
    predictions = write_rows(tmp_path / "p", [{"qid": 1, "refused": True}])
    assert call("--predictions", predictions, "--ground-truth", true, "--html", tmp_path / "o.html") == 0
    page = (tmp_path / "o.html").read_text(encoding="utf-8")
    assert "The predictions do not say P(relevant)." in page
    assert "No predicted moment overlaps a true one." in page


def test_the_command_prints_the_published_scores_of_a_val_file(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = shared_data / "eval" / "sample_val_preds.jsonl"
    true = shared_data / "qvhighlights" / "highlight_val_release.jsonl"
    words = ["--predictions", predictions, "--ground-truth", true, "--html", tmp_path / "o.html"]
    assert call(*words, "--rules", "official", "--json") == 0
    brief = json.loads(capsys.readouterr().out)["scores"]["brief"]
    published = json.loads((shared_data / "eval" / "sample_val_preds_metrics_raw.json").read_text())
    assert brief == published["brief"]
