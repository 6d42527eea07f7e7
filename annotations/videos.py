"""Clips on disk: known by their content's hash, matched to rows by vid, found again when they were moved.

A clip belongs to the vid that its file's name says. QVHighlights names are split from the right (YouTube ids
hold `_` and `-`), and `id_60_210.mp4` is as good as `id_60.0_210.0.mp4`. Nothing is decoded here.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from annotations.records import Video
from annotations.store import Store
from annotations.suspicion import vid_range_s
from tempo_core.command_line import VIDEO_SUFFIXES
from tempo_core.errors import InputError

SUFFIXES = VIDEO_SUFFIXES
WHOLE_NAME = "{vid}"
"""The pattern of a file's name without its suffix when the name is the vid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoReport:
    """What a look through a folder found."""

    added: list[str]
    """Vids of clips registered for the first time."""
    moved: list[str]
    """Vids of clips found again, by hash or name, in another place or with other content."""
    unchanged: int
    unmatched: list[str]
    """Files that no row asks for (registered all the same if their name fits: rows may come later)."""
    missing: dict[str, str]
    """Vid of each row without a clip → the file name that would be found."""


def add_folder(
    store: Store, folder: Path, *, op_id: str, actor: str, pattern: str = WHOLE_NAME
) -> VideoReport:
    """Register every clip below a folder, and say which rows still lack one. Only changed files are read.

    `pattern` says how files are named without their suffix, for example `charades_{vid}`. Raises InputError.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the one that holds the clips.")
    before, placeholder, after = pattern.partition("{vid}")
    if not placeholder or "{" in before + after:
        raise InputError(f"The pattern {pattern!r} must hold {{vid}} once, and no other braces.")
    name_rule = re.compile(f"{re.escape(before)}(?P<vid>.+){re.escape(after)}", re.DOTALL)
    registered, row_vids = _RegisteredClips(store.videos()), set(store.vids())
    vid_by_normal_form = {_normal(vid): vid for vid in row_vids}
    added: list[Video] = []
    moved: list[Video] = []
    unmatched: list[str] = []
    unchanged = 0
    for file in _clips(folder):
        video = _video_of(file, name_rule, registered, vid_by_normal_form)
        if video is None or video.vid not in row_vids:
            unmatched.append(str(file))
        if video is None:
            continue
        if video == registered.by_vid.get(video.vid):
            unchanged += 1
        else:
            (moved if video.vid in registered.by_vid else added).append(video)
            registered.add(video)
    store.save_videos([*added, *moved], op_id=op_id, actor=actor)
    return VideoReport(
        added=[video.vid for video in added],
        moved=[video.vid for video in moved],
        unchanged=unchanged,
        unmatched=unmatched,
        missing=missing(store, pattern=pattern),
    )


class _RegisteredClips:
    """The registered clips by vid, by path and by content."""

    def __init__(self, videos: Iterable[Video]) -> None:
        self.by_vid: dict[str, Video] = {}
        self.by_path: dict[str, Video] = {}
        self.by_sha256: dict[str, list[Video]] = {}
        for video in videos:
            self.add(video)

    def add(self, video: Video) -> None:
        before = self.by_vid.get(video.vid)
        if before is not None:
            del self.by_path[before.path]
            self.by_sha256[before.sha256].remove(before)
        self.by_vid[video.vid] = self.by_path[video.path] = video
        self.by_sha256.setdefault(video.sha256, []).append(video)

    def moved_vid(self, sha256: str) -> str | None:
        """The vid of a clip with this content that is no longer where it was."""
        same = self.by_sha256.get(sha256, ())
        return next((video.vid for video in same if not Path(video.path).is_file()), None)


def missing(store: Store, *, pattern: str = WHOLE_NAME) -> dict[str, str]:
    """Vid of each row whose clip is not registered, or gone → the file name that would be found."""
    on_disk = {video.vid for video in store.videos() if Path(video.path).is_file()}
    return {vid: f"{pattern.format(vid=vid)}{SUFFIXES[0]}" for vid in store.vids() if vid not in on_disk}


def _video_of(
    file: Path,
    name_rule: re.Pattern[str],
    registered: _RegisteredClips,
    vid_by_normal_form: Mapping[str, str],
) -> Video | None:
    """The record that a file should have; None when its name does not fit the rule and its hash is new.

    `vid_by_normal_form` holds the vids of the store's rows.
    """
    status, path = file.stat(), str(file.resolve())
    present = registered.by_path.get(path)
    size_bytes, modified_ns = status.st_size, status.st_mtime_ns
    if present is not None and (present.size_bytes, present.modified_ns) == (size_bytes, modified_ns):
        return present
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    vid = present.vid if present is not None else registered.moved_vid(sha256)
    if vid is None:
        match = name_rule.fullmatch(file.stem)
        if match is None:
            return None
        vid = vid_by_normal_form.get(_normal(match["vid"]), match["vid"])
        twin = registered.by_vid.get(vid)
        if twin is not None and twin.sha256 == sha256 and Path(twin.path).is_file():
            return twin  # a second copy
    return Video(vid=vid, sha256=sha256, path=path, size_bytes=size_bytes, modified_ns=modified_ns)


def _clips(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(place, name)


def _normal(vid: str) -> str:
    """A name that vids of one clip share when they write its times differently."""
    parts = vid_range_s(vid)
    return vid if parts is None else f"{parts[0]}_{parts[1]:g}_{parts[2]:g}"
