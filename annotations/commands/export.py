"""`export`: the rows with the answers that hold, in any format."""

import argparse
from pathlib import Path

from annotations import formats
from annotations.commands import common
from annotations.exporting import EXPORT_RULES, export_to, only_dataset
from annotations.formats import SALIENCY_POLICIES, SNAPPINGS, ExportOptions
from annotations.rows import SPLITS
from annotations.snapshot import Snapshot, open_snapshot, take_snapshot
from tempo_core.errors import InputError


def add_parser(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers,
        "export",
        run,
        "Write the rows, with the answers that hold now, in a format.\n\n"
        "Takes a snapshot first (or reads one). Rows that nobody changed pass through byte for byte.\n"
        "The manifest beside the files records every option.",
    )
    parser.add_argument("--format", choices=formats.names(), required=True)
    parser.add_argument(
        "--out", type=Path, required=True, help="a file, or a folder where the format makes several"
    )
    parser.add_argument("--snapshot", type=Path, metavar="DIR", help="read this snapshot, not the store")
    parser.add_argument("--dataset", metavar="NAME", help="needed when there are several")
    parser.add_argument("--split", choices=SPLITS)
    parser.add_argument(
        "--adjudication", choices=EXPORT_RULES, default="latest", help="whose answer holds (default: latest)"
    )
    parser.add_argument("--edited-text", action="store_true", help="take the annotators' wording of queries")
    parser.add_argument("--snapping", choices=SNAPPINGS, default=SNAPPINGS[0])
    parser.add_argument("--saliency", choices=SALIENCY_POLICIES, default=SALIENCY_POLICIES[0])
    parser.add_argument("--model", metavar="ID", help="predictions: the model whose answers are written")
    parser.add_argument(
        "--refusals", choices=("apart", "inline"), default="apart", help="predictions: where refusals go"
    )
    parser.add_argument(
        "--frame-rate", type=float, metavar="F", help="label-studio: frames a second of the videos"
    )
    parser.add_argument("--licence", metavar="ID", help="of the source; default: QVHighlights' for its clips")
    parser.add_argument(
        "--keep-going", action="store_true", help="leave out rows that the format cannot carry"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")


def run(args: argparse.Namespace) -> int:
    """Write the files and say what was written."""
    if args.frame_rate is not None and not 0 < args.frame_rate <= 1000:
        raise InputError(f"--frame-rate must lie above 0 and up to 1000; got {args.frame_rate}.")
    snapshot = _snapshot(args)
    dataset = args.dataset or only_dataset(snapshot)
    options = ExportOptions(
        snapping=args.snapping,
        saliency=args.saliency,
        keep_going=args.keep_going,
        overwrite=args.overwrite,
        predictions_of=args.model,
        refusals=args.refusals,
        frame_rate=args.frame_rate,
        licence=args.licence,
    )
    report = export_to(
        snapshot,
        args.out,
        format=args.format,
        rule=args.adjudication,
        dataset=dataset,
        split=args.split,
        edited_text=args.edited_text,
        options=options,
    )
    answer = {**report.to_dict(), "dataset": dataset, "snapshot": snapshot.sha256}
    lines = [f"{report.rows} rows of {dataset} as {report.format}:", *(f"  {file}" for file in report.files)]
    lines += [f"  {count} rows: {name}" for name, count in report.counts.items()]
    lines += [f"  {count} rows lose {name}" for name, count in report.dropped.items()]
    common.show(args, answer, "\n".join([*lines, *(f"  left out: {each}" for each in report.problems)]))
    return 0


def _snapshot(args: argparse.Namespace) -> Snapshot:
    if args.snapshot is not None:
        return open_snapshot(args.snapshot)
    chosen = None if args.dataset is None else [args.dataset]
    with common.open_store(args) as store:
        return take_snapshot(store, common.home() / "snapshots", actor=common.actor(), datasets=chosen)
