"""`agreement`: how well annotators agree with each other and with the originals."""

import argparse
from typing import Any

from annotations.agreement import AgreementReport
from annotations.commands import common
from annotations.statistics import agreement_between_annotators, agreement_of_each, agreement_with_original


def add_parser(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers,
        "agreement",
        run,
        "Compare annotators with each other, and the originals with the answers that hold.\n\n"
        "Mean matched tIoU, set-F1, edge differences in seconds, Krippendorff's alpha on 2-second clips.",
    )
    parser.add_argument("--dataset", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Show one column for each comparison."""
    with common.open_store(args) as store:
        reports = {
            "annotators": agreement_between_annotators(store, dataset=args.dataset),
            "original against corrected": agreement_with_original(store, dataset=args.dataset),
        }
        each = agreement_of_each(store, dataset=args.dataset)
    answer: dict[str, Any] = {name: report.to_dict() for name, report in reports.items()}
    answer["by annotator"] = {name: report.to_dict() for name, report in each.items()}
    columns = {**reports, **{f"{name} and others": report for name, report in each.items()}}
    common.show(args, answer, common.table(_rows(columns)))
    return 0


def _rows(reports: dict[str, AgreementReport]) -> list[tuple[Any, ...]]:
    flat = [{**report.to_dict(), **_f1(report)} for report in reports.values()]
    names = [name for name in flat[0] if name != "f1"]
    head = ("", *reports)
    return [head, *((name, *(_short(values[name]) for values in flat)) for name in names)]


def _f1(report: AgreementReport) -> dict[str, float | None]:
    return {f"set-F1@{threshold}": value for threshold, value in report.f1.items()}


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")
