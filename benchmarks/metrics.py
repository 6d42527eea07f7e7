"""How fast a submission is scored: the whole evaluation of a file the size of QVHighlights val, and its plain twin."""

import json
import random
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

QUERIES = 1550
VIDEOS = 1519
TARGET_CPU_S = 3.0


def run(
    predictions: Annotated[Path | None, typer.Option(help="score this file instead of a made one")] = None,
    ground_truth: Annotated[Path | None, typer.Option(help="the ground truth of that file")] = None,
) -> int:
    """How fast a submission is scored: the whole evaluation of a file the size of QVHighlights val, and its plain twin.

    The official evaluator takes about 24 seconds of CPU for the same work. Exit code 1 when the evaluation misses its
    target of three seconds of CPU.
    """
    with tempfile.TemporaryDirectory(prefix="metrics-bench-") as folder:
        if predictions is None or ground_truth is None:
            predictions, ground_truth = write_random_files(Path(folder))
        figures = measure(predictions, ground_truth)
    for name, value in figures.items():
        print(f"{name:36s} {value:8.3f}")
    return int(figures["read, CPU s"] + figures["evaluate with intervals, CPU s"] > TARGET_CPU_S)


def measure(predictions: Path, truth: Path) -> dict[str, float]:
    """CPU seconds of each part, and how many times faster retrieval is than its plain twin."""
    from tempo_core.metrics import evaluate, read_predictions, read_truth
    from tempo_core.metrics.arrays import pad
    from tempo_core.metrics.official import rank, retrieval_scores
    from tempo_core.metrics.pairing import pair
    from tests.tempo_core.metrics import plain

    start = time.process_time()
    prediction_rows, truth_rows = read_predictions(predictions), read_truth(truth)
    read = time.process_time()
    evaluate(prediction_rows, truth_rows, rules="official", partial=True)
    scored = time.process_time()
    pairs = pair(truth_rows, prediction_rows, partial=True)
    windows = [
        (prediction.windows, row.windows)
        for prediction, row in zip(pairs.predictions, pairs.truth, strict=True)
        if prediction and prediction.windows and row.windows
    ]
    ranked = [predicted for predicted, _ in windows]
    fast = time.process_time()
    retrieval_scores(pad(ranked), rank(ranked), pad([true for _, true in windows]))
    slow = time.process_time()
    plain.official_retrieval(windows)
    end = time.process_time()
    return {
        "read, CPU s": read - start,
        "evaluate with intervals, CPU s": scored - read,
        "retrieval scores, CPU s": slow - fast,
        "retrieval scores, plain twin, CPU s": end - slow,
        "plain / vectorised": (end - slow) / (slow - fast),
    }


def write_random_files(folder: Path) -> tuple[Path, Path]:
    """A seeded submission and ground truth, as large as those of QVHighlights val."""
    rng = random.Random(0)
    truth, predictions = [], []
    for qid in range(QUERIES):
        count = rng.choices([1, 2, 3, 6], [1020, 278, 116, 136])[0]
        edges = sorted(rng.sample(range(0, 150, 2), 2 * count))
        windows = [list(pair) for pair in zip(edges[0::2], edges[1::2], strict=True)]
        clips = [clip for start, end in windows for clip in range(start // 2, end // 2)]
        ratings = [[rng.randrange(5) for _ in range(3)] for _ in clips]
        row = {"qid": qid, "vid": f"v{qid % VIDEOS}", "duration": 150, "relevant_windows": windows}
        truth.append(row | {"relevant_clip_ids": clips, "saliency_scores": ratings})
        starts = [rng.uniform(0, 140) for _ in range(10)]
        ranked = [[start, start + rng.uniform(1, 150 - start), 1 - i / 10] for i, start in enumerate(starts)]
        saliency = [rng.gauss(0, 1) for _ in range(75)]
        predictions.append({"qid": qid, "pred_relevant_windows": ranked, "pred_saliency_scores": saliency})
    paths = folder / "predictions.jsonl", folder / "truth.jsonl"
    for path, rows in zip(paths, (predictions, truth), strict=True):
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return paths
