"""What is asked, and when it holds: worked out by hand for one clip, and held to the vocabulary for many."""

import numpy as np
import pytest

from tempo_core.checkpoint import FOOTAGE
from tempo_core.vocabulary import read_vocabulary
from train.naturalworld.assets import Assets
from train.naturalworld.names import CATEGORIES, CATEGORY_WORDS
from train.naturalworld.queries import (
    FOOTAGE_EVENTS,
    FOOTAGE_MIX,
    KINDS,
    TEST_MIX,
    UNSEEN_MIX,
    WORDINGS,
    NaturalMix,
    askable,
    edit,
    held_out,
    kind_of_event,
    plural_of,
    sample_queries,
    say,
    truth,
)
from train.naturalworld.scene import EVENTS, Event, NaturalScene, Shot, Thing, sample_scene
from train.naturalworld.vocabulary import natural_vocabulary
from train.shapeworld.queries import runs_of


def thing(name: str, category: str, start: int, end: int, **changes: object) -> Thing:
    values = {"picture": 0, "tint": None, "size": 0.3, "x": 0.2, "y": 0.5} | changes
    return Thing(name=name, category=category, start=start, end=end, **values)  # type: ignore[arg-type]


def scene() -> NaturalScene:
    """Twenty beats: a cut at 10, black from 16 to 18; a dog (2 to 6), a red dog (8 to 10), a cat that moves right."""
    return NaturalScene(
        seed=0,
        ticks=20,
        step_s=1.0,
        aspect=(1, 1),
        shots=[
            Shot(photograph=0, start=0, end=10, seed=0),
            Shot(photograph=1, start=10, end=20, seed=1),
        ],
        events=[
            Event(kind="cut", start=10, end=11),
            Event(kind="black", start=16, end=18),
            Event(kind="title", start=1, end=3),
        ],
        things=[
            thing("dog", "animal", 2, 6),
            thing("dog", "animal", 8, 10, tint="red", x=0.8),
            thing("cat", "animal", 4, 8, x=0.5, direction="right", distance=0.4),
            thing("car", "vehicle", 15, 19),
        ],
    )


DOG, ANIMAL, CAT, CAR = (
    ("dog", None, None),
    (None, "animal", None),
    ("cat", None, None),
    ("car", None, None),
)


@pytest.mark.parametrize(
    ("predicate", "runs"),
    [
        (("event", "cut"), [(10, 11)]),
        (("event", "text"), [(1, 3)]),
        (("event", "zoom in"), []),
        (("thing", DOG), [(2, 6), (8, 10)]),
        (("thing", ("dog", None, "red")), [(8, 10)]),
        (("thing", ANIMAL), [(2, 10)]),
        (("thing", CAR), [(15, 16), (18, 19)]),  # not while the picture is black
        (("count", 2, ANIMAL), [(4, 6)]),
        (("pair", DOG, CAT), [(4, 6)]),
        (("side", DOG, "left"), [(2, 6)]),
        (("side", DOG, "right"), [(8, 10)]),
        (("relation", DOG, "left", CAT), [(5, 6)]),  # the cat comes from behind
        (("motion", CAT, "right"), [(4, 8)]),
        (("motion", CAT, "left"), []),
        (("order", 0, DOG), [(2, 6)]),
        (("order", -1, DOG), [(8, 10)]),
        (("not", ANIMAL), [(0, 2), (10, 20)]),
        (("before", CAT), [(0, 4)]),
        (("after", CAT), [(8, 20)]),
    ],
)
def test_truth_by_hand(predicate: tuple, runs: list[tuple[int, int]]) -> None:
    assert runs_of(truth(scene(), predicate)) == runs


def test_every_event_has_wordings_and_a_kind() -> None:
    for event in (*EVENTS, "text"):
        assert WORDINGS["clauses"][event]
        assert WORDINGS["phrases"][event]
        assert kind_of_event(event) in KINDS
    assert set(CATEGORIES) == set(CATEGORY_WORDS)


