"""`import`: rows of a file into the store."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from annotations import formats
from annotations.commands import common
from annotations.importing import import_file
from annotations.rows import SPLITS
from tempo_core.errors import InputError


def add_parser(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers,
        "import",
        run,
        "Bring rows of a file into the store.\n\n"
        "All or nothing, and harmless to repeat. Originals are kept byte for byte. Models' answers in\n"
        "the file become proposals, annotators' answers become corrections.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--format", choices=formats.names(), help="default: detected")
    parser.add_argument(
        "--dataset", metavar="NAME", help="default: the format's name, or the only dataset there is"
    )
    parser.add_argument("--split", choices=SPLITS, help="default: from the file or its name")
    parser.add_argument(
        "--durations", type=Path, metavar="JSON", help="charades-sta: {vid: seconds}; default: the neighbour"
    )
    parser.add_argument("--keep-going", action="store_true", help="leave bad rows out")
    parser.add_argument("--rejects", type=Path, metavar="PATH", help="where --keep-going writes the bad rows")


def run(args: argparse.Namespace) -> int:
    """Import each file; the files before a bad one stay imported."""
    durations = None if args.durations is None else _durations(args.durations)
    answers: list[dict[str, Any]] = []
    with common.open_store(args) as store:
        for file in args.files:
            done = import_file(
                store,
                file,
                op_id=common.new_op_id(),
                actor=common.actor(),
                format=args.format,
                dataset=args.dataset,
                split=args.split,
                keep_going=args.keep_going,
                rejects_path=_rejects(args),
                durations=durations,
            )
            report, dataset = done.report, done.dataset
            answer = {
                "file": str(file),
                "format": done.format,
                "dataset": dataset,
                **dataclasses.asdict(report),
            }
            answer["rejected"] = [str(problem) for problem in done.problems]
            lines = [
                f"{file.name} ({done.format}) → {dataset}: {report.added} added, {report.unchanged} known"
            ]
            lines[0] += f", {report.proposals} proposals, {report.corrections} corrections"
            answers.append(answer)
            if not args.json:
                common.show(
                    args, answer, "\n".join([*lines, *(f"  left out: {each}" for each in answer["rejected"])])
                )
    if args.json:
        common.show(args, answers[0] if len(answers) == 1 else {"files": answers}, "")
    return 0


def _durations(path: Path) -> dict[str, float]:
    """Seconds by vid. Raises InputError for anything but a JSON object of positive numbers."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--durations {path} cannot be read as JSON ({error}).") from error
    if not isinstance(data, dict) or not all(
        isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        for value in data.values()
    ):
        raise InputError(f"--durations {path} must be an object of positive seconds by vid.")
    return {str(vid): float(value) for vid, value in data.items()}


def _rejects(args: argparse.Namespace) -> Path | None:
    if args.rejects is None and args.keep_going:
        return Path(f"{args.files[0].name}.rejects.jsonl")
    return args.rejects
