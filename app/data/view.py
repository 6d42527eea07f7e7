"""What the data page says, as escaped HTML (`view.html`)."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from app.data.downloads import ZIP, DownloadBundle
from app.data.service import ComparisonOutcome, ExportOutcome, ImportOutcome
from app.http.base_path import address_of
from app.job_queue import Progress
from app.ui.templates import macros

SHOWN_PROBLEMS = 200
SHOWN_FILES = 25

STAGES = {
    "queued": "Waiting",
    "reading": "Reading the files",
    "snapshot": "Taking a snapshot",
    "writing": "Writing the files",
    "packing": "Packing the archive",
    "scoring": "Scoring both",
}
FACTS = {
    "queries": "Queries",
    "reviewed": "Reviewed",
    "adjudicated": "Adjudicated",
    "flagged": "Flagged",
    "corrections": "Corrections",
    "drafts": "Drafts",
    "proposals": "Proposals",
    "queries_with_video": "With video",
}

html = macros("data/view.html")


def progress_html(progress: Progress) -> str:
    """Where a job stands, with a bar."""
    stage = STAGES.get(progress.stage, progress.stage)
    if progress.stage == "queued" and progress.position:
        stage = f"Waiting; {progress.position} before this one"
    return str(html.progress(stage, round(100 * progress.fraction)))


def count_line(offset: int, count: int, total: int) -> str:
    """Which rows of the whole table a page holds."""
    return f"{offset + 1:,}–{offset + count:,} of {total:,}" if total else "No rows"


def import_html(outcome: ImportOutcome) -> str:
    """The report: each file, then each row that stayed out with its reason."""
    return str(html.import_report(outcome, SHOWN_PROBLEMS))


def export_html(outcome: ExportOutcome) -> str:
    """The files to take away, the manifest first, and what the format did to the rows."""
    links = links_html(outcome.bundle, outcome.names)
    return str(html.export_report(outcome.report, outcome.snapshot_sha256[:16], links, SHOWN_PROBLEMS))


def links_html(bundle: DownloadBundle, names: Sequence[str]) -> str:
    """Links to a bundle's files: its archive and manifest first, then the other files, SHOWN_FILES of them."""
    ordered = sorted(names, key=lambda name: ("manifest" not in name.lower(), name))
    archive = [ZIP] if (bundle.folder / ZIP).is_file() else []
    files = [
        (
            name,
            address_of(f"/data/files/{bundle.id}/{quote(name)}"),
            _size((bundle.folder / name).stat().st_size),
        )
        for name in [*archive, *ordered[:SHOWN_FILES]]
    ]
    return html.links(files, len(ordered) - SHOWN_FILES, ZIP)  # Markup, not escaped again


def comparison_html(outcome: ComparisonOutcome) -> str:
    """Both scores of the released moments in one table, and their pages."""
    comparison = outcome.comparison
    evaluations = {"Official": comparison.official, "Strict": comparison.strict}
    columns = {rules: e.scores["brief"] for rules, e in evaluations.items() if e is not None}
    return str(html.comparison(comparison, columns, links_html(outcome.bundle, outcome.names)))


def facts_html(stats: Mapping[str, Any]) -> str:
    """The store in numbers."""
    return str(html.facts([(title, stats[name]) for name, title in FACTS.items()]))


def _size(count: int) -> str:
    size, units = float(count), ["B", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"
