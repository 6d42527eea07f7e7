"""Clips of datasets: from a row's vid to the normal copy that everybody works on, made when first needed.

A dataset's files lie below TEMPO_HOME/videos, or wherever `python -m annotations videos add` registered them.
The folder is scanned when somebody opens a row whose file is not known.

Copies are made in two lanes: a clip that turns out to be longer than FILM_S goes from the first to the second, so that
short ones wait for short ones only. What somebody has on screen goes before what is prepared in advance. Looking for
shot changes takes most of the work on a clip, and nobody waits for it: it has a lane of its own.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from annotations.records import Video
from annotations.store import Store
from annotations.suspicion import vid_range_s
from annotations.videos import SUFFIXES, add_folder
from app.http.errors import user_message
from app.job_queue import Busy, Job, JobQueue, result_of
from app.media.clips import UPLOAD_LIMITS
from app.media.library import DATASETS, Clip, FilmStrip, MediaLibrary
from app.media.shots import find_shots
from tempo_core.errors import Cancelled, TempoError
from tempo_core.files import write_whole
from tempo_core.sound import sound_peaks
from tempo_core.video import probe

logger = logging.getLogger(__name__)

SCAN_INTERVAL_S = 5.0
FILM_S = 300.0
"""Clips that are longer are prepared in a lane of their own."""
FILM_BYTES = 500_000_000
"""A file of this size counts as a long one without being measured."""
SHOTS_NAME = "shot_changes.json"
OWNER = "datasets"
"""The owner of the jobs, so that datasets have a share of the queue."""


def missing_text(vid: str, folder_name: str) -> str:
    """What to do about a clip that is not here."""
    text = f"The clip {vid}{SUFFIXES[0]} is not here. Put it into the folder {folder_name} of TEMPO_HOME"
    parts = vid_range_s(vid)
    if parts is not None:
        source, start_s, end_s = parts
        text += (
            f", or have it cut from the whole video {source}, {start_s:g} to {end_s:g} s: "
            "python -m annotations videos cut FOLDER"
        )
    return f"{text}. Then look again, or skip this row."


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadyClip:
    """A clip that can be worked on, with everything drawn from its pictures."""

    clip: Clip
    strip: FilmStrip | None
    shots_ms: tuple[int, ...] | None
    """None while they are looked for, which reads every picture: the clip can be worked on meanwhile."""
    has_sound: bool = False
    """Whether there is a picture of its sound."""

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
FindSound = Callable[..., bytes | None]
Measure = Callable[[Path], float]
"""How long a file lasts, in seconds. Raises VideoError."""


def measure_s(path: Path) -> float:
    """The length of a video."""
    return probe(path, limits=UPLOAD_LIMITS).end_s


class _HandedOver(Exception):
    """A clip has gone to the lane of long ones."""


class DatasetClips:
    """The clips of every dataset. Threads may share it."""

    def __init__(
        self,
        store: Store,
        media: MediaLibrary,
        job_queue: JobQueue,
        folder: Path,
        *,
        film_queue: JobQueue | None = None,
        shot_queue: JobQueue | None = None,
        shots: FindShots = find_shots,
        measure: Measure = measure_s,
        sound: FindSound = sound_peaks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`film_queue` is the lane of long clips, `shot_queue` that of shot changes; without one what would be in it
        waits in `job_queue`.
        """
        self.store, self.media, self.job_queue, self.folder = store, media, job_queue, folder
        self.film_queue = film_queue
        self.shot_queue = job_queue if shot_queue is None else shot_queue
        self._find_shots, self._find_sound, self._measure, self._clock = shots, sound, measure, clock
        self._lock = threading.Lock()
        self._scan_lock = threading.Lock()
        self._scanned_at_s = float("-inf")
        self._ready: dict[str, ReadyClip] = {}
        self._jobs: dict[str, Job] = {}
        self._shot_jobs: dict[str, Job] = {}
        self._ahead: dict[str, list[str]] = {}
        """Vids that are prepared in advance, by person, the next one first."""
        self._works_ahead = False

    def look(self, vid: str, registered: Video | None = None) -> ClipStatus:
        """The status of a row's clip; begins to prepare it when it is not ready. Returns at once.

        `registered` is what the store says of the clip, where that was read a moment ago.
        """
        is_there = registered is not None and Path(registered.path).is_file()
        video = registered if is_there else self._registered_video(vid)
        if video is None and self.scan_folder():
            video = self._registered_video(vid)
        if video is None:
            return ClipStatus(missing=missing_text(vid, self.folder.name))
        with self._lock:
            ready = self._ready.get(video.sha256)
            if ready is not None and ready.clip.path.is_file():
                if ready.shots_ms is None:
                    self._find_shots_later(video, ready)
                return ClipStatus(ready=ready)
            job = self._jobs.get(video.sha256)
            clip = self.media.find(DATASETS, video.sha256) if job is None else None
            parts = [] if clip is None else [clip.folder / "strip.json", clip.sound_path]
            if clip is not None and all(part.is_file() for part in parts):
                # Made before the server started: an answer that was on its way then must not find it missing.
                ready = self._ready[video.sha256] = self._prepare(video, Job(OWNER), awaited=True)
                if ready.shots_ms is None:
                    self._find_shots_later(video, ready)
                return ClipStatus(ready=ready)
            if job is None:
                try:
                    job = self.job_queue.submit(
                        OWNER,
                        lambda job: self._prepare_in_lane(video, job, awaited=True),
                        title=f"the clip {vid}",
                    )
                except Busy:
                    return ClipStatus(preparing=self._waiting_text(self.job_queue))
                self._jobs[video.sha256] = job
            if not job.future.done():
                return ClipStatus(preparing=self._progress_text(job))
            del self._jobs[video.sha256]
            try:
                ready = self._ready[video.sha256] = result_of(job)
            except (Cancelled, _HandedOver):
                return ClipStatus(preparing="Preparing the clip.")
            except Exception as error:
                return ClipStatus(failed=user_message(error))
            if ready.shots_ms is None:
                self._find_shots_later(video, ready)
            return ClipStatus(ready=ready)

    def _find_shots_later(self, video: Video, ready: ReadyClip) -> None:
        """Look for the shot changes of a clip that somebody works on, unless that is under way; the lock is held."""

        def find(job: Job) -> None:
            shots_ms = self._shots_of(ready.clip, job)
            with self._lock:
                self._ready[video.sha256] = replace(ready, shots_ms=shots_ms)
                self._shot_jobs.pop(video.sha256, None)

        job = self._shot_jobs.get(video.sha256)
        if job is None or job.future.done():
            with suppress(Busy):  # the next look asks again
                self._shot_jobs[video.sha256] = self.shot_queue.submit(
                    f"{OWNER} shots", find, title=f"the shot changes of {video.vid}"
                )

    def _progress_text(self, job: Job) -> str:
        """Where a clip that is being prepared stands, and what it waits for."""
        queue = self.job_queue
        length = ""
        if self.film_queue is not None and job.title.startswith("the film"):
            queue, length = self.film_queue, ", a long one"
        position = queue.position(job)
        if position:
            return f"{self._waiting_text(queue)} It is number {position + 1} in line."
        fraction = job.progress.fraction
        percent = f": {fraction:.0%}" if fraction else ""
        return f"Preparing the clip{length}{percent}."

    def _waiting_text(self, queue: JobQueue) -> str:
        """What a lane is at."""
        first = queue.first()
        if first is None or not first.title:
            return "Other clips are being prepared first."
        fraction = first.progress.fraction
        percent = f", which is {fraction:.0%} done" if fraction else ""
        return f"This clip waits for {first.title}{percent}."

    def _prepare_in_lane(self, video: Video, job: Job, *, awaited: bool = False) -> ReadyClip:
        """Prepare a short clip here, and hand a long one over. Raises _HandedOver.

        Of one that somebody waits for, or soon will (`awaited`), the shot changes come later.
        """
        if self.film_queue is not None and self.media.find(DATASETS, video.sha256) is None:
            try:
                is_film = video.size_bytes > FILM_BYTES or self._measure(Path(video.path)) > FILM_S
            except TempoError:
                is_film = False  # preparing it says what is wrong
            if is_film:
                with self._lock:
                    self._jobs[video.sha256] = self.film_queue.submit(
                        OWNER,
                        lambda job: self._prepare(video, job, awaited=awaited),
                        title=f"the film {video.vid}",
                    )
                raise _HandedOver
        return self._prepare(video, job, awaited=awaited)

    def prepare_ahead(self, owner: str, vids: Sequence[str]) -> None:
        """Prepare these clips next for somebody, in this order, in place of those named for them before.

        One at a time, each behind what people have on screen. Returns at once.
        """
        with self._lock:
            self._ahead[owner] = list(vids)
            begins = not self._works_ahead and any(self._ahead.values())
            self._works_ahead = self._works_ahead or begins
        if begins:
            self._submit_ahead()

    def _submit_ahead(self) -> None:
        try:
            self.job_queue.submit(f"{OWNER} ahead", self._prepare_first_ahead, title="a clip for later")
        except Busy:
            with self._lock:
                self._works_ahead = False

    def _prepare_first_ahead(self, job: Job) -> None:
        """Prepare the first clip of whoever has waited longest, then come again behind what was asked meanwhile."""
        with self._lock:
            owner = next((owner for owner, vids in self._ahead.items() if vids), None)
            if owner is None:
                self._works_ahead = False
                return
            vids = self._ahead.pop(owner)
            if vids[1:]:
                self._ahead[owner] = vids[1:]  # behind the others
        try:
            video = self._registered_video(vids[0])
            with self._lock:
                is_known = video is None or video.sha256 in self._ready or video.sha256 in self._jobs
            if video is not None and not is_known:
                ready = self._prepare_in_lane(video, job, awaited=True)
                with self._lock:
                    self._ready[video.sha256] = ready
                    if ready.shots_ms is None:
                        self._find_shots_later(video, ready)
        except _HandedOver:
            pass  # the other lane goes on with it
        except Cancelled:
            with self._lock:
                self._works_ahead = False
            raise
        except TempoError as error:  # of the store too, which may be away for a while
            logger.warning("the clip %s was not made in advance: %s", vids[0], error)
        self._submit_ahead()

    def prepare_in_turn(
        self, vids: Sequence[str], on_ready: Callable[[str], None] = lambda vid: None
    ) -> None:
        """Prepare these clips one after the other, each behind what people wait for."""

        def prepare(vid: str, job: Job) -> None:
            video = self._registered_video(vid)
            if video is not None:
                ready = self._prepare(video, job)
                with self._lock:
                    self._ready[video.sha256] = ready
                on_ready(vid)

        works = {f"the clip {vid}": partial(prepare, vid) for vid in vids}
        self.job_queue.submit_in_turn(f"{OWNER} in advance", works)

    def look_again(self, vid: str) -> None:
        """Look through the folder for a row's file now, however short ago that was."""
        if self._registered_video(vid) is None:
            self.scan_folder(at_once=True)

    def _prepare(self, video: Video, job: Job, *, awaited: bool = False) -> ReadyClip:
        clip = self.media.find(DATASETS, video.sha256) or self.media.ingest(
            Path(video.path), owner=DATASETS, title=video.vid, job=job
        )
        # A clip without film strip, shot changes or picture of its sound can be worked on all the same.
        strip: FilmStrip | None = None
        try:
            strip = self.media.strip_of(clip, cancel=job.cancel)
        except Cancelled:
            raise
        except TempoError as error:
            logger.warning("no film strip for %s: %s", clip.title, error)
        try:
            if not clip.sound_path.is_file():
                peaks = self._find_sound(clip.path, cancel=job.cancel) if clip.facts.has_sound else None
                write_whole(clip.sound_path, peaks or b"")
        except Cancelled:
            raise
        except TempoError as error:
            logger.warning("no sound lane for %s: %s", clip.title, error)
        has_sound = clip.sound_path.is_file() and clip.sound_path.stat().st_size > 0
        is_known = (clip.folder / SHOTS_NAME).is_file()
        shots_ms = self._shots_of(clip, job) if is_known or not awaited else None
        return ReadyClip(clip=clip, strip=strip, shots_ms=shots_ms, has_sound=has_sound)

    def _shots_of(self, clip: Clip, job: Job) -> tuple[int, ...]:
        """A clip's shot changes, from its file or by reading its pictures; none where that fails. Raises Cancelled."""
        file = clip.folder / SHOTS_NAME
        try:
            if not file.is_file():
                shots_ms = self._find_shots(clip.path, clip.facts, cancel=job.cancel)
                write_whole(file, json.dumps(shots_ms))
            return tuple(json.loads(file.read_text()))
        except Cancelled:
            raise
        except TempoError as error:
            logger.warning("no shot changes for %s: %s", clip.title, error)
            return ()

    def _registered_video(self, vid: str) -> Video | None:
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
