"""Where a film is looked at: windows without a gap, second looks within the budget, the finer look before the
coarser."""

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tempo_core.errors import InputError
from tempo_core.film_plan import (
    FilmPlan,
    FilmWindow,
    Look,
    film_relevance,
    joined,
    next_looks,
    plan_film,
    standing_moments,
)
from tempo_core.moments import Moment


def plan_of(end_s: float = 1200.0, **settings: Any) -> FilmPlan:
    return plan_film(end_s, max_frames=40, finest_step_s=1.0, **settings)


def look(
    window: FilmWindow, *moments: tuple[float, float], relevance: float | None = None, kind: str = "scan"
) -> Look:
    if relevance is None:
        relevance = 0.9 if moments else 0.01
    return Look(
        window=window,
        kind=kind,  # type: ignore[arg-type]
        num_frames=window.num_frames,
        relevance=relevance,
        moments=tuple(Moment(*moment) for moment in moments),
        confidences=tuple(0.5 for _ in moments),
    )


def scan_of(plan: FilmPlan, moments: dict[int, tuple[float, float]], **relevances: float) -> list[Look]:
    return [
        look(window, *([moments[idx]] if idx in moments else []), relevance=relevances.get(f"r{idx}"))
        for idx, window in enumerate(plan.scan)
    ]


@pytest.mark.parametrize("seed", range(60))
def test_windows_cover_the_film_without_a_gap(seed: int) -> None:
    rng = random.Random(seed)
    end_s, finest_s = rng.uniform(1, 8000), rng.choice([0.5, 1.0, 0.25])
    most = rng.randint(2, 150)
    plan = plan_film(
        end_s, max_frames=most, finest_step_s=finest_s, scan_step_s=finest_s * rng.choice([1, 2, 3.5, 8, 40])
    )
    for windows in (plan.scan, plan.tiles):
        assert windows[0].start_s == 0
        assert windows[-1].end_s == end_s
        assert all(a.end_s == b.start_s for a, b in pairwise(windows))
        assert all(1 <= window.num_frames <= most for window in windows)
        assert all(window.times_s[-1] < window.end_s for window in windows)
        assert max(w.num_frames for w in windows) - min(w.num_frames for w in windows[:-1] or windows) <= 1
    assert plan.is_full_rate == (plan.scan_step_s == finest_s)


