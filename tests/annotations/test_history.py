"""History: every version with who, when, from which proposal, and what changed."""

from annotations.history import changes, history
from annotations.records import Prediction, ProposedMoment
from annotations.store import Store
from tests.annotations.conftest import Clock, Operations, edit


def test_the_whole_life_of_a_query(filled: Store, op: Operations) -> None:
    moment = ProposedMoment(start_ms=10_000, end_ms=40_500)
    proposal = filled.propose(1, Prediction(model_id="m", adapter_id="a1", moments=(moment,)), op_id=op())
    ada = filled.submit(
        1, edit((10_000, 40_500), proposal_id=proposal.id), annotator="ada", parent_id=None, op_id=op()
    )
    corrected = filled.submit(1, edit(edited_text="Dogs run"), annotator="ada", parent_id=ada.id, op_id=op())
    filled.revert(1, to_id=ada.id, annotator="ada", parent_id=corrected.id, op_id=op())
    filled.adjudicate(1, correction_id=ada.id, adjudicator="dee", parent_id=None, op_id=op())
    entries = history(filled, 1)
    assert [(entry.kind, entry.author, entry.model, entry.restores_id) for entry in entries] == [
        ("original", "qvh", None, None),
        ("correction", "ada", "m+a1", None),
        ("correction", "ada", None, None),
        ("correction", "ada", "m+a1", ada.id),
        ("verdict", "dee", None, None),
    ]
    times_ms = [entry.at_ms for entry in entries[1:]]
    assert times_ms == sorted(times_ms)  # type: ignore[type-var]
    assert [[change.text for change in entry.changes] for entry in entries] == [
        [],
        ["removed [10.000, 20.000)", "moved [22.000, 40.000): start -12.000 s, end +0.500 s"],
        [
            "verdict: 'moments' → 'no-moment'",
            "reason: None → 'nothing there'",
            "edited_text: None → 'Dogs run'",
            "removed [10.000, 40.500)",
        ],
        [
            "verdict: 'no-moment' → 'moments'",
            "reason: 'nothing there' → None",
            "edited_text: 'Dogs run' → None",
            "added [10.000, 40.500)",
        ],
        [f"adopted: None → {ada.id}"],
    ]


def test_events_stand_as_they_were_written_whatever_the_clock_said(
    filled: Store, op: Operations, clock: Clock
) -> None:
    def set_clock(days: int) -> None:
        clock.now_ms += days * 24 * 3600 * 1000

    ada = filled.submit(1, edit((1, 2)), annotator="ada", parent_id=None, op_id=op())
    set_clock(400)
    filled.submit(1, edit((1, 3)), annotator="bo", parent_id=None, op_id=op())
    set_clock(-800)
    first = filled.adjudicate(1, correction_id=ada.id, adjudicator="dee", parent_id=None, op_id=op())
    filled.submit(1, edit((1, 4)), annotator="ada", parent_id=ada.id, op_id=op())
    set_clock(-30)
    filled.adjudicate(1, correction_id=ada.id, adjudicator="eve", parent_id=first.id, op_id=op())
    assert [entry.author for entry in history(filled, 1)] == ["qvh", "ada", "bo", "dee", "ada", "eve"]


def test_equal_versions_differ_in_nothing() -> None:
    assert changes(edit((1, 5), (7, 9)), edit((1, 5), (7, 9))) == ()
    assert changes([], edit()) == ()
