"""An evaluation as tables of text: the terminal's report, and what the page shows too."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tempo_core.metrics.evaluation import Evaluation, Measures
from tempo_core.metrics.rules.comparison import QUANTITIES, RulesComparison
from tempo_core.metrics.rules.report import RulesReport
from tempo_core.wording import plural

MAX_LISTED = 10
GROUP_MEASURES = (
    "miou",
    "recall@0.5",
    "recall@0.7",
    "set_iou",
    "refused_f1",
    "over_refusal",
    "missed_refusal",
)


Table = tuple[list[str], list[list[str]]]
"""Header and rows; the first cell of each is a name."""


def render(evaluation: Evaluation, corrected: Evaluation | None = None) -> str:
    """The whole report as lines of text; with `corrected`, each score of it stands beside the first."""
    parts = [
        f"{evaluation.files['predictions']} on {heading(evaluation)}",
        grid(*score_table(evaluation, corrected))
        + "\nceiling: what the ground truth itself scores under these rules.",
        grid(*measure_table(evaluation, corrected)),
        *(grid(*group_table(field, values)) for field, values in evaluation.groups.items()),
        _remarks(evaluation),
    ]
    if corrected is not None:
        files = f"{corrected.files['predictions']} on {heading(corrected)}"
        parts += [f"On the corrected ground truth: {files}", _remarks(corrected)]
    return "\n\n".join(part for part in parts if part) + "\n"


def heading(evaluation: Evaluation) -> str:
    """The ground truth, the rules, and how many queries were scored."""
    counts = evaluation.counts
    parts = [
        f"{evaluation.files['ground_truth']}, {evaluation.rules} rules: "
        f"{counts['scored']} of {plural(counts['ground_truth'], 'query', 'queries')} scored "
        f"({counts['relevant']} with a moment, {counts['irrelevant']} without; {plural(counts['videos'], 'video')})",
        f"{counts['missing']} missing",
    ]
    if counts["unknown"]:
        parts.append(f"{counts['unknown']} not in the ground truth")
    if counts["rejected_windows"]:
        parts.append(plural(counts["rejected_windows"], "impossible window"))
    return ", ".join(parts) + "."


def score_table(evaluation: Evaluation, corrected: Evaluation | None) -> Table:
    """The scores that papers print, in percent, each beside what the ground truth itself scores."""
    columns = [evaluation] if corrected is None else [evaluation, corrected]
    header = ["QVHighlights, %", *["score", "ceiling", "corrected", "its ceiling"][: 2 * len(columns)]]
    rows = [
        [
            name,
            *(
                percent(scores["brief"].get(name))
                for column in columns
                for scores in (column.scores, column.ceiling)
            ),
        ]
        for name in evaluation.scores["brief"]
    ]
    mean_iou = [text for column in columns for text in (percent(column.mean_iou.get("full")), "-")]
    return header, [*rows, ["MR-full-mIoU", *mean_iou]]


def measure_table(evaluation: Evaluation, corrected: Evaluation | None) -> Table:
    """Tempo's own measures with their intervals, and what answering with the whole clip would get."""
    header = ["measure", "value", "95 % interval", "whole clip"]
    header += ["corrected", "95 % interval"] if corrected else []
    rows = []
    for name, measure in evaluation.measures.items():
        row = [name, share(measure["value"]), span(measure), share(evaluation.whole_clip.get(name))]
        if corrected is not None:
            row += [share(corrected.measures[name]["value"]), span(corrected.measures[name])]
        rows.append(row)
    for name in ("auroc", "calibration_error"):
        row = [name, share(getattr(evaluation, name)), "-", "-"]
        rows.append(row + ([share(getattr(corrected, name)), "-"] if corrected else []))
    return header, rows


def group_table(field: str, values: Mapping[str, Measures]) -> Table:
    """Some measures for each value of a field."""
    rows = [
        [
            value,
            f"{measures['queries']['value']:.0f}",
            *(share(measures[name]["value"]) for name in GROUP_MEASURES),
        ]
        for value, measures in values.items()
    ]
    return [f"by {field}", "queries", *GROUP_MEASURES], rows