def test_a_scan_takes_windows_as_long_as_two_contexts() -> None:
    plan = plan_of(3600)
    assert (len(plan.tiles), len(plan.scan), plan.scan_step_s) == (90, 45, 8.0)
    assert {window.num_frames for window in plan.scan} == {10}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scan_step_s": 0.5}, "finest step is 1 s"),
        ({"scan_step_s": float("nan")}, "finest step is 1 s"),
        ({"budget_frames": 149}, "does not hold the scan's 150 .* at least 150"),
        ({"scan_step_s": 1.0, "budget_frames": 500}, "at least 1200"),
    ],
)
def test_what_cannot_be_is_said(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        plan_of(**settings)


def test_moments_are_looked_at_again_with_a_step_around_them() -> None:
    plan = plan_of()
    looks = scan_of(plan, {2: (160.0, 168.0)})
    assert next_looks(plan, looks) == [FilmWindow(144.0, 184.0, 1.0)]
    confirmed = look(FilmWindow(144.0, 184.0, 1.0), (158.0, 166.0), kind="second")
    assert next_looks(plan, [*looks, confirmed]) == []


def test_a_moment_that_is_not_confirmed_sends_the_eye_elsewhere_in_its_window() -> None:
    plan = plan_of()
    looks = scan_of(plan, {2: (160.0, 168.0)})
    refuted = look(FilmWindow(144.0, 184.0, 1.0), kind="second")
    (again,) = next_looks(plan, [*looks, refuted])
    assert 184 <= again.start_s < again.end_s <= 240


def test_an_undecided_window_is_looked_at_where_its_picture_changes() -> None:
    plan = plan_of()
    looks = scan_of(plan, {}, r3=0.4)
    assert next_looks(plan, looks) == [FilmWindow(240.0, 280.0, 1.0)]
    looks[3] = replace(looks[3], changes=((248.0, 0.1), (304.0, 0.9)))
    assert next_looks(plan, looks) == [FilmWindow(280.0, 320.0, 1.0)]
    assert next_looks(plan, scan_of(plan, {}, r3=0.05)) == []


def test_a_long_moment_is_looked_at_in_windows_of_one_context() -> None:
    plan = plan_of(budget_frames=600)
    windows = next_looks(plan, scan_of(plan, {1: (120.0, 240.0)}))
    assert (windows[0].start_s, windows[-1].end_s) == (112.0, 248.0)
    assert all(window.num_frames <= 40 for window in windows)


@pytest.mark.parametrize("seed", range(60))
def test_second_looks_end_stay_apart_and_within_the_budget(seed: int) -> None:
    rng = random.Random(seed)
    plan = plan_of(rng.uniform(400, 4000), scan_step_s=rng.choice([4.0, 8.0, 16.0]))
    plan = plan_of(
        plan.end_s, scan_step_s=plan.scan_step_s, budget_frames=plan.budget_frames + rng.randint(0, 900)
    )

    def answer(window: FilmWindow, kind: str) -> Look:
        start_s = rng.uniform(window.start_s, window.end_s - 1)
        moments = [(start_s, rng.uniform(start_s + 0.5, window.end_s))] if rng.random() < 0.4 else []
        return look(window, *moments, relevance=rng.random(), kind=kind)

    looks = [answer(window, "scan") for window in plan.scan]
    for _ in range(200):
        windows = next_looks(plan, looks)
        if not windows:
            break
        looks += [answer(window, "second") for window in windows]
    assert not windows
    seconds = sorted(look.window for look in looks if look.kind == "second")
    assert all(a.end_s <= b.start_s for a, b in pairwise(seconds))
    assert sum(look.window.num_frames for look in looks) <= plan.budget_frames


def test_the_most_probable_comes_first_where_the_budget_is_short() -> None:
    plan = plan_of(budget_frames=150 + 40)
    looks = scan_of(plan, {2: (160.0, 168.0), 8: (640.0, 648.0)}, r2=0.6, r8=0.99)
    assert next_looks(plan, looks) == [FilmWindow(624.0, 664.0, 1.0)]


def test_a_budget_for_everything_goes_to_every_tile_once() -> None:
    plan = plan_of(budget_frames=10_000)
    looks = scan_of(plan, {2: (160.0, 168.0)})
    assert next_looks(plan, looks) == list(plan.tiles)
    assert next_looks(plan, [*looks, *(look(tile, kind="second") for tile in plan.tiles)]) == []
    assert next_looks(plan_of(scan_step_s=1.0), []) == []


def test_the_finer_look_replaces_the_coarser() -> None:
    plan = plan_of()
    looks = scan_of(plan, {2: (160.0, 168.0), 5: (400.0, 424.0), 8: (640.0, 648.0)})
    looks += [
        look(FilmWindow(144.0, 184.0, 1.0), (158.0, 166.0), kind="second", relevance=0.7),
        look(FilmWindow(624.0, 664.0, 1.0), kind="second"),
    ]
    standing = standing_moments(looks)
    assert joined(standing) == [(Moment(158.0, 166.0), 0.5), (Moment(400.0, 424.0), 0.5)]
    assert film_relevance(looks, standing) == 0.9


def test_moments_that_touch_at_a_border_are_one_with_the_larger_confidence() -> None:
    first, second = FilmWindow(0, 40, 1.0), FilmWindow(40, 80, 1.0)
    one, two = look(first, (35.0, 40.0)), look(second, (40.0, 43.0), (44.0, 50.0))
    two = replace(two, confidences=(0.8, None))
    assert joined(standing_moments([one, two])) == [(Moment(35.0, 43.0), 0.8), (Moment(44.0, 50.0), None)]


def test_a_film_is_refused_only_where_no_look_holds() -> None:
    plan = plan_of()
    looks = scan_of(plan, {2: (160.0, 168.0)}, r4=0.3)
    looks.append(look(FilmWindow(144.0, 184.0, 1.0), kind="second", relevance=0.02))
    standing = standing_moments(looks)
    assert standing == []
    assert film_relevance(looks, standing) == 0.3
    without = [replace(look(window), relevance=None) for window in plan.scan]
    assert film_relevance(without, []) is None


def test_a_look_survives_its_json() -> None:
    item = look(FilmWindow(144.0, 184.0, 1.0), (158.0, 166.0), kind="second", relevance=0.7)
    assert item.to_dict()["pass"] == "second"
    assert Look.from_dict(item.to_dict()) == item
