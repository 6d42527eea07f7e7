"""The data page's work: imports, exports and comparisons as jobs in a queue of their own.

It knows the store and the files, and nothing of the page.
"""

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from annotations import formats
from annotations.comparison import Comparison, compare_with_original
from annotations.exporting import EXPORT_RULES, ExportRule, export_to
from annotations.formats import ExportOptions, ExportReport, Problem, ReadOptions, RowsRejected
from annotations.formats.files import safe_name
from annotations.formats.options import ReadLimits
from annotations.importing import ImportedFile, import_file
from annotations.rows import SPLITS, Split
from annotations.snapshot import Snapshot, take_snapshot
from annotations.store import Store
from app.auth.users import User
from app.data.downloads import DownloadBundle, Downloads
from app.job_queue import Job, JobQueue
from tempo_core.errors import InputError
from tempo_core.sandbox import ChildLimits
from tempo_core.wording import plural

MOST_FILES = 2000
"""Files of one upload."""
UPLOAD_LIMITS = ReadLimits(
    max_bytes=256 * 2**20,
    max_items=500_000,
    child=ChildLimits(cpu_s=300, wall_s=600, output_bytes=512 * 2**20),
)
"""Of one import; the command line takes more (`annotations/commands.py`)."""
FOLDER_SUFFIXES = (".vtt", ".eaf")
"""Files of which several together are one import: one file a video."""


