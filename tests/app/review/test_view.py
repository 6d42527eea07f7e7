"""The tables below the review page's timeline: names are text, figures are where their heads say."""

from types import SimpleNamespace
from typing import Any

from app.review.view import ANCHORING_HEADS, COST_HEADS, PEOPLE_HEADS, anchoring_html, costs_html, people_html
from tests.app.markup import HOSTILE, hostile_texts, page_text


def cost(**fields: Any) -> Any:
    times = {"seconds_median": 6.25, "seconds_p75": 7.0, "keys_median": None, "keys_p75": 5}
    return SimpleNamespace(
        **{"name": HOSTILE, "answers": 3, "unchanged": 0.5, "mean_tiou": 0.45, **times, **fields}
    )


def test_people_are_a_row_each() -> None:
    pace: Any = SimpleNamespace(cost=cost(), refusals=1, cannot_judge=2, flagged=4)
    report: Any = SimpleNamespace(
        mean_tiou=0.5, f1={0.5: 0.25, 0.7: 0.125}, start_median_s=1.0, end_median_s=None
    )
    html = people_html([pace], {HOSTILE: report})
    assert hostile_texts(html) == 1
    heads, row = html.count('scope="col"'), html.split("<tbody>")[1].count("<td>") + 1
    assert heads == row == len(PEOPLE_HEADS)
    assert "<td>5</td><td>0.50</td><td>0.25</td><td>0.12</td><td>1.00</td><td>–</td><td>0.45</td>" in html
    assert "<td>50%</td><td>6.2</td><td>–</td><td>1</td><td>2</td><td>4</td>" in html
    assert "<td>5</td><td>–</td><td>–</td><td>–</td><td>–</td><td>–</td>" in people_html([pace], {})


def test_models_are_a_row_each() -> None:
    html = costs_html([cost()])
    assert hostile_texts(html) == 1
    assert html.count('scope="col"') == len(COST_HEADS)
    assert "<td>3</td><td>50%</td><td>0.45</td><td>6.2</td><td>7.0</td><td>–</td><td>5.0</td>" in html


def test_anchoring_is_told_of_arms_and_people() -> None:
    group: Any = SimpleNamespace(
        name=HOSTILE, answers=4, mean_tiou=0.5, right=2, right_unchanged=1, wrong=0, wrong_unchanged=0
    )
    html = anchoring_html([group], [group])
    assert hostile_texts(html) == 2
    assert html.count('scope="col"') == 2 * (1 + len(ANCHORING_HEADS))
    assert html.count("<td>4</td><td>0.50</td><td>2</td><td>50%</td><td>0</td><td>–</td>") == 2
    assert "tIoU with the adjudicated answer of at least 0.7" in page_text(html)


def test_no_rows_make_no_table() -> None:
    assert people_html([], {}) == costs_html([]) == anchoring_html([], []) == ""
