"""The tables of the review page's figures, as escaped HTML."""

from collections.abc import Mapping, Sequence

from annotations.agreement import AgreementReport
from annotations.anchoring import RIGHT_TIOU, Anchoring
from annotations.bulk_adoption import AgreedRow
from annotations.correction_cost import AnnotatorPace, CostSummary
from annotations.planting import PlantedAnswers
from annotations.reason_precision import ReasonPrecision
from app.ui.templates import macros, number

html = macros("ui/macros.html")

PEOPLE_HEADS = (
    "Annotator",
    "Answers",
    "tIoU with others",
    "F1@.5",
    "F1@.7",
    "|Δstart| s",
    "|Δend| s",
    "tIoU with released",
    "Unchanged",
    "Seconds",
    "Keys",
    "No moment",
    "Cannot judge",
    "Flagged",
)
COST_HEADS = (
    "Model",
    "Proposals answered",
    "Accepted unchanged",
    "tIoU",
    "Seconds, median",
    "p75",
    "Keys, median",
    "p75",
)
AGREED_HEADS = ("Row", "Query", "Who agrees", "Answer")
PLANTED_HEADS = ("Answers", "Kept as shown", "Found the decision", "Flagged")
PRECISION_HEADS = ("Answers", "Changed", "Precision", "Mean change", "Weight")
SHOWN_AGREED = 50
ANCHORING_HEADS = ("Answers", "tIoU with decision", "Shown right", "Kept", "Shown wrong", "Kept")


def people_html(paces: Sequence[AnnotatorPace], agreements: Mapping[str, AgreementReport]) -> str:
    """One line an annotator: how much, how like the others, how fast."""
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
        row: list[object] = [cost.name, cost.answers + pace.cannot_judge, *map(number, mutual)]
        row += [number(cost.mean_tiou), f"{cost.unchanged:.0%}", number(cost.seconds_median, 1)]
        row += [number(cost.keys_median, 1), pace.refusals, pace.cannot_judge, pace.flagged]
        rows.append(row)
    return str(html.table("Annotators", PEOPLE_HEADS, rows))


def costs_html(costs: Sequence[CostSummary]) -> str:
    """One line a model: what repairing its proposals took."""
    rows = []
    for cost in costs:
        times = (cost.seconds_median, cost.seconds_p75, cost.keys_median, cost.keys_p75)
        row = [cost.name, cost.answers, f"{cost.unchanged:.0%}", number(cost.mean_tiou)]
        rows.append([*row, *(number(time, 1) for time in times)])
    return str(html.table("Models", COST_HEADS, rows))


def agreed_html(rows: Sequence[AgreedRow]) -> str:
    """The rows that a rule would decide, the first SHOWN_AGREED of them."""
    lines = [
        [
            f"{row.dataset}:{row.qid}",
            row.text[:200],
            " and ".join(row.annotators),
            ", ".join(f"{start_ms / 1000:.2f}–{end_ms / 1000:.2f} s" for start_ms, end_ms in row.moments)
            or row.verdict.replace("-", " "),
        ]
        for row in rows[:SHOWN_AGREED]
    ]
    more = len(rows) - SHOWN_AGREED
    note = f'<p class="tempo-line">and {more:,} more</p>' if more > 0 else ""
    return str(html.table("Rows that agree", AGREED_HEADS, lines)) + note


def planted_html(answers: Sequence[PlantedAnswers]) -> str:
    """What people made of proposals that were wrong on purpose: one line a person."""
    rows = [
        [
            line.annotator,
            line.answers,
            _share(line.kept, line.answers),
            _share(line.right, line.answers),
            line.flagged,
        ]
        for line in answers
    ]
    return str(html.table("Planted wrong proposals", ("Planted wrong proposals", *PLANTED_HEADS), rows))


def precision_html(precisions: Sequence[ReasonPrecision]) -> str:
    """How often a suspicion led to a change: one line a reason."""
    rows = [
        [
            line.reason.replace("-", " "),
            line.answers,
            line.changed,
            f"{line.precision:.0%}",
            number(line.mean_change),
            number(line.weight, 1),
        ]
        for line in precisions
    ]
    return str(html.table("Suspicions", ("Suspicion", *PRECISION_HEADS), rows))


def anchoring_html(arms: Sequence[Anchoring], people: Sequence[Anchoring]) -> str:
    """What the adjudicated answers say of what was shown before answering: one line an arm, then one an annotator."""
    tables = []
    for title, groups in (("Shown before answering", arms), ("Decided rows of", people)):
        rows = [
            [
                group.name,
                group.answers,
                number(group.mean_tiou),
                group.right,
                _share(group.right_unchanged, group.right),
                group.wrong,
                _share(group.wrong_unchanged, group.wrong),
            ]
            for group in groups
        ]
        tables.append(str(html.table(title, (title, *ANCHORING_HEADS), rows)))
    if not any(tables):
        return ""
    rule = f"Right: tIoU with the adjudicated answer of at least {RIGHT_TIOU}. Kept: the answer is what was shown."
    return "".join(tables) + f'<p class="tempo-line">{rule}</p>'


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "–"
