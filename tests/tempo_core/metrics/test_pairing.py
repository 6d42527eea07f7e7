"""Ground truth and predictions meet by qid, and what cannot be scored is said."""

import numpy as np
import pytest

from tempo_core.errors import InputError
from tempo_core.metrics.pairing import group_rows, pair, read_answers
from tests.tempo_core.metrics.builders import predicted_row, truth

WINDOW = [(0.0, 10.0, 0.9)]


def test_the_order_is_that_of_the_ground_truth() -> None:
    pairs = pair(
        [truth(1, []), truth(2, []), truth(3, [])],
        [predicted_row(3, WINDOW), predicted_row(9, WINDOW), predicted_row(1, WINDOW)],
    )
    assert [row.qid if row else None for row in pairs.predictions] == [1, None, 3]
    assert (pairs.missing, pairs.unknown) == ((2,), (9,))
    shared = pair([truth(1, []), truth(2, [])], [predicted_row(2, WINDOW)], partial=True)
    assert [row.qid for row in shared.truth] == [2]
    assert shared.missing == (1,)


def test_files_of_different_data_are_refused() -> None:
    with pytest.raises(InputError, match=r"No qid of the predictions \(first: 5\).*\(first: 1\)"):
        pair([truth(1, [])], [predicted_row(5, WINDOW)])


def test_another_video_or_query_under_the_same_qid_is_noted() -> None:
    pairs = pair([truth(1, [], vid="a", query="x")], [predicted_row(1, WINDOW, vid="b", query="x")])
    assert len(pairs.notes) == 1
    assert pairs.notes[0].startswith("1 predictions have another vid")


def test_queries_of_one_video_share_a_cluster() -> None:
    rows = [truth(1, [], vid="a"), truth(2, [], vid="b"), truth(3, [], vid="a"), truth(4, [], vid=None)]
    assert pair(rows, [predicted_row(1, WINDOW)]).clusters.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("window", "reason"),
    [
        ((5.0, 5.0, 1.0), "end after it starts"),
        ((9.0, 5.0, 1.0), "end after it starts"),
        ((-0.1, 5.0, 1.0), "start at 0 or later"),
        ((150.0, 160.0, 1.0), "before the video ends (150 s)"),
    ],
)
def test_impossible_windows_are_left_out_with_a_reason(
    window: tuple[float, float, float], reason: str
) -> None:
    answers, rejected = read_answers(
        pair([truth(1, [])], [predicted_row(1, [*WINDOW, window], moments=(window[:2],))])
    )
    assert answers.ranked.counts.tolist() == [1]
    assert answers.moments.counts.tolist() == [0]
    assert [joined.field for joined in rejected] == ["pred_relevant_windows[1]", "moments[0]"]
    assert all(reason in joined.rule for joined in rejected)


def test_an_end_beyond_the_video_is_kept() -> None:
    answers, rejected = read_answers(pair([truth(1, [])], [predicted_row(1, [(140.0, 150.5, 1.0)])]))
    assert answers.ranked.edges[0, 0].tolist() == [140.0, 150.5]
    assert rejected == ()


def test_what_a_row_answers() -> None:
    ranking = [(0.0, 1.0, 0.2), (2.0, 3.0, 0.7), (4.0, 5.0, 0.5), (6.0, 7.0, 0.4)]
    rows = [
        predicted_row(1, ranking),  # the windows that are sure
        predicted_row(2, [(0.0, 1.0, 0.2), (2.0, 3.0, 0.3)]),  # none is: the best one
        predicted_row(3, ranking, moments=((8.0, 9.0),)),  # its own word
        predicted_row(4, ranking, refused=True),  # a refusal has no moments
        predicted_row(5, [], refused=False),  # nothing, but not a refusal either
    ]
    answers, _ = read_answers(pair([truth(q, []) for q in range(1, 7)], rows))
    joined = [answers.moments.edges[i, : answers.moments.counts[i], 0].tolist() for i in range(6)]
    assert joined == [[2, 4], [2], [8], [], [], []]
    assert answers.ranked.edges[0, :4, 0].tolist() == [2, 4, 6, 0]
    assert answers.refused.tolist() == [False, False, False, True, False, False]
    assert np.isnan(answers.relevance).all()


def test_groups_by_a_field() -> None:
    rows = [
        truth(1, [], fields={"kind": "b"}),
        truth(2, [], fields={"kind": 3}),
        truth(3, [], fields={"qid": 3}),
    ]
    pairs = pair(rows, [predicted_row(1, WINDOW)])
    joined = {name: mask.tolist() for name, mask in group_rows(pairs, "kind").items()}
    assert joined == {"(absent)": [False, False, True], "3": [False, True, False], "b": [True, False, False]}
    with pytest.raises(InputError, match=r"No row of the ground truth has a field 'tier'.*kind, qid"):
        group_rows(pairs, "tier")