def test_questions_are_true_and_their_negatives_false(assets: Assets) -> None:
    kinds = set()
    for seed in range(150):
        clip = sample_scene(seed, assets, ticks=16)
        other_scenes = [sample_scene(seed + 1000, assets, ticks=16)]
        for query in sample_queries(np.random.default_rng(seed), clip, assets, 8, TEST_MIX, other_scenes):
            assert query.predicate is not None
            assert runs_of(truth(clip, query.predicate)) == list(query.runs)
            assert bool(query.runs) == (query.negative is None)
            kinds.add(query.kind)
    assert kinds == set(KINDS)


def test_every_question_is_in_the_spelling_and_the_words_that_the_model_reads(assets: Assets) -> None:
    vocabulary = natural_vocabulary(assets.concepts, NaturalMix())
    for seed in range(150):
        clip = sample_scene(seed, assets, ticks=16)
        for query in sample_queries(np.random.default_rng(seed), clip, assets, 8, TEST_MIX):
            understanding = vocabulary.understanding(query.text)
            assert understanding.is_understood, (query.text, understanding.words)
    assert vocabulary.understanding("no dog is on screen").is_understood
    assert vocabulary.understanding("a giraffe").words == ("giraffe",)
    assert not vocabulary.understanding("the").is_understood


def test_a_mix_without_things_asks_with_words_of_its_own_events_only(assets: Assets) -> None:
    vocabulary = natural_vocabulary(assets.concepts, FOOTAGE_MIX)
    events = set()
    for seed in range(150):
        clip = sample_scene(seed, assets, ticks=16)
        other_scenes = [sample_scene(seed + 1000, assets, ticks=16)]
        for query in sample_queries(np.random.default_rng(seed), clip, assets, 8, FOOTAGE_MIX, other_scenes):
            assert vocabulary.understanding(query.text).is_understood, query.text
            assert query.predicate is not None
            events.add(query.predicate[1])
    assert events == set(FOOTAGE_EVENTS)
    shipped = read_vocabulary(FOOTAGE)
    assert shipped is not None
    assert (shipped.content, shipped.grammar, shipped.is_general) == (
        vocabulary.content,
        vocabulary.grammar - vocabulary.content,
        True,
    )
    for other in ("a dog", "the camera zooms in", "before the cut", "it snows", "no title", "slow motion"):
        assert not vocabulary.understanding(other).is_understood, other


def test_held_out_names_and_tints_are_asked_for_in_their_own_set_only(assets: Assets) -> None:
    unseen = 0
    for seed in range(200):
        clip = sample_scene(seed, assets, ticks=16)
        for mix, is_held_out in ((NaturalMix(), False), (UNSEEN_MIX, True)):
            for query in sample_queries(np.random.default_rng(seed), clip, assets, 5, mix):
                assert query.predicate is not None
                looks = [part for part in query.predicate if isinstance(part, tuple)]
                assert any(held_out(assets, look) for look in looks) == is_held_out
                unseen += is_held_out
    assert unseen


def test_an_edit_changes_what_is_asked(assets: Assets) -> None:
    rng = np.random.default_rng(0)
    for seed in range(40):
        clip = sample_scene(seed, assets, ticks=16)
        for pairs in askable(clip).values():
            for predicate, _ in pairs:
                if predicate[0] not in ("not", "before", "after", "order"):
                    assert edit(rng, assets, clip, predicate) != predicate


@pytest.mark.parametrize(
    ("noun", "plural"),
    [
        ("dog", "dogs"),
        ("piece of clothing", "pieces of clothing"),
        ("butterfly", "butterflies"),
        ("box", "boxes"),
    ],
)
def test_plurals(noun: str, plural: str) -> None:
    assert plural_of(noun) == plural


def test_hundreds_of_wordings(assets: Assets) -> None:
    rng = np.random.default_rng(0)
    assert len({say(rng, assets, ("event", "cut")) for _ in range(2000)}) > 100
    assert len({say(rng, assets, ("thing", DOG)) for _ in range(2000)}) > 150
