"""The data service: imports, exports and comparisons as jobs in a queue of their own, off the event loop.

It knows the store and the files; what the page looks like it does not know.
"""

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from annotations import formats
from annotations.comparison import Comparison, compare_with_original
from annotations.exporting import EXPORT_RULES, ExportRule, export_to
from annotations.formats import ExportOptions, ExportReport, Problem, RowsRejected
from annotations.formats.files import safe_name
from annotations.history import HistoryEntry, history
from annotations.importing import ImportedFile, import_file
from annotations.queue import BrowseFilter, BrowsePage
from annotations.records import Correction
from annotations.rows import SPLITS, Split
from annotations.snapshot import Snapshot, take_snapshot
from annotations.store import Store
from app.auth.users import User
from app.data.downloads import DownloadBundle, Downloads
from app.job_queue import Job, JobQueue
from tempo_core.errors import InputError

MOST_FILES = 2000
"""Files of one upload."""
FOLDER_SUFFIXES = (".vtt", ".eaf")
"""Files of which several together are one import: one file a video."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportRequest:
    """What the import form says."""

    files: tuple[Path, ...]
    format: str | None = None
    dataset: str | None = None
    split: Split | None = None
    keep_going: bool = False

    def __post_init__(self) -> None:
        if not self.files:
            raise InputError("There is no file yet. Choose one or more, then import.")
        if len(self.files) > MOST_FILES:
            raise InputError(f"{len(self.files)} files are too many at once; at most {MOST_FILES} are taken.")
        _require_one_of("format", self.format, (None, *formats.names()))
        _require_one_of("split", self.split, (None, *SPLITS))


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOutcome:
    """What came in, and what did not."""

    imported: tuple[ImportedFile, ...]
    refused: tuple[tuple[str, str, tuple[Problem, ...]], ...]
    """Files that stayed out as a whole: name, reason, and the rows that broke a rule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequest:
    """What the export form says; the command's options, under their names."""

    format: str
    dataset: str
    split: Split | None = None
    rule: ExportRule = "latest"
    edited_text: bool = False
    options: ExportOptions = dataclasses.field(default_factory=ExportOptions)

    def __post_init__(self) -> None:
        _require_one_of("format", self.format, formats.names())
        _require_one_of("split", self.split, (None, *SPLITS))
        _require_one_of("rule", self.rule, EXPORT_RULES)
        if not self.dataset:
            raise InputError("There is no dataset to export. Import rows first, then choose one.")

    @property
    def file_name(self) -> str:
        """What the file is called; for formats of several files the folder is the bundle itself."""
        form = formats.FORMATS[self.format]
        return f"{safe_name(self.dataset)}{f'_{self.split}' if self.split else ''}{form.suffix}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportOutcome:
    """Files to take away, and what the format did to the rows."""

    bundle: DownloadBundle
    names: tuple[str, ...]
    report: ExportReport
    snapshot_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonOutcome:
    """Scores of the released moments, and their pages to take away."""

    bundle: DownloadBundle
    names: tuple[str, ...]
    found: Comparison
    dataset: str


