"""Planted wrong proposals: only on decided rows, wrong for certain, counted nowhere but in their own figure."""

import dataclasses
import random
from types import SimpleNamespace

import pytest

from annotations.agreement import matched_tiou
from annotations.expected_gain import read_effects
from annotations.planting import WRONG_TIOU, wrong_moments
from annotations.projects import ProjectPlan
from annotations.reason_precision import NO_REASON, reason_precisions
from annotations.records import PLANTED, EditedMoment, Plant, Prediction, ProposedMoment, Video
from annotations.snapshot import take_snapshot
from annotations.store import Store
from tempo_core.errors import InputError
from tempo_core.moments import Moment
from tests.annotations.conftest import ROWS, Operations, edit

NUM_ROWS = 30


@pytest.fixture
def decided(store: Store, op: Operations, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Thirty rows with clips and proposals; the first four are decided from cy's answers. What is drawn is the same in
    every run."""
    monkeypatch.setattr("annotations.store.secrets", SimpleNamespace(randbits=lambda bits: 7))
    rows = [
        dataclasses.replace(ROWS[2], qid=str(n), query=f"q{n}", vid=f"v{n}", windows=((0, 20),))
        for n in range(NUM_ROWS)
    ]
    store.import_rows(rows, dataset="qvh", op_id=op())
    store.save_proposer("qvh", "m", op_id=op(), actor="test")
    videos = [
        Video(vid=f"v{n}", sha256=str(n), path=f"/v{n}", size_bytes=1, modified_ns=1) for n in range(NUM_ROWS)
    ]
    store.save_videos(videos, op_id=op(), actor="test")
    for query_id in range(1, NUM_ROWS + 1):
        moment = ProposedMoment(start_ms=50_000, end_ms=60_000, confidence=0.8)
        store.propose(query_id, Prediction(model_id="m@1", moments=(moment,)), op_id=op())
    for query_id in range(1, 5):
        answer = store.submit(query_id, edit((50_000, 60_000)), annotator="cy", parent_id=None, op_id=op())
        store.adjudicate(query_id, correction_id=answer.id, adjudicator="dee", parent_id=None, op_id=op())
    return store


def work(store: Store, op: Operations, who: str, keep: bool) -> list[Plant]:
    """Answer everything that is lent, planted rows as shown or as decided; the plants."""
    plants = []
    for _ in range(4 * NUM_ROWS):
        lent = store.next_query(who, op_id=op())
        if lent is None:
            break
        plant = store.plant(lent.query_id, who)
        content = edit((50_000, 60_000))
        if plant is not None:
            plants.append(plant)
            assert lent.arm == "model-first"
            proposal = tuple(EditedMoment(start_ms=a, end_ms=b) for a, b in plant.moments)
            content = dataclasses.replace(content, arm=PLANTED, **({"moments": proposal} if keep else {}))
        store.submit(lent.query_id, content, annotator=who, parent_id=None, op_id=op())
    return plants


def test_decided_rows_are_lent_again_with_something_wrong(decided: Store, op: Operations) -> None:
    plan = ProjectPlan(name="p", people=("ada", "bo"), answers_per_row=2, planted_share=0.3)
    decided.add_project(plan, op_id=op(), actor="lead")
    before = take_snapshot_hash(decided, op)
    unchanged, corrected = work(decided, op, "ada", keep=True), work(decided, op, "bo", keep=False)
    assert unchanged or corrected, "at three of ten in 52 lendings one comes up"
    for plant in (*unchanged, *corrected):
        assert plant.query_id <= 4, "decided rows only"
        assert plant.model_id == "m@1"
        proposal = [Moment.from_ms(a, b) for a, b in plant.moments]
        assert matched_tiou(proposal, [Moment(50, 60)]) <= WRONG_TIOU
        assert [version.annotator for version in decided.versions(plant.query_id)] == ["cy"]
        answer = decided.resolved(plant.query_id)
        assert answer.moments == [Moment(50, 60)]
    figures = {line.annotator: line for line in decided.planted_answers()}
    if unchanged:
        assert (figures["ada"].answers, figures["ada"].kept, figures["ada"].right) == (
            len(unchanged),
            len(unchanged),
            0,
        )
    if corrected:
        assert (figures["bo"].answers, figures["bo"].kept, figures["bo"].right) == (
            len(corrected),
            0,
            len(corrected),
        )
    planted_ids = {plant.query_id for plant in (*unchanged, *corrected)}
    with decided.database.read() as connection:
        effects = read_effects(connection)
    assert sum(effect.query_id in planted_ids for effect in effects) == len(planted_ids), "cy's answers alone"
    assert before is not None


def take_snapshot_hash(store: Store, op: Operations) -> str:
    """Of what the decided rows say."""
    return str([store.resolved(query_id).moments for query_id in range(1, 5)])


def test_a_snapshot_holds_nothing_planted(
    decided: Store, op: Operations, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = take_snapshot(decided, tmp_path_factory.mktemp("before"), actor="test").sha256
    answer = dataclasses.replace(edit((70_000, 80_000)), arm=PLANTED)
    decided.submit(1, answer, annotator="ada", parent_id=None, op_id=op())
    assert take_snapshot(decided, tmp_path_factory.mktemp("after"), actor="test").sha256 == before


def test_nothing_is_planted_unless_the_project_wants_it(decided: Store, op: Operations) -> None:
    decided.add_project(ProjectPlan(name="p", people=("ada",)), op_id=op(), actor="lead")
    assert work(decided, op, "ada", keep=True) == []
    assert len(decided.submitted_by("ada")) == NUM_ROWS - 4
    with pytest.raises(InputError, match="share of planted rows"):
        ProjectPlan(name="q", planted_share=0.5)


def test_moved_moments_are_wrong_and_inside_the_clip() -> None:
    for seed in range(50):
        rng = random.Random(seed)
        start_s = rng.uniform(0, 90)
        moments = [Moment(start_s, start_s + rng.uniform(1, 50))]
        wrong = wrong_moments(moments, 150.0, rng)
        assert wrong is not None
        assert all(0 <= moment.start_s < moment.end_s <= 150 for moment in wrong)
        assert matched_tiou(wrong, moments) <= WRONG_TIOU
    assert wrong_moments([Moment(0, 2.5)], 2.5, random.Random(0)) is None, "no room"


def test_each_reason_says_how_often_it_led_to_a_change(filled: Store, op: Operations) -> None:
    # Row 1 has a hole of one clip, filled by ada; bo then leaves what ada made of it as it is.
    filled.submit(1, edit((10_000, 40_000)), annotator="ada", parent_id=None, op_id=op())
    filled.submit(1, edit((10_000, 40_000)), annotator="bo", parent_id=None, op_id=op())
    filled.submit(2, edit(), annotator="ada", parent_id=None, op_id=op())
    lines = {line.reason: line for line in filled.reason_precisions()}
    assert (lines["one-clip-hole"].answers, lines["one-clip-hole"].changed) == (1, 1)
    assert (lines["duplicate-query"].answers, lines["duplicate-query"].changed) == (2, 1)
    assert lines["duplicate-query"].precision == 0.5
    assert (lines[NO_REASON].answers, lines[NO_REASON].changed, lines[NO_REASON].weight) == (1, 0, None)
    assert reason_precisions([]) == []


def test_what_an_upcoming_row_shows_is_recorded_when_it_is_lent(decided: Store, op: Operations) -> None:
    plan = ProjectPlan(name="p", people=("ada",), answers_per_row=2, planted_share=0.3)
    decided.add_project(plan, op_id=op(), actor="lead")
    first = decided.next_query("ada", op_id=op())
    assert first is not None
    decided.submit(first.query_id, edit((50_000, 60_000)), annotator="ada", parent_id=None, op_id=op())
    num_planted = 0
    while (upcoming := decided.upcoming_row("ada", answers_per_row=1, draw=op())) is not None:
        row = decided.annotator_row(upcoming.query_id, "ada")
        assert (row.arm, row.plant) == (None, None)
        lent = decided.next_query("ada", op_id=op(), upcoming=upcoming)
        assert lent is not None
        assert (lent.query_id, lent.arm) == (upcoming.query_id, upcoming.arm)
        assert decided.plant(upcoming.query_id, "ada") == upcoming.plant
        num_planted += upcoming.plant is not None
        decided.submit(lent.query_id, edit((50_000, 60_000)), annotator="ada", parent_id=None, op_id=op())
    assert num_planted > 0, "at three of ten in 29 lendings one comes up"
