"""SAA and its controls: budgets, bounds, order, and where the tokens go."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tempo_core.allocation import ALLOCATORS, TOKEN_PX, allocate, content_variation, size_ladder, water_fill
from tempo_core.errors import InputError


def clip(
    changes: list[tuple[int, int]], *, frames: int = 30, size: int = 112, noise: float = 0.0
) -> np.ndarray:
    """A grey clip with a small red square shown in the given [start, end) frames."""
    out = np.full((frames, size, size, 3), 90.0)
    for start, end in changes:
        out[start:end, 40:52, 60:72] = (220, 30, 30)
    out += np.random.default_rng(0).normal(0, noise, out.shape)
    return np.clip(out, 0, 255).astype(np.uint8)


@settings(max_examples=60)
@given(
    frames=st.integers(10, 60),
    per_frame=st.floats(1.0, 20.0),
    shape=st.sampled_from([(64, 64), (48, 64), (36, 64), (64, 36)]),
    allocator=st.sampled_from(list(ALLOCATORS)),
    seed=st.integers(0, 1000),
)
def test_budget_is_kept_and_used(
    frames: int, per_frame: float, shape: tuple[int, int], allocator: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    video = rng.integers(0, 256, (frames, *shape, 3), dtype=np.uint8)
    video[: frames // 2] = video[0]
    budget = round(frames * per_frame)
    shared_out = allocate(
        video, budget_tokens=budget, min_tokens=1, max_tokens=16, allocator=allocator, seed=seed
    )
    spent = int(shared_out.tokens.sum())
    assert spent <= budget
    largest = max(rows * columns for rows, columns in size_ladder(*shape, min_tokens=1, max_tokens=16))
    assert (
        spent >= 0.95 * budget
        or (shared_out.tokens == largest).all()
        or cheapest_rise(shared_out, shape) > budget - spent
    )
    assert shared_out.tokens.min() >= 1
    assert shared_out.tokens.max() <= 16
    assert (shared_out.sizes_px % TOKEN_PX == 0).all()
    assert (shared_out.sizes_px.prod(axis=1) // TOKEN_PX**2 == shared_out.tokens).all()


def cheapest_rise(shared_out, shape: tuple[int, int]) -> int:
    """What the cheapest enlargement of any frame would cost: no allocation can use less than that."""
    areas = [rows * columns for rows, columns in size_ladder(*shape, min_tokens=1, max_tokens=16)]
    return min((b - a for a, b in itertools.pairwise(areas) if a in shared_out.tokens), default=10**9)


@pytest.mark.parametrize("frames", [30, 60, 150])
@pytest.mark.parametrize("per_frame", [4, 7, 13])
def test_large_budgets_are_used_to_95_percent(frames: int, per_frame: int) -> None:
    video = clip([(5, 9), (15, 22)], frames=frames, noise=3)
    for allocator in ALLOCATORS:
        shared_out = allocate(
            video, budget_tokens=frames * per_frame, min_tokens=1, max_tokens=16, allocator=allocator
        )
        assert 0.95 * frames * per_frame <= shared_out.tokens.sum() <= frames * per_frame


@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_is_deterministic(allocator: str) -> None:
    video = clip([(5, 9)], noise=4)
    first = allocate(video, budget_tokens=120, min_tokens=1, max_tokens=16, allocator=allocator)
    again = allocate(video, budget_tokens=120, min_tokens=1, max_tokens=16, allocator=allocator)
    assert first.to_dict() == again.to_dict()


def test_a_change_lifts_the_frames_on_both_sides_and_keeps_their_order() -> None:
    shared_out = allocate(clip([(10, 15)], noise=3), budget_tokens=120, min_tokens=1, max_tokens=16)
    lifted = {9, 10, 14, 15}
    unchanged = set(range(1, 30)) - lifted
    assert min(shared_out.tokens[i] for i in lifted) > max(shared_out.tokens[i] for i in unchanged)
    order = np.argsort(-shared_out.variation, kind="stable")
    assert (np.diff(shared_out.tokens[order]) <= shared_out.tokens.max() - shared_out.tokens.min()).all()
    assert shared_out.tokens[shared_out.variation == 1.0].min() >= shared_out.tokens.max() - 4


def test_a_small_new_object_is_not_averaged_away() -> None:
    video = clip([(12, 20)], noise=2)
    variation = content_variation(video)
    assert variation[[11, 12, 19, 20]].min() > 0.8
    assert np.delete(variation, [0, 11, 12, 19, 20]).max() < 0.2


def test_a_still_video_is_shared_evenly() -> None:
    shared_out = allocate(clip([], noise=1), budget_tokens=120, min_tokens=1, max_tokens=16)
    assert (shared_out.variation == 0).all()
    assert set(shared_out.tokens) == {4}


def test_random_has_saas_histogram() -> None:
    video = clip([(5, 9), (15, 22)], noise=3)
    saa, shuffled = (
        allocate(video, budget_tokens=120, min_tokens=1, max_tokens=16, allocator=a, seed=3)
        for a in ("saa", "random")
    )
    assert abs(int(saa.tokens.sum()) - int(shuffled.tokens.sum())) <= 6
    assert saa.tokens.tolist() != shuffled.tokens.tolist()
    assert np.abs(np.sort(saa.tokens) - np.sort(shuffled.tokens)).mean() < 1


def test_one_frame_gets_what_it_can_hold() -> None:
    shared_out = allocate(clip([], frames=1), budget_tokens=100, min_tokens=1, max_tokens=16)
    assert shared_out.tokens.tolist() == [16]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget_tokens": 20}, "cannot hold 30 frames"),
        ({"min_tokens": 9, "max_tokens": 4}, "minimum <= maximum"),
        ({"allocator": "magic"}, "Unknown allocator 'magic'"),
    ],
)
def test_bad_input_is_explained(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        allocate(clip([]), **({"budget_tokens": 120, "min_tokens": 1, "max_tokens": 16} | change))


@given(height=st.integers(16, 4000), width=st.integers(16, 4000))
def test_ladders_grow_and_keep_the_aspect(height: int, width: int) -> None:
    if not 0.1 < height / width < 10:
        return
    ladder = size_ladder(height, width, min_tokens=1, max_tokens=256)
    areas = [rows * columns for rows, columns in ladder]
    assert areas == sorted(set(areas))
    for (rows, columns), area in zip(ladder, areas, strict=True):
        off = max((columns / rows) / (width / height), (width / height) / (columns / rows))
        assert off <= 1 + 1.25 / area**0.5 + 1e-6
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(ladder))


@given(weights=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=50), share=st.floats(0.0, 1.0))
def test_water_fill_is_exact_and_order_preserving(weights: list[float], share: float) -> None:
    w = np.array(weights)
    total = len(w) * (1 + share * 15)
    filled = water_fill(w, total=total, low=1.0, high=16.0)
    assert filled.sum() == pytest.approx(total, rel=1e-6)
    assert (np.diff(filled[np.argsort(w)]) >= -1e-9).all()
