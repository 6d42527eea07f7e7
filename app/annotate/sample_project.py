"""The sample project: a dozen made clips with rows in QVHighlights form, some of them damaged on purpose.

Made and removed by one click. The store forgets nothing, so removing archives the dataset and deletes the clips'
files; making it again makes a fresh dataset beside the archived one.
"""

import json
import logging
import shutil
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

from annotations.importing import import_file
from annotations.queue import QueueFilter
from annotations.records import Query
from annotations.store import Store
from annotations.videos import add_folder
from app.annotate.proposals import Proposals
from app.annotate.sample_rows import sample_rows, sample_scenes
from app.auth.users import User
from app.http.errors import user_message
from app.job_queue import Job, JobQueue
from app.media.dataset_clips import DatasetClips
from app.media.library import Clip
from tempo_core.errors import Cancelled, InputError
from train.shapeworld.clips import write_clip

log = logging.getLogger(__name__)

NAME = "sample"
SHORT_SIDE_PX = 224
RATE = 10
"""Pictures a second: enough for frame-exact edges, and quick to render."""


class SampleProject:
    """Makes and removes the project; one at a time."""

    def __init__(
        self,
        store: Store,
        dataset_clips: DatasetClips,
        proposals: Proposals,
        job_queue: JobQueue,
        *,
        clips: int = 12,
        rate: int = RATE,
    ) -> None:
        self.store, self.dataset_clips, self.proposals, self.job_queue = (
            store,
            dataset_clips,
            proposals,
            job_queue,
        )
        self.clips, self.rate = clips, rate
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._failed: str | None = None

    @property
    def folder(self) -> Path:
        """Where the clips' files are."""
        return self.dataset_clips.folder / "sample-project"

    def standing(self) -> dict[str, Any]:
        """{"state": absent|making|present, "dataset", "fraction", "message"}."""
        with self._lock:
            job, failed = self._job, self._failed
        present = self._present()
        if job is not None and not job.future.done():
            return _says("making", fraction=job.progress.fraction)
        if present is not None:
            return _says("present", dataset=present, fraction=1.0)
        return _says("absent", message=failed)

    def make(self, user: User) -> dict[str, Any]:
        """Begin to make the project, unless it is there or being made. Raises Busy."""
        with self._lock:
            busy = self._job is not None and not self._job.future.done()
            if not busy and self._present() is None:
                self._failed = None
                self._job = self.job_queue.submit(f"sample {user.id}", lambda job: self._make(user, job))
        return self.standing()

    def remove(self, user: User) -> dict[str, Any]:
        """Archive the project's dataset and delete its clips. Raises InputError while it is being made."""
        if self.standing()["state"] == "making":
            raise InputError("The sample project is still being made. Remove it when it is there.")
        dataset = self._present()
        if dataset is not None:
            self.store.archive(dataset, op_id=str(uuid4()), actor=user.id)
            shutil.rmtree(self.folder, ignore_errors=True)
        return self.standing()

    def _present(self) -> str | None:
        names = [name for name, archived in self.store.datasets().items() if not archived and _is_ours(name)]
        return names[-1] if names else None

    def _make(self, user: User, job: Job) -> None:
        try:
            self._render(job)
            self._import(user)
        except Cancelled:
            raise
        except Exception as error:  # nobody waits for the job: `standing` tells
            with self._lock:
                self._failed = user_message(error)
            return
        rows = self.store.queue(QueueFilter(dataset=self._present()), limit=100)
        vids = list(dict.fromkeys(row.vid for row in rows))
        self.dataset_clips.prepare_in_turn(vids, after=self._propose_on)

    def _render(self, job: Job) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        scenes = sample_scenes(self.clips)
        for number, (vid, scene) in enumerate(scenes.items()):
            if job.cancel.is_set():
                raise Cancelled("Stopped while the sample project was made.")
            job.report("making", number / len(scenes))
            if not (self.folder / f"{vid}.mp4").exists():
                target = self.folder / f"{vid}.mp4"
                write_clip(scene, target, short_side_px=SHORT_SIDE_PX, rate=self.rate, for_editing=True)

    def _import(self, user: User) -> None:
        taken = [name for name in self.store.datasets() if _is_ours(name)]
        dataset = NAME if not taken else f"{NAME}-{len(taken) + 1}"
        path = self.folder / "rows.jsonl"
        rows = sample_rows(sample_scenes(self.clips))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        add_folder(self.store, self.folder, op_id=str(uuid4()), actor=user.id)
        import_file(
            self.store,
            path,
            op_id=str(uuid4()),
            actor=user.id,
            format="qvhighlights",
            dataset=dataset,
            split="train",
        )

    def _propose_on(self, vid: str) -> None:
        """Have the model look at a clip's rows before anybody opens them."""
        rows = self.store.queue(QueueFilter(dataset=self._present()), limit=100)
        queries = [self.store.query(row.query_id) for row in rows if row.vid == vid]
        self.proposals.ask_for_all(queries, self._clip_of)

    def _clip_of(self, query: Query) -> Clip | None:
        ready = self.dataset_clips.look(query.row.vid).ready
        return None if ready is None else ready.clip


def _is_ours(name: str) -> bool:
    return name == NAME or (name.startswith(f"{NAME}-") and name.removeprefix(f"{NAME}-").isdecimal())


def _says(
    state: str, *, dataset: str | None = None, fraction: float = 0.0, message: str | None = None
) -> dict[str, Any]:
    return {"state": state, "dataset": dataset, "fraction": round(fraction, 3), "message": message}
