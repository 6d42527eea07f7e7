"""Films: shapeworld scenes one after the other, for as long as an hour, with questions about the whole of them.

    film = sample_film(7, duration_s=3600)
    questions = film_questions(film, 8)
    write_film(film, Path("film.mp4"))

A question's truth is computed over every scene, so that it is exact however long the film is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tempo_core.moments import Moment, merge
from train.shapeworld.clips import CLIPS_RATE, HELD_OUT_SEEDS, write_frames
from train.shapeworld.queries import Predicate, askable, edit, held_out, runs_of, say, truth
from train.shapeworld.render import canvas_size, render
from train.shapeworld.scene import RICH, Scene, Tier, sample_scene

FILM = replace(RICH, name="film", things=(1, 3), noise=(0.0, 1.5), aspects=((9, 16),))
"""Scenes in which little happens: of a film's length, most things are rare."""
BEAT_S = 2.0
SCENE_TICKS = (20, 40)
"""Fewest and most beats of a scene: 40 to 80 s, with events of 4 to 24 s."""
ASKED_KINDS = ("existence", "size", "pair", "cut", "light", "fade")
MAX_MOMENTS = 3
"""Of a question's truth: what happens more often is no event of a film."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Film:
    """Scenes of one size and beat that follow each other without a gap."""

    seed: int
    scenes: tuple[Scene, ...]

    @property
    def starts_s(self) -> tuple[float, ...]:
        """Where each scene begins."""
        ends = np.cumsum([scene.duration_s for scene in self.scenes])
        return (0.0, *map(float, ends[:-1]))

    @property
    def duration_s(self) -> float:
        return sum(scene.duration_s for scene in self.scenes)

    def moments(self, predicate: Predicate) -> list[Moment]:
        """Where a predicate holds in the whole film."""
        return merge(
            Moment(start_s + start * scene.step_s, start_s + end * scene.step_s)
            for start_s, scene in zip(self.starts_s, self.scenes, strict=True)
            for start, end in runs_of(truth(scene, predicate))
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmQuestion:
    """A question about a film; no moments where it holds nowhere."""

    text: str
    kind: str
    predicate: Predicate
    moments: tuple[Moment, ...]


def sample_film(seed: int, *, duration_s: float, tier: Tier = FILM) -> Film:
    """A random film, as long as asked for to the beat. Its scenes are of seeds that training never draws."""
    rng = np.random.default_rng([seed, 11])
    scenes: list[Scene] = []
    left_ticks = round(duration_s / BEAT_S)
    while left_ticks > 0:
        ticks = int(rng.integers(SCENE_TICKS[0], SCENE_TICKS[1] + 1))
        if left_ticks - ticks < SCENE_TICKS[0]:
            ticks = left_ticks
        scene = sample_scene(
            HELD_OUT_SEEDS + seed * 100_000 + len(scenes), tier, ticks=ticks, aspect=tier.aspects[0]
        )
        scenes.append(replace(scene, step_s=BEAT_S))
        left_ticks -= ticks
    return Film(seed=seed, scenes=tuple(scenes))


def film_questions(film: Film, count: int, *, irrelevant: float = 0.25) -> list[FilmQuestion]:
    """Up to `count` questions in the order drawn: events that happen once to MAX_MOMENTS times, and, as the share
    `irrelevant`, edits of such that happen nowhere in the film."""
    rng = np.random.default_rng([film.seed, 13])
    questions: dict[Predicate, FilmQuestion] = {}
    for _ in range(60 * count):
        if len(questions) == count:
            break
        scene = film.scenes[int(rng.integers(len(film.scenes)))]
        by_kind = askable(scene)
        kinds = [kind for kind in ASKED_KINDS if by_kind[kind]]
        if not kinds:
            continue
        kind = kinds[int(rng.integers(len(kinds)))]
        predicate = by_kind[kind][int(rng.integers(len(by_kind[kind])))][0]
        is_irrelevant = len(questions) >= count - round(irrelevant * count)
        if is_irrelevant:
            predicate = edit(rng, predicate)
        moments = film.moments(predicate)
        if held_out(predicate) or not (not moments if is_irrelevant else 1 <= len(moments) <= MAX_MOMENTS):
            continue
        question = FilmQuestion(
            text=say(rng, predicate), kind=kind, predicate=predicate, moments=tuple(moments)
        )
        questions.setdefault(predicate, question)
    return list(questions.values())


def write_film(
    film: Film, path: Path, *, short_side_px: int = 126, rate: int = CLIPS_RATE, crf: int = 30
) -> None:
    """Encode a film as H.264, scene by scene, in memory that does not grow with its length; the file appears whole or
    not at all."""
    size = canvas_size(film.scenes[0], short_side_px)

    def frames() -> Iterator[np.ndarray]:
        for scene in film.scenes:
            per_tick = round(scene.step_s * rate)
            for tick in range(scene.ticks):
                times = tick + np.arange(per_tick) / per_tick
                yield from render(scene, short_side_px=short_side_px, times=times, compress=False)

    write_frames(frames(), path, size=size, rate=rate, crf=crf)
