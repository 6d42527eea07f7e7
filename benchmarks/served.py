"""A served checkpoint: whether a server answers as the same weights do here, and what a question costs there."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tempo_core.command_line import AsJson, show

EXAMPLES = Path(__file__).resolve().parent.parent / "app" / "examples"


def run(
    endpoint: Annotated[str, typer.Option(metavar="URL[#MODEL]", help="where it is served")],
    checkpoint: Annotated[str, typer.Option(metavar="DIR", help="what is served")] = "tempo-tiny",
    adapter: Annotated[
        str | None, typer.Option(metavar="DIR", help="the adapter that it is served with")
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option(
            help="a folder with a manifest.json of files and their questions; default: the app's examples"
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Ask about the example clips here (float32) and there, and compare moments and P(relevant).

    A server may hold other numbers (bfloat16) and tokenises the prompt as one text; frames go as JPEGs.
    """
    from tempo_core.backend import open_backend
    from tempo_core.engine import encode_file

    folder = clips or EXAMPLES
    here = open_backend(checkpoint, adapter=adapter, four_bit=False)
    there = open_backend(endpoint, settings=checkpoint, adapter=adapter)
    rows: list[dict[str, Any]] = []
    for entry in json.loads((folder / "manifest.json").read_text()):
        contexts = [encode_file(backend, folder / entry["file"]) for backend in (here, there)]
        for number, question in enumerate(entry["questions"]):
            understood = here.understanding(question)
            if understood is not None and not understood.is_understood:
                continue  # neither is asked
            laps = [time.perf_counter()]
            answers = []
            for backend, context in zip((here, there), contexts, strict=True):
                answers.append(backend.ask(context, question, n_best=0))
                laps.append(time.perf_counter())
            ours, theirs = answers
            rows.append(
                {
                    "clip": entry["file"],
                    "question": question,
                    "is_first": number == 0,
                    "here": [(moment.start_s, moment.end_s) for moment in ours.moments],
                    "there": [(moment.start_s, moment.end_s) for moment in theirs.moments],
                    "relevance_here": ours.relevance,
                    "relevance_there": theirs.relevance,
                    "here_s": laps[1] - laps[0],
                    "there_s": laps[2] - laps[1],
                }
            )
    show(summary(rows) | {"questions": rows}, table(rows), as_json=as_json)
    return 0


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many answers are the same, and how far P(relevant) is apart where both have one."""
    gaps = [
        abs(row["relevance_here"] - row["relevance_there"])
        for row in rows
        if row["relevance_here"] is not None and row["relevance_there"] is not None
    ]
    return {
        "asked": len(rows),
        "same_moments": sum(row["here"] == row["there"] for row in rows),
        "relevance_apart": sorted(gaps),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """One line a question, then the sums."""
    totals = summary(rows)
    gaps = totals["relevance_apart"]
    lines = [
        f"{'=' if row['here'] == row['there'] else '≠'} {row['clip'][:20]:20} {row['question'][:44]:44} "
        f"{row['here']!s:32} {row['there']!s:32} {row['here_s']:7.2f} {row['there_s']:7.2f} s"
        for row in rows
    ]
    apart = f"median {gaps[len(gaps) // 2]:.4f}, most {gaps[-1]:.4f}" if gaps else "not given"
    return "\n".join(
        [
            *lines,
            f"same moments: {totals['same_moments']} of {totals['asked']}; P(relevant) apart: {apart}",
        ]
    )
