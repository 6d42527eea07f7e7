"""Training rows: Examples, and which of them may teach. Trainers see these and never the store.

    split = read_examples(Path("data/snapshots/0123456789abcdef"))     # data.example_files
    split.training     # may teach
    split.held_out     # val and test: may only measure
    split.skipped      # reason -> row ids

A row of val or test never becomes a training example, whatever way it comes in: by the row's own split, by the
file's or folder's name, by another row about the same clip (same name, same content, or an overlapping stretch of
the same source video). `require_training` is the lock on the trainers' side.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotations.rows import SPLITS
from annotations.suspicion import vid_range_s
from tempo_core.errors import InputError
from tempo_core.moments import Moment

HELD_OUT = ("val", "test")

ALSO_HELD_OUT = "its clip is held out for measuring"
NOT_TRAINING = "its split is not one for training"

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
"""Around an optional trace before the answer (TVG-R1)."""

SkippedRows = dict[str, tuple[str, ...]]
"""Reason -> ids of the rows that are not used, in their order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One query about one video with what is true.

    Example(row_id="set/7", video=Path("a.mp4"), query="a dog barks", duration_s=30.0, moments=(Moment(3, 5),))
    """

    row_id: str
    """Unique: dataset (or file) and qid."""
    video: Path
    query: str
    duration_s: float
    """Seconds as annotated; where nobody annotated it, as the file says."""
    moments: tuple[Moment, ...]
    """Sorted and apart; empty: nothing matches, refusing is right."""
    bands_s: tuple[tuple[float, float], ...] = ()
    """Half widths of each moment's start and end, where people said how certain they are; () where all are hard."""
    split: str = "train"
    source: str = ""
    """Where the truth is from: original, correction, verdict or file."""
    weight: float = 1.0
    """How far the row is trusted, above 0 up to 1: the agreement of those who answered it."""
    negative: str | None = None
    """Of an irrelevant pair, how it was made: annotated, shuffled, edited, same-video, given."""
    kind: str | None = None
    """What is asked, where the data say so."""
    thinking: str | None = None
    """A trace to write before the answer, where the data hold one."""
    clip_id: str = ""
    """Name of the clip in its data set."""
    content: str | None = None
    """sha256 of the clip, where it is known."""
    window_s: tuple[float, float] | None = None
    """The part of the clip that is asked about; None: the whole clip. Moments and duration are on the clock of the part
    where a protocol cuts clips into pieces, on the clip's where it looks at a window of it."""

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InputError(
                f"Row {self.row_id} has split {self.split!r}; it must be one of {', '.join(SPLITS)}."
            )
        if not (math.isfinite(self.weight) and 0 < self.weight <= 1):
            raise InputError(f"Row {self.row_id} has weight {self.weight!r}; it must lie in (0, 1].")
        if self.bands_s and len(self.bands_s) != len(self.moments):
            raise InputError(
                f"Row {self.row_id} has {len(self.bands_s)} bands for {len(self.moments)} moments; give one a moment."
            )
        if not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise InputError(f"Row {self.row_id} lasts {self.duration_s!r} s; a video lasts longer than 0.")

    @property
    def relevant(self) -> bool:
        return bool(self.moments)

    @property
    def clip(self) -> str:
        """What tells its clip from another: content, name or file."""
        return self.content or self.clip_id or str(self.video)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleSplit:
    """What a source holds, sorted by what it may be used for."""

    training: tuple[Example, ...] = ()
    held_out: tuple[Example, ...] = ()
    skipped: SkippedRows = dataclasses.field(default_factory=dict)
    excluded: tuple[Example, ...] = ()
    """Everything whose clip may not teach: what is held out, and held-out rows that cannot be used themselves."""

    def describe(self) -> dict[str, object]:
        """Counts as plain JSON values, for a plan or a page."""
        return {
            "training": counts(self.training),
            "held_out": counts(self.held_out),
            "left_out": {reason: len(rows) for reason, rows in self.skipped.items()},
        }

    def with_training(self, examples: Iterable[Example]) -> "ExampleSplit":
        """Further training rows (replay), kept apart from what is held out here."""
        training, skipped = keep_apart(examples, (*self.held_out, *self.excluded))
        return dataclasses.replace(
            self, training=(*self.training, *training), skipped=joined(self.skipped, skipped)
        )

    def without(self, excluded: Iterable[Example]) -> "ExampleSplit":
        """Without training rows about clips that are held out elsewhere."""
        training, skipped = keep_apart(self.training, excluded)
        return dataclasses.replace(self, training=tuple(training), skipped=joined(self.skipped, skipped))


def joined(first: SkippedRows, second: SkippedRows) -> SkippedRows:
    """The rows of both by reason, the first's before the second's."""
    return {reason: (*first.get(reason, ()), *second.get(reason, ())) for reason in {**first, **second}}


def counts(examples: Sequence[Example]) -> dict[str, int]:
    """How many rows there are: in all, by relevance, by source, and clips."""
    with_moments = sum(example.relevant for example in examples)
    return {
        "rows": len(examples),
        "clips": len({example.video for example in examples}),
        "with moments": with_moments,
        "no moment": len(examples) - with_moments,
        **{
            source: sum(example.source == source for example in examples)
            for source in ("original", "correction", "verdict", "file")
        },
    }


def keep_apart(examples: Iterable[Example], held_out: Iterable[Example]) -> tuple[list[Example], SkippedRows]:
    """The examples that may teach beside what is held out, and the others' ids by reason. Pure."""
    # a clip is told by its file, its content, its name, and its stretch of a source video
    keys = set[tuple[str, str]]()
    ranges_s: dict[str, list[tuple[float, float]]] = {}
    for example in held_out:
        keys |= _clip_keys(example)
        if stretch := vid_range_s(example.clip_id):
            source, start_s, end_s = stretch
            ranges_s.setdefault(source, []).append((start_s, end_s))

    def about_held_out_clip(example: Example) -> bool:
        if not keys.isdisjoint(_clip_keys(example)):
            return True
        if (stretch := vid_range_s(example.clip_id)) is None:
            return False
        source, start_s, end_s = stretch
        return any(first_s < end_s and start_s < last_s for first_s, last_s in ranges_s.get(source, ()))

    training = list[Example]()
    skipped: dict[str, list[str]] = {}
    for example in examples:
        if example.split in HELD_OUT:
            skipped.setdefault(NOT_TRAINING, []).append(example.row_id)
        elif about_held_out_clip(example):
            skipped.setdefault(ALSO_HELD_OUT, []).append(example.row_id)
        else:
            training.append(example)
    return training, {reason: tuple(row_ids) for reason, row_ids in skipped.items()}


def _clip_keys(example: Example) -> set[tuple[str, str]]:
    keys = {("content", example.content), ("name", example.clip_id)}
    if example.video != Path():
        keys.add(("file", str(example.video.resolve())))
    return {(kind, key) for kind, key in keys if key}


def require_training(examples: Iterable[Example], held_out: Iterable[Example] = ()) -> None:
    """Raise InputError when a row of val or test, or a clip of one, is about to teach."""
    _, skipped = keep_apart(examples, held_out)
    for reason, rows in skipped.items():
        raise InputError(f"Row {rows[0]} must not be trained on: {reason}. Take it out of the training rows.")
