"""Which answer an export writes when more than half of the annotators decide."""

from annotations.exporting import majority, shared_by_most
from annotations.rows import AnnotatorVersion, Row


def test_shared_by_most_is_the_median_of_three() -> None:
    assert shared_by_most([((1.0, 5.0),), ((2.0, 6.0),), ((3.0, 9.0),)]) == ((2.0, 6.0),)
    assert shared_by_most([((1.0, 2.0),), ((3.0, 4.0),)]) == ()
    assert shared_by_most([((1.0, 2.0),)]) == ((1.0, 2.0),)
    assert shared_by_most([((1.0, 2.0), (2.0, 3.0)), ((1.5, 2.5),)]) == ((1.5, 2.5),)


def row(*versions: AnnotatorVersion) -> Row:
    return Row(qid="1", query="q", vid="v", windows=((0.0, 9.0),), reason="old", annotations=versions)


MARKED = AnnotatorVersion(annotator="a", windows=((0.0, 1.0),))
REFUSED = AnnotatorVersion(annotator="b", windows=(), reason="event absent")
UNCLEAR = AnnotatorVersion(annotator="c", verdict="cannot-judge")


def test_a_tie_or_nobody_decides_nothing() -> None:
    for undecided in (row(MARKED, REFUSED), row(), row(MARKED, REFUSED, UNCLEAR)):
        assert majority(undecided) is undecided


def test_more_than_half_decide() -> None:
    refused = majority(row(REFUSED, MARKED, REFUSED))
    assert (refused.verdict, refused.windows, refused.original_windows) == ("no-moment", (), ((0.0, 9.0),))
    assert refused.reason == "old"
    unclear = majority(row(UNCLEAR, UNCLEAR, MARKED))
    assert (unclear.verdict, unclear.windows) == ("cannot-judge", ((0.0, 9.0),))
    marked = majority(row(MARKED, MARKED, REFUSED))
    assert (marked.windows, marked.original_windows) == (((0.0, 1.0),), ((0.0, 9.0),))


def test_the_same_answer_or_no_shared_stretch_changes_nothing() -> None:
    same = row(AnnotatorVersion(annotator="a", windows=((0.0, 9.0),)))
    apart = row(MARKED, AnnotatorVersion(annotator="d", windows=((5.0, 6.0),)))
    assert majority(same) is same
    assert majority(apart) is apart


def test_models_have_no_vote() -> None:
    predicted = row(AnnotatorVersion(annotator="m", source="model", windows=((0.0, 1.0),)), REFUSED)
    assert majority(predicted).verdict == "no-moment"
