"""The index of a folder of clips: which are encoded, with which settings, and a sheet of small pictures of each.

    index = ClipIndex(Path("data/library"))
    report = index_folder(engine, Path("clips"), index)      # a run that was stopped goes on
    index.entries(Path("clips"), engine, EncodingSettings())

A file counts as unchanged while size and time of change are the same. One SQLite file holds the index of every folder,
so that a killed run loses nothing; encoded clips lie beside it (`contexts`).
"""

import contextlib
import hashlib
import io
import json
import os
import sqlite3
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tempo_core.command_line import VIDEO_SUFFIXES
from tempo_core.context import VideoContext
from tempo_core.engine import Engine, encode_file, sample_for
from tempo_core.errors import Cancelled, InputError, TempoError
from tempo_core.library.contexts import (
    DEFAULT_BYTES,
    ContextFiles,
    EncodingSettings,
    context_key,
    is_storable,
)
from tempo_core.video import SampledVideo, probe

CONTEXTS = "contexts"
"""The folder of encoded clips beside the index."""
TILE_HEIGHT_PX = 96
MAX_TILES = 16
"""Pictures of a clip's sheet, evenly spaced."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS clips (
    folder TEXT NOT NULL, name TEXT NOT NULL, settings TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    sha256 TEXT, end_s REAL, context_key TEXT, problem TEXT, tiles TEXT, sheet BLOB,
    PRIMARY KEY (folder, name, settings)
)
"""
_FIELDS = ("name", "size", "mtime_ns", "sha256", "end_s", "context_key", "problem")
"""Columns that an Entry holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """Small pictures of a clip side by side."""

    times_s: tuple[float, ...]
    """Presentation time of each."""
    tile_width: int
    jpeg: bytes

    def tile(self, at_s: float) -> bytes:
        """The JPEG of the picture that is nearest in time."""
        idx = min(range(len(self.times_s)), key=lambda idx: abs(self.times_s[idx] - at_s))
        picture = Image.open(io.BytesIO(self.jpeg))
        left = idx * self.tile_width
        return _jpeg(picture.crop((left, 0, left + self.tile_width, picture.height)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A clip of a folder as it was last seen."""

    name: str
    """Its path below the folder, with slashes."""
    size: int
    mtime_ns: int
    sha256: str | None = None
    end_s: float | None = None
    """Where its last picture ends."""
    context_key: str | None = None
    """Of its encoded clip, whether that is still there or not; None for one that is cut into pieces."""
    problem: str | None = None
    """Why it cannot be asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexProgress:
    """How far a run is."""

    done: int
    total: int
    name: str
    """The clip that was done last."""
    problem: str | None
    """Why it cannot be asked, where it cannot."""
    seconds_left: float


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexReport:
    """What a run did."""

    encoded: list[str] = field(default_factory=list)
    unchanged: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    """By name, why a clip cannot be asked."""
    dropped: list[str] = field(default_factory=list)
    """Clips that are no longer in the folder."""
    not_stored: list[str] = field(default_factory=list)
    """Clips that are encoded again for each question: there is no room for them, they were cut into pieces, or they are
    films."""


class ClipIndex:
    """The index of every folder, in one place of this machine. Threads and processes may share it."""

    def __init__(self, home: Path, *, max_bytes: int = DEFAULT_BYTES) -> None:
        """`home` is made where it is missing. `max_bytes` bounds the encoded clips. Raises InputError."""
        self.home = home
        self.contexts = ContextFiles(home / CONTEXTS, max_bytes=max_bytes)
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InputError(
                f"The folder {home} cannot be made ({error.strerror}). Name another one with TEMPO_HOME."
            ) from error
        with self._connection() as connection:
            connection.execute(_SCHEMA)
            connection.execute("CREATE INDEX IF NOT EXISTS clips_sha256 ON clips (sha256)")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A transaction. Raises InputError where the file is damaged or the disk is full."""
        try:
            with (
                contextlib.closing(sqlite3.connect(self.home / "index.sqlite3", timeout=30.0)) as connection,
                connection,
            ):
                yield connection
        except sqlite3.Error as error:
            raise InputError(
                f"The index in {self.home} cannot be used ({error}). Free some disk space, or remove index.sqlite3 "
                "there: the clips are then encoded again."
            ) from error

    def entries(self, folder: Path, engine: Engine, settings: EncodingSettings) -> dict[str, Entry]:
        """By name, the clips of a folder as this model with these settings saw them."""
        with self._connection() as connection:
            rows = connection.execute(
                f"SELECT {', '.join(_FIELDS)} FROM clips WHERE folder = ? AND settings = ? ORDER BY name",
                (str(folder.resolve()), _settings_key(engine, settings)),
            ).fetchall()
        return {row[0]: Entry(**dict(zip(_FIELDS, row, strict=True))) for row in rows}

    def digests(self, folder: Path) -> dict[str, str]:
        """By name, the SHA-256 of every clip of a folder that could be read."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT name, sha256 FROM clips WHERE folder = ? AND sha256 IS NOT NULL",
                (str(folder.resolve()),),
            )
            return dict(rows.fetchall())

    def sheet(self, sha256: str) -> Sheet | None:
        """The small pictures of a clip with this content, None where none were made."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT tiles, sheet FROM clips WHERE sha256 = ? AND sheet IS NOT NULL LIMIT 1", (sha256,)
            ).fetchone()
        return None if row is None else Sheet(jpeg=row[1], **json.loads(row[0]))

    def save(
        self, folder: Path, engine: Engine, settings: EncodingSettings, entry: Entry, sheet: Sheet | None
    ) -> None:
        """Write what is known of a clip, in place of what was."""
        tiles = None
        if sheet is not None:
            tiles = json.dumps({"times_s": sheet.times_s, "tile_width": sheet.tile_width})
        with self._connection() as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO clips (folder, settings, tiles, sheet, {', '.join(_FIELDS)}) "
                f"VALUES ({', '.join('?' * (4 + len(_FIELDS)))})",
                (
                    *(str(folder), _settings_key(engine, settings), tiles),
                    None if sheet is None else sheet.jpeg,
                    *(getattr(entry, name) for name in _FIELDS),
                ),
            )

    def drop_missing(self, folder: Path, names: Iterable[str]) -> list[str]:
        """Forget the clips of a folder that are not among these, whatever model saw them; their names."""
        with self._connection() as connection:
            rows = connection.execute("SELECT DISTINCT name FROM clips WHERE folder = ?", (str(folder),))
            missing = sorted({name for (name,) in rows} - set(names))
            connection.executemany(
                "DELETE FROM clips WHERE folder = ? AND name = ?", [(str(folder), name) for name in missing]
            )
        return missing


