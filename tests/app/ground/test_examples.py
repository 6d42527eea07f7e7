"""Example clips: whatever the manifest lists."""

import json
from pathlib import Path

import pytest

from app.ground.examples import SHIPPED, Example, read_examples
from scripts.examples import EVENTS
from tempo_core.checkpoint import FOOTAGE
from tempo_core.engine import load_engine, sample_for
from tempo_core.errors import InputError


def write(folder: Path, manifest: object) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_no_folder_or_no_manifest_is_no_example(tmp_path: Path) -> None:
    assert read_examples(None) == []
    assert read_examples(tmp_path) == []
    assert read_examples(tmp_path / "missing") == []


def test_reads_the_manifest_in_order(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4"):
        (tmp_path / name).write_bytes(b"x")
    write(
        tmp_path,
        [
            {"file": "b.mp4", "title": "B", "questions": ["q1", "q2"], "licence": "CC0", "source": "ours"},
            {"file": "a.mp4", "title": "A", "questions": []},
        ],
    )
    first, second = read_examples(tmp_path)
    assert (first.title, first.questions, first.licence) == ("B", ("q1", "q2"), "CC0")
    assert (second.path, second.questions) == (tmp_path / "a.mp4", ())


@pytest.mark.parametrize(
    "manifest",
    [
        {"file": "a.mp4"},
        [{"file": "a.mp4", "title": "A"}],
        [{"file": "gone.mp4", "title": "A", "questions": []}],
        [{"file": "../../etc/passwd", "title": "A", "questions": []}],
        ["a.mp4"],
    ],
)
def test_a_broken_manifest_is_an_input_error(tmp_path: Path, manifest: object) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    write(tmp_path, manifest)
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_examples(tmp_path)


def test_the_shipped_examples_can_be_read() -> None:
    for example in read_examples(SHIPPED):
        assert example.title
        assert example.questions
        assert example.licence


@pytest.mark.parametrize("loop_s", [[3, 2], [-1, 2], [0, 5], [1], "ab", [1, None]])
def test_a_card_plays_a_short_stretch(tmp_path: Path, loop_s: object) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    row = {"file": "a.mp4", "title": "A", "questions": []}
    write(tmp_path, [{**row, "loop_s": [1.5, 4]}, row])
    assert [example.card()["loop_s"] for example in read_examples(tmp_path)] == [[1.5, 4.0], [2.0, 6.0]]
    write(tmp_path, [{**row, "loop_s": loop_s}])
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_examples(tmp_path)


def test_the_films_questions_are_answered_by_the_model_that_knows_films() -> None:
    """EVENTS are what was cut into it."""
    film = next(example for example in read_examples(SHIPPED) if example.path.name == "film.mp4")
    engine = load_engine(FOOTAGE, device="cpu")
    context = engine.encode(sample_for(engine.defaults, film.path, protocol=engine.protocol))
    truth = {(float(start), float(end)) for _, start, end in EVENTS}
    *known, unknown = film.questions
    answers = [engine.ask(context, question, n_best=0) for question in known]
    moments = {(moment.start_s, moment.end_s) for answer in answers for moment in answer.moments}
    assert len(moments) == len(known) == 4
    assert moments <= truth
    assert not engine.ask(context, unknown, n_best=0).is_understood
    assert engine.ask(context, "a flash", n_best=0).refused


@pytest.mark.parametrize("example", read_examples(SHIPPED), ids=lambda example: example.path.stem)
def test_a_card_plays_the_inside_of_an_answer_where_there_is_one(example: Example) -> None:
    engine = load_engine(FOOTAGE if example.path.name == "film.mp4" else None, device="cpu")
    context = engine.encode(sample_for(engine.defaults, example.path, protocol=engine.protocol))
    answers = [engine.ask(context, question, n_best=0) for question in example.questions]
    moments = [moment for answer in answers if answer.is_understood for moment in answer.moments]
    start_s, end_s = example.loop_s
    inside = [moment for moment in moments if moment.start_s <= start_s < end_s <= moment.end_s]
    assert inside or not moments
