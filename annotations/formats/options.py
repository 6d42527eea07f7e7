"""What every format shares: the options of reading and writing, what went wrong where, and what came out.

A format is a module with
`read(path, options) -> Iterator[Item]` (rows, problems, and what the file holds beside them),
`check(row, path, options) -> None` (raises FieldError for a row that it cannot carry),
`write(rows, path, options) -> ExportFiles` (contents in memory; it touches no disk), and, where needed,
`left_out(row) -> str | None` (why the format has nothing to show for a row, which an export counts) and
`losses(row, path, options) -> Iterator[str]` (what a row loses beyond what `FORMATS` says).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from annotations.choices import SALIENCY_POLICIES, SNAPPINGS, ExportRule, SaliencyPolicy, Snapping
from annotations.formats.fields import Mending
from annotations.rows import Row, Split
from tempo_core.errors import InputError
from tempo_core.metrics.rows import Problem
from tempo_core.sandbox import ChildLimits
from tempo_core.wording import plural

SHOWN_PROBLEMS = 10


class RowsRejected(InputError):
    """Rows break a rule, and nothing was read or written because of it."""

    def __init__(self, problems: tuple[Problem, ...], action: str) -> None:
        self.problems = problems
        listing = "\n".join(f"  {problem}" for problem in problems[:SHOWN_PROBLEMS])
        rest = f"\n  … and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        rows = plural(len(problems), "row breaks", "rows break")
        remedy = "pass --mend or --keep-going" if action == "imported" else "pass --keep-going"
        super().__init__(f"{rows} a rule, so nothing was {action}:\n{listing}{rest}\nMend them, or {remedy}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """How a file is read."""

    split: Split | None = None
    """The rows' split; None takes it from the file where it says so, else from its name, else `unknown`."""
    keep_going: bool = False
    """True: leave bad rows out and report them; False: one bad row rejects the whole file."""
    rejects_path: Path | None = None
    """Where `keep_going` writes the bad rows as JSON lines; None: only in the result."""
    durations: Mapping[str, float] | None = None
    """Seconds by vid, for formats that do not hold them (Charades-STA)."""
    frame_rate: float | None = None
    """Frames a second, for formats that count frames and do not say how many (Label Studio, CVAT)."""
    frame_rates: Mapping[str, float] = field(default_factory=dict)
    """The same by vid; it goes before `frame_rate`."""
    query_from: Literal["query", "label"] | None = None
    """Label Studio: whether the task's `query` or its labels are the queries; None: the query where the label is
    `Moment`, else the labels."""
    mending: Mending | None = None
    """Repairs windows that a file has wrong, and counts them; None: such a row is a bad one."""
    join_repeats: bool = True
    """Charades-STA, TimeLens-Bench, ActivityNet without qids: read neighbouring entries that repeat a
    sentence as one row with several moments. False: one row for each entry."""

    max_items: int | None = None
    """Rows, problems and omissions together; a file with more is refused. None: any number."""

    def rate_of(self, vid: str) -> float | None:
        """Frames a second of a clip, where the options say it."""
        return self.frame_rates.get(vid, self.frame_rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadLimits:
    """What reading one file or folder from somebody else may cost (`formats.child`)."""

    max_bytes: int
    """Of the files together, as they lie on disk."""
    max_items: int
    """Rows, problems and omissions together."""
    child: ChildLimits
    """Memory, time and the size of what comes back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOptions:
    """How rows are written; the manifest records every field."""

    snapping: Snapping = "outward"
    """QVHighlights' 2-second grid: `outward` floors starts and ceils ends (`grid.NEAR_MS` aside); `nearest` rounds."""
    saliency: SaliencyPolicy = "keep+neutral"
    """Clips that a correction added: `keep+neutral` gives them [2, 2, 2], `carry` copies the nearest scored
    clip; `drop` leaves the field out of every row, so that the file serves moment retrieval only."""
    keep_going: bool = False
    """True: rows that the format cannot carry are left out and reported; False: they stop the export."""
    rejects_path: Path | None = None
    overwrite: bool = False
    """False refuses to replace a file that exists."""
    frame_rate: float | None = None
    """Frames per second for Label Studio where a row's `extra["fps"]` does not say."""
    frame_rates: Mapping[str, float] = field(default_factory=dict)
    """The same by vid; it goes before `frame_rate`."""
    video_prefix: str = ""
    """Label Studio: what stands before a clip's file name, so that it can be played (`/data/local-files/?d=`)."""
    predictions_of: str | None = None
    """The model whose versions the predictions format writes; None: the only one there is."""
    refusals: Literal["apart", "inline"] = "apart"
    """Predictions: refused queries go to a `_no_moment` file, or stay in (the official evaluator fails)."""
    licence: str | None = None
    """Id of the source's licence, for the notice and the dataset card. None: QVHighlights' where a video is
    one of its clips, else `other`, which tells the reader to follow the original dataset's."""
    snapshot_sha: str | None = None
    """The store snapshot that the rows came from."""
    decided_by: ExportRule | None = None
    """The store's rule behind the rows: latest, adjudicated or majority; None: not from a store."""
    dataset: str | None = None
    """The store's dataset that the rows are of; None: not from a store."""
    split: str | None = None
    """The split that they are of; None: all."""
    edited_text: bool = False
    """Whether queries are in the annotators' wording."""

    def __post_init__(self) -> None:
        choices = (
            ("snapping", self.snapping, SNAPPINGS),
            ("saliency", self.saliency, SALIENCY_POLICIES),
            ("refusals", self.refusals, ("apart", "inline")),
        )
        for name, value, allowed in choices:
            if value not in allowed:
                raise InputError(f"Export option {name} = {value!r}; it must be one of {', '.join(allowed)}.")

    def rate_of(self, vid: str) -> float | None:
        """Frames a second of a clip, where the options say it."""
        return self.frame_rates.get(vid, self.frame_rate)

    def recorded(self) -> dict[str, Any]:
        """The options that shape the rows, as the manifest states them."""
        return {
            "snapping": self.snapping,
            "saliency": self.saliency,
            "adjudication": "as-given",  # manifests have always said so; `decided_by` is the store's rule
            "keep_going": self.keep_going,
            "frame_rate": self.frame_rate,
            "frame_rates": dict(self.frame_rates),
            "video_prefix": self.video_prefix,
            "predictions_of": self.predictions_of,
            "refusals": self.refusals,
            "licence": self.licence,
            "decided_by": self.decided_by,
            "dataset": self.dataset,
            "split": self.split,
            "edited_text": self.edited_text,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Omission:
    """Something that a file holds and that no row says, such as a region that marks no moment."""

    file: str
    place: str
    """In the format's own words: `task 3, region a1`."""
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, {self.place}: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """How much a file holds, counted before anything is left out, and how much of it is in rows."""

    unit: str
    """What the format counts, in the plural: cues, annotations, regions."""
    held: int
    taken: int

    def __str__(self) -> str:
        return f"{self.taken} of {self.held} {self.unit} taken"


Item: TypeAlias = Row | Problem | Omission | Contents
"""What a reader yields."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadResult:
    """Rows of one source, what was wrong with the others, and what the source holds beside them."""

    format: str
    path: Path
    sha256: str
    """Of the file's bytes; for a folder, of its files' names and hashes."""
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...] = ()
    omissions: tuple[Omission, ...] = ()
    contents: tuple[Contents, ...] = ()
    """One for each unit, over all files of a folder."""
    mended: Mapping[str, int] = field(default_factory=dict)
    """Repair → how many windows (with `ReadOptions.mending`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportFiles:
    """The files that a format makes, before anything is on disk."""

    files: Mapping[Path, bytes]
    counts: Mapping[str, int] = field(default_factory=dict)
    """What the format did to how many rows (snapped, refused, passed through …)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportReport:
    """What an export wrote, what it changed, and what it could not carry."""

    format: str
    rows: int
    files: tuple[Path, ...]
    counts: Mapping[str, int]
    dropped: Mapping[str, int]
    """Field → number of rows whose value the format cannot carry."""
    problems: tuple[Problem, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """One JSON object: format, rows, files, counts, dropped, problems (as sentences)."""
        return {
            "format": self.format,
            "rows": self.rows,
            "files": [str(path) for path in self.files],
            "counts": dict(self.counts),
            "dropped": dict(self.dropped),
            "problems": [str(problem) for problem in self.problems],
        }