def library_folder() -> Path:
    """Where the index and the encoded clips are kept: TEMPO_HOME's, else ./data's; it need not exist."""
    return Path(os.environ.get("TEMPO_HOME") or "data").expanduser() / "library"


def list_clips(folder: Path) -> dict[str, os.stat_result]:
    """By name, the clips in a folder and below it; hidden files and folders, and links to folders, are passed by. A
    link that leads nowhere is there as the link that it is.

    Raises InputError where there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. Name a folder with video files.")
    clips = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts) or path.suffix.lower() not in VIDEO_SUFFIXES:
            continue
        with contextlib.suppress(OSError):  # gone since it was listed
            facts = path.lstat() if path.is_symlink() and not path.exists() else path.stat()
            if not stat.S_ISDIR(facts.st_mode):
                clips[name.as_posix()] = facts
    return clips


def index_folder(
    engine: Engine,
    folder: Path,
    index: ClipIndex,
    settings: EncodingSettings | None = None,
    *,
    workers: int = 1,
    only_new: bool = False,
    cancel: threading.Event | None = None,
    on_progress: Callable[[IndexProgress], None] | None = None,
    run: Callable[[Callable[[], VideoContext]], VideoContext] = lambda encode: encode(),
) -> IndexReport:
    """Encode every clip of a folder that is new or was changed, and drop those that are gone.

    `workers` clips are read from disk at the same time, ahead of the model, which encodes one after the other; so many
    and one more are held in memory. A clip that fails is named with its reason, and the others go on. What is done
    stays done when the run is stopped. `only_new` leaves alone what failed or was not kept the last time: for a server,
    which comes again and again. `run` does the model's part of a clip: a server hands it to its queue. Raises
    InputError for a folder that is not there and fewer than one worker, Cancelled.
    """
    if workers < 1:
        raise InputError(f"At least one worker reads the clips; got {workers}.")
    folder, settings = folder.resolve(), settings or EncodingSettings()
    started_s, cancel = time.time(), cancel or threading.Event()
    contexts, clips = index.contexts, list_clips(folder)
    problems = {
        name.encode(errors="replace").decode(): "Its name is no text in UTF-8. Rename it."
        for name in clips
        if not _is_text(name)
    }
    clips = {name: facts for name, facts in clips.items() if _is_text(name)}
    for name, facts in clips.items():
        if stat.S_ISLNK(facts.st_mode):
            problems[name] = "It is a link to a file that is not there. Mend or remove it."
        elif not stat.S_ISREG(facts.st_mode):
            problems[name] = "It is a pipe, a socket or a device, not a regular file. Remove it."
    clips = {name: facts for name, facts in clips.items() if name not in problems}
    dropped = index.drop_missing(folder, clips)
    entries = index.entries(folder, engine, settings)
    waiting: deque[str] = deque()
    skipped = 0
    for name, facts in clips.items():
        entry = entries.get(name)
        if entry is None or (entry.size, entry.mtime_ns) != (facts.st_size, facts.st_mtime_ns):
            waiting.append(name)
        elif entry.problem is not None and only_new:
            problems[name], skipped = entry.problem, skipped + 1
        elif not only_new and (
            entry.problem is not None or (entry.context_key is not None and entry.context_key not in contexts)
        ):
            waiting.append(name)
    unchanged = len(clips) - len(waiting) - skipped
    report = IndexReport(unchanged=unchanged, problems=problems, dropped=dropped)

    def read(name: str) -> tuple[str, SampledVideo | None]:
        """The clip's digest, and its frames where they are needed here."""
        with (folder / name).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        # A clip that may be cut into pieces, or looked at twice, is read by whoever does that.
        in_parts = engine.protocol.chunks is not None or engine.protocol.first_pass is not None
        if in_parts or context_key(engine, sha256, settings) in contexts:
            return sha256, None
        step_s = None
        if settings.fps is None and engine.protocol.sampling is None:
            duration_s = probe(folder / name, cancel=cancel).duration_s
            if engine.is_film(duration_s):  # which windows are looked at depends on the question
                return sha256, None
            step_s = engine.step_for(duration_s)
        video = sample_for(
            engine.defaults,
            folder / name,
            step_s=step_s,
            fps=settings.fps,
            protocol=engine.protocol,
            allocator=settings.allocator,
            cancel=cancel,
        )
        return video.sha256, video

    reading: deque[tuple[str, Future[tuple[str, SampledVideo | None]]]] = deque()
    begin_s, total = time.perf_counter(), len(waiting)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="tempo-index")
    try:
        for count in range(1, total + 1):
            while waiting and len(reading) <= workers:
                name = waiting.popleft()
                reading.append((name, pool.submit(read, name)))
            name, future = reading.popleft()
            size, mtime_ns = clips[name].st_size, clips[name].st_mtime_ns
            sheet: Sheet | None = None
            try:
                sha256, video = future.result()
                key = context_key(engine, sha256, settings)
                if key in contexts and (sheet := index.sheet(sha256)) is not None:
                    # the same content under another name
                    context = contexts.load(key, engine)
                else:
                    context = None
                if context is None:
                    context = run(partial(_encode, engine, folder / name, video, settings, cancel))
                    sheet = None if video is None else make_sheet(video)
                    if not contexts.save(key, context, used_before_s=started_s):
                        report.not_stored.append(name)
                entry = Entry(
                    name=name,
                    size=size,
                    mtime_ns=mtime_ns,
                    sha256=sha256,
                    end_s=context.end_s,
                    context_key=key if is_storable(context) else None,
                )
                report.encoded.append(name)
            except Cancelled:
                raise
            except (TempoError, OSError) as error:
                problem = (
                    str(error) if isinstance(error, TempoError) else f"It cannot be read: {error.strerror}."
                )
                report.problems[name] = problem
                entry = Entry(name=name, size=size, mtime_ns=mtime_ns, problem=problem)
            del future
            video = context = None  # frames and caches of one clip at a time
            index.save(folder, engine, settings, entry, sheet)
            if on_progress is not None:
                left_s = (time.perf_counter() - begin_s) / count * (total - count)
                progress = IndexProgress(
                    done=len(clips) - total + count,
                    total=len(clips),
                    name=name,
                    problem=entry.problem,
                    seconds_left=left_s,
                )
                on_progress(progress)
    finally:
        if reading:
            cancel.set()  # what is being read for nobody ends at once
        pool.shutdown(wait=True, cancel_futures=True)
    return report


