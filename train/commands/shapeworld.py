"""`python -m train shapeworld`: render clips with exact truth, as files and QVHighlights rows."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from tqdm import tqdm

from tempo_core.command_line import AsJson, show
from tempo_core.errors import InputError
from tempo_core.wording import plural

Tier = Literal["plain", "rich", "sparse"]
Questions = Literal["hard", "main", "unseen-pairs"]


def shapeworld(
    out: Annotated[Path, typer.Option(help="folder for videos and rows")],
    clips: Annotated[int, typer.Option(help="number of clips")] = 200,
    queries: Annotated[int, typer.Option(help="questions a clip")] = 5,
    tier: Annotated[
        Tier,
        typer.Option(help="how hard the pictures are; sparse: little happens, and it is small"),
    ] = "rich",
    questions: Annotated[Questions, typer.Option(help="which kinds are asked")] = "main",
    seed: Annotated[int, typer.Option(help="another seed is another set; training uses none of them")] = 0,
    size: Annotated[int, typer.Option(help="shorter side in pixels")] = 224,
    as_json: AsJson = False,
) -> None:
    """Render clips whose truth is known exactly.

    Clips go into OUT/videos, their rows into OUT/rows.jsonl; a stopped run goes on. Then: python -m tempo_core
    predict --ground-truth OUT/rows.jsonl --videos OUT/videos --out P.jsonl, and python -m tempo_core evaluate
    --predictions P.jsonl --ground-truth OUT/rows.jsonl --by kind.
    """
    for name, value, low, high in (
        ("clips", clips, 1, 100_000),
        ("queries", queries, 1, 20),
        ("seed", seed, 0, 10**6),
        ("size", size, 56, 1080),
    ):
        if not low <= value <= high:
            raise InputError(f"--{name} must lie between {low} and {high}; got {value}.")
    from train.shapeworld.clips import MIXES, SetPlan, make_set

    plan = SetPlan(
        clips=clips,
        queries=queries,
        tier=tier,
        seed=seed,
        short_side_px=size,
        mix=MIXES[questions],
        motion=0.35 if questions == "hard" else 0.0,
    )
    with tqdm(total=clips, unit="clip", file=sys.stderr, disable=as_json) as bar:
        rows = make_set(plan, out, on_progress=lambda count, _: bar.update(count - bar.n))
    count = sum(1 for _ in rows.open())
    data = {"rows": str(rows), "videos": str(out / "videos"), "clips": clips, "queries": count}
    show(data, f"{plural(count, 'question')} about {plural(clips, 'clip')}: {rows}", as_json=as_json)