def _remarks(evaluation: Evaluation) -> str:
    lines = [f"note: {note}" for note in evaluation.notes]
    lines += [f"left out: {problem}" for problem in evaluation.rejected[:MAX_LISTED]]
    if len(evaluation.rejected) > MAX_LISTED:
        lines.append(f"... and {len(evaluation.rejected) - MAX_LISTED} more windows; --json lists them all.")
    if evaluation.missing:
        qids = ", ".join(str(qid) for qid in evaluation.missing[:MAX_LISTED])
        lines.append(f"missing: {qids}" + (", ..." if len(evaluation.missing) > MAX_LISTED else ""))
    return "\n".join(lines)


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns of text, the first to the left and the others to the right, under a rule."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([text[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *text[1:]])


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def plain(value: float | None) -> str:
    """A count as it is, any other number with two decimals."""
    return str(value) if isinstance(value, int) else percent(value)


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def span(measure: Mapping[str, float | None]) -> str:
    """The interval of a measure, or a dash where there is none."""
    return "-" if measure["low"] is None else f"{share(measure['low'])} .. {share(measure['high'])}"


def render_rules(report: RulesReport, corrected: RulesReport | None = None) -> str:
    """A benchmark's scores as lines of text; with `corrected`, each beside the first."""
    columns = [report] if corrected is None else [report, corrected]
    flat = [flatten(column.headline) for column in columns]
    rows = [[name, *(plain(scores.get(name)) for scores in flat)] for name in flat[0]]
    parts = [
        *(rules_heading(column) for column in columns),
        grid([report.title, *["score", "corrected"][: len(columns)]], rows),
    ]
    for field, values in report.groups.items():
        groups = {value: flatten(scores.get("brief", scores)) for value, scores in values.items()}
        table = [[value, *(plain(scores.get(name)) for name in flat[0])] for value, scores in groups.items()]
        parts.append(grid([f"by {field}", *flat[0]], table))
    notes = [f"note: {note}" for column in columns for note in column.notes]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"


def rules_heading(report: RulesReport) -> str:
    """The two files, the rules, whose evaluator they are equal to, and how many queries were scored."""
    counts = report.counts
    unknown = f", {counts['unknown']} not in the ground truth" if counts["unknown"] else ""
    return (
        f"{report.files['predictions']} on {report.files['ground_truth']}, {report.rules} rules "
        f"({report.source}): {counts['scored']} of {plural(counts['ground_truth'], 'query', 'queries')} scored, "
        f"{counts['missing']} missing{unknown}."
    )


def render_comparison(comparison: RulesComparison) -> str:
    """What all rules say of one file: shared quantities with their spread, and the queries they differ on most."""
    rows = [
        [rules, *(percent(values.get(name)) for name in QUANTITIES)]
        for rules, values in comparison.quantities.items()
    ]
    spreads = ["spread"]
    for name in QUANTITIES:
        stated = [
            value for values in comparison.quantities.values() if (value := values.get(name)) is not None
        ]
        spreads.append(percent(max(stated) - min(stated)) if stated else "-")
    listed = comparison.disagreements[:MAX_LISTED]
    queries = [
        [str(row.qid), *(share(row.overlap.get(rules)) for rules in comparison.rules), share(row.spread)]
        for row in listed
    ]
    count = len(comparison.disagreements)
    files = comparison.files
    parts = [
        f"{files['predictions']} on {files['ground_truth']}, under every set of rules.",
        grid(["rules, %", *QUANTITIES], [*rows, spreads]),
    ]
    if queries:
        parts.append(
            f"The rules give {plural(count, 'query', 'queries')} different overlap; most so:\n"
            + grid(["qid, IoU", *comparison.rules, "spread"], queries)
        )
    if comparison.notes:
        parts.append("\n".join(f"note: {note}" for note in comparison.notes))
    return "\n\n".join(parts) + "\n"


def flatten(scores: Mapping[str, Any], path: str = "") -> dict[str, float | None]:
    """Nested scores under flat names such as `RA-IoU/R@0.5`."""
    flat: dict[str, float | None] = {}
    for name, value in scores.items():
        flat |= flatten(value, f"{path}{name}/") if isinstance(value, Mapping) else {path + name: value}
    return flat
