"""The median of several annotators' answers."""

from hypothesis import given
from hypothesis import strategies as st

from annotations.agreement import Version
from annotations.consensus import median_consensus
from tempo_core.moments import Moment


def version_of(*pairs: tuple[float, float]) -> Version:
    return Version(verdict="moments" if pairs else "no-moment", moments=[Moment(*pair) for pair in pairs])


UNSURE = Version(verdict="cannot-judge", moments=[])


def test_three_annotators_give_their_median_edges() -> None:
    consensus = median_consensus([version_of((10, 20)), version_of((11, 24)), version_of((2, 21))])
    assert consensus.verdict == "moments"
    assert consensus.moments == (Moment(10, 21),)
    assert consensus.support == (3,)
    assert consensus.voters == 3


def test_two_annotators_meet_in_the_middle_and_keep_what_only_one_saw() -> None:
    consensus = median_consensus([version_of((10, 20), (40, 50)), version_of((12, 21))])
    assert consensus.moments == (Moment(11, 20.5), Moment(40, 50))
    assert consensus.support == (2, 1)


def test_a_moment_of_one_in_three_is_left_out() -> None:
    consensus = median_consensus([version_of((10, 20), (40, 50)), version_of((12, 21)), version_of((12, 22))])
    assert consensus.moments == (Moment(12, 21),)


def test_most_votes_decide_and_a_tie_is_for_moments() -> None:
    assert median_consensus([version_of(), version_of(), version_of((1, 2))]).verdict == "no-moment"
    assert median_consensus([version_of(), version_of((1, 2))]).verdict == "moments"
    assert median_consensus([UNSURE, version_of()]).verdict == "no-moment"
    assert median_consensus([UNSURE]).verdict == "cannot-judge"
    assert median_consensus([]).verdict == "cannot-judge"


def test_one_annotator_is_their_own_consensus() -> None:
    assert median_consensus([version_of((1, 2), (2, 5))]).moments == (Moment(1, 2), Moment(2, 5))


def test_one_half_of_a_split_moment_is_matched_and_the_other_is_one_voice_in_three() -> None:
    consensus = median_consensus([version_of((10, 30)), version_of((10, 18), (20, 30)), version_of((11, 29))])
    assert consensus.moments == (Moment(11, 30),)


spans = st.lists(st.integers(0, 60_000), min_size=2, max_size=8, unique=True).map(
    lambda edges: [(a, b) for a, b in zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False)]
)


def test_moments_that_no_half_agrees_on_are_those_with_the_most() -> None:
    answers = [(0, 2), (10, 12), (10.5, 12), (30, 32), (40, 42)]
    consensus = median_consensus([version_of(answer) for answer in answers])
    assert (consensus.moments, consensus.support) == ((Moment(10.25, 12),), (2,))


@given(st.lists(spans, min_size=1, max_size=5))
def test_the_consensus_can_always_be_stored_and_is_what_equal_annotators_say(
    answers: list[list[tuple[int, int]]],
) -> None:
    versions = [version_of(*((a / 1000, b / 1000) for a, b in answer)) for answer in answers]
    consensus = median_consensus(versions)
    assert consensus.verdict == "moments"
    assert len(consensus.moments) == len(consensus.support) >= 1
    edges = [edge for moment in consensus.moments for edge in moment.to_ms()]
    assert edges == sorted(edges)
    assert median_consensus([versions[0]] * 3).moments == tuple(sorted(versions[0].moments))
