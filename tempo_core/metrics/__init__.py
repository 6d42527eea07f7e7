"""Scoring predictions against ground truth: official and strict QVHighlights scores, sets, edges, refusal.

`evaluate_files` is the whole of it; `compare` sets two prediction files against each other; `rules/` scores by the
rules of other benchmarks. The modules, in the order in which data passes through them: `rows`, `pairing`, `arrays`,
`ranking` and `highlights`, `official` and `strict`, `measures`, `bootstrap`, `evaluation`, `table` and `html`.
`tests/tempo_core/metrics/plain.py` says the same things slowly: tests hold these modules equal to it.
"""

from tempo_core.metrics.evaluation import Evaluation, compare, evaluate, evaluate_files
from tempo_core.metrics.rows import (
    PredictionRow,
    SubmissionError,
    TruthRow,
    read_both,
    read_predictions,
    read_truth,
)

__all__ = [
    "Evaluation",
    "PredictionRow",
    "SubmissionError",
    "TruthRow",
    "compare",
    "evaluate",
    "evaluate_files",
    "read_both",
    "read_predictions",
    "read_truth",
]