class RefusedFile(NamedTuple):
    """A file of which nothing came in."""

    name: str
    reason: str
    problems: tuple[Problem, ...]
    """The rows that broke a rule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOutcome:
    """What came in, and what did not."""

    imported: tuple[ImportedFile, ...]
    refused: tuple[RefusedFile, ...]


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
    comparison: Comparison


class DataService:
    """The store's heavy work for the data page. Each method runs in a job of `job_queue` and reports to it."""

    def __init__(self, store: Store, downloads: Downloads, snapshots: Path, job_queue: JobQueue) -> None:
        self.store, self.downloads, self.snapshots, self.job_queue = store, downloads, snapshots, job_queue

    def import_files(
        self,
        job: Job,
        user: User,
        *,
        files: Sequence[str | Path] = (),
        format: str | None = None,
        dataset: str | None = None,
        split: Split | None = None,
        model: str | None = None,
        keep_going: bool = False,
    ) -> ImportOutcome:
        """Import uploaded files. None: the format is found out, the dataset is the format's usual one, the split is
        what the file says, and predictions that name no model get the file's name. `keep_going` leaves out rows that
        break a rule. Raises InputError where no file is read.
        """
        if not files:
            raise InputError("There is no file yet. Choose one or more, then import.")
        if len(files) > MOST_FILES:
            raise InputError(f"{len(files)} files are too many at once; at most {MOST_FILES} are taken.")
        _require_one_of("format", format, (None, *formats.names()))
        _require_one_of("split", split, (None, *SPLITS))
        imported, refused = [], []
        with tempfile.TemporaryDirectory(prefix="import-", dir=self.downloads.room) as folder:
            sources = _copy_side_by_side([Path(file) for file in files], Path(folder))
            for place, source in enumerate(sources):
                job.report("reading", place / len(sources))
                name = source.name if source.is_file() else plural(len(list(source.iterdir())), "file")
                try:
                    result = import_file(
                        self.store,
                        source,
                        op_id=str(uuid4()),
                        actor=user.id,
                        format=format,
                        dataset=dataset,
                        options=ReadOptions(split=split, keep_going=keep_going),
                        model=model,
                        limits=UPLOAD_LIMITS,
                        cancel=job.cancel,
                    )
                    imported.append(dataclasses.replace(result, file_name=name))
                except RowsRejected as error:
                    count = len(error.problems)
                    reason = f"{count} row{'s break' if count > 1 else ' breaks'} a rule, so nothing of it came in."
                    refused.append(RefusedFile(name, reason, error.problems))
                except InputError as error:
                    refused.append(RefusedFile(name, str(error), ()))
        return ImportOutcome(imported=tuple(imported), refused=tuple(refused))

    def export(
        self,
        job: Job,
        user: User,
        *,
        format: str = "",
        dataset: str = "",
        split: Split | None = None,
        rule: ExportRule = "latest",
        edited_text: bool = False,
        **options: Any,
    ) -> ExportOutcome:
        """Export a dataset into files to take away, as the command does under these names. `options` are fields of
        ExportOptions. Raises InputError.
        """
        export_options = ExportOptions(**options)
        _require_one_of("format", format, formats.export_names())
        _require_one_of("split", split, (None, *SPLITS))
        _require_one_of("rule", rule, EXPORT_RULES)
        if not dataset:
            raise InputError("There is no dataset to export. Import rows first, then choose one.")
        snapshot = self._snapshot(job, user, dataset)
        form = formats.FORMATS[format]
        bundle = self.downloads.open()
        try:
            job.report("writing", 0.4)
            # A format of several files fills the bundle's folder itself.
            name = "" if form.folder else f"{safe_name(dataset)}{f'_{split}' if split else ''}{form.suffix}"
            report = export_to(
                snapshot,
                bundle.folder / name,
                format=format,
                rule=rule,
                dataset=dataset,
                split=split,
                edited_text=edited_text,
                options=export_options,
            )
            job.report("packing", 0.8)
            bundle.pack()
            counts = {"dataset": dataset, "format": format, "rows": report.rows}
            self.store.record_event("exported", actor=user.id, detail=counts)
        except BaseException:
            self.downloads.discard(bundle)
            raise
        return ExportOutcome(
            bundle=bundle, names=tuple(bundle.names()), report=report, snapshot_sha256=snapshot.sha256
        )

    def compare(
        self,
        job: Job,
        user: User,
        *,
        dataset: str = "",
        split: Split | None = None,
        rule: ExportRule = "latest",
        reviewed_only: bool = False,
    ) -> ComparisonOutcome:
        """Score the released moments against the corrected ones. Raises InputError."""
        from tempo_core.metrics.html import render_page

        _require_one_of("split", split, (None, *SPLITS))
        if not dataset:
            raise InputError("There is no dataset to compare. Import rows first, then choose one.")
        snapshot = self._snapshot(job, user, dataset)
        job.report("scoring", 0.4)
        comparison = compare_with_original(
            snapshot, dataset=dataset, split=split, rule=rule, reviewed_only=reviewed_only
        )
        job.report("writing", 0.8)
        bundle = self.downloads.open()
        for name, evaluation in {"strict": comparison.strict, "official": comparison.official}.items():
            if evaluation is not None:
                page, values = bundle.folder / f"{name}.html", bundle.folder / f"{name}.json"
                page.write_text(render_page(evaluation), encoding="utf-8")
                values.write_text(json.dumps(evaluation.to_dict(), allow_nan=False), encoding="utf-8")
        return ComparisonOutcome(bundle=bundle, names=tuple(bundle.names()), comparison=comparison)

    def _snapshot(self, job: Job, user: User, dataset: str) -> Snapshot:
        job.report("snapshot", 0.0)
        return take_snapshot(self.store, self.snapshots, actor=user.id, datasets=[dataset])


def _copy_side_by_side(files: Sequence[Path], folder: Path) -> list[Path]:
    """Copy the uploads into one folder under their own names, as readers look for neighbours. Returns what to import:
    each file, or the folder of those that belong together. Durations beside a Charades-STA file are no import.
    """
    folder = folder / "files"
    folder.mkdir()
    for file in files:
        if (folder / file.name).exists():
            raise InputError(f"Two files are called {file.name!r}; import them one after the other.")
        shutil.copyfile(file, folder / file.name)
    names = sorted(file.name for file in files)
    suffixes = {Path(name).suffix for name in names}
    if len(names) > 1 and len(suffixes) == 1 and suffixes <= set(FOLDER_SUFFIXES):
        return [folder]
    return [folder / name for name in names if not name.endswith(".durations.json")]


def _require_one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        choices = ", ".join(str(choice) for choice in allowed if choice is not None)
        raise InputError(f"{name} is {str(value)[:60]!r}; it must be one of {choices}.")
