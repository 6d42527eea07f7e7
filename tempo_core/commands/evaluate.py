"""`python -m tempo_core evaluate`: score a prediction file on a ground truth, as a table, JSON or an HTML page."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tempo_core.command_line import AsJson, show
from tempo_core.errors import InputError

MAX_LISTED_PROBLEMS = 20


def evaluate(
    predictions: Annotated[Path, typer.Option(metavar="P.jsonl", help="one predicted query on each line")],
    ground_truth: Annotated[
        Path, typer.Option(metavar="G.jsonl", help="QVHighlights rows; no windows: refuse")
    ],
    rules: Annotated[
        Literal["official", "strict"],
        typer.Option(
            help="official: the published evaluator's numbers, faults included; strict: faults mended"
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
    """Score a prediction file on a ground truth: the QVHighlights scores, official or strict, overlap and boundary
    errors of the answers, and refusal. Both files are JSON lines."""
    from tempo_core.metrics import SubmissionError, evaluate_files
    from tempo_core.metrics.table import render

    options: dict[str, Any] = {"rules": rules, "partial": partial, "samples": samples, "seed": seed}
    try:
        evaluation = evaluate_files(predictions, ground_truth, by=by or [], **options)
        on_corrected = None if corrected is None else evaluate_files(predictions, corrected, **options)
    except SubmissionError as error:
        if len(error.problems) > 1:  # the error itself names the first
            lines = [str(problem) for problem in error.problems[:MAX_LISTED_PROBLEMS]]
            sys.stderr.write("\n".join(lines) + "\n")
        raise
    if html is not None:
        from tempo_core.metrics.html import render_page

        try:
            html.write_text(render_page(evaluation, on_corrected), encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"The page cannot be written to {html}: {error}. Give a file in a writable folder."
            ) from None
    data = evaluation.to_dict()
    data["corrected"] = on_corrected.to_dict() if on_corrected else None
    show(data, render(evaluation, on_corrected), as_json=as_json)
