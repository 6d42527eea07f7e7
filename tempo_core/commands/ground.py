"""`python -m tempo_core ground`: when does this happen? Moments or a refusal, for one video and one query."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from tempo_core.commands.options import (
    StageLine,
    add_budget_options,
    add_model_options,
    clock,
    open_engine,
    write_json,
)
from tempo_core.errors import InputError

if TYPE_CHECKING:
    from tempo_core.engine import Answer, VideoContext


def add_parser(subparsers: Any) -> None:
    """Add the command to an argparse subparsers object."""
    parser = subparsers.add_parser(
        "ground",
        help="find the moments of a video that match a query",
        description="Find every moment of a video that matches a query, or say that none does.",
    )
    parser.add_argument("video", metavar="VIDEO", nargs="?", help="a video file")
    parser.add_argument("query", metavar="QUERY", nargs="?", help="what to look for, in a sentence")
    add_model_options(parser)
    add_budget_options(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what memory the checkpoint needs; ask nothing"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer, or print the memory plan. Raises InputError and its kin on bad input."""
    if args.dry_run:
        return _dry_run(args)
    if args.video is None or args.query is None:
        raise InputError(
            "Give a video file and a query, for example: ground clip.mp4 'a red circle appears'."
        )
    from tempo_core.engine import ground
    from tempo_core.prompt import clean_query
    from tempo_core.video import probe

    clean_query(args.query)
    probe(args.video)  # what is wrong with the clip is said before a model is loaded
    stages = StageLine()
    engine = open_engine(args)
    try:
        answer, context = ground(
            engine,
            args.video,
            args.query,
            fps=args.fps,
            token_budget=args.token_budget,
            allocator=args.allocator,
            progress=stages,
        )
    finally:
        stages.clear()
    if args.json:
        frames = {"times_s": context.times_s.tolist(), "end_s": context.end_s, **context.allocation.to_dict()}
        write_json({**answer.to_dict(), "video": args.video, "allocation": frames})
    else:
        sys.stdout.write(describe(answer, context))
    return 0


def describe(answer: "Answer", context: "VideoContext") -> str:
    """The answer as a small table for people."""
    lines = [answer.query]
    if answer.refused:
        lines.append(f"  no moment of this video matches (P(relevant) = {answer.relevance:.2f})")
    for moment, confidence in zip(answer.moments, answer.confidences, strict=True):
        lines.append(
            f"  {clock(moment.start_s):>9} to {clock(moment.end_s):>9}   confidence {confidence:.2f}"
        )
    spent, frames = int(context.allocation.tokens.sum()), len(context.times_s)
    seconds = sum(value for name, value in answer.timings.items() if name.endswith("_s"))
    lines.append(
        f"P(relevant) {answer.relevance:.2f}; {frames} frames, {spent} tokens "
        f"({context.allocation.allocator}); "
        f"{seconds:.1f} s; {answer.model_id}"
    )
    return "\n".join(lines) + "\n"


def _dry_run(args: argparse.Namespace) -> int:
    """Print the memory plan of the checkpoint, which may be a published model's bare name."""
    from tempo_core.loading import pick_device
    from tempo_core.memory import plan

    made = plan(args.checkpoint, four_bit=args.four_bit, device=pick_device(None))
    if args.json:
        write_json(made.to_dict())
    else:
        sys.stdout.write(made.describe() + "\n")
    return 0
