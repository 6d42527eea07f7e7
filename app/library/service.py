"""Folders of clips that are asked as a whole: encoded in the background, between people's questions.

A folder is known by its name here, and a clip by its place in an answer: no path comes from a browser or goes to one.
"""

import logging
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from app.auth.users import User
from app.ground.service import GroundingService, Question, Settings
from app.http.dependencies import Visitor
from app.http.errors import user_message
from app.job_queue import Busy, Job, Progress, result_of
from tempo_core.errors import Cancelled, InputError, TempoError
from tempo_core.protocols.base import clean_query

if TYPE_CHECKING:  # heavy: the page is up before torch is
    from tempo_core.context import VideoContext
    from tempo_core.library.index import ClipIndex, IndexProgress
    from tempo_core.library.search import ClipMoment, LibraryAnswer

logger = logging.getLogger(__name__)

OWNER = "library"
"""The owner of the jobs that encode, so that they have a share of the queue."""
BUSY_S = 1.0
"""How long a clip waits before it asks a full queue again."""
READERS = 2
"""Clips that are read from disk at the same time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LibraryStatus:
    """How far a folder is."""

    name: str
    clips: int = 0
    ready: int = 0
    """Clips that can be asked, or that cannot and were named."""
    problems: int = 0
    """Clips that cannot be asked."""
    is_indexing: bool = True
    seconds_left: float | None = None
    message: str = ""
    """Why nothing can be asked at all; empty: it can."""


class LibraryService:
    """The offered folders. `refresh` keeps them encoded for the model that is served."""

    def __init__(self, folders: Sequence[Path], home: Path, grounding: GroundingService) -> None:
        """`home` holds the index. Raises InputError for a folder that is not there."""
        self.home, self.grounding = home, grounding
        self.folders: dict[str, Path] = {}
        for folder in folders:
            if not folder.is_dir():
                raise InputError(f"--library {folder}: there is no such folder. Name a folder with clips.")
            name, number = folder.resolve().name, 1
            while name in self.folders:
                number += 1
                name = f"{folder.resolve().name} ({number})"
            self.folders[name] = folder.resolve()
        self._statuses = {name: LibraryStatus(name=name) for name in self.folders}
        self._index: ClipIndex | None = None
        self._cancel = threading.Event()
        self._is_closed = False

    @property
    def index(self) -> "ClipIndex":
        """The index, opened when it is first needed."""
        from tempo_core.library.index import ClipIndex

        if self._index is None:
            self._index = ClipIndex(self.home)
        return self._index

    def statuses(self) -> list[LibraryStatus]:
        """How far each folder is."""
        return list(self._statuses.values())

    def refresh(self) -> None:
        """Encode what is new or was changed in every folder, each clip behind what people wait for. Slow; called again
        and again, by one thread."""
        from tempo_core.library.index import index_folder

        for name, folder in self.folders.items():
            if self._is_closed:
                return
            self._cancel = threading.Event()
            try:
                engine = self._engine()
                report = index_folder(
                    engine,
                    folder,
                    self.index,
                    workers=READERS,
                    only_new=True,
                    cancel=self._cancel,
                    on_progress=partial(self._follow, name),
                    run=self._run_in_turn,
                )
            except Cancelled:
                return
            except TempoError as error:
                self._statuses[name] = LibraryStatus(
                    name=name, is_indexing=False, message=user_message(error)
                )
                continue
            total = report.unchanged + len(report.encoded) + len(report.problems)
            self._statuses[name] = LibraryStatus(
                name=name, clips=total, ready=total, problems=len(report.problems), is_indexing=False
            )
            for clip, reason in report.problems.items():
                logger.warning("%s of the library %s cannot be asked: %s", clip, name, reason)

    def close(self) -> None:
        """Stop encoding; what is done stays."""
        self._is_closed = True
        self._cancel.set()

    def _follow(self, name: str, progress: "IndexProgress") -> None:
        before = self._statuses[name]
        self._statuses[name] = LibraryStatus(
            name=name,
            clips=progress.total,
            ready=progress.done,
            problems=before.problems * (progress.done > before.ready) + (progress.problem is not None),
            seconds_left=progress.seconds_left,
        )

    def _run_in_turn(self, encode: "Callable[[], VideoContext]") -> "VideoContext":
        """Encode a clip in the model's queue. Raises Cancelled."""
        while not self._cancel.is_set():
            try:
                job = self.grounding.queues.model.submit(OWNER, lambda job: encode(), cancel=self._cancel)
            except Busy:
                self._cancel.wait(BUSY_S)
                continue
            context: VideoContext = job.future.result()
            return context
        raise Cancelled("Stopped while a folder was indexed.")

    def _engine(self) -> Any:
        """The served engine. Raises InputError while there is none, and for one behind an endpoint."""
        from tempo_core.engine import Engine

        engine = self.grounding.engines.get()
        if not isinstance(engine, Engine):
            raise InputError(
                "The served model is behind an endpoint and keeps no encoded clips. Ask clip by clip."
            )
        return engine

    def _folder(self, name: str) -> Path:
        if name not in self.folders:
            raise InputError(f"The folder {name[:80]!r} is not offered here. Reload the page.")
        return self.folders[name]

    async def ask(
        self, user: User, name: str, query: str, cancel: threading.Event
    ) -> "AsyncGenerator[Progress | LibraryAnswer, None]":
        """Progress, and last the answer about all clips that are ready. Raises TempoError."""
        from tempo_core.library.search import ask_library

        folder, query = self._folder(name), clean_query(query)
        self._engine()

        def answer(job: Job) -> "LibraryAnswer":
            job.report("answering")
            answer = ask_library(
                self._engine(),
                folder,
                self.index,
                query,
                cancel=job.cancel,
                on_progress=lambda done, total: job.report("answering", done / max(1, total)),
            )
            if answer.is_understood and not answer.ends_s:
                raise InputError(
                    f"No clip of {name} is ready yet. Ask again when the page says that some are."
                )
            return answer

        queue = self.grounding.queues.model
        job = queue.submit(user.id, answer, cancel=cancel, network=user.network)
        async for progress in queue.follow(job):
            yield progress
        yield result_of(job)

    def question(self, name: str, moment: "ClipMoment", query: str) -> Question:
        """The question about one clip whose answer is what `ask` said of it: from the same encoded clip."""
        folder = self._folder(name)

        def load(engine: Any) -> "VideoContext | None":
            from tempo_core.library.contexts import EncodingSettings

            entry = self.index.entries(folder, engine, EncodingSettings()).get(moment.clip)
            if entry is None or entry.context_key is None:
                return None
            return self.index.contexts.load(entry.context_key, engine)

        # Links are for whoever put them there; an upload may not be one.
        return Question(
            source=(folder / moment.clip).resolve(), query=query, settings=Settings(), load_context=load
        )

    def pictures(self, answer: "LibraryAnswer", moments: "Sequence[ClipMoment]") -> list[bytes]:
        """A small JPEG from the middle of each moment; empty where there is none."""
        digests = self.index.digests(answer.folder)
        pictures = []
        for item in moments:
            sheet = self.index.sheet(digests[item.clip]) if item.clip in digests else None
            pictures.append(
                b"" if sheet is None else sheet.tile((item.moment.start_s + item.moment.end_s) / 2)
            )
        return pictures


def library_routes(library: LibraryService | None) -> APIRouter:
    """GET /library: the offered folders and how far they are; role visitor."""
    router = APIRouter()

    @router.get("/library")
    def folders(user: Visitor) -> dict[str, Any]:
        statuses = [] if library is None else library.statuses()
        return {
            "folders": [
                {
                    "name": status.name,
                    "clips": status.clips,
                    "ready": status.ready,
                    "problems": status.problems,
                    "is_indexing": status.is_indexing,
                    "message": status.message,
                }
                for status in statuses
            ]
        }

    return router
