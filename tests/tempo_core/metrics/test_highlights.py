"""Highlight scores of many queries equal those of each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tempo_core.metrics.highlights import clip_average_precision, hit_at_one, pad_saliency, rate
from tests.tempo_core.metrics import plain
from tests.tempo_core.metrics.builders import truth

clip = st.tuples(st.integers(-2, 2).map(float), st.tuples(st.booleans(), st.booleans(), st.booleans()))


@settings(max_examples=150)
@given(st.lists(st.lists(clip, min_size=1, max_size=8), min_size=1, max_size=4))
def test_clip_average_precision_equals_its_plain_twin(
    rows: list[list[tuple[float, tuple[bool, bool, bool]]]],
) -> None:
    clips = max(map(len, rows))
    scores, positive = np.full((len(rows), clips), 9.0), np.ones((len(rows), clips, 3), dtype=bool)
    valid = np.zeros((len(rows), clips), dtype=bool)
    for place, row in enumerate(rows):
        scores[place, : len(row)] = [score for score, _ in row]
        positive[place, : len(row)] = [so for _, so in row]
        valid[place, : len(row)] = True
    fast = clip_average_precision(positive, scores, valid)
    slow = [
        [plain.clip_average_precision([so[a] for _, so in row], [s for s, _ in row]) for a in range(3)]
        for row in rows
    ]
    assert fast == pytest.approx(np.array(slow), abs=1e-12)


def test_rate_puts_scores_where_the_clips_are() -> None:
    rows = [
        truth(1, [(2, 4)], duration_s=6.0, clip_ids=(1,), saliency=((1.0, 2.0, 3.0),)),
        truth(2, [], duration_s=9.0, clip_ids=(), saliency=()),
    ]
    ratings = rate(rows)
    assert ratings.scores.shape == (2, 4, 3)
    assert ratings.scores[0, 1].tolist() == [1, 2, 3]
    assert ratings.scores.sum() == 6
    assert ratings.valid.tolist() == [[True, True, True, False], [True] * 4]


def test_scores_are_cut_or_filled() -> None:
    rows = [(0.5, -2.0, 3.0), (-1.0,), None]
    assert pad_saliency(rows, 2, fill=0.0).tolist() == [[0.5, -2.0], [-1.0, 0.0], [0.0, 0.0]]
    assert pad_saliency(rows, 2, fill=None).tolist() == [[0.5, -2.0], [-1.0, -2.0], [-1.0, -1.0]]


def test_the_first_of_equal_clips_is_the_top_one() -> None:
    positive = np.zeros((4, 2, 3), dtype=bool)
    positive[:, 0, 2] = True
    rows = [(1.0, 1.0), (0.0, 1.0), (0.0, 0.0, 5.0), None]
    assert hit_at_one(positive, rows).tolist() == [True, False, False, False]
