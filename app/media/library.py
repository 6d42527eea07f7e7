"""The media library: normal copies of clips and their film strips, each belonging to whoever brought it.

A clip that browsers play as it is may be there as it was uploaded before its copy is made (`make_copy`); both have one
clock, so that what was said of the one holds for the other.

A clip's address is an unguessable id AND its owner: /media/<id> answers only its owner (every annotator, for clips of
datasets), with byte ranges. Clips that nobody used for a while are removed.
"""

import hashlib
import json
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse

from app.auth.users import VISITOR_PREFIX, Role
from app.http.base_path import address_of
from app.http.dependencies import Visitor
from app.http.errors import NoSuchFile
from app.job_queue import Busy, Job
from app.media.storage import StorageLimits
from tempo_core.errors import VideoError
from tempo_core.files import move, sync, write_whole

logger = logging.getLogger(__name__)

COPY_NAME = "clip.mp4"
UPLOAD_NAME = "upload"
"""The stem of an upload that is shown as it is, beside the copy that is made of it."""
UPLOAD_TTL_S = 15 * 60.0
LEVEL_FACTOR = 4
SHEET_TILES = 16
"""Tiles of one picture of a finer level: SHEET_COLUMNS of them side by side."""
SHEET_COLUMNS = 8
SHEET_BYTES = 2**20
"""More than such a picture takes on disk."""
SHEETS_AT_ONCE = 2
"""Pictures of finer levels that are drawn at the same time, for everybody together."""
SHEETS_IN_LINE = 12
"""Those that are drawn or wait for it; each holds a thread of the server."""
DATASETS = "datasets"
"""Owner of the copies of datasets' clips: whoever may annotate may see them."""
DATASET_TTL_S = 30 * 24 * 3600.0
"""Copies of datasets' clips that nobody opened for this long are removed; they can be made again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FilmStrip:
    """One sprite picture with small frames in reading order."""

    tile_width: int
    tile_height: int
    columns: int
    times_s: tuple[float, ...]
    """True presentation time of each tile."""
    levels: int = 0
    """How many finer levels there are below this picture: level k has LEVEL_FACTOR**k times as many tiles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipFacts:
    """What is known of a normal copy since it was made."""

    duration_s: float
    frame_rate: float | None
    width: int
    height: int
    notes: tuple[str, ...] = ()
    """Plain sentences for the page, such as which frames were repaired."""
    frame_count: int | None = None
    """Frames of the copy; None in copies that were made before this was counted."""
    file_name: str = COPY_NAME
    """The file that these facts are of: the copy, or the upload itself while there is no copy."""
    has_sound: bool = True
    """False where the file has no sound track; True too in copies that were made before this was noted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A normal copy that model and player share, or the upload that they share until then."""

    id: str
    owner: str
    title: str
    source_sha256: str
    folder: Path
    facts: ClipFacts

    @property
    def path(self) -> Path:
        return self.folder / self.facts.file_name

    @property
    def is_copy(self) -> bool:
        """Whether this is the normal copy."""
        return self.facts.file_name == COPY_NAME

    @property
    def strip_path(self) -> Path:
        return self.folder / "strip.jpg"

    @property
    def sound_path(self) -> Path:
        """How loud it is over time (`tempo_core.sound`); empty where there is no sound."""
        return self.folder / "sound.bin"

    @property
    def url(self) -> str:
        return address_of(f"/media/{self.id}" if self.is_copy else f"/media/{self.id}/upload")

    @property
    def strip_url(self) -> str:
        return address_of(f"/media/{self.id}/strip")


class PrepareClip(Protocol):
    """Writes `clip.mp4` into a folder, or with `may_wait` perhaps the upload alone; raises VideoError for what cannot
    be a clip.
    """

    def __call__(
        self,
        source: Path,
        folder: Path,
        *,
        cancel: threading.Event,
        on_progress: Callable[[float], None],
        may_wait: bool = False,
    ) -> ClipFacts: ...


class DrawStrip(Protocol):
    """Writes the film strip of a normal copy to a JPEG and says where each tile is in time."""

    def __call__(
        self, clip: Path, target: Path, facts: ClipFacts, *, cancel: threading.Event
    ) -> FilmStrip: ...


