"""An evaluation as a table for the terminal."""

from collections.abc import Iterable, Mapping, Sequence

from tempo_core.metrics.evaluation import Evaluation, Measures

PROBLEMS_SHOWN = 10
GROUP_MEASURES = (
    "miou",
    "recall@0.5",
    "recall@0.7",
    "set_iou",
    "refused_f1",
    "over_refusal",
    "missed_refusal",
)


def render(evaluation: Evaluation, corrected: Evaluation | None = None) -> str:
    """The whole report as lines of text; with `corrected`, each score of it stands beside the first."""
    parts = [_heading(evaluation), _score_table(evaluation, corrected), _measure_table(evaluation, corrected)]
    parts += [_group_table(field, values) for field, values in evaluation.groups.items()]
    parts.append(_remarks(evaluation))
    if corrected is not None:
        parts += [f"On the corrected ground truth: {_heading(corrected)}", _remarks(corrected)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(evaluation: Evaluation) -> str:
    counts = evaluation.counts
    text = (
        f"{evaluation.files['predictions']} on {evaluation.files['ground_truth']}, {evaluation.rules} rules: "
        f"{counts['scored']} of {counts['ground_truth']} queries scored ({counts['relevant']} with a moment, "
        f"{counts['irrelevant']} without; {counts['videos']} videos), {counts['missing']} missing"
    )
    text += f", {counts['unknown']} not in the ground truth" if counts["unknown"] else ""
    return (
        text
        + (f", {counts['rejected_windows']} impossible windows" if counts["rejected_windows"] else "")
        + "."
    )


def _score_table(evaluation: Evaluation, corrected: Evaluation | None) -> str:
    header = ["QVHighlights, %", "score", "ceiling"] + (["corrected", "its ceiling"] if corrected else [])
    rows = []
    for name, value in evaluation.scores["brief"].items():
        row = [name, percent(value), percent(evaluation.ceiling["brief"].get(name))]
        if corrected is not None:
            row += [percent(found["brief"].get(name)) for found in (corrected.scores, corrected.ceiling)]
        rows.append(row)
    iou = [percent(evaluation.mean_iou.get("full")), "-"]
    iou += [percent(corrected.mean_iou.get("full")), "-"] if corrected is not None else []
    rows.append(["MR-full-mIoU", *iou])
    return grid(header, rows) + "\nceiling: what the ground truth itself scores under these rules."


def _measure_table(evaluation: Evaluation, corrected: Evaluation | None) -> str:
    header = ["measure", "value", "95 % interval", "whole clip"] + (
        ["corrected", "95 % interval"] if corrected else []
    )
    rows = []
    for name, found in evaluation.measures.items():
        row = [name, share(found["value"]), span(found), share(evaluation.whole_clip.get(name))]
        if corrected is not None:
            other = corrected.measures[name]
            row += [share(other["value"]), span(other)]
        rows.append(row)
    for name in ("auroc", "calibration_error"):
        row = [name, share(getattr(evaluation, name)), "-", "-"]
        rows.append(row + ([share(getattr(corrected, name)), "-"] if corrected else []))
    return grid(header, rows)


def _group_table(field: str, values: Mapping[str, Measures]) -> str:
    rows = [
        [value, f"{found['queries']['value']:.0f}", *(share(found[name]["value"]) for name in GROUP_MEASURES)]
        for value, found in values.items()
    ]
    return grid([f"by {field}", "queries", *GROUP_MEASURES], rows)


def _remarks(evaluation: Evaluation) -> str:
    lines = [f"note: {note}" for note in evaluation.notes]
    lines += [f"left out: {problem}" for problem in evaluation.rejected[:PROBLEMS_SHOWN]]
    if len(evaluation.rejected) > PROBLEMS_SHOWN:
        lines.append(
            f"... and {len(evaluation.rejected) - PROBLEMS_SHOWN} more windows; --json lists them all."
        )
    if evaluation.missing:
        shown = ", ".join(str(qid) for qid in evaluation.missing[:PROBLEMS_SHOWN])
        lines.append(f"missing: {shown}" + (", ..." if len(evaluation.missing) > PROBLEMS_SHOWN else ""))
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


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def span(found: Mapping[str, float | None]) -> str:
    """The interval of a measure, or a dash where there is none."""
    return "-" if found["low"] is None else f"{share(found['low'])} .. {share(found['high'])}"
