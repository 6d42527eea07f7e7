"""Rows and files for the tests of metrics, and hypothesis strategies for windows."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tempo_core.metrics.rows import PredictionRow, TruthRow

# Whole seconds: equal fits are then common, and sums are exact, so that ties are compared and not rounding.
seconds = st.integers(0, 20).map(float)
possible_window = st.tuples(seconds, seconds).filter(lambda w: w[0] != w[1]).map(lambda w: (min(w), max(w)))
any_window = st.tuples(seconds, seconds)
score = st.integers(0, 5).map(lambda n: n / 5)


def scored(window: st.SearchStrategy[tuple[float, float]]) -> st.SearchStrategy[tuple[float, float, float]]:
    return st.tuples(window, score).map(lambda pair: (*pair[0], pair[1]))


def truth(qid: int, windows: Sequence[Sequence[float]], **fields: Any) -> TruthRow:
    values: dict[str, Any] = {"vid": f"v{qid}", "duration_s": 150.0, **fields}
    return TruthRow(line=1, qid=qid, windows=tuple((w[0], w[1]) for w in windows), **values)


def predicted_row(qid: int, windows: Sequence[Sequence[float]] | None, **fields: Any) -> PredictionRow:
    ranked = None if windows is None else tuple((w[0], w[1], w[2]) for w in windows)
    return PredictionRow(line=1, qid=qid, windows=ranked, **fields)


def write_rows(path: Path, rows: Iterable[Any]) -> Path:
    """One line for each row; a text stands as it is."""
    path.write_text(
        "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8"
    )
    return path


def published_numbers(scores: Mapping[str, Any], path: Sequence[str] = ()) -> dict[str, float | None]:
    """Every number of the nested layout under a flat name such as `full/MR-mAP/0.5`; a val file has 104."""
    flat: dict[str, float | None] = {}
    for name, value in scores.items():
        if isinstance(value, Mapping):
            flat |= published_numbers(value, (*path, name))
        else:
            flat["/".join((*path, name))] = value
    return flat
