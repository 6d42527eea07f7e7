"""Queries: truth is exact, edits are minimal, nothing irrelevant holds anywhere."""

import numpy as np
import pytest

from train.shapeworld.english import FreeEnglish
from train.shapeworld.queries import (
    HARD_KINDS,
    HELD_OUT_PAIRS,
    KINDS,
    QueryMix,
    askable,
    candidates,
    edit,
    held_out,
    runs_of,
    sample_queries,
    say,
    truth,
)
from train.shapeworld.scene import (
    MAX_SHARE,
    NONE,
    PLAIN,
    RICH,
    SHORTEST_TICKS,
    WALLS,
    Scene,
    Thing,
    sample_scene,
)


def scene_of(*things: Thing, ticks: int = 12) -> Scene:
    return Scene(
        seed=1,
        tier=PLAIN,
        ticks=ticks,
        step_s=1.0,
        aspect=(1, 1),
        things=list(things),
        walls=np.zeros(ticks, int),
        shots=np.full(ticks, NONE),
        lights=np.full(ticks, NONE),
    )


def thing(colour: str, shape: str, start: int, end: int, size: str = "large") -> Thing:
    return Thing(colour=colour, shape=shape, size=size, radius=0.1, x=0.5, y=0.5, start=start, end=end)


RED_CIRCLE, BLUE_SQUARE, RED_SQUARE = (
    thing("red", "circle", 2, 6),
    thing("blue", "square", 4, 9),
    thing("red", "square", 8, 10),
)


@pytest.mark.parametrize(
    ("predicate", "runs"),
    [
        (("thing", ("red", "circle", None)), [(2, 6)]),
        (("thing", ("red", None, None)), [(2, 6), (8, 10)]),
        (("thing", (None, "square", None)), [(4, 10)]),
        (("thing", (None, None, "small")), []),
        (("count", 2, (None, None, None)), [(4, 6), (8, 9)]),
        (("count", 2, (None, "square", None)), [(8, 9)]),
        (("pair", ("red", None, None), ("blue", None, None)), [(4, 6), (8, 9)]),
        (("wall", WALLS[0]), [(0, 12)]),
        (("order", 0, ("red", None, None)), [(2, 6)]),
        (("order", -1, ("red", None, None)), [(8, 10)]),
        (("order", 0, ("blue", None, None)), []),
    ],
)
def test_truth(predicate: tuple, runs: list[tuple[int, int]]) -> None:
    assert runs_of(truth(scene_of(RED_CIRCLE, BLUE_SQUARE, RED_SQUARE), predicate)) == runs


def test_a_cut_in_shot_hides_things_and_the_wall() -> None:
    scene = scene_of(RED_CIRCLE)
    scene.shots[3:5] = 1
    assert runs_of(truth(scene, ("thing", ("red", None, None)))) == [(2, 3), (5, 6)]
    assert runs_of(truth(scene, ("wall", WALLS[0]))) == [(0, 3), (5, 12)]


def sampled(mix: QueryMix, count: int = 150, seed: int = 0) -> list:
    scenes = [sample_scene(seed + i, RICH, motion=0.3) for i in range(count)]
    return [
        (scene, query)
        for i, scene in enumerate(scenes)
        for query in sample_queries(
            np.random.default_rng([seed, i]), scene, 8, mix, scenes[max(0, i - 4) : i]
        )
    ]


def test_every_relevant_query_holds_exactly_in_its_runs_and_every_irrelevant_one_nowhere() -> None:
    pairs = sampled(QueryMix(hard_share=0.3, hard_kinds=HARD_KINDS))
    for scene, query in pairs:
        if query.negative == "unknown":
            assert query.predicate is None
        else:
            assert tuple(runs_of(truth(scene, query.predicate))) == query.runs
        assert bool(query.runs) == (query.negative is None)
    assert {q.kind for _, q in pairs if not q.negative} == {*KINDS, *HARD_KINDS}
    assert {q.negative for _, q in pairs} == {None, "edited", "shuffled", "unknown"}
    assert 0.2 < np.mean([q.negative is not None for _, q in pairs]) < 0.45


