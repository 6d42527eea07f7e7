"""Training rows: from a snapshot's folder or a JSON-lines file to Examples. Trainers see these and never the store.

    gathered = read_examples(Path("data/snapshots/0123456789abcdef"))
    gathered.training     # may teach
    gathered.held_out     # val and test: may only measure
    gathered.skipped     # reason -> row ids

A row of val or test never becomes a training example, whatever way it comes in: by the row's own split, by the
file's or folder's name, by another row about the same clip (same name, same content, or an overlapping stretch of
the same source video). `require_training` is the lock on the trainers' side.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotations.rows import SPLITS
from annotations.suspicion import vid_range_s
from tempo_core.errors import InputError
from tempo_core.moments import Moment

HELD_OUT = ("val", "test")

GONE = "its video is gone"
CHANGED = "its video is not the one that was annotated"
ALSO_HELD_OUT = "its clip is held out for measuring"
THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
"""Around an optional trace before the answer (TVG-R1)."""

UNJUDGED = "nobody could judge it"
UNKNOWN_TRUTH = "nobody said what is true"
UNREADABLE = "its query cannot be asked"
NOT_TRAINING = "its split is not one for training"
OUTSIDE = "its moments lie outside the video"


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One query about one video with what is true."""

    row_id: str
    """Unique: dataset (or file) and qid."""
    video: Path
    query: str
    duration_s: float
    """Seconds as annotated; where nobody annotated it, as the file says."""
    moments: tuple[Moment, ...]
    """Sorted and apart; empty: nothing matches, refusing is right."""
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

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InputError(
                f"Row {self.row_id} has split {self.split!r}; it must be one of {', '.join(SPLITS)}."
            )
        if not (math.isfinite(self.weight) and 0 < self.weight <= 1):
            raise InputError(f"Row {self.row_id} has weight {self.weight!r}; it must lie in (0, 1].")
        if not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise InputError(f"Row {self.row_id} lasts {self.duration_s!r} s; a video lasts longer than 0.")

    @property
    def relevant(self) -> bool:
        return bool(self.moments)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleSplit:
    """What a source holds, sorted by what it may be used for."""

    training: tuple[Example, ...] = ()
    held_out: tuple[Example, ...] = ()
    skipped: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Reason -> ids of the rows that are not used, in their order."""
    excluded: tuple[Example, ...] = ()
    """Everything whose clip may not teach: what is held out, and held-out rows that cannot be used themselves."""

    def describe(self) -> dict[str, object]:
        """Counts as plain JSON values, for a plan or a page."""
        return {
            "training": counts(self.training),
            "held_out": counts(self.held_out),
            "left_out": {reason: len(rows) for reason, rows in self.skipped.items()},
        }

    def with_training(self, others: Iterable[Example]) -> "ExampleSplit":
        """Further training rows (replay), kept apart from what is held out here."""
        kept, refused = keep_apart(others, (*self.held_out, *self.excluded))
        return dataclasses.replace(
            self, training=(*self.training, *kept), skipped=joined(self.skipped, refused)
        )

    def without(self, locked: Iterable[Example]) -> "ExampleSplit":
        """Without training rows about the clips of others that are held out elsewhere."""
        kept, refused = keep_apart(self.training, locked)
        return dataclasses.replace(self, training=tuple(kept), skipped=joined(self.skipped, refused))


def counts(examples: Sequence[Example]) -> dict[str, int]:
    """How many rows there are: in all, by relevance, by source, and clips."""
    found = {"rows": len(examples), "clips": len({example.video for example in examples})}
    found["with moments"] = sum(example.relevant for example in examples)
    found["no moment"] = len(examples) - found["with moments"]
    for source in ("original", "correction", "verdict", "file"):
        found[source] = sum(example.source == source for example in examples)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedRow:
    """A row that cannot be used, and why."""

    row_id: str
    reason: str
    held_out: Example | None = None
    """Its clip must stay out of training all the same (a held-out row whose file is gone, say)."""


def keep_apart(
    examples: Iterable[Example], held_out: Iterable[Example]
) -> tuple[list[Example], dict[str, tuple[str, ...]]]:
    """The examples that may teach beside what is held out, and the others' ids by reason. Pure."""
    locked, kept = _Clips(held_out), []
    refused: list[SkippedRow] = []
    for example in examples:
        if example.split in HELD_OUT:
            refused.append(SkippedRow(row_id=example.row_id, reason=NOT_TRAINING))
        elif example in locked:
            refused.append(SkippedRow(row_id=example.row_id, reason=ALSO_HELD_OUT))
        else:
            kept.append(example)
    return kept, by_reason(refused)


def require_training(examples: Iterable[Example], held_out: Iterable[Example] = ()) -> None:
    """Raise InputError when a row of val or test, or a clip of one, is about to teach."""
    _, refused = keep_apart(examples, held_out)
    for reason, rows in refused.items():
        raise InputError(f"Row {rows[0]} must not be trained on: {reason}. Take it out of the training rows.")


class _Clips:
    """The clips of some examples: by file, content, name, and stretch of a source video."""

    def __init__(self, examples: Iterable[Example]) -> None:
        self._keys: set[object] = set()
        self._stretches: dict[str, list[tuple[float, float]]] = {}
        for example in examples:
            self._keys.update(_keys(example))
            if named := vid_range_s(example.clip_id):
                self._stretches.setdefault(named[0], []).append(named[1:])

    def __contains__(self, example: Example) -> bool:
        if not self._keys.isdisjoint(_keys(example)):
            return True
        named = vid_range_s(example.clip_id)
        return named is not None and any(
            start_s < named[2] and named[1] < end_s for start_s, end_s in self._stretches.get(named[0], ())
        )


def _keys(example: Example) -> Iterator[tuple[str, str]]:
    if example.video != Path():
        yield "file", str(example.video.resolve())
    if example.content:
        yield "content", example.content
    if example.clip_id:
        yield "name", example.clip_id


def by_reason(refused: Iterable[SkippedRow]) -> dict[str, tuple[str, ...]]:
    gathered: dict[str, list[str]] = {}
    for each in refused:
        gathered.setdefault(each.reason, []).append(each.row_id)
    return {reason: tuple(rows) for reason, rows in gathered.items()}


def joined(
    first: dict[str, tuple[str, ...]], second: dict[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    return {reason: (*first.get(reason, ()), *second.get(reason, ())) for reason in {**first, **second}}
