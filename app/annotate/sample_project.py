"""The sample project: made clips with rows to correct, and rows that a made-up colleague answered.

sample_project.json lists a dozen clips with rows in QVHighlights form: the seed of each scene, the true moments in
seconds, what is wrong with its rows, and the rows. Each kind of damage is one that `annotations.suspicion` knows, or
that the model's proposal brings out.

sample_words.json lists clips about which the colleague was asked in words that the shipped model does not know, a coin
and a tent: those of `training` teach them, those of `held_out` tell whether they were learned.

Made and removed by one click. The store forgets nothing, so removing archives the dataset and deletes the clips'
files; making it again makes a fresh dataset beside the archived one.
"""

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from annotations.formats import ReadOptions
from annotations.importing import import_file
from annotations.proposers import ANY
from annotations.queue import QueueFilter
from annotations.rows import AnnotatorVersion, Row, Split
from annotations.store import Store
from annotations.videos import add_folder
from app.annotate.proposals import Proposals
from app.auth.users import User
from app.http.errors import user_message
from app.job_queue import Job, JobQueue
from app.media.dataset_clips import DatasetClips
from tempo_core.errors import Cancelled, InputError
from train.shapeworld.clips import CLIPS_RATE, write_clip
from train.shapeworld.scene import TIERS, sample_scene

