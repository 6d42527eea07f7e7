"""`videos`: register clips, and list what is missing."""

import argparse
import dataclasses
from pathlib import Path

from annotations import videos
from annotations.commands import common

SHOWN = 20


def add_parser(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers,
        "videos",
        run,
        "Register the clips of a folder, or list the rows without one.\n\n"
        "`videos add FOLDER` knows clips by their content, so that moved files are found again.",
    )
    parser.add_argument("action", choices=("add", "missing"))
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--pattern", default=videos.WHOLE_NAME, help="file names without suffix (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Look through the folder and show what is new, moved and missing."""
    with common.open_store(args) as store:
        if args.action == "missing" or args.folder is None:
            gone = videos.missing(store, pattern=args.pattern)
            common.show(args, {"missing": gone}, "\n".join(_missing(gone)))
            return 0
        report = videos.add_folder(
            store, args.folder, op_id=common.new_op_id(), actor=common.actor(), pattern=args.pattern
        )
    summary = f"{len(report.added)} added, {len(report.moved)} moved, {report.unchanged} unchanged"
    unmatched = [f"  no row asks for {file}" for file in report.unmatched[:SHOWN]]
    common.show(args, dataclasses.asdict(report), "\n".join([summary, *unmatched, *_missing(report.missing)]))
    return 0


def _missing(gone: dict[str, str]) -> list[str]:
    lines = [f"{len(gone)} videos of rows are missing"]
    lines += [f"  {vid}: would be found as {name}" for vid, name in list(gone.items())[:SHOWN]]
    return [*lines, f"  … and {len(gone) - SHOWN} more (--json lists all)"] if len(gone) > SHOWN else lines