class DataService:
    """The store's heavy work for the data page."""

    def __init__(self, store: Store, downloads: Downloads, snapshots: Path, job_queue: JobQueue) -> None:
        self.store, self.downloads, self.snapshots, self.job_queue = store, downloads, snapshots, job_queue

    def browse(self, wanted: BrowseFilter, *, limit: int, offset: int) -> BrowsePage:
        """A page of the table."""
        return self.store.browse(wanted, limit=limit, offset=offset)

    def history(self, query_id: int) -> list[HistoryEntry]:
        """A query's whole life. Raises NotFound."""
        return history(self.store, query_id)

    def restore(
        self, user: User, query_id: int, to_id: int | None, parent_id: int | None, *, op_id: str
    ) -> Correction:
        """Make an older version (None: the original) the user's newest. Raises Conflict when the user's own
        version is not `parent_id` any more.
        """
        return self.store.revert(query_id, to_id=to_id, annotator=user.id, parent_id=parent_id, op_id=op_id)

    def submit_import(self, user: User, request: ImportRequest) -> Job:
        """A job whose result is an ImportOutcome. Raises Busy."""
        return self.job_queue.submit(user.id, lambda job: self._import(job, user, request))

    def submit_export(self, user: User, request: ExportRequest) -> Job:
        """A job whose result is an ExportOutcome. Raises Busy."""
        return self.job_queue.submit(user.id, lambda job: self._export(job, user, request))

    def submit_comparison(
        self, user: User, dataset: str, split: Split | None, rule: ExportRule, *, reviewed_only: bool
    ) -> Job:
        """A job whose result is a ComparisonOutcome. Raises Busy, InputError."""
        _require_one_of("split", split, (None, *SPLITS))
        if not dataset:
            raise InputError("There is no dataset to compare. Import rows first, then choose one.")
        return self.job_queue.submit(
            user.id, lambda job: self._compare(job, user, dataset, split, rule, reviewed_only=reviewed_only)
        )

    def _import(self, job: Job, user: User, request: ImportRequest) -> ImportOutcome:
        imported, refused = [], []
        with tempfile.TemporaryDirectory(prefix="import-", dir=self.downloads.room) as room:
            sources = _gather(request.files, Path(room))
            for place, source in enumerate(sources):
                job.report("reading", place / len(sources))
                name = source.name if source.is_file() else f"{len(list(source.iterdir()))} files"
                try:
                    done = import_file(
                        self.store,
                        source,
                        op_id=str(uuid4()),
                        actor=user.id,
                        format=request.format,
                        dataset=request.dataset,
                        split=request.split,
                        keep_going=request.keep_going,
                    )
                    imported.append(dataclasses.replace(done, file_name=name))
                except RowsRejected as error:
                    count = len(error.problems)
                    reason = f"{count} row{'s break' if count > 1 else ' breaks'} a rule, so nothing of it came in."
                    refused.append((name, reason, error.problems))
                except InputError as error:
                    refused.append((name, str(error), ()))
        return ImportOutcome(imported=tuple(imported), refused=tuple(refused))

    def _export(self, job: Job, user: User, request: ExportRequest) -> ExportOutcome:
        snapshot = self._snapshot(job, user, request.dataset)
        bundle = self.downloads.open()
        try:
            job.report("writing", 0.4)
            path = (
                bundle.folder if formats.FORMATS[request.format].folder else bundle.folder / request.file_name
            )
            report = export_to(
                snapshot,
                path,
                format=request.format,
                rule=request.rule,
                dataset=request.dataset,
                split=request.split,
                edited_text=request.edited_text,
                options=request.options,
            )
            job.report("packing", 0.8)
            bundle.pack()
        except BaseException:
            self.downloads.discard(bundle)
            raise
        return ExportOutcome(
            bundle=bundle, names=tuple(bundle.names()), report=report, snapshot_sha256=snapshot.sha256
        )

    def _compare(
        self,
        job: Job,
        user: User,
        dataset: str,
        split: Split | None,
        rule: ExportRule,
        *,
        reviewed_only: bool,
    ) -> ComparisonOutcome:
        from tempo_core.metrics.html import render_page

        snapshot = self._snapshot(job, user, dataset)
        job.report("scoring", 0.4)
        found = compare_with_original(
            snapshot, dataset=dataset, split=split, rule=rule, reviewed_only=reviewed_only
        )
        job.report("writing", 0.8)
        bundle = self.downloads.open()
        reports = {"strict": found.strict, "official": found.official}
        for name, evaluation in reports.items():
            if evaluation is not None:
                page, plain = bundle.folder / f"{name}.html", bundle.folder / f"{name}.json"
                page.write_text(render_page(evaluation), encoding="utf-8")
                plain.write_text(json.dumps(evaluation.to_dict(), allow_nan=False), encoding="utf-8")
        return ComparisonOutcome(bundle=bundle, names=tuple(bundle.names()), found=found, dataset=dataset)

    def _snapshot(self, job: Job, user: User, dataset: str) -> Snapshot:
        job.report("snapshot", 0.0)
        return take_snapshot(self.store, self.snapshots, actor=user.id, datasets=[dataset])


def _gather(files: Sequence[Path], room: Path) -> list[Path]:
    """The uploads side by side under their own names, as readers look for neighbours; what is to be imported:
    each file, or the folder of those that belong together. Durations beside a Charades-STA file are no import.
    """
    for file in files:
        target = room / "files" / file.name
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            raise InputError(f"Two files are called {file.name!r}; import them one after the other.")
        shutil.copyfile(file, target)
    folder = room / "files"
    names = sorted(path.name for path in folder.iterdir())
    if len(names) > 1 and {Path(name).suffix for name in names} in ({suffix} for suffix in FOLDER_SUFFIXES):
        return [folder]
    return [folder / name for name in names if not name.endswith(".durations.json")]


def _require_one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        shown = ", ".join(str(each) for each in allowed if each is not None)
        raise InputError(f"{name} is {str(value)[:60]!r}; it must be one of {shown}.")
