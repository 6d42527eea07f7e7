"""Clips of datasets: from a row's vid to the normal copy that everybody works on, made when first needed.

A dataset's files lie below TEMPO_HOME/videos, or wherever `python -m annotations videos add` registered them.
The folder is scanned when somebody opens a row whose file is not known.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

from annotations.records import Video
from annotations.store import Store
from annotations.videos import SUFFIXES, add_folder
from app.http.errors import user_message
from app.job_queue import Busy, Job, JobQueue, result_of
from app.media.library import DATASETS, Clip, FilmStrip, MediaLibrary
from app.media.shots import find_shots
from tempo_core.errors import Cancelled, TempoError

logger = logging.getLogger(__name__)

SCAN_INTERVAL_S = 5.0
OWNER = "datasets"
"""The owner of the jobs, so that datasets have a share of the queue."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadyClip:
    """A clip that can be worked on, with everything drawn from its pictures."""

    clip: Clip
    strip: FilmStrip | None
    shots_ms: tuple[int, ...]

    @property
    def frame_rate(self) -> float:
        """Frames a second; constant, because the copy was made so."""
        return self.clip.facts.frame_rate or 25.0

    @property
    def frame_count(self) -> int:
        facts = self.clip.facts
        return facts.frame_count or max(1, round(facts.duration_s * self.frame_rate))

    def frame_at(self, ms: int) -> int | None:
        """The frame that begins at a time, to a millisecond; None where none does."""
        frame = round(ms * self.frame_rate / 1000)
        on_grid = abs(ms - frame * 1000 / self.frame_rate) <= 1
        return frame if on_grid and 0 <= frame <= self.frame_count else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipStatus:
    """What is known about a row's clip now: exactly one of the four is set."""

    ready: ReadyClip | None = None
    preparing: str | None = None
    """A line about work that goes on; ask again."""
    missing: str | None = None
    """Which file is looked for, and where to put it."""
    failed: str | None = None
    """Why the file cannot be used."""


FindShots = Callable[..., list[int]]


class DatasetClips:
    """The clips of every dataset. Threads may share it."""

    def __init__(
        self,
        store: Store,
        media: MediaLibrary,
        job_queue: JobQueue,
        folder: Path,
        *,
        shots: FindShots = find_shots,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store, self.media, self.job_queue, self.folder = store, media, job_queue, folder
        self._find_shots, self._clock = shots, clock
        self._lock = threading.Lock()
        self._scan_lock = threading.Lock()
        self._scanned_at_s = float("-inf")
        self._ready: dict[str, ReadyClip] = {}
        self._jobs: dict[str, Job] = {}

    def look(self, vid: str) -> ClipStatus:
        """The status of a row's clip; begins to prepare it when it is not ready. Returns at once."""
        video = self._registered(vid)
        if video is None and self.scan_folder():
            video = self._registered(vid)
        if video is None:
            return ClipStatus(
                missing=f"The clip {vid}{SUFFIXES[0]} is not here. Put it into the folder {self.folder.name} of "
                "TEMPO_HOME and look again, or skip this row."
            )
        with self._lock:
            ready = self._ready.get(video.sha256)
            if ready is not None and ready.clip.path.is_file():
                return ClipStatus(ready=ready)
            job = self._jobs.get(video.sha256)
            if job is None:
                try:
                    job = self.job_queue.submit(OWNER, lambda job: self._prepare(video, job))
                except Busy:
                    return ClipStatus(preparing="Other clips are being prepared first.")
                self._jobs[video.sha256] = job
            if not job.future.done():
                fraction = job.progress.fraction
                percent = f": {fraction:.0%}" if fraction else ""
                return ClipStatus(preparing=f"Preparing the clip{percent}.")
            del self._jobs[video.sha256]
            try:
                ready = self._ready[video.sha256] = result_of(job)
            except Cancelled:
                return ClipStatus(preparing="Preparing the clip.")
            except Exception as error:
                return ClipStatus(failed=user_message(error))
            return ClipStatus(ready=ready)

    def prepare_in_turn(
        self, vids: Sequence[str], on_ready: Callable[[str], None] = lambda vid: None
    ) -> None:
        """Prepare these clips one after the other, each behind what people wait for."""

        def prepare(vid: str, job: Job) -> None:
            video = self._registered(vid)
            if video is not None:
                ready = self._prepare(video, job)
                with self._lock:
                    self._ready[video.sha256] = ready
                on_ready(vid)

        works = {f"the clip {vid}": partial(prepare, vid) for vid in vids}
        self.job_queue.submit_in_turn(f"{OWNER} in advance", works)

    def _prepare(self, video: Video, job: Job) -> ReadyClip:
        clip = self.media.find(DATASETS, video.sha256) or self.media.ingest(
            Path(video.path), owner=DATASETS, title=video.vid, job=job
        )
        # A clip without film strip or shot changes can be worked on all the same.
        strip: FilmStrip | None = None
        shots_ms: list[int] = []
        shots_file = clip.folder / "shots.json"
        try:
            strip = self.media.strip_of(clip, cancel=job.cancel)
        except Cancelled:
            raise
        except TempoError as error:
            logger.warning("no film strip for %s: %s", clip.title, error)
        try:
            if shots_file.is_file():
                shots_ms = json.loads(shots_file.read_text())
            else:
                shots_ms = self._find_shots(clip.path, clip.facts, cancel=job.cancel)
                shots_file.write_text(json.dumps(shots_ms))
        except Cancelled:
            raise
        except TempoError as error:
            logger.warning("no shot changes for %s: %s", clip.title, error)
        return ReadyClip(clip=clip, strip=strip, shots_ms=tuple(shots_ms))

    def _registered(self, vid: str) -> Video | None:
        video = self.store.video(vid)
        return video if video is not None and Path(video.path).is_file() else None

    def scan_folder(self, *, at_once: bool = False) -> bool:
        """Register the files in the folder; False when it was scanned less than SCAN_INTERVAL_S ago."""
        with self._scan_lock:
            if not at_once and self._clock() - self._scanned_at_s < SCAN_INTERVAL_S:
                return False
            try:
                add_folder(self.store, self.folder, op_id=str(uuid4()), actor="app")
            except OSError as error:
                logger.warning("cannot look through %s: %s", self.folder, error)
            self._scanned_at_s = self._clock()
            return True
