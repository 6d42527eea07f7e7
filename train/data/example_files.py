"""Where examples are read: snapshots and JSON lines, their clips on disk, and how far each row is trusted."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from annotations.agreement import matched_tiou
from annotations.formats import ReadOptions, read
from annotations.rows import SPLITS, Row, Windows
from annotations.snapshot import Snapshot, SnapshotRow, open_snapshot
from annotations.suspicion import vid_range_s
from annotations.videos import SUFFIXES
from tempo_core.errors import InputError
from tempo_core.moments import Moment, clip_to, merge, moments_from_pairs
from tempo_core.prompt import clean_query
from train.data.examples import (
    CHANGED,
    GONE,
    HELD_OUT,
    NOT_TRAINING,
    OUTSIDE,
    UNJUDGED,
    UNKNOWN_TRUTH,
    UNREADABLE,
    Example,
    ExampleSplit,
    SkippedRow,
    by_reason,
    joined,
    keep_apart,
)

SPLIT_NAMES = {
    "training": "train",
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "testing": "test",
    "eval": "val",
}
"""What others call the splits."""
LEAST_TRUST = 0.25
"""Weight of a row on which the annotators agree in nothing: somebody looked at it all the same."""
PAST_END_S = 0.05
"""Published moments end a little beyond durations that were rounded."""

Found = Example | SkippedRow


def read_examples(
    source: Path,
    *,
    videos: Path | None = None,
    held_out_share: float = 0.2,
    original_weight: float = 1.0,
) -> ExampleSplit:
    """Every row of a snapshot's folder or a JSON-lines file in QVHighlights form, sorted by its use.

    `videos` is a folder to look for clips in, besides where the source says they lie. Of a snapshot's rows
    without a split, the clips of a `held_out_share` are held out, chosen by the clip alone so that later
    snapshots hold out the same ones; a file's rows without a split are training rows. `original_weight` weighs
    rows that nobody corrected. Raises InputError for a source that cannot be read; a row whose video is gone
    is no error (see `ExampleSplit.skipped`).
    """
    if videos is not None and not videos.is_dir():
        raise InputError(f"There is no folder of videos {videos}. Name the one that holds the clips.")
    if not source.exists():
        raise InputError(f"{source} does not exist. Name a snapshot's folder or a file of JSON lines.")
    if source.is_dir():
        found = read_snapshot(source, videos, held_out_share=held_out_share, original_weight=original_weight)
    else:
        found = read_file(source, videos)
    return _sorted_by_use(found)


def _sorted_by_use(found: Iterable[Example | SkippedRow]) -> ExampleSplit:
    examples: list[Example] = []
    refused: list[SkippedRow] = []
    for item in found:
        if isinstance(item, Example):
            examples.append(item)
        else:
            refused.append(item)
    held_out = [example for example in examples if example.split in HELD_OUT]
    locked = [*held_out, *(each.held_out for each in refused if each.held_out is not None)]
    training, apart = keep_apart((each for each in examples if each.split not in HELD_OUT), locked)
    return ExampleSplit(
        training=tuple(training),
        held_out=tuple(held_out),
        skipped=joined(by_reason(refused), apart),
        excluded=tuple(locked),
    )


def read_snapshot(
    folder: Path, videos: Path | None, *, held_out_share: float, original_weight: float
) -> Iterator[Found]:
    """Every row of a snapshot, as an Example or as what stands in its way. Raises InputError."""
    snapshot = open_snapshot(folder)
    if problems := snapshot.problems():
        raise InputError(f"{folder} cannot be trained on: {problems[0]} Take a new snapshot.")
    clips = _SnapshotClips(snapshot, videos)
    for each in snapshot.rows():
        row_id = f"{each.dataset}/{each.row.qid}"
        split = each.row.split
        if split == "unknown":
            named = vid_range_s(each.row.vid)  # stretches of one source stay together
            split = "val" if _share_of(named[0] if named else each.row.vid) < held_out_share else "train"
        yield _snapshot_row(each, row_id, split, clips, original_weight)


def _snapshot_row(
    each: SnapshotRow, row_id: str, split: str, clips: "_SnapshotClips", original_weight: float
) -> Found:
    answer = each.resolved()
    behind = answer.correction
    query = (behind.edit.edited_text if behind is not None else None) or each.row.query
    corrected = answer.source != "original"
    return _row(
        row_id=row_id,
        query=query,
        clip_id=each.row.vid,
        split=split,
        file=clips.find(each.row.vid),
        content=each.video_sha256,
        verdict=answer.verdict,
        moments=answer.moments,
        duration_s=each.row.duration_s,
        source=answer.source,
        weight=_trust(each) if corrected else original_weight,
        negative="annotated" if corrected else str(each.row.extra.get("negative") or "given"),
        extra=each.row.extra,
    )


def _trust(each: SnapshotRow) -> float:
    """1 for a verdict or a single answer; else how far the others agree with the answer that holds, 0.25 to 1."""
    answer = each.resolved()
    others = [
        version
        for version in each.versions
        if version.edit.verdict != "cannot-judge"
        and (answer.correction is None or version.annotator != answer.correction.annotator)
    ]
    if answer.source == "verdict" or not others:
        return 1.0
    agreed = [matched_tiou(answer.moments or [], version.edit.windows) for version in others]
    return max(LEAST_TRUST, sum(agreed) / len(agreed))


class _SnapshotClips:
    """The clips of a snapshot, where they lay or in another folder."""

    def __init__(self, snapshot: Snapshot, videos: Path | None) -> None:
        self._paths = snapshot.video_paths()
        self._sizes = {each["vid"]: int(each["size_bytes"]) for each in snapshot.records("videos")}
        self._folder = _Folder(videos)

    def find(self, vid: str) -> Path | str:
        """The file, or why there is none. Hashing every clip would take hours; its size tells most changes."""
        at = self._paths.get(vid)
        file = at if at is not None and at.is_file() else self._folder.find(vid)
        if file is None:
            return GONE
        return file if self._sizes.get(vid) in (None, file.stat().st_size) else CHANGED


def read_file(path: Path, videos: Path | None) -> Iterator[Found]:
    """Every row of a JSON-lines file in QVHighlights form; `split`, `weight`, `kind`, `negative`, `thinking` and
    `video` (a path, from the file's folder) are read where a row has them.

    A row is held out when it, the file's name or the folder's name says so. Raises InputError on broken rows.
    """
    options = ReadOptions(split=None)
    folder = _Folder(videos if videos is not None else path.parent / "videos")
    above = next((split for name in (path, path.resolve()) if (split := _split_above(name))), None)
    for row in read(path, format="qvhighlights", options=options).rows:
        yield _file_row(row, path, folder, above)


def _file_row(row: Row, path: Path, folder: "_Folder", above: str | None) -> Found:
    row_id = f"{path.stem}/{row.qid}"
    own = row.extra.get("split")
    split = _alias(str(own).strip().lower()) if own is not None else "train"
    if above is not None and split not in HELD_OUT:
        split = above
    if split == "unknown":
        split = "train"
    weight = row.extra.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1:
        raise InputError(
            f"{path}: row {row.qid} has weight {weight!r}; it must be a number above 0, at most 1."
        )
    given = row.extra.get("video")
    file: Path | None = None if given is None else path.parent / str(given)
    if file is None or not file.is_file():
        file = folder.find(row.vid)
    return _row(
        row_id=row_id,
        query=row.query,
        clip_id=row.vid,
        split=split,
        file=GONE if file is None else file,
        content=None,
        verdict=row.verdict,
        moments=_moments(row.windows),
        duration_s=row.duration_s,
        source="file",
        weight=float(weight),
        negative=str(row.extra.get("negative") or "given"),
        extra=row.extra,
    )


def _moments(windows: Windows | None) -> list[Moment] | None:
    return None if windows is None else moments_from_pairs(windows)


def _row(
    *,
    row_id: str,
    query: str,
    clip_id: str,
    split: str,
    file: Path | str,
    content: str | None,
    verdict: str | None,
    moments: list[Moment] | None,
    duration_s: float | None,
    source: str,
    weight: float,
    negative: str,
    extra: Any,
) -> Found:
    """The example, or why there is none; a refused row that is held out still locks its clip."""

    def refuse(reason: str) -> SkippedRow:
        lock = None
        if split not in ("train",):
            lock = Example(
                row_id=row_id,
                video=file if isinstance(file, Path) else Path(),
                query=query,
                duration_s=1.0,
                moments=(),
                split="test",
                clip_id=_normal(clip_id),
                content=content,
            )
        return SkippedRow(row_id=row_id, reason=reason, held_out=lock)

    if split not in SPLITS:
        return refuse(NOT_TRAINING)
    if verdict is None or (moments is None and verdict != "cannot-judge"):
        return refuse(UNKNOWN_TRUTH)
    if verdict == "cannot-judge":
        return refuse(UNJUDGED)
    if isinstance(file, str):
        return refuse(file)
    try:
        query = clean_query(query)
    except InputError:
        return refuse(UNREADABLE)
    seconds = duration_s if duration_s is not None else _duration_s(file)
    if seconds is None:
        return refuse(GONE)
    inside = tuple(merge(clip_to(moments or [], seconds + PAST_END_S)))
    if moments and not inside:
        return refuse(OUTSIDE)
    thinking, kind = extra.get("thinking"), extra.get("kind")
    return Example(
        row_id=row_id,
        video=file,
        query=query,
        duration_s=seconds,
        moments=inside,
        split=split,
        source=source,
        weight=weight,
        negative=None if inside else negative,
        kind=None if kind is None else str(kind),
        thinking=str(thinking).strip() or None if thinking is not None else None,
        clip_id=_normal(clip_id),
        content=content,
    )


def _duration_s(file: Path) -> float | None:
    try:
        about = file.stat()
    except OSError:
        return None
    return _probed_s(file, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=4096)  # many rows are about one clip, and a page counts them again and again
def _probed_s(file: Path, mtime_ns: int, size_bytes: int) -> float | None:
    from tempo_core.video import probe

    try:
        return probe(file).duration_s
    except InputError:
        return None


class _Folder:
    """Clips in a folder, by name; names that say the same stretch differently are one."""

    def __init__(self, folder: Path | None) -> None:
        self._files: dict[str, Path] = {}
        if folder is None or not folder.is_dir():
            return
        for file in sorted(folder.iterdir()):
            if file.is_file() and file.suffix.lower() in SUFFIXES:
                self._files.setdefault(file.name, file)
                self._files.setdefault(_normal(file.stem), file)

    def find(self, vid: str) -> Path | None:
        return self._files.get(vid) or self._files.get(_normal(vid))


def _normal(vid: str) -> str:
    named = vid_range_s(vid)
    return vid if named is None else f"{named[0]}_{named[1]:g}_{named[2]:g}"


def _alias(name: str) -> str:
    return SPLIT_NAMES.get(name, name)


def _named_split(name: str) -> str | None:
    """The split that a file's name holds as a word of its own."""
    words = "".join(char if char.isalpha() else " " for char in name.lower()).split()
    return next((split for word in words if (split := _alias(word)) in HELD_OUT), None)


def _split_above(path: Path) -> str | None:
    """The held-out split that the file's own name or its folder's whole name says. (`dev` is many a folder.)"""
    folder = path.parent.name.lower()
    return _named_split(path.name) or (_alias(folder) if folder in (*HELD_OUT, "validation") else None)


def _share_of(key: str) -> float:
    """A number in [0, 1) that depends on the key alone."""
    return int.from_bytes(hashlib.sha256(f"held out {key}".encode()).digest()[:8], "big") / 2**64
