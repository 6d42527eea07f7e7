"""One file under all rules: where they disagree, in the report and on the command line."""

import json
from pathlib import Path

import pytest

from tempo_core.__main__ import main
from tempo_core.metrics.rules import BENCHMARKS
from tempo_core.metrics.rules.comparison import QUANTITIES, compare_rules
from tests.tempo_core.metrics.builders import predicted_row, truth, write_rows

ROWS = [
    {"qid": 1, "relevant_windows": [[0, 10], [20, 30]], "duration": 60},
    {"qid": 2, "relevant_windows": [[5, 15]], "duration": 60},
    {"qid": 3, "relevant_windows": [], "duration": 60},
]
SAID = [
    {"qid": 1, "pred_relevant_windows": [[0, 10, 0.9], [20, 30, 0.8]], "relevance": 0.9},
    {"qid": 2, "pred_relevant_windows": [[5, 15, 0.9]], "moments": [[5, 15], [5, 15]], "relevance": 0.9},
    {"qid": 3, "pred_relevant_windows": [], "refused": True, "relevance": 0.1},
]


def run(tmp_path: Path, *words: str) -> int:
    predictions, true = write_rows(tmp_path / "p.jsonl", SAID), write_rows(tmp_path / "g.jsonl", ROWS)
    return main(["evaluate", "--predictions", str(predictions), "--ground-truth", str(true), *words])


def test_the_queries_that_the_rules_differ_on_are_named() -> None:
    rows = [truth(1, [(0, 10), (20, 30)]), truth(2, [(5, 15)])]
    predictions = [
        predicted_row(1, [(0.0, 10.0, 0.9), (20.0, 30.0, 0.8)]),
        predicted_row(2, [(5.0, 15.0, 0.9)], moments=((5.0, 15.0), (5.0, 15.0))),
    ]
    comparison = compare_rules(predictions, rows)
    assert comparison.rules == ("official", "strict", *BENCHMARKS)
    overlap = {row.qid: dict(row.overlap) for row in comparison.disagreements}
    # A perfect answer: RA-RFT knows one moment a query, and TimeLens and it alone read only the first.
    assert overlap[1]["ra-rft"] == 0.0
    assert overlap[1]["omtg"] == overlap[1]["unitime"] == 1.0
    assert "timelens" not in overlap[1]
    # One moment said twice: UniTime counts it twice on both sides of the fraction.
    assert overlap[2]["unitime"] == 2.0
    assert overlap[2]["vue-tr"] == 1.0
    assert [(row.qid, row.spread) for row in comparison.disagreements] == [(1, 1.0), (2, 1.0)]


def test_all_rules_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--rules", "all") == 0
    printed = capsys.readouterr().out
    for rules in ("official", "strict", *BENCHMARKS):
        assert f"\n{rules} " in printed
    assert "\nspread " in printed
    assert "note: timelens: 2 queries do not have exactly one moment" in printed
    assert run(tmp_path, "--rules", "all", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert set(data) == {"rules", "files", "quantities", "reports", "disagreements", "notes"}
    assert data["quantities"]["strict"].keys() == set(QUANTITIES)
    assert set(data["reports"]) == set(BENCHMARKS)


@pytest.mark.parametrize("rules", BENCHMARKS)
def test_each_benchmark_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rules: str
) -> None:
    assert run(tmp_path, "--rules", rules, "--corrected", str(tmp_path / "g.jsonl"), "--by", "duration") == 0
    printed = capsys.readouterr().out
    assert f"{BENCHMARKS[rules].source}): 3 of 3 queries scored, 0 missing." in printed
    assert "by duration" in printed
    assert run(tmp_path, "--rules", rules, "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["rules"], data["corrected"]) == (rules, None)


def test_rules_that_cannot_score_the_file_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = write_rows(tmp_path / "p.jsonl", SAID[:2])
    true = write_rows(tmp_path / "g.jsonl", ROWS)
    words = ["evaluate", "--predictions", str(predictions), "--ground-truth", str(true), "--rules", "all"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "note: qv-m2: 1 qids are not in the predictions (3)" in printed
    assert "\nqv-m2 " not in printed
    assert main([*words, "--partial"]) == 0
    assert "\nqv-m2 " in capsys.readouterr().out


def test_options_without_a_meaning_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--rules", "omtg", "--html", str(tmp_path / "o.html")) == 2
    assert "--html is not made for --rules omtg" in capsys.readouterr().err
    assert run(tmp_path, "--rules", "all", "--by", "duration") == 2
    assert "--by is not made for --rules all" in capsys.readouterr().err


def test_the_command_knows_every_benchmark() -> None:
    from typing import get_args

    from tempo_core.commands.evaluate import Rules

    assert get_args(Rules) == ("official", "strict", *BENCHMARKS, "all")
