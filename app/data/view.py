"""What the data page says, as HTML: pure functions from outcomes to escaped text."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from annotations.formats import Problem
from app.data.downloads import ZIP, DownloadBundle
from app.data.service import ComparisonOutcome, ExportOutcome, ImportOutcome
from app.job_queue import Progress

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


def status_html(line: str = "", *, error: bool = False) -> str:
    """One line that takes up its place even when it says nothing."""
    kind = "tempo-line error" if error else "tempo-line"
    return f'<p class="{kind}" role="{"alert" if error else "status"}">{escape(line) or "&nbsp;"}</p>'


def progress_html(progress: Progress) -> str:
    """Where a job stands, with a bar."""
    stage = STAGES.get(progress.stage, progress.stage)
    if progress.stage == "queued" and progress.position:
        stage = f"Waiting; {progress.position} before this one"
    done = round(100 * progress.fraction)
    return (
        f'<p class="tempo-line" role="status">{escape(stage)}…</p>'
        f'<progress class="tempo-bar" max="100" value="{done}" aria-label="{escape(stage)}"></progress>'
    )


def count_line(offset: int, shown: int, total: int) -> str:
    """Where the page of the table lies in the whole."""
    if not total:
        return "No rows"
    return f"{offset + 1:,}–{offset + shown:,} of {total:,}"


def import_html(outcome: ImportOutcome) -> str:
    """The report: each file, then each row that stayed out with its reason."""
    parts = []
    for done in outcome.imported:
        report = done.report
        facts = [f"{report.added:,} added", f"{report.unchanged:,} known already"]
        facts += [f"{report.proposals:,} proposals"] if report.proposals else []
        facts += [f"{report.corrections:,} corrections"] if report.corrections else []
        facts += [f"{len(done.problems):,} left out"] if done.problems else []
        parts.append(
            f"<li><b>{escape(done.file_name)}</b> as {escape(done.format)} into {escape(done.dataset)}: "
            f"{', '.join(facts)}.{_problems(done.problems)}</li>"
        )
    for name, reason, problems in outcome.refused:
        parts.append(f'<li class="refused"><b>{escape(name)}</b>: {escape(reason)}{_problems(problems)}</li>')
    return f'<ul class="tempo-report">{"".join(parts)}</ul>'


def export_html(outcome: ExportOutcome) -> str:
    """The files to take away, the manifest first, and what the format did to the rows."""
    report = outcome.report
    facts = [f"{_rows(count)}: {name}" for name, count in report.counts.items() if count]
    facts += [
        f"{_rows(count)} {'loses' if count == 1 else 'lose'} {name}, which the format cannot carry"
        for name, count in report.dropped.items()
    ]
    notes = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return (
        f"<p><b>{_rows(report.rows)}</b> as {escape(report.format)} from snapshot "
        f"<code>{escape(outcome.snapshot_sha256[:16])}</code></p>"
        f"{links_html(outcome.bundle, outcome.names)}"
        f'<ul class="tempo-notes">{notes}</ul>{_problems(report.problems)}'
    )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def links_html(bundle: DownloadBundle, names: Sequence[str]) -> str:
    """Links to a parcel's files: its manifest and archive first, then at most SHOWN_FILES others."""
    first = sorted(names, key=lambda name: ("manifest" not in name.lower(), name))
    shown = [ZIP, *first[:SHOWN_FILES]] if (bundle.folder / ZIP).is_file() else first[:SHOWN_FILES]
    items = "".join(f"<li>{_link(bundle, name)}</li>" for name in shown)
    more = len(first) - SHOWN_FILES
    tail = f'<p class="tempo-empty">and {more:,} more files in {ZIP}</p>' if more > 0 else ""
    return f'<ul class="tempo-files">{items}</ul>{tail}'


def comparison_html(outcome: ComparisonOutcome) -> str:
    """Both scores of the released moments in one table, and their pages."""
    found = outcome.found
    line = (
        f"{found.rows:,} rows compared, {found.changed:,} of them changed. The released moments, scored as a "
        "prediction against the corrected ones:"
    )
    columns = {"Official": found.official, "Strict": found.strict}
    heads = [name for name, each in columns.items() if each is not None]
    brief = {name: columns[name].scores["brief"] for name in heads}  # type: ignore[union-attr]
    names = [name for name in brief[heads[-1]] if name.startswith("MR-full")]
    body = "".join(
        f'<tr><th scope="row">{escape(name.removeprefix("MR-full-"))}</th>'
        + "".join(f"<td>{_number(brief[head].get(name))}</td>" for head in heads)
        + "</tr>"
        for name in names
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    left = (
        f'<p class="tempo-empty">{found.unscored:,} {"row" if found.unscored == 1 else "rows"} with a refusal before '
        "or after: beyond the official rules, scored by the strict ones.</p>"
        if found.unscored
        else ""
    )
    return (
        f"<p>{line}</p><table class='tempo-scores'><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody>"
        f"</table>{left}{links_html(outcome.bundle, outcome.names)}"
    )


def facts_html(stats: Mapping[str, Any]) -> str:
    """The store in numbers."""
    facts = [
        ("Queries", stats["queries"]),
        ("Reviewed", stats["reviewed"]),
        ("Adjudicated", stats["adjudicated"]),
        ("Flagged", stats["flagged"]),
        ("Corrections", stats["corrections"]),
        ("Drafts", stats["drafts"]),
        ("Proposals", stats["proposals"]),
        ("With video", stats["queries_with_video"]),
    ]
    items = "".join(f"<div><dt>{name}</dt><dd>{value:,}</dd></div>" for name, value in facts)
    return f'<dl class="tempo-facts">{items}</dl>'


def _link(bundle: DownloadBundle, name: str) -> str:
    size = (bundle.folder / name).stat().st_size
    address = f"/data/files/{bundle.id}/{quote(name)}"
    way = ' target="_blank"' if name.endswith(".html") else " download"
    return f'<a href="{escape(address)}"{way}>{escape(name)}</a> <small>{_size(size)}</small>'


def _problems(problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    rows = "".join(
        f"<tr><td>{escape(each.file)}</td><td>{each.line}</td><td>{escape(each.field)}</td>"
        f"<td>{escape(each.value)}</td><td>{escape(each.rule)}</td></tr>"
        for each in problems[:SHOWN_PROBLEMS]
    )
    more = len(problems) - SHOWN_PROBLEMS
    tail = f'<p class="tempo-empty">and {more:,} more</p>' if more > 0 else ""
    names = ("File", "Line", "Field", "Value", "Rule")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        f"<div class='tempo-problems' tabindex='0' role='region' aria-label='Rows that were left out'><table>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{tail}"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _size(count: int) -> str:
    size, units = float(count), ["B", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"