class DrawSheet(Protocol):
    """Writes the tiles of a finer level that are shown at these seconds, in SHEET_COLUMNS columns, to a JPEG."""

    def __call__(
        self,
        clip: Path,
        target: Path,
        facts: ClipFacts,
        at_s: Sequence[float],
        *,
        cancel: threading.Event,
    ) -> None: ...


class MediaLibrary:
    """Clips on disk under one folder, with an index in memory that a restart rebuilds.

    One person keeps `per_owner` clips, all anonymous visitors together `of_visitors`, the last used ones.
    """

    def __init__(
        self,
        folder: Path,
        prepare: PrepareClip,
        draw: DrawStrip,
        *,
        ttl_s: float = 24 * 3600.0,
        per_owner: int = 40,
        of_visitors: int = 200,
        limits: StorageLimits | None = None,
        draw_sheet: DrawSheet | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._draw_sheet = draw_sheet
        self._sheet_places = threading.BoundedSemaphore(SHEETS_AT_ONCE)
        self._sheet_line = threading.BoundedSemaphore(SHEETS_IN_LINE)
        self.folder, self.ttl_s, self.per_owner = folder, ttl_s, per_owner
        self.of_visitors, self.limits = of_visitors, limits or StorageLimits()
        self._prepare, self._draw, self._clock = prepare, draw, clock
        self._lock = threading.Lock()
        self._copy_lock = threading.Lock()
        self._clips: dict[str, Clip] = {}
        self._used_at_s: dict[str, float] = {}
        self._load()

    def ingest(
        self,
        source: Path,
        *,
        owner: str,
        title: str,
        job: Job | None = None,
        may_wait: bool = False,
    ) -> Clip:
        """The owner's clip made from this file; the same bytes are only prepared once per owner. `job` is told how far
        it is, and can cancel it. `may_wait` says that the normal copy may be made later.

        Raises VideoError for what is not a readable video, StorageFull, Cancelled.
        """
        if source.is_symlink() or not source.is_file():
            raise VideoError("The clip is no longer there. Choose or upload it again.")
        clip = self._copy_at(source, owner)
        if clip is None:
            with source.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            clip = self.find(owner, digest)
        if clip is not None:
            return clip if may_wait else self.make_copy(clip, job)
        self.limits.check_free_space(self.folder, source.stat().st_size)
        job = job or Job(owner)
        clip_id = secrets.token_urlsafe(18)
        folder = self.folder / clip_id
        folder.mkdir(mode=0o700)
        try:
            facts = self._prepare(
                source,
                folder,
                cancel=job.cancel,
                on_progress=lambda fraction: job.report("preparing", fraction),
                may_wait=may_wait,
            )
            clip = Clip(
                id=clip_id, owner=owner, title=title, source_sha256=digest, folder=folder, facts=facts
            )
            _write_row(clip)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with self._lock:
            self._clips[clip.id] = clip
            self._used_at_s[clip.id] = self._clock()
            own = [c.id for c in self._clips.values() if c.owner == owner]
            oldest_first = sorted(own, key=self._used_at_s.__getitem__)
            visitors = [c.id for c in self._clips.values() if c.owner.startswith(VISITOR_PREFIX)]
            visitors.sort(key=self._used_at_s.__getitem__)
        excess = visitors[: max(0, len(visitors) - self.of_visitors)]
        if owner != DATASETS:
            excess += oldest_first[: max(0, len(own) - self.per_owner)]
        for old_id in excess:
            self._remove(old_id)
        return clip

    def make_copy(self, clip: Clip, job: Job | None = None) -> Clip:
        """The clip with its normal copy, made now where it is not there yet. The upload stays for those who watch it.

        One thread at a time makes copies of one clip. Raises VideoError, StorageFull, Cancelled, NoSuchFile.
        """
        job = job or Job(clip.owner)
        with self._copy_lock:
            clip = self.get(clip.id, clip.owner)
            if clip.is_copy:
                return clip
            self.limits.check_free_space(self.folder, clip.path.stat().st_size)
            facts = self._prepare(
                clip.path,
                clip.folder,
                cancel=job.cancel,
                on_progress=lambda fraction: job.report("copying", fraction),
            )
            copied = replace(clip, facts=facts)
            with self._lock:
                if clip.id not in self._clips:
                    raise NoSuchFile("The clip was removed while its copy was made. Upload it again.")
                _write_row(copied)
                self._clips[clip.id] = copied
        return copied

    def drawn_strip(self, clip: Clip) -> FilmStrip | None:
        """The clip's film strip, if it was drawn."""
        return self.strip_of(clip) if (clip.folder / "strip.json").is_file() else None

    def strip_of(self, clip: Clip, *, cancel: threading.Event | None = None) -> FilmStrip:
        """The clip's film strip, drawn when it is first asked for. Raises VideoError, Cancelled."""
        strip_json = clip.folder / "strip.json"
        if strip_json.is_file():
            row = json.loads(strip_json.read_text())
            return FilmStrip(**{**row, "times_s": tuple(row["times_s"])})
        strip = self._draw(clip.path, clip.strip_path, clip.facts, cancel=cancel or threading.Event())
        sync(clip.strip_path)  # which a strip.json says is there
        write_whole(strip_json, json.dumps(asdict(strip)))
        return strip

    def sheet_of(self, clip: Clip, level: int, number: int) -> Path:
        """The picture with tiles SHEET_TILES * number and on of a finer level of the film strip, drawn when it is first
        asked for. Tile i of n stands for the time (i + 0.5) / n of the clip. Raises NoSuchFile, Busy, VideoError.
        """
        strip_json = clip.folder / "strip.json"
        row = json.loads(strip_json.read_text()) if strip_json.is_file() else {}
        count = len(row.get("times_s", ())) * LEVEL_FACTOR**level
        first = SHEET_TILES * number
        if self._draw_sheet is None or not 1 <= level <= row.get("levels", 0) or first >= count:
            raise NoSuchFile("The film strip has no such picture.")
        target = clip.folder / f"strip-{level}-{number}.jpg"
        if target.is_file():
            return target
        if not self._sheet_line.acquire(blocking=False):
            raise Busy(
                "Many pictures of film strips are being drawn. Ask for this one again in a few seconds."
            )
        try:
            with self._sheet_places:
                if target.is_file():  # somebody else asked for it meanwhile
                    return target
                self.limits.check_free_space(self.folder, SHEET_BYTES)
                spacing_s = clip.facts.duration_s / count
                at_s = [(tile + 0.5) * spacing_s for tile in range(first, min(count, first + SHEET_TILES))]
                part = clip.folder / f".strip-{level}-{number}.part"
                self._draw_sheet(clip.path, part, clip.facts, at_s, cancel=threading.Event())
                move(part, target)
        finally:
            self._sheet_line.release()
        return target

    def find(self, owner: str, sha256: str) -> Clip | None:
        """The owner's copy of a file with this content, if it is there."""
        with self._lock:
            ids = [c.id for c in self._clips.values() if (c.owner, c.source_sha256) == (owner, sha256)]
        return self.get(ids[0], owner) if ids else None

    def _copy_at(self, source: Path, owner: str) -> Clip | None:
        """The owner's clip whose copy this very file is: an upload makes way for its copy (`app.media.uploads`)."""
        if source.stat().st_nlink < 2:
            return None
        with self._lock:
            own = [clip for clip in self._clips.values() if clip.owner == owner]
        clip = next((c for c in own if c.path.exists() and c.path.samefile(source)), None)
        return self.get(clip.id, owner) if clip is not None else None

    def get(self, clip_id: str, *owners: str) -> Clip:
        """The clip, if it is one of these owners'. Raises NoSuchFile, the same for unknown and for foreign ids."""
        with self._lock:
            clip = self._clips.get(clip_id)
            if clip is None or clip.owner not in owners:
                raise NoSuchFile("There is no such clip, or it is no longer kept. Choose or upload it again.")
            self._used_at_s[clip_id] = self._clock()
        (clip.folder / "clip.json").touch()
        return clip

    def of_owner(self, owner: str) -> list[Clip]:
        """Every clip of an owner."""
        with self._lock:
            return [clip for clip in self._clips.values() if clip.owner == owner]

    def any_owners(self, clip_id: str) -> Clip | None:
        """A clip whoever owns it, if it is there: for what its owner made a link to. It does not count as a use."""
        with self._lock:
            return self._clips.get(clip_id)

    def sweep(self) -> int:
        """Remove clips that nobody used for `ttl_s` seconds, DATASET_TTL_S for datasets'; returns how many went.
        Uploads that have a copy go UPLOAD_TTL_S after the clip was last used.
        """
        now_s = self._clock()
        with self._lock:
            old = [
                clip.id
                for clip in self._clips.values()
                if now_s - self._used_at_s[clip.id]
                > (DATASET_TTL_S if clip.owner == DATASETS else self.ttl_s)
            ]
            watched_s = now_s - UPLOAD_TTL_S
            copied = [c for c in self._clips.values() if c.is_copy and self._used_at_s[c.id] < watched_s]
        for clip_id in old:
            self._remove(clip_id)
        for clip in copied:
            for upload in clip.folder.glob(f"{UPLOAD_NAME}.*"):
                upload.unlink(missing_ok=True)
        return len(old)

    def _remove(self, clip_id: str) -> None:
        with self._lock:
            clip = self._clips.pop(clip_id, None)
            self._used_at_s.pop(clip_id, None)
        if clip is not None:
            shutil.rmtree(clip.folder, ignore_errors=True)

    def _load(self) -> None:
        for folder in sorted(path for path in self.folder.iterdir() if path.is_dir()):
            try:
                row: dict[str, Any] = json.loads((folder / "clip.json").read_text())
                facts = ClipFacts(**{**row["facts"], "notes": tuple(row["facts"]["notes"])})
                clip = Clip(**{**row, "id": folder.name, "folder": folder, "facts": facts})
            except (OSError, ValueError, KeyError, TypeError):
                # Cut off while being made; the file it came from is gone too, so nothing can be saved.
                logger.warning("removing the unfinished clip %s", folder.name)
                shutil.rmtree(folder, ignore_errors=True)
                continue
            self._clips[clip.id] = clip
            self._used_at_s[clip.id] = (folder / "clip.json").stat().st_mtime


def _write_row(clip: Clip) -> None:
    row = {key: value for key, value in asdict(clip).items() if key not in ("id", "folder")}
    write_whole(clip.folder / "clip.json", json.dumps(row))


def media_routes(media: MediaLibrary) -> APIRouter:
    """GET /media/<id> (the normal copy, with ranges), /media/<id>/upload (as it was uploaded), /media/<id>/sound,
    /media/<id>/strip with its finer levels; role visitor, and only the clip's owner, or role annotator for a dataset's
    clip.
    """
    router = APIRouter(include_in_schema=False)

    def owned_clip(user: Visitor, clip_id: str) -> Clip:
        owners = (user.id, DATASETS) if Role.ANNOTATOR in user.roles else (user.id,)
        return media.get(clip_id, *owners)

    def inline(path: Path, media_type: str) -> FileResponse:
        if not path.is_file():
            raise NoSuchFile("There is nothing of this kind for the clip yet.")
        headers = {"cache-control": "private, max-age=3600", "x-content-type-options": "nosniff"}
        return FileResponse(path, media_type=media_type, headers=headers, content_disposition_type="inline")

    @router.get("/media/{clip_id}")
    def clip(clip: Annotated[Clip, Depends(owned_clip)]) -> FileResponse:
        return inline(clip.folder / COPY_NAME, "video/mp4")

    @router.get("/media/{clip_id}/upload")
    def upload(clip: Annotated[Clip, Depends(owned_clip)]) -> FileResponse:
        path = next(clip.folder.glob(f"{UPLOAD_NAME}.*"), clip.folder / UPLOAD_NAME)
        return inline(path, "video/webm" if path.suffix == ".webm" else "video/mp4")

    @router.get("/media/{clip_id}/strip")
    def strip(clip: Annotated[Clip, Depends(owned_clip)]) -> FileResponse:
        return inline(clip.strip_path, "image/jpeg")

    @router.get("/media/{clip_id}/sound")
    def sound(clip: Annotated[Clip, Depends(owned_clip)]) -> FileResponse:
        return inline(clip.sound_path, "application/octet-stream")

    @router.get("/media/{clip_id}/strip/{level}/{number}")
    def sheet(
        clip: Annotated[Clip, Depends(owned_clip)],
        level: Annotated[int, PathParameter(ge=1, le=9)],
        number: Annotated[int, PathParameter(ge=0, lt=2**20)],
    ) -> FileResponse:
        return inline(media.sheet_of(clip, level, number), "image/jpeg")

    return router
