"""Films of shapeworld scenes: as long as asked for, and true over every scene."""

from pathlib import Path

import numpy as np
import pytest

from tempo_core.moments import intersection_s
from tempo_core.video import sample
from train.shapeworld.films import BEAT_S, MAX_MOMENTS, film_questions, sample_film, write_film
from train.shapeworld.queries import truth


@pytest.mark.parametrize("duration_s", [30.0, 90.0, 600.0])
def test_a_film_is_as_long_as_asked_for_and_the_same_again(duration_s: float) -> None:
    film, again = (sample_film(3, duration_s=duration_s) for _ in range(2))
    assert film.duration_s == duration_s
    assert [scene.things for scene in film.scenes] == [scene.things for scene in again.scenes]
    assert len({scene.aspect for scene in film.scenes}) == 1
    assert film.starts_s[0] == 0


def test_a_questions_truth_holds_in_every_scene() -> None:
    film = sample_film(5, duration_s=600)
    questions = film_questions(film, 12)
    assert questions == film_questions(film, 12)
    assert [bool(question.moments) for question in questions].count(False) == 3
    for question in questions:
        assert len(question.moments) <= MAX_MOMENTS
        holds = np.concatenate([truth(scene, question.predicate) for scene in film.scenes])
        assert sum(moment.duration_s for moment in question.moments) == holds.sum() * BEAT_S
        for tick in np.flatnonzero(holds):
            assert any(moment.start_s <= tick * BEAT_S < moment.end_s for moment in question.moments)
    assert len({question.predicate for question in questions}) == len(questions)
    assert not any(
        intersection_s([one], [other])
        for question in questions
        for idx, one in enumerate(question.moments)
        for other in question.moments[idx + 1 :]
    )


def test_a_written_film_has_its_scenes_in_order(tmp_path: Path) -> None:
    film = sample_film(1, duration_s=100)
    write_film(film, tmp_path / "film.mp4", rate=2)
    video = sample(tmp_path / "film.mp4", step_s=BEAT_S)
    assert video.end_s == 100
    assert list(video.times_s) == [BEAT_S * tick for tick in range(50)]
    assert video.frames.shape[1:] == (126, 224, 3)