def _is_text(name: str) -> bool:
    """Whether a file name can be written down; others hold bytes that are no UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encode(
    engine: Engine,
    path: Path,
    video: SampledVideo | None,
    settings: EncodingSettings,
    cancel: threading.Event | None,
) -> VideoContext:
    """A clip's context from its frames, or from its file."""
    if video is None:
        return encode_file(
            engine,
            path,
            fps=settings.fps,
            token_budget=settings.token_budget,
            allocator=settings.allocator,
            cancel=cancel,
        )
    return engine.encode(
        video, token_budget=settings.token_budget, allocator=settings.allocator, cancel=cancel
    )


def make_sheet(video: SampledVideo) -> Sheet:
    """Up to MAX_TILES of the sampled frames, evenly spaced, as one row of small pictures."""
    chosen_idx = np.unique(np.linspace(0, len(video.frames) - 1, MAX_TILES).round().astype(int))
    height, width = video.frames.shape[1:3]
    tile_width = max(8, round(TILE_HEIGHT_PX * width / height))
    sheet = Image.new("RGB", (tile_width * len(chosen_idx), TILE_HEIGHT_PX))
    for place, idx in enumerate(chosen_idx):
        tile = Image.fromarray(video.frames[idx]).resize((tile_width, TILE_HEIGHT_PX))
        sheet.paste(tile, (place * tile_width, 0))
    times_s = tuple(float(time_s) for time_s in video.times_s[chosen_idx])
    return Sheet(times_s=times_s, tile_width=tile_width, jpeg=_jpeg(sheet))


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=82)
    return buffer.getvalue()


def _settings_key(engine: Engine, settings: EncodingSettings) -> str:
    """Names a model with settings: the key of no clip."""
    return context_key(engine, "", settings)