CLIPS: list[dict[str, Any]] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
WORDS: dict[str, Any] = json.loads(Path(__file__).with_name("sample_words.json").read_text(encoding="utf-8"))
COLLEAGUE, REVIEWER = "sample-colleague", "sample-reviewer"
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
        clips: int | None = None,
        rate: int = RATE,
    ) -> None:
        self.store, self.dataset_clips, self.proposals = store, dataset_clips, proposals
        self.job_queue, self.clips, self.rate = job_queue, CLIPS[:clips], rate
        self.taught_clips: list[tuple[Split, dict[str, Any]]] = [
            *(("train", clip) for clip in WORDS["training"][:clips]),
            *(("val", clip) for clip in WORDS["held_out"][:clips]),
        ]
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._failure: str | None = None

    @property
    def folder(self) -> Path:
        """Where the clips' files are."""
        return self.dataset_clips.folder / "sample-project"

    def status(self) -> dict[str, Any]:
        """{"state": absent|making|present, "dataset", "fraction", "message"}."""
        with self._lock:
            job, failure = self._job, self._failure
        status: dict[str, Any] = {"state": "absent", "dataset": None, "fraction": 0.0, "message": failure}
        names = self._names(archived=False)
        if job is not None and not job.future.done():
            status |= {"state": "making", "fraction": round(job.progress.fraction, 3), "message": None}
        elif names:
            status |= {"state": "present", "dataset": names[-1], "fraction": 1.0, "message": None}
        return status

    def make(self, user: User) -> dict[str, Any]:
        """Begin to make the project, unless it is there or being made. Raises Busy."""
        with self._lock:
            busy = self._job is not None and not self._job.future.done()
            if not busy and not self._names(archived=False):
                self._failure = None
                self._job = self.job_queue.submit(f"sample {user.id}", lambda job: self._make(user, job))
        return self.status()

    def remove(self, user: User) -> dict[str, Any]:
        """Archive the project's dataset and delete its clips. Raises InputError while it is being made."""
        status = self.status()
        if status["state"] == "making":
            raise InputError("The sample project is still being made. Remove it when it is there.")
        if status["dataset"] is not None:
            self.store.archive(status["dataset"], op_id=str(uuid4()), actor=user.id)
            shutil.rmtree(self.folder, ignore_errors=True)
        return self.status()

    def _names(self, *, archived: bool) -> list[str]:
        """Datasets of the project, oldest first: `sample`, `sample-2`, ...; those in use, or archived ones too."""
        return [
            name
            for name, is_archived in self.store.datasets().items()
            if (archived or not is_archived)
            and (name == NAME or (name.startswith(f"{NAME}-") and name.removeprefix(f"{NAME}-").isdecimal()))
        ]

    def _make(self, user: User, job: Job) -> None:
        try:
            # Render the clips; those of the answered rows are watched, and not edited.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files = [(clip["rows"][0]["vid"], clip["seed"], self.rate) for clip in self.clips]
            rows = taught_rows(self.taught_clips)
            seeds = {row.vid: int(row.extra["seed"]) for row in rows}
            files += [(vid, seed, min(self.rate, CLIPS_RATE)) for vid, seed in seeds.items()]
            for number, (vid, seed, rate) in enumerate(files):
                if job.cancel.is_set():
                    raise Cancelled("Stopped while the sample project was made.")
                job.report("making", number / len(files))
                file = self.folder / f"{vid}.mp4"
                if not file.exists():
                    scene = sample_scene(seed, TIERS["plain"])
                    write_clip(scene, file, short_side_px=SHORT_SIDE_PX, rate=rate, for_editing=True)

            # Import their rows. The split is train: corrections of these rows teach.
            names = self._names(archived=True)
            dataset = f"{NAME}-{len(names) + 1}" if names else NAME
            path = self.folder / "rows.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for clip in self.clips for row in clip["rows"]))
            add_folder(self.store, self.folder, op_id=str(uuid4()), actor=user.id)
            import_file(
                self.store,
                path,
                op_id=str(uuid4()),
                actor=user.id,
                format="qvhighlights",
                dataset=dataset,
                options=ReadOptions(split="train"),
            )
            self.store.import_rows(
                rows, dataset=dataset, op_id=str(uuid4()), actor=user.id, format_name="sample"
            )
            # An adopted answer is settled: nobody is asked for a second one.
            for row in rows:
                query_id = self.store.find(dataset, row.qid).id
                (correction,) = self.store.corrections(query_id)
                self.store.adjudicate(
                    query_id,
                    correction_id=correction.id,
                    adjudicator=REVIEWER,
                    parent_id=None,
                    op_id=str(uuid4()),
                )
            # Its scenes are what the shipped model was taught, and no larger one does harm there.
            self.store.save_proposer(dataset, ANY, op_id=str(uuid4()), actor=user.id)
        except Cancelled:
            raise
        except Exception as error:  # nobody waits for the job: `status` tells
            with self._lock:
                self._failure = user_message(error)
            return
        # Prepare each clip, and have the model look at its rows before anybody opens them.
        queue = self.store.queue(QueueFilter(dataset=dataset, unseen_by=COLLEAGUE), limit=100)

        def propose_on(vid: str) -> None:
            ready = self.dataset_clips.look(vid).ready
            if ready is not None:
                queries = [self.store.query(row.query_id) for row in queue if row.vid == vid]
                self.proposals.request_all(queries, ready.clip)

        self.dataset_clips.prepare_in_turn(list(dict.fromkeys(row.vid for row in queue)), on_ready=propose_on)


def taught_rows(clips: Sequence[tuple[Split, dict[str, Any]]]) -> list[Row]:
    """The rows about clips of sample_words.json, each with the colleague's answer and no other; their seed is extra."""
    rows: list[Row] = []
    for number, (split, clip) in enumerate(clips, start=1):
        for question in clip["questions"]:
            windows = tuple((float(start_s), float(end_s)) for start_s, end_s in question["moments"])
            reason = None if windows else "It is not in the clip."
            rows.append(
                Row(
                    qid=f"word-{len(rows) + 1}",
                    query=question["query"],
                    vid=f"word-{number:02d}",
                    duration_s=sample_scene(clip["seed"], TIERS["plain"]).duration_s,
                    split=split,
                    annotations=(AnnotatorVersion(annotator=COLLEAGUE, windows=windows, reason=reason),),
                    extra={"seed": clip["seed"]},
                )
            )
    return rows