def test_what_the_world_has_and_the_clip_has_not_holds_nowhere_in_it() -> None:
    kinds = ("scene", "pair", "count")
    mix = QueryMix(irrelevant=1.0, negatives=(0.0, 0.0, 0.0, 1.0), absent_kinds=kinds, absent_near=0.5)
    pairs = sampled(mix)
    assert {query.kind for _, query in pairs} == set(kinds)
    assert {query.negative for _, query in pairs} == {"absent"}
    assert not any(truth(scene, query.predicate).any() for scene, query in pairs)


def test_near_absent_pairs_are_of_things_that_the_clip_shows() -> None:
    mix = QueryMix(
        irrelevant=1.0,
        negatives=(0.0, 0.0, 0.0, 1.0),
        absent_kinds=("pair",),
        absent_near=1.0,
        held_out_pairs="any",
    )
    pairs = [(scene, query) for scene, query in sampled(mix, count=40) if candidates(scene)["pair"]]
    assert len(pairs) > 100
    assert all(query.predicate in candidates(scene)["pair"] for scene, query in pairs)


def test_walls_change_as_often_as_is_asked() -> None:
    def changes(chances: tuple[float, float]) -> list[int]:
        scenes = [sample_scene(i, PLAIN, wall_chances=chances) for i in range(60)]
        return [len(set(scene.walls.tolist())) - 1 for scene in scenes]

    assert max(changes((0.0, 0.0))) == 0
    assert sum(count == 2 for count in changes((1.0, 1.0))) > 3 * sum(
        count == 2 for count in changes((0.45, 0.15))
    )


def test_moments_are_short_so_that_the_whole_clip_is_a_poor_answer() -> None:
    pairs = sampled(QueryMix(hard_share=0, hard_kinds=()))
    shares = [(q.runs[0][1] - q.runs[0][0]) / s.ticks for s, q in pairs if q.runs]
    assert all(len(q.runs) <= 1 for _, q in pairs)
    assert max(shares) <= max(MAX_SHARE, SHORTEST_TICKS / 10)
    assert np.mean(shares) < 0.25


def test_an_edit_changes_one_element() -> None:
    rng = np.random.default_rng(0)
    for scene, query in sampled(QueryMix(irrelevant=0, hard_share=0.3, hard_kinds=HARD_KINDS), count=40):
        edited = edit(rng, query.predicate)
        assert flat(edited) != flat(query.predicate), scene.seed
        assert sum(a != b for a, b in zip(flat(edited), flat(query.predicate), strict=True)) == 1


def flat(predicate: tuple) -> list:
    return [part for piece in predicate for part in (piece if isinstance(piece, tuple) else (piece,))]


def test_held_out_pairs_are_never_or_only_asked_for() -> None:
    for _, query in sampled(QueryMix()):
        assert query.predicate is None or not held_out(query.predicate)
    only = [q for _, q in sampled(QueryMix(irrelevant=0, held_out_pairs="only"))]
    assert only
    assert all(held_out(q.predicate) for q in only)
    assert held_out(("thing", (*HELD_OUT_PAIRS[0], None)))


def test_wordings_vary_and_are_reproducible() -> None:
    predicate = ("thing", ("red", "circle", None))
    texts = [say(np.random.default_rng(i), predicate) for i in range(300)]
    assert len(set(texts)) > 100
    assert texts[0] == say(np.random.default_rng(0), predicate)
    assert all(any(word in t.lower() for word in ("red", "crimson", "scarlet")) for t in texts)


def test_unknown_english_keeps_a_fifth_of_its_words_for_evaluation() -> None:
    words = []
    for is_held_out in (False, True):
        english, rng = FreeEnglish(held_out=is_held_out), np.random.default_rng(0)
        words.append({english.noun_phrase(rng).split()[-1] for _ in range(800)})
    assert words[0].isdisjoint(words[1])
    assert len(words[1]) > 20


def test_queries_of_one_seed_are_the_same_and_differ_between_seeds() -> None:
    first, again, other = ([q.text for _, q in sampled(QueryMix(), count=10, seed=s)] for s in (0, 0, 50))
    assert first == again
    assert first != other


def test_all_kinds_can_be_asked_somewhere() -> None:
    kinds: set[str] = set()
    for i in range(80):
        kinds |= {kind for kind, queries in askable(sample_scene(i, RICH, motion=0.5)).items() if queries}
    assert kinds == {*KINDS, *HARD_KINDS}
