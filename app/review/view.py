"""The tables of the review page's figures, as escaped HTML."""

from collections.abc import Mapping, Sequence
from html import escape

from annotations.agreement import AgreementReport
from annotations.anchoring import RIGHT_TIOU, Anchoring
from annotations.correction_cost import AnnotatorPace, CostSummary


def people_html(paces: Sequence[AnnotatorPace], agreements: Mapping[str, AgreementReport]) -> str:
    """One line an annotator: how much, how like the others, how fast."""
    heads = [
        "Annotator", "Answers", "tIoU with others", "F1@.5", "F1@.7", "|Δstart| s", "|Δend| s", "tIoU with released",
        "Unchanged", "Seconds", "Keys", "No moment", "Cannot judge", "Flagged",
    ]  # fmt: skip
    rows = []
    for pace in paces:
        cost, report = pace.cost, agreements.get(pace.cost.name)
        mutual: list[float | None] = [None] * 5
        if report is not None:
            mutual = [
                report.mean_tiou,
                report.f1[0.5],
                report.f1[0.7],
                report.start_median_s,
                report.end_median_s,
            ]
        answers = cost.answers + pace.cannot_judge
        rows.append(
            [
                escape(cost.name), str(answers), *map(_number, mutual), _number(cost.mean_tiou), _share(cost.unchanged),
                _number(cost.seconds_median, 1), _number(cost.keys_median, 1), str(pace.refusals),
                str(pace.cannot_judge), str(pace.flagged),
            ]
        )  # fmt: skip
    return _table("Annotators", heads, rows)


def costs_html(costs: Sequence[CostSummary]) -> str:
    """One line a model: what repairing its proposals took."""
    heads = [
        "Model",
        "Proposals answered",
        "Accepted unchanged",
        "tIoU",
        "Seconds, median",
        "p75",
        "Keys, median",
        "p75",
    ]
    rows = [
        [
            escape(cost.name), str(cost.answers), _share(cost.unchanged), _number(cost.mean_tiou),
            _number(cost.seconds_median, 1), _number(cost.seconds_p75, 1), _number(cost.keys_median, 1),
            _number(cost.keys_p75, 1),
        ]
        for cost in costs
    ]  # fmt: skip
    return _table("Models", heads, rows)


def anchoring_html(arms: Sequence[Anchoring], people: Sequence[Anchoring]) -> str:
    """What the adjudicated answers say of what was shown before answering: one line an arm, then one an annotator."""
    heads = ["Answers", "tIoU with decision", "Shown right", "Kept", "Shown wrong", "Kept"]
    parts = []
    for name, found in (("Shown before answering", arms), ("Decided rows of", people)):
        rows = [
            [
                escape(each.name), str(each.answers), _number(each.mean_tiou), str(each.right),
                _part(each.right_unchanged, each.right), str(each.wrong), _part(each.wrong_unchanged, each.wrong),
            ]
            for each in found
        ]  # fmt: skip
        parts.append(_table(name, [name, *heads], rows))
    if not any(parts):
        return ""
    rule = f"Right: tIoU with the adjudicated answer of at least {RIGHT_TIOU}. Kept: the answer is what was shown."
    return "".join(parts) + f'<p class="tempo-line">{rule}</p>'


def _table(name: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="tempo-wide" tabindex="0" role="region" aria-label="{escape(name)}"><table class="tempo-scores">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _part(kept: int, shown: int) -> str:
    return _share(kept / shown) if shown else "–"


def _share(value: float) -> str:
    return f"{value:.0%}"
