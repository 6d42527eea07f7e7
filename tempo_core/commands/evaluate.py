"""`python -m tempo_core evaluate`: score a prediction file on a ground truth, as a table, JSON or an HTML page."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tempo_core.command_line import AsJson, show
from tempo_core.errors import InputError

MAX_LISTED_PROBLEMS = 20
Rules = Literal[
    "official",
    "strict",
    "qv-m2",
    "soccer-gmr",
    "omtg",
    "vue-tr",
    "vue-tr-v2",
    "timelens",
    "unitime",
    "na-vmr",
    "ra-rft",
    "all",
]


def evaluate(
    predictions: Annotated[Path, typer.Option(metavar="P.jsonl", help="one predicted query on each line")],
    ground_truth: Annotated[
        Path, typer.Option(metavar="G.jsonl", help="QVHighlights rows; no windows: refuse")
    ],
    rules: Annotated[
        Rules,
        typer.Option(
            metavar="NAME",
            help="official: the published evaluator's numbers, faults included; strict: faults mended; qv-m2, "
            "soccer-gmr, omtg, vue-tr, vue-tr-v2, timelens, unitime, na-vmr, ra-rft: the numbers of that benchmark's "
            "evaluator; all: every one, and where they disagree",
        ),
    ] = "strict",
    corrected: Annotated[
        Path | None, typer.Option(metavar="G2.jsonl", help="a second ground truth, scored side by side")
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="a table by a field of G.jsonl; may be repeated")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="score only the queries that were predicted")
    ] = False,
    samples: Annotated[int, typer.Option(metavar="N", help="resamplings for the 95 % intervals")] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", help="seed of the resampling")] = 0,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="write a page with plots that needs no network")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a prediction file on a ground truth: the QVHighlights scores, official or strict, with overlap and boundary
    errors of the answers and refusal; or by the rules of another benchmark. Both files are JSON lines."""
    if seed < 0:
        raise InputError(f"--seed is {seed}; give a whole number of 0 or more.")
    from tempo_core.metrics import SubmissionError

    try:
        if rules == "official" or rules == "strict":
            options: dict[str, Any] = {"rules": rules, "partial": partial, "samples": samples, "seed": seed}
            data, text = _score(predictions, ground_truth, corrected, by or [], html, options)
        else:
            _refuse(html is not None, "--html", rules)
            data, text = _score_by_rules(predictions, ground_truth, corrected, by or [], rules, partial)
    except SubmissionError as error:
        if len(error.problems) > 1:  # the error itself names the first
            lines = [str(problem) for problem in error.problems[:MAX_LISTED_PROBLEMS]]
            sys.stderr.write("\n".join(lines) + "\n")
        raise
    show(data, text, as_json=as_json)


def _score(
    predictions: Path,
    ground_truth: Path,
    corrected: Path | None,
    by: list[str],
    html: Path | None,
    options: dict[str, Any],
) -> tuple[dict[str, Any], str]:
    from tempo_core.metrics import evaluate_files
    from tempo_core.metrics.table import render

    evaluation = evaluate_files(predictions, ground_truth, by=by, **options)
    on_corrected = None if corrected is None else evaluate_files(predictions, corrected, **options)
    if html is not None:
        from tempo_core.metrics.html import render_page

        try:
            html.write_text(render_page(evaluation, on_corrected), encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"The page cannot be written to {html}: {error}. Give a file in a writable folder."
            ) from None
    data = evaluation.to_dict() | {"corrected": on_corrected.to_dict() if on_corrected else None}
    return data, render(evaluation, on_corrected)


def _score_by_rules(
    predictions: Path, ground_truth: Path, corrected: Path | None, by: list[str], rules: Rules, partial: bool
) -> tuple[dict[str, Any], str]:
    from tempo_core.metrics.rules.comparison import compare_rules_of_files
    from tempo_core.metrics.rules.report import evaluate_files_by_rules
    from tempo_core.metrics.table import render_comparison, render_rules

    if rules == "all":
        _refuse(corrected is not None, "--corrected", rules)
        _refuse(bool(by), "--by", rules)
        comparison = compare_rules_of_files(predictions, ground_truth, partial=partial)
        return comparison.to_dict(), render_comparison(comparison)
    report = evaluate_files_by_rules(predictions, ground_truth, rules=rules, by=by, partial=partial)
    on_corrected = None
    if corrected is not None:
        on_corrected = evaluate_files_by_rules(predictions, corrected, rules=rules, partial=partial)
    data = report.to_dict() | {"corrected": on_corrected.to_dict() if on_corrected else None}
    return data, render_rules(report, on_corrected)


def _refuse(is_set: bool, option: str, rules: Rules) -> None:
    if is_set:
        raise InputError(f"{option} is not made for --rules {rules}; leave it out, or give --rules strict.")
