"""Negatives: exact in shapeworld, honest about real rows, every edit recorded, nothing given is lost."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core.errors import InputError
from tempo_core.moments import Moment
from train.data.examples import Example
from train.data.lexical import KINDS, WordEdit, edit_words, words_of
from train.data.negatives import (
    Mixed,
    NegativeShares,
    check_by_rows,
    check_by_windows,
    check_in_world,
    rows_with_negatives,
    with_negatives,
)
from train.shapeworld.queries import QueryMix, held_out, sample_queries
from train.shapeworld.scene import RICH, sample_scene


def row(query: str, clip: str = "a_0.0_150.0", moments: Any = ((10, 20),), **options: Any) -> Example:
    return Example(
        row_id=f"{clip}:{query}",
        video=Path(f"{clip}.mp4"),
        clip_id=clip,
        query=query,
        duration_s=150.0,
        moments=tuple(Moment(*pair) for pair in moments),
        **options,
    )


class Shapes:
    """Shapeworld clips whose examples name their scene."""

    def __init__(self, clips: int = 30) -> None:
        self._scenes = {f"clip-{idx}": sample_scene(idx, RICH) for idx in range(clips)}
        self._meant: dict[str, Any] = {}
        self.examples: list[Example] = []
        mix = QueryMix(irrelevant=0.0, hard_share=0.2)
        for name, scene in self._scenes.items():
            for query in sample_queries(np.random.default_rng([7, scene.seed]), scene, 4, mix, []):
                moments = tuple(Moment(a * scene.step_s, b * scene.step_s) for a, b in query.runs)
                example = Example(
                    row_id=f"{name}:{query.text}",
                    video=Path(name),
                    clip_id=name,
                    query=query.text,
                    duration_s=scene.duration_s,
                    moments=moments,
                )
                self._meant[example.row_id] = query.predicate
                self.examples.append(example)

    def scene(self, example: Example) -> Any:
        return self._scenes.get(example.clip_id)

    def predicate(self, example: Example) -> Any:
        return self._meant.get(example.row_id)


@pytest.fixture(scope="module")
def shapes() -> Shapes:
    return Shapes()


@pytest.fixture(scope="module")
def mixed(shapes: Shapes) -> Mixed:
    return with_negatives(shapes.examples, NegativeShares(), seed=0, world=shapes)


def predicate_after(change: str) -> Any:
    return eval(change.split(" -> ")[1])  # what the report wrote, a tuple of words


def test_in_shapeworld_every_pair_is_proved_and_nothing_irrelevant_holds(
    shapes: Shapes, mixed: Mixed
) -> None:
    meant = {example.row_id: shapes.predicate(example) for example in shapes.examples}
    irrelevant = [example for example in mixed.examples if not example.relevant]
    assert len(irrelevant) == len(shapes.examples)
    for example, pair in zip(irrelevant, mixed.pairs, strict=True):
        assert pair.check == "proved"
        *exchanged, change = pair.changes
        is_edit = pair.negative == "edited"
        assert bool(exchanged) == is_edit
        assert {edit_name.split(":")[0] for edit_name in exchanged} <= {
            "colour",
            "shape",
            "size",
            "count",
            "motion",
            "wall",
            "light",
            "fade",
            "shot",
            "order",
        }
        predicate = predicate_after(change) if is_edit else meant[change.removeprefix("from row: ")]
        assert check_in_world(shapes.scene(example), predicate) == "proved"
        assert not (is_edit and held_out(predicate))
    kinds = Counter(pair.negative for pair in mixed.pairs)
    # nothing is of one source video here
    assert kinds["edited"] / len(irrelevant) == pytest.approx(0.75, abs=0.1)
    assert kinds["same-video"] == 0


def test_given_rows_stay_and_count_towards_the_share(shapes: Shapes) -> None:
    refusals = [replace(row("q", moments=()), row_id=f"no-{idx}", negative="annotated") for idx in range(40)]
    rows = [*shapes.examples, *refusals]
    mixed = with_negatives(rows, NegativeShares(irrelevant=0.4), seed=1, world=shapes)
    assert mixed.examples[: len(rows)] == tuple(rows)
    assert sum(not example.relevant for example in mixed.examples) / len(mixed.examples) == pytest.approx(
        0.4, abs=0.01
    )
    assert mixed.already == 40
    nothing = with_negatives(rows, NegativeShares(irrelevant=0.1), seed=1, world=shapes)
    assert nothing.examples == tuple(rows)
    assert nothing.requested == 0


def test_one_seed_makes_one_set_and_no_pair_comes_twice(shapes: Shapes, mixed: Mixed) -> None:
    again = with_negatives(shapes.examples, NegativeShares(), seed=0, world=shapes)
    other = with_negatives(shapes.examples, NegativeShares(), seed=1, world=shapes)
    assert again == mixed
    assert other != mixed
    questions = [(example.video, example.query.lower()) for example in mixed.examples]
    new_questions = questions[len(shapes.examples) :]
    assert len(set(new_questions)) == len(new_questions)
    assert not set(new_questions) & set(questions[: len(shapes.examples)])
    assert len({example.row_id for example in mixed.examples}) == len(mixed.examples)


REAL = [
    row("A man in a red jacket walks two dogs"),
    row("A woman plays the guitar indoors", moments=[(30, 60)]),
    row("Chef cuts an apple in the kitchen", clip="a_60.0_210.0", moments=[(100, 120)]),
    row("Two girls ride a bus at night", clip="b_0.0_150.0"),
    row("A boy opens the first box", clip="c_0.0_150.0"),
]


def test_real_rows_get_every_kind_and_say_what_nobody_checked() -> None:
    mixed = with_negatives(REAL, NegativeShares(edited=0.4, same_video=0.3, shuffled=0.3), seed=3)
    report = mixed.to_dict()
    assert report["wanted"] == report["made"] == 5
    assert sum(sum(checks.values()) for checks in report["kinds"].values()) == 5
    for example, pair in zip(mixed.examples[5:], mixed.pairs, strict=True):
        assert (example.moments, example.negative, example.query) == ((), pair.negative, pair.query)
        assert pair.changes
    heavy = with_negatives(REAL, NegativeShares(unchecked_weight=0.5), seed=3)
    assert {example.weight for example in heavy.examples[5:]} <= {0.5, 1.0}


@pytest.mark.parametrize(
    ("query", "verdict"),
    [
        ("a man in a red jacket walks two dogs.", "refuted"),
        ("a man in a red jacket walks two big dogs", "refuted"),  # nearly the same words
        ("a man in a blue jacket walks two dogs", "unchecked"),  # an edit
        ("an elephant in the snow", "unchecked"),
        ("A dragon flies", "proved"),
    ],
)
def test_rows_refute_prove_or_say_nothing(query: str, verdict: str) -> None:
    rows = [*REAL, row("a dragon flies", moments=(), negative="annotated")]
    assert check_by_rows(REAL[0], query, rows) == verdict


@pytest.mark.parametrize(
    ("clip", "moments", "verdict"),
    [
        ("a_60.0_210.0", [(100, 120)], "unchecked"),  # true at 160-180 of the source; nobody looked at 0-60
        ("a_60.0_210.0", [(20, 40)], "refuted"),  # true at 80-100, which lies in the clip
        ("a_0.0_300.0", [(200, 220)], "proved"),  # its annotators saw the whole of this clip
        ("a_150.0_300.0", [(0, 20)], "unchecked"),
        ("b_0.0_300.0", [(0, 20)], "unchecked"),
        ("unnamed", [(0, 20)], "unchecked"),
    ],
)
def test_windows_of_the_same_source(clip: str, moments: Any, verdict: str) -> None:
    assert check_by_windows(REAL[0], row("somebody sings", clip=clip, moments=moments)) == verdict


def test_a_kind_that_finds_nothing_leaves_its_part_to_the_others() -> None:
    rows = [row("hmm", clip="x"), row("a red car", clip="y")]
    mixed = with_negatives(rows, NegativeShares(edited=0.0, same_video=1.0, shuffled=0.1), seed=0)
    assert [pair.negative for pair in mixed.pairs] == ["shuffled", "shuffled"]
    alone = with_negatives(rows[:1], NegativeShares(), seed=0)
    assert alone.to_dict()["made"] == 0
    assert with_negatives([], NegativeShares(), seed=0).examples == ()


ONLY_EDITS = NegativeShares(edited=1.0, same_video=0.0, shuffled=0.0, edits=(1.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("sibling", "edited"),
    [
        (row("a tiny speck"), []),  # true of the same clip: `tiny` may hold there
        (row("a tiny speck", clip="b_0.0_150.0"), ["a tiny thing", "a big speck"]),  # of another clip
        (row("a tiny speck", moments=()), ["a tiny thing"]),  # nothing is tiny: somebody looked
    ],
)
def test_an_edit_avoids_the_words_of_what_is_true_of_the_same_clip(
    sibling: Example, edited: list[str]
) -> None:
    base = row("a big thing")
    mixed = with_negatives([base, sibling], replace(ONLY_EDITS, irrelevant=0.7), seed=0)
    assert sorted(example.query for example in mixed.examples[2:]) == sorted(edited)


def test_a_made_pair_is_a_row_of_its_own() -> None:
    base = row("a big thing", weight=0.5, kind="size", content="c0ffee", thinking="it grows")
    mixed = with_negatives([base], replace(ONLY_EDITS, unchecked_weight=0.5), seed=0)
    assert mixed.examples == (
        base,
        Example(
            row_id="a_0.0_150.0:a big thing~edited-2",
            video=Path("a_0.0_150.0.mp4"),
            query="a tiny thing",
            duration_s=150.0,
            moments=(),
            weight=0.25,
            negative="edited",
            kind="size",
            clip_id="a_0.0_150.0",
            content="c0ffee",
        ),
    )
    assert [(pair.from_query, pair.changes, pair.check) for pair in mixed.pairs] == [
        ("a big thing", ("attribute: big -> tiny",), "unchecked")
    ]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_word_edit_changes_so_many_words_and_records_them(seed: int, count: int) -> None:
    query = "The man in a red jacket opens the first of two boxes outside"
    outcome = edit_words(np.random.default_rng(seed), query, count)
    assert outcome is not None
    text, edits = outcome
    old, new = words_of(query), words_of(text)
    changed = [
        (a.lower(), b.lower()) for a, b in zip(old, new, strict=True) if a != b and (a, b) != ("a", "an")
    ]
    assert changed == [(edit.old, edit.new) for edit in edits]
    assert len(changed) == count
    for edit in edits:
        assert any({edit.old, edit.new} <= set(words) for words in KINDS[edit.kind])
        assert edit.new not in words_of(query.lower())


def test_rows_to_learn_from_come_with_a_file_of_what_was_made(tmp_path: Path) -> None:
    shares = NegativeShares()
    mixed = with_negatives(REAL, shares, seed=3)
    assert rows_with_negatives(REAL, shares, tmp_path / "run", seed=3) == mixed.examples
    listing = json.loads((tmp_path / "run" / "negatives.json").read_text())
    assert (listing["made"], len(listing["pairs"])) == (len(mixed.pairs), len(mixed.pairs))
    assert [pair["query"] for pair in listing["pairs"]] == [pair.query for pair in mixed.pairs]
    assert rows_with_negatives(REAL, None, tmp_path / "none", seed=3) is REAL
    assert not (tmp_path / "none").exists()


def test_words_of_one_kind_are_never_exchanged_for_the_same() -> None:
    for seed in range(40):
        edited = edit_words(np.random.default_rng(seed), "Red, blue", 2)
        assert edited is not None
        assert len({change.new for change in edited[1]}) == 2


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ({"irrelevant": 1.5}, "irrelevant is 1.5; shares lie between 0 and 1"),
        ({"edited": -0.5}, "edited is -0.5"),
        ({"shuffled": float("nan")}, "shuffled is nan"),
        ({"edits": (0.5, 1.5, 0.0)}, "edits is .0.5, 1.5, 0.0."),
        ({"irrelevant": 1.0}, "nothing to ground"),
        ({"edited": 0.0, "same_video": 0.0, "shuffled": 0.0}, "at least one kind"),
        ({"unchecked_weight": 0.0}, "leave the kinds out"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        NegativeShares(**shares)


def test_articles_and_capitals_follow_the_new_word() -> None:
    outcomes = {
        edit_words(np.random.default_rng(seed), "Red thing", avoid=["blue", "orange"]) for seed in range(50)
    }
    texts = {text for text, _ in (outcome for outcome in outcomes if outcome)}
    assert "Green thing" in texts
    assert not {"Blue thing", "Orange thing"} & texts
    apples = [edit_words(np.random.default_rng(seed), "a banana") for seed in range(50)]
    assert ("an apple", (WordEdit("object", "banana", "apple"),)) in apples
    assert edit_words(np.random.default_rng(0), "someone juggles") is None
    assert edit_words(np.random.default_rng(0), "a red thing", 2) is None


@pytest.mark.parametrize(
    "options",
    [
        {"irrelevant": 1.0},
        {"edited": -1},
        {"edited": 0, "same_video": 0, "shuffled": 0},
        {"unchecked_weight": 0},
    ],
)
def test_shares_that_make_no_sense_are_refused(options: dict) -> None:
    with pytest.raises(InputError):
        NegativeShares(**options)
