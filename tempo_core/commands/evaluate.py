"""`python -m tempo_core evaluate`: score a prediction file on a ground truth, as a table, JSON or an HTML
page.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tempo_core.errors import InputError

if TYPE_CHECKING:  # numpy is imported when the command runs, not when its help is printed
    from tempo_core.metrics.evaluation import Evaluation

PROBLEMS_SHOWN = 20


def add_parser(subparsers: Any) -> None:
    """Add the command to an argparse subparsers object."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score predictions against ground truth",
        description="Score a prediction file on a ground truth: the QVHighlights scores, official "
        "or strict, overlap and boundary errors of the answers, and refusal. Both files are JSON lines.",
    )
    parser.add_argument(
        "--predictions", required=True, metavar="P.jsonl", help="one predicted query on each line"
    )
    parser.add_argument(
        "--ground-truth", required=True, metavar="G.jsonl", help="QVHighlights rows; no windows: refuse"
    )
    parser.add_argument(
        "--rules",
        choices=("official", "strict"),
        default="strict",
        help="official: the published evaluator's numbers, faults included; strict (default): faults mended",
    )
    parser.add_argument("--corrected", metavar="G2.jsonl", help="a second ground truth, scored side by side")
    parser.add_argument(
        "--by", action="append", default=[], metavar="FIELD", help="a table by a field of G.jsonl"
    )
    parser.add_argument("--partial", action="store_true", help="score only the queries that were predicted")
    parser.add_argument(
        "--samples", type=int, default=1000, metavar="N", help="resamplings for the 95 %% intervals"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the resampling")
    parser.add_argument("--html", metavar="OUT.html", help="write a page with plots that needs no network")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score, write the page if asked, print the report. Raises InputError on files that cannot be scored.

    Where rows are broken, each is named on stderr (the first twenty) before the error is raised.
    """
    from tempo_core.metrics.rows import SubmissionError

    try:
        evaluation, corrected = _evaluate(args)
    except SubmissionError as error:
        if len(error.problems) > 1:
            shown = [str(problem) for problem in error.problems[:PROBLEMS_SHOWN]]
            sys.stderr.write("\n".join(shown) + "\n")
        raise
    if args.html:
        _write_page(Path(args.html), evaluation, corrected)
    if args.json:
        report = evaluation.to_dict() | {"corrected": corrected.to_dict() if corrected else None}
        sys.stdout.write(json.dumps(report, allow_nan=False) + "\n")
    else:
        from tempo_core.metrics.table import render

        sys.stdout.write(render(evaluation, corrected))
    return 0


def _evaluate(args: argparse.Namespace) -> "tuple[Evaluation, Evaluation | None]":
    from tempo_core.metrics.evaluation import evaluate
    from tempo_core.metrics.reading import read_predictions, read_truth

    predictions = read_predictions(args.predictions)
    options = {"rules": args.rules, "partial": args.partial, "samples": args.samples, "seed": args.seed}

    def score(truth: str, **more: Any) -> "Evaluation":
        files = {"predictions": str(args.predictions), "ground_truth": str(truth)}
        return evaluate(predictions, read_truth(truth), files=files, **options, **more)

    evaluation = score(args.ground_truth, by=args.by)
    return evaluation, score(args.corrected) if args.corrected else None


def _write_page(path: Path, evaluation: "Evaluation", corrected: "Evaluation | None") -> None:
    from tempo_core.metrics.html import render_page

    try:
        path.write_text(render_page(evaluation, corrected), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"The page cannot be written to {path}: {error}. Give a file in a writable folder."
        ) from None
