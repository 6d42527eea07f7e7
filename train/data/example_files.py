"""Where examples are read: snapshots and JSON lines, their clips on disk, and how far each row is trusted."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from annotations.agreement import matched_tiou
from annotations.formats import ReadOptions, read
from annotations.rows import EDGE_UNCERTAINTY, SPLITS, Row
from annotations.snapshot import SnapshotRow, open_snapshot
from annotations.soft_edges import Bands, SoftMoment, bands_of
from annotations.suspicion import vid_range_s
from annotations.videos import SUFFIXES
from tempo_core.errors import InputError
from tempo_core.moments import Moment, clip_to, merge, moments_from_pairs
from tempo_core.protocols.base import clean_query
from train.data.examples import (
    HELD_OUT,
    NOT_TRAINING,
    Example,
    ExampleSplit,
    joined,
    keep_apart,
)

NEVER_THERE = "the clip was never there"
"""Nobody has registered one, and the folders that were named hold none."""
GONE = "the clip has gone"
UNDECODABLE = "the video cannot be decoded"
CHANGED = "the video is not the one that was annotated"
UNJUDGED = "nobody could judge it"
UNKNOWN_TRUTH = "nobody said what is true"
UNREADABLE = "the query cannot be asked"
OUTSIDE = "the moments lie outside the video"
SPLIT_ALIASES = {
    "training": "train",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "testing": "test",
    "eval": "val",
}
MIN_TRUST = 0.25
"""Weight of a row on which the annotators agree in nothing: somebody looked at it all the same."""
PAST_END_S = 0.05
"""Published moments end a little beyond durations that were rounded."""


def read_examples(
    source: Path,
    *,
    videos: Path | None = None,
    held_out_share: float = 0.2,
    original_weight: float = 1.0,
    on_progress: Callable[[int, int], None] = lambda completed, total: None,
) -> ExampleSplit:
    """Every row of a snapshot's folder or a JSON-lines file in QVHighlights form, sorted by its use.

    `videos` is a folder to look for clips in, besides where the source says they lie. Of a snapshot's rows
    without a split, the clips of a `held_out_share` are held out, chosen by the clip alone so that later
    snapshots hold out the same ones; a file's rows without a split are training rows. `original_weight` weighs
    rows that nobody corrected. `on_progress` is called after each row with the rows that are read and all rows. Raises
    InputError for a source that cannot be read; a row without its clip is no error (see `ExampleSplit.skipped`).
    """
    if videos is not None and not videos.is_dir():
        raise InputError(f"There is no folder of videos {videos}. Name the one that holds the clips.")
    if not source.exists():
        raise InputError(f"{source} does not exist. Name a snapshot's folder or a file of JSON lines.")
    if source.is_dir():
        rows = read_snapshot(source, videos, held_out_share, original_weight, on_progress)
    else:
        rows = read_file(source, videos, on_progress)

    training, held_out, excluded = list[Example](), list[Example](), list[Example]()
    skipped: dict[str, tuple[str, ...]] = {}
    for example, reason in rows:
        if reason is None:
            (held_out if example.split in HELD_OUT else training).append(example)
            continue
        skipped[reason] = (*skipped.get(reason, ()), example.row_id)
        # a held-out row that cannot be used still keeps its clip out of training
        if example.split != "train":
            excluded.append(example)
    excluded = [*held_out, *excluded]
    training, about_held_out = keep_apart(training, excluded)
    return ExampleSplit(
        training=tuple(training),
        held_out=tuple(held_out),
        skipped=joined(skipped, about_held_out),
        excluded=tuple(excluded),
    )


def read_snapshot(
    folder: Path,
    videos: Path | None,
    held_out_share: float,
    original_weight: float,
    on_progress: Callable[[int, int], None],
) -> Iterator[tuple[Example, str | None]]:
    """Every row of a snapshot, and why it cannot be used (None: it can). Raises InputError."""
    snapshot = open_snapshot(folder)
    if problems := snapshot.problems():
        raise InputError(f"{folder} cannot be trained on: {problems[0]} Take a new snapshot.")
    paths, moved = snapshot.video_paths(), _VideoFolder(videos)
    sizes = {video["vid"]: int(video["size_bytes"]) for video in snapshot.records("videos")}
    for number, snapshot_row in enumerate(snapshot.rows(), start=1):
        row, answer = snapshot_row.row, snapshot_row.resolved()
        corrected = answer.source != "original"

        split: str = row.split
        if split == "unknown":
            stretch = vid_range_s(row.vid)
            source_video = stretch[0] if stretch else row.vid  # stretches of one source stay together
            digest = hashlib.sha256(f"held out {source_video}".encode()).digest()
            split = "val" if int.from_bytes(digest[:8], "big") / 2**64 < held_out_share else "train"

        path = registered_path = paths.get(row.vid)
        if path is None or not path.is_file():
            path = moved.find(row.vid)
        # hashing every clip would take hours; its size tells most changes
        changed = path is not None and sizes.get(row.vid) not in (None, path.stat().st_size)

        edited_text = answer.correction.edit.edited_text if answer.correction is not None else None
        yield _checked_row(
            row,
            row_id=f"{snapshot_row.dataset}/{row.qid}",
            query=edited_text or row.query,
            split=split,
            path=path,
            was_there=registered_path is not None,
            changed=changed,
            content=snapshot_row.video_sha256,
            verdict=answer.verdict,
            moments=answer.moments,
            bands_s=[] if answer.correction is None else bands_of(answer.correction.edit.moments),
            source=answer.source,
            weight=agreement_weight(snapshot_row) if corrected else original_weight,
        )
        on_progress(number, snapshot.counts["rows"])


def agreement_weight(row: SnapshotRow) -> float:
    """1 for a verdict or a single answer; else how far others agree with the answer that holds, 0.25 to 1."""
    answer = row.resolved()
    other_versions = [
        version
        for version in row.versions
        if version.edit.verdict != "cannot-judge"
        and (answer.correction is None or version.annotator != answer.correction.annotator)
    ]
    if answer.source == "verdict" or not other_versions:
        return 1.0
    soft_answer = [SoftMoment(moment=moment) for moment in answer.moments or []]
    if answer.correction is not None:
        soft_answer = [SoftMoment.of(moment) for moment in answer.correction.edit.moments]
    agreements = [
        matched_tiou(soft_answer, [SoftMoment.of(moment) for moment in version.edit.moments])
        for version in other_versions
    ]
    return max(MIN_TRUST, sum(agreements) / len(agreements))


def read_file(
    path: Path, videos: Path | None, on_progress: Callable[[int, int], None]
) -> Iterator[tuple[Example, str | None]]:
    """Every row of a JSON-lines file in QVHighlights form, and why it cannot be used (None: it can).

    `split`, `weight`, `kind`, `negative`, `thinking` and `video` (a path, from the file's folder) are read where a row
    has them. A row is held out when it, the file's name or the folder's name says so. Raises InputError on broken rows.
    """
    folder = _VideoFolder(videos if videos is not None else path.parent / "videos")
    file_split = _held_out_split(path) or _held_out_split(path.resolve())
    rows = read(path, format="qvhighlights", options=ReadOptions(split=None)).rows
    for number, row in enumerate(rows, start=1):
        row_split = row.extra.get("split")
        split = "train" if row_split is None else _canonical_split(str(row_split).strip().lower())
        if file_split is not None and split not in HELD_OUT:
            split = file_split
        if split == "unknown":
            split = "train"

        weight = row.extra.get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1:
            raise InputError(
                f"{path}: row {row.qid} has weight {weight!r}; it must be a number above 0, at most 1."
            )

        video = named_video = (
            None if row.extra.get("video") is None else path.parent / str(row.extra["video"])
        )
        if video is None or not video.is_file():
            video = folder.find(row.vid)
        yield _checked_row(
            row,
            row_id=f"{path.stem}/{row.qid}",
            query=row.query,
            split=split,
            path=video,
            was_there=named_video is not None,
            verdict=row.verdict,
            moments=None if row.windows is None else moments_from_pairs(row.windows),
            bands_s=_bands_in(row, path),
            source="file",
            weight=float(weight),
        )
        on_progress(number, len(rows))


def _bands_of(
    inside: Sequence[Moment], moments: Sequence[Moment], bands_s: Bands
) -> tuple[tuple[float, float], ...]:
    """The bands of moments that were cut to the video and merged: an edge that is still there keeps its band."""
    if not any(any(band) for band in bands_s):
        return ()
    starts = {moment.start_s: band[0] for moment, band in zip(moments, bands_s, strict=True)}
    ends = {moment.end_s: band[1] for moment, band in zip(moments, bands_s, strict=True)}
    return tuple((starts.get(moment.start_s, 0.0), ends.get(moment.end_s, 0.0)) for moment in inside)


def _bands_in(row: Row, path: Path) -> list[tuple[float, float]]:
    """The bands that an exported line gives its windows. Raises InputError."""
    bands = row.extra.get(EDGE_UNCERTAINTY)
    if bands is None:
        return []
    try:
        pairs = [(float(start_s), float(end_s)) for start_s, end_s in bands]
    except (TypeError, ValueError):
        pairs = []
    if len(pairs) != len(row.windows or ()) or not all(
        0 <= band_s < float("inf") for pair in pairs for band_s in pair
    ):
        raise InputError(
            f"{path}: row {row.qid} has {EDGE_UNCERTAINTY} {str(bands)[:60]!r}; it must be a pair of half widths in "
            "seconds, 0 or more, for each window. Correct it, or leave it out."
        )
    return pairs


def _checked_row(
    row: Row,
    *,
    row_id: str,
    query: str,
    split: str,
    path: Path | None,
    was_there: bool,
    changed: bool = False,
    content: str | None = None,
    verdict: str | None,
    moments: list[Moment] | None,
    bands_s: Bands = (),
    source: str,
    weight: float,
) -> tuple[Example, str | None]:
    """The example, and why it cannot be used (None: it can). `was_there`: a clip was registered or named."""
    reason, duration_s, extra = None, row.duration_s, row.extra
    if split not in SPLITS:
        reason = NOT_TRAINING
    elif verdict is None or (moments is None and verdict != "cannot-judge"):
        reason = UNKNOWN_TRUTH
    elif verdict == "cannot-judge":
        reason = UNJUDGED
    elif path is None:
        reason = GONE if was_there else NEVER_THERE
    elif changed:
        reason = CHANGED
    else:
        try:
            query = clean_query(query)
        except InputError:
            reason = UNREADABLE
    if reason is None and path is not None and duration_s is None:
        try:
            status = path.stat()
        except OSError:  # it has gone since
            reason = GONE
        else:
            duration_s = _probed_duration_s(path, status.st_mtime_ns, status.st_size)
            reason = UNDECODABLE if duration_s is None else None
    inside = tuple(merge(clip_to(moments or [], (duration_s or 1.0) + PAST_END_S)))
    if reason is None and moments and not inside:
        reason = OUTSIDE

    negative = "annotated" if source in ("correction", "verdict") else str(extra.get("negative") or "given")
    example = Example(
        row_id=row_id,
        video=path or Path(),
        query=query,
        duration_s=1.0 if duration_s is None or reason else duration_s,
        moments=inside,
        bands_s=_bands_of(inside, moments or [], bands_s),
        split=split if split in SPLITS else "test",  # a split that nobody knows does not teach
        source=source,
        weight=weight,
        negative=None if inside else negative,
        kind=None if extra.get("kind") is None else str(extra["kind"]),
        thinking=None if extra.get("thinking") is None else str(extra["thinking"]).strip() or None,
        clip_id=_canonical_vid(row.vid),
        content=content,
    )
    return example, reason


@lru_cache(maxsize=4096)  # many rows are about one clip, and a page counts them again and again
def _probed_duration_s(path: Path, mtime_ns: int, size_bytes: int) -> float | None:
    """What the file says; None when it is no video. Its time and size are part of the cache's key."""
    from tempo_core.video import probe

    try:
        return probe(path).duration_s
    except InputError:
        return None


class _VideoFolder:
    """Clips in a folder, by name; names that say the same stretch differently are one."""

    def __init__(self, folder: Path | None) -> None:
        self._paths: dict[str, Path] = {}
        if folder is None or not folder.is_dir():
            return
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix.lower() in SUFFIXES:
                self._paths.setdefault(path.name, path)
                self._paths.setdefault(_canonical_vid(path.stem), path)

    def find(self, vid: str) -> Path | None:
        return self._paths.get(vid) or self._paths.get(_canonical_vid(vid))


def _canonical_vid(vid: str) -> str:
    stretch = vid_range_s(vid)
    return vid if stretch is None else f"{stretch[0]}_{stretch[1]:g}_{stretch[2]:g}"


def _canonical_split(name: str) -> str:
    return SPLIT_ALIASES.get(name, name)


def _held_out_split(path: Path) -> str | None:
    """The held-out split that a word of the file's name or its folder's whole name says. (`dev` is many a folder.)"""
    words = "".join(char if char.isalpha() else " " for char in path.name.lower()).split()
    folder = path.parent.name.lower()
    names = [*words, *([folder] if folder in (*HELD_OUT, "validation") else [])]
    return next((split for name in names if (split := _canonical_split(name)) in HELD_OUT), None)
