"""RA-RFT: grounding that may refuse (arXiv 2511.23151), by its authors' evaluator without its judge.

Source: JINSUBY/RA-RFT, `evaluate.py` and `src/llm_eval`. There a language model reads from prose whether the answer
refuses and which window it means best; here the row says whether it refuses, and its first moment is that window.
`RA-IoU` is 0 for the wrong class, 1 for a right refusal, else the IoU; `R@t` in percent; accuracy, precision, recall
and F1 of the two classes in 0 to 1. What needs the judge is absent: RT-IoU (reasons for refusing), the score of the
reasoning and its similarity.

Its faults, kept: right refusals count as hits of `R@t`, so the share of queries without a moment moves it. Only one
moment is known: a query with several is IoU 0 whatever the answer. Rows that neither refuse nor give a window count as
relevant.
"""

import numpy as np

from tempo_core.metrics.arrays import cross_iou
from tempo_core.metrics.pairing import Pairs
from tempo_core.metrics.rules.base import RuleScores, Scores, answers, refusals

THRESHOLDS = (0.3, 0.5, 0.7)


def score(pairs: Pairs) -> RuleScores:
    """RA-IoU, recall, and the classification of queries, in the evaluator's nesting."""
    stated, truth, refused = answers(pairs), pairs.truth_windows, refusals(pairs)
    relevant = truth.counts > 0
    first, moment = stated.first(), truth.first()
    window_iou = np.maximum(np.nan_to_num(cross_iou(first, moment)[:, 0, 0]), 0.0) * (truth.counts == 1)
    overlap = np.where(refused, (~relevant).astype(np.float64), np.where(relevant, window_iou, 0.0))
    true_answers, false_answers = int((~refused & relevant).sum()), int((~refused & ~relevant).sum())
    over_refused, true_refusals = int((refused & relevant).sum()), int((refused & ~relevant).sum())
    scores: Scores = {
        "relevance": {
            "overall_accuracy": float(np.mean(refused != relevant)),
            "per_class": {
                "relevant": classification(true_answers, false_answers, over_refused),
                "irrelevant": classification(true_refusals, over_refused, false_answers),
            },
            "confusion": {"TP": true_answers, "FP": false_answers, "FN": over_refused, "TN": true_refusals},
        },
        "RA-IoU": {
            "mean_all": float(overlap.mean()),
            **{f"R@{t}": 100 * float(np.mean(overlap >= t)) for t in THRESHOLDS},
        },
    }
    notes = []
    if several := int((truth.counts > 1).sum()):
        notes.append(f"{several} queries have several moments: the evaluator gives them IoU 0.")
    refusing = scores["relevance"]["per_class"]["irrelevant"]
    return RuleScores(
        scores=scores,
        quantities={
            "R@0.5": scores["RA-IoU"]["R@0.5"],
            "R@0.7": scores["RA-IoU"]["R@0.7"],
            "mean IoU": 100 * scores["RA-IoU"]["mean_all"],
            "refusal F1": 100 * refusing["f1"],
            "refusal recall": 100 * refusing["recall"],
        },
        overlap=overlap,
        notes=tuple(notes),
    )


def classification(true_positives: int, false_positives: int, false_negatives: int) -> Scores:
    """Precision, recall and F1 of one class, recall under the evaluator's two names; 0 where nothing is divided by."""
    predictions, actual = true_positives + false_positives, true_positives + false_negatives
    precision = true_positives / predictions if predictions else 0.0
    recall = true_positives / actual if actual else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "accuracy_within_gt_relevance": recall}
