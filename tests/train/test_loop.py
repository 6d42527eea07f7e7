"""The loop experiment: damage is what it says it is, and a toy run closes the loop through the real store."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core.errors import InputError
from tempo_core.moments import Moment
from tests.train.refresh.project import SFT
from train.data.examples import Example
from train.experiments.loop import ORDERS, LoopPlan, run_loop
from train.experiments.rows import damage

pytestmark = pytest.mark.usefixtures("frames_read_once")


def rows(count: int) -> list[Example]:
    kinds: list[tuple[Moment, ...]] = [(Moment(4, 9),), (Moment(1, 3), Moment(8, 12)), ()]
    return [
        Example(row_id=str(n), video=Path("a"), query="q", duration_s=20.0, moments=kinds[n % 3])
        for n in range(count)
    ]


def test_damage_changes_a_share_of_the_rows_and_stays_inside_the_clip() -> None:
    truth = rows(300)
    damaged = damage(truth, 0.3, np.random.default_rng(0))
    assert len(damaged) == 90
    for row_id, moments in damaged.items():
        row = truth[int(row_id)]
        assert moments != row.moments
        assert all(0 <= moment.start_s < moment.end_s <= row.duration_s for moment in moments)
    refused = sum(not moments for row_id, moments in damaged.items() if truth[int(row_id)].moments)
    invented = sum(bool(moments) for row_id, moments in damaged.items() if not truth[int(row_id)].moments)
    assert refused > 5
    assert invented == sum(not truth[int(row_id)].moments for row_id in damaged)
    assert damage(truth, 0.3, np.random.default_rng(0)) == damaged


def test_a_plan_checks_itself() -> None:
    with pytest.raises(InputError, match="more than 144 rows"):
        LoopPlan(batches=7)
    with pytest.raises(InputError, match="between 0 and 1"):
        LoopPlan(damaged=1.0)
    with pytest.raises(InputError, match="held_out_clips is 0"):
        LoopPlan(held_out_clips=0)


@pytest.mark.slow
def test_a_toy_loop_closes_and_goes_on(checkpoint: Path, tmp_path: Path) -> None:
    plan = LoopPlan(clips=3, questions=3, held_out_clips=2, batches=2, batch_rows=3, sft=SFT, tier="plain")
    lines: list[str] = []
    result = run_loop(plan, tmp_path, checkpoint=checkpoint, on_progress=lines.append)
    assert len(lines) == 8  # two batches of every order
    assert [(p["order"], p["corrections"]) for p in result["points"]] == [
        (order, count) for order in ORDERS for count in (0, 3, 6)
    ]
    start = [point["ra_iou"] for point in result["points"] if point["corrections"] == 0]
    assert start == [start[0]] * len(ORDERS)  # all begin with the same model
    assert not list((tmp_path / "seed-0" / "none").glob("batch-*"))  # the control corrects nothing
    assert [step["corrections"] for step in result["differences"]] == [3, 6]
    pairs = ["suspicion - random", "gain - suspicion", "gain - random"]
    pairs += ["suspicion - none", "gain - none", "random - none"]
    pairs += [f"{order} - start" for order in ORDERS]
    assert list(result["differences"][0]) == ["corrections", *pairs]
    mean = {p["corrections"]: p["ra_iou"] for p in result["points"] if p["order"] == "suspicion"}
    risen = result["differences"][1]["suspicion - start"]["ra_iou"]["gain"]
    assert risen == pytest.approx(mean[6] - mean[0], abs=1e-6)
    batches: dict[str, list[Any]] = {
        order: [json.loads((tmp_path / "seed-0" / order / f"batch-{n}.json").read_text()) for n in (1, 2)]
        for order in ("suspicion", "random")
    }
    for order in ("suspicion", "random"):
        rows_of_order = [row for batch in batches[order] for row in batch]
        assert len(set(rows_of_order)) == 6  # nobody is asked twice
    assert batches["suspicion"] != batches["random"]
    assert (tmp_path / "curve.html").is_file()
    again = run_loop(plan, tmp_path, checkpoint=checkpoint)
    assert again["points"] == result["points"]
    with pytest.raises(
        InputError, match="differs in plan"
    ):  # else its batches would be taken for larger ones
        run_loop(replace(plan, batch_rows=4), tmp_path, checkpoint=checkpoint)
