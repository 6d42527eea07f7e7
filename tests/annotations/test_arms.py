"""Arms: how often each is drawn, from what, and that a draw stays."""

import dataclasses
from collections import Counter

import pytest

from annotations.arms import ARMS, BLOCK, draw_arm
from annotations.records import Edit
from annotations.store import Store
from tempo_core.errors import InputError
from tests.annotations.conftest import ROWS, Operations, edit


def drawn_by(annotators: int, rows: int, *, seed: int = 7, blind_share: float = 0.2) -> list[list[str]]:
    """The arms of annotators who take turns."""
    arms: list[list[str]] = [[] for _ in range(annotators)]
    for number in range(annotators * rows):
        own = arms[number % annotators]
        own.append(draw_arm(own, blind_share=blind_share, seed=seed, number=number))
    return arms


@pytest.mark.parametrize("annotators", [1, 4, 20])
@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_draws_are_balanced_within_five_percent(annotators: int, seed: int) -> None:
    counts = Counter(arm for arms in drawn_by(annotators, 1000 // annotators, seed=seed) for arm in arms)
    assert {arm: counts[arm] for arm in ARMS} == {
        "blind": pytest.approx(200, rel=0.05),
        "original-first": pytest.approx(400, rel=0.05),
        "model-first": pytest.approx(400, rel=0.05),
    }


def test_each_annotators_blocks_hold_the_shares_in_another_order() -> None:
    (arms,) = drawn_by(1, 10 * BLOCK)
    blocks = [arms[start : start + BLOCK] for start in range(0, len(arms), BLOCK)]
    assert [Counter(block) for block in blocks] == [
        Counter({"blind": 4, "original-first": 8, "model-first": 8})
    ] * 10
    assert len(set(map(tuple, blocks))) == 10


@pytest.mark.parametrize(("blind_share", "blind"), [(0, 0), (0.1, 2), (0.5, 10), (1, 20)])
def test_the_blind_share_is_kept(blind_share: float, blind: int) -> None:
    (arms,) = drawn_by(1, BLOCK, blind_share=blind_share)
    other_count = (BLOCK - blind) // 2
    assert [arms.count(arm) for arm in ARMS] == [blind, other_count, other_count]


def test_a_share_that_changes_within_a_block_counts_from_then_on() -> None:
    arms = ["blind"] * 4 + ["model-first"] * 8
    for number in range(8):
        arms.append(draw_arm(arms, blind_share=1, seed=7, number=number))
    assert arms[12:] == ["blind"] * 8


@pytest.mark.parametrize("share", [-0.1, 0.15, 1.1, float("nan")])
def test_a_share_that_is_no_tenth_is_explained(share: float, store: Store, op: Operations) -> None:
    with pytest.raises(InputError, match=r"give 0, 0\.1, 0\.2, \.\.\. or 1"):
        store.save_blind_share(share, op_id=op(), actor="test")
    assert store.blind_share() == 0.2


def test_arms_come_from_the_stores_seed_and_not_from_names(filled: Store, op: Operations) -> None:
    rows = (1, 2, 3)
    arms = {name: [filled.arm(row, name) for row in rows] for name in map(str, range(12))}
    with filled.database.read() as connection:
        seed = connection.exec_driver_sql("SELECT value FROM settings WHERE name = 'arm_seed'").scalar_one()
    expected: list[list[str]] = []
    for number in range(0, 36, 3):
        own: list[str] = []
        for place in range(3):
            own.append(draw_arm(own, blind_share=0.2, seed=int(seed), number=number + place))
        expected.append(own)
    assert list(arms.values()) == expected
    # What was drawn stays, also when the share changes and another program asks.
    filled.save_blind_share(1.0, op_id=op(), actor="test")
    assert {name: [filled.arm(row, name) for row in rows] for name in arms} == arms
    with Store(filled.database.url.render_as_string(hide_password=False)) as other:
        assert [other.arm(row, "3") for row in rows] == arms["3"]
    assert filled.blind_share() == 1.0
    assert filled.arm(1, "new") == "blind"


def test_a_lent_row_comes_with_its_arm(filled: Store, op: Operations) -> None:
    lent = filled.next_query("ada", op_id="lend")
    assert lent is not None
    assert filled.next_query("ada", op_id="lend") == lent
    with filled.database.read() as connection:
        stored = connection.exec_driver_sql("SELECT query_id, annotator, arm FROM assignments").all()
    assert [tuple(row) for row in stored] == [(lent.query_id, "ada", lent.arm)]


def test_a_row_that_was_begun_before_arms_were_stored_stays_in_its_arm(store: Store, op: Operations) -> None:
    store.import_rows(ROWS, dataset="qvh", op_id=op())
    for number, arm in enumerate(ARMS):
        unfinished: Edit = edit((1, 2), arm=arm, submitted=False)
        store.submit(1, unfinished, annotator=f"a{number}", parent_id=None, op_id=op())
    assert [store.arm(1, f"a{number}") for number in range(3)] == list(ARMS)


def test_arms_that_were_drawn_ahead_are_balanced_though_others_draw_between(
    store: Store, op: Operations
) -> None:
    rows = [dataclasses.replace(ROWS[2], qid=str(n), query=f"q{n}", vid=f"v{n}") for n in range(2 * BLOCK)]
    store.import_rows(rows, dataset="qvh", op_id=op())
    assert store.upcoming_row("ada", answers_per_row=2, draw=op()) is None, "no arm was ever drawn"
    store.next_query("bo", op_id=op(), answers_per_row=2)
    arms: Counter[str] = Counter()
    lent_ids: list[int] = []
    for _ in range(BLOCK):
        upcoming = store.upcoming_row("ada", answers_per_row=2, excluding=lent_ids, draw=op())
        assert upcoming is not None
        store.next_query("bo", op_id=op(), answers_per_row=2, excluding=lent_ids)
        lent = store.next_query("ada", op_id=op(), answers_per_row=2, excluding=lent_ids, upcoming=upcoming)
        assert lent is not None
        assert (lent.query_id, lent.arm) == (upcoming.query_id, upcoming.arm)
        arms[lent.arm] += 1
        lent_ids.append(lent.query_id)
    assert arms == {"blind": 4, "original-first": 8, "model-first": 8}
