"""`python -m train shapeworld`: render clips with exact truth, as files and QVHighlights rows."""

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from tempo_core.errors import InputError
from train.shapeworld.clips import MIXES, SetPlan, make_set
from train.shapeworld.scene import TIERS


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser(
        "shapeworld",
        help="render clips whose truth is known exactly",
        description="Render clips into OUT/videos and their rows into OUT/rows.jsonl; a stopped run goes on. Then: "
        "python -m tempo_core predict --ground-truth OUT/rows.jsonl --videos OUT/videos --out P.jsonl, and "
        "python -m tempo_core evaluate --predictions P.jsonl --ground-truth OUT/rows.jsonl --by kind.",
    )
    command.add_argument("--out", type=Path, required=True, help="folder for videos and rows")
    command.add_argument("--clips", type=int, default=200, help="number of clips (200)")
    command.add_argument("--queries", type=int, default=5, help="questions a clip (5)")
    command.add_argument(
        "--tier",
        choices=sorted(TIERS),
        default="rich",
        help="how hard the pictures are; sparse: little happens, and it is small (rich)",
    )
    command.add_argument(
        "--questions", choices=sorted(MIXES), default="main", help="which kinds are asked (main)"
    )
    command.add_argument(
        "--seed", type=int, default=0, help="another seed is another set; training uses none of them"
    )
    command.add_argument("--size", type=int, default=224, help="shorter side in pixels (224)")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    for name, low, high in (
        ("clips", 1, 100_000),
        ("queries", 1, 20),
        ("seed", 0, 10**6),
        ("size", 56, 1080),
    ):
        value = getattr(args, name)
        if not low <= value <= high:
            raise InputError(f"--{name} must lie between {low} and {high}; got {value}.")
    plan = SetPlan(
        clips=args.clips, queries=args.queries, tier=args.tier, seed=args.seed, short_side_px=args.size,
        mix=MIXES[args.questions], motion=0.35 if args.questions == "hard" else 0.0,
    )  # fmt: skip
    with tqdm(total=plan.clips, unit="clip", file=sys.stderr, disable=args.json) as bar:
        rows = make_set(plan, args.out, progress=lambda done, _: bar.update(done - bar.n))
    count = sum(1 for _ in rows.open())
    answer = {"rows": str(rows), "videos": str(args.out / "videos"), "clips": args.clips, "queries": count}
    print(json.dumps(answer) if args.json else f"{count} questions about {args.clips} clips: {rows}")
    return 0
