"""Clips of datasets: from a row's vid to the normal copy that everybody works on, made when first needed.

A dataset's files lie below TEMPO_HOME/videos, or wherever `python -m annotations videos add` registered them.
The folder is looked through when somebody opens a row whose file is not known.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 5.0
OWNER = "datasets"
"""Whose share of the clip lane is used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadyClip:
    """A clip that can be worked on, with everything that is drawn from its pictures."""

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
        self._shots, self._clock = shots, clock
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._looked_at_s = float("-inf")
        self._ready: dict[str, ReadyClip] = {}
        self._jobs: dict[str, Job] = {}

    def look(self, vid: str) -> ClipStatus:
        """Where the row's clip stands; begins to prepare it when it is not ready. Returns at once."""
        video = self._file_of(vid)
        if video is None:
            wanted = f"{vid}{SUFFIXES[0]}"
            return ClipStatus(
                missing=f"The clip {wanted} is not here. Put it into {self.folder} and look again, or skip this row."
            )
        with self._lock:
            ready = self._ready.get(video.sha256)
            if ready is not None and ready.clip.path.is_file():
                return ClipStatus(ready=ready)
            job = self._jobs.get(video.sha256)
            if job is None:
                return self._begin(video)
            return self._standing(video, job)

    def _begin(self, video: Video) -> ClipStatus:
        try:
            self._jobs[video.sha256] = self.job_queue.submit(OWNER, lambda job: self._prepare(video, job))
        except Busy:
            return ClipStatus(preparing="Other clips are being prepared first.")
        return ClipStatus(preparing="Preparing the clip.")

    def _standing(self, video: Video, job: Job) -> ClipStatus:
        if not job.future.done():
            share = job.progress.fraction
            return ClipStatus(
                preparing=f"Preparing the clip: {share:.0%}." if share else "Preparing the clip."
            )
        del self._jobs[video.sha256]
        try:
            ready: ReadyClip = result_of(job)
        except Cancelled:
            return ClipStatus(preparing="Preparing the clip.")
        except Exception as error:
            return ClipStatus(failed=user_message(error))
        self._ready[video.sha256] = ready
        return ClipStatus(ready=ready)

    def prepare_in_turn(self, vids: Sequence[str], after: Callable[[str], None] = lambda vid: None) -> None:
        """Prepare these clips one after the other, each behind what people wait for; `after` hears of each."""
        if not vids:
            return
        first, *others = vids

        def work(job: Job) -> None:
            try:
                video = self._registered(first)
                if video is not None:
                    ready = self._prepare(video, job)
                    with self._lock:
                        self._ready[video.sha256] = ready
                    after(first)
            except Cancelled:
                raise
            except TempoError as error:
                log.warning("the clip %s cannot be prepared: %s", first, error)
            self.prepare_in_turn(others, after)

        try:
            self.job_queue.submit(f"{OWNER} in advance", work)
        except Busy:
            log.info("the clip lane is busy; %s clips are prepared when their rows are opened", len(vids))

    def _prepare(self, video: Video, job: Job) -> ReadyClip:
        clip = self.media.find(DATASETS, video.sha256) or self.media.ingest(
            Path(video.path),
            owner=DATASETS,
            title=video.vid,
            cancel=job.cancel,
            progress=lambda fraction: job.report("preparing", fraction),
        )
        return ReadyClip(clip=clip, strip=self._strip(clip, job), shots_ms=tuple(self._shots_of(clip, job)))

    def _strip(self, clip: Clip, job: Job) -> FilmStrip | None:
        try:
            return self.media.strip_of(clip, cancel=job.cancel)
        except Cancelled:
            raise
        except TempoError as error:
            log.warning("no film strip for %s: %s", clip.title, error)
            return None

    def _shots_of(self, clip: Clip, job: Job) -> list[int]:
        kept = clip.folder / "shots.json"
        if kept.is_file():
            known: list[int] = json.loads(kept.read_text())
            return known
        try:
            found = self._shots(clip.path, clip.facts, cancel=job.cancel)
        except Cancelled:
            raise
        except TempoError as error:
            log.warning("no shot changes for %s: %s", clip.title, error)
            return []
        kept.write_text(json.dumps(found))
        return found

    def _file_of(self, vid: str) -> Video | None:
        found = self._registered(vid)
        if found is None and self.look_through():
            found = self._registered(vid)
        return found

    def _registered(self, vid: str) -> Video | None:
        video = self.store.video(vid)
        return video if video is not None and Path(video.path).is_file() else None

    def look_through(self, *, at_once: bool = False) -> bool:
        """Register what lies in the folder; False when it was looked through a moment ago."""
        with self._looking:
            if not at_once and self._clock() - self._looked_at_s < LOOK_AGAIN_S:
                return False
            try:
                add_folder(self.store, self.folder, op_id=str(uuid4()), actor="app")
            except OSError as error:
                log.warning("cannot look through %s: %s", self.folder, error)
            self._looked_at_s = self._clock()
            return True
