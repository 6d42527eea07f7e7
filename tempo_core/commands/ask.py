"""`python -m tempo_core ask`: one question to every clip of a folder."""

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tempo_core.command_line import AsJson, clock, show, table, writable_file
from tempo_core.commands import options
from tempo_core.commands.index import CacheGb, Folder, Workers, check_folder, index_with_bar, open_library
from tempo_core.errors import InputError
from tempo_core.wording import plural

if TYPE_CHECKING:
    from tempo_core.library.search import LibraryAnswer

MOST_LINES = 20


def ask(
    folder: Folder,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="what to look for, in a sentence")],
    checkpoint: options.Checkpoint = None,
    adapter: options.Adapter = None,
    four_bit: options.FourBit = True,
    fps: options.Fps = None,
    token_budget: options.TokenBudget = None,
    allocator: options.Allocator = None,
    protocol: options.Protocol = None,
    workers: Workers = 2,
    cache_gb: CacheGb = 20.0,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="write the answer too; the ending names the form: .json, .csv, .html (one page that plays the clips), "
            ".edl (CMX 3600) or .fcpxml; may be given several times",
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="most moments that are written and cut")] = 100,
    cut: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="write each moment as a clip of its own, cut exactly by encoding anew"
        ),
    ] = None,
    cut_copy: Annotated[
        bool,
        typer.Option(
            "--cut-copy",
            help="cut without encoding: faster, but a clip begins with the key picture before its moment",
        ),
    ] = False,
    drop_frame: Annotated[
        bool, typer.Option("--drop-frame", help="drop-frame timecode in .edl and .fcpxml, at 29.97 and 59.94")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Find a moment in a whole folder of clips: the most probable first.

    Clips that are new or were changed are encoded first, as `index` does. Exit code 1 when a moment could not be cut.
    """
    from tempo_core.library.reports import check_suffix
    from tempo_core.protocols.base import clean_query

    clean_query(question)
    check_folder(folder)
    for file in out or ():
        check_suffix(file)
        writable_file(file)
    if cut_copy and cut is None:
        raise InputError("--cut-copy says how to cut. Name a folder with --cut too.")
    engine, clip_index, settings = open_library(
        checkpoint, adapter, four_bit, protocol, fps, token_budget, allocator, cache_gb
    )
    understood = engine.understanding(question)
    if understood is None or understood.is_understood:  # nobody waits for clips that are not looked at
        index_with_bar(engine, folder, clip_index, settings, workers)
    from tqdm import tqdm

    from tempo_core.library.search import ask_library

    with tqdm(unit="clip", file=sys.stderr, delay=0.5, leave=False) as bar:

        def on_progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        answer = ask_library(engine, folder, clip_index, question, settings, on_progress=on_progress)
    data, text = {"folder": str(folder), **answer.to_dict()}, describe(answer)
    is_whole = True
    if out or cut is not None:
        from tempo_core.library.cutting import cut_shots
        from tempo_core.library.reports import shots_of, write_report

        answer = replace(answer, moments=answer.moments[:top])
        left_out: list[str] = []
        make_shots = cache(
            lambda: shots_of(answer, lambda clip, problem: left_out.append(f"{clip} is left out: {problem}"))
        )
        for file in out or ():
            write_report(file, answer, clip_index, make_shots, drop=drop_frame)
            text += f"\nwritten: {file}"
        cuts = [] if cut is None else cut_shots(make_shots(), cut, is_copy=cut_copy)
        for clip in cuts:
            times = f"{clip.start_s:.3f} to {clip.end_s:.3f} s of {clip.shot.name}"
            text += f"\ncut: {clip.file}, {times}" if clip.file else f"\nnot cut: {times}: {clip.problem}"
        is_whole = all(clip.file is not None for clip in cuts)
        text = "\n".join([text, *left_out])
        data["cuts"] = [
            {
                "clip": clip.shot.name,
                "file": None if clip.file is None else str(clip.file),
                "start_s": clip.start_s,
                "end_s": clip.end_s,
                "problem": clip.problem,
            }
            for clip in cuts
        ]
    show(data, text, as_json=as_json)
    return 0 if is_whole else 1


def describe(answer: "LibraryAnswer") -> str:
    """The answer as a table for people."""
    lines = [answer.query]
    if answer.understood is not None and not answer.is_understood:
        return "\n".join([*lines, f"  {answer.understood.sentence}"])
    rows = [
        (
            f"  {item.probability:.2f}",
            f"{clock(item.moment.start_s)} to {clock(item.moment.end_s)}",
            "" if item.confidence is None else f"confidence {item.confidence:.2f}",
            item.clip,
        )
        for item in answer.moments[:MOST_LINES]
    ]
    if rows:
        lines.append(table([("  P", "moment", "", "clip"), *rows]))
    if len(answer.moments) > MOST_LINES:
        lines.append(f"  and {len(answer.moments) - MOST_LINES} more; --json or --out has them all")
    in_clips = len({item.clip for item in answer.moments})
    num_clips = in_clips + len(answer.without)
    lines.append(
        f"{plural(len(answer.moments), 'moment')} in {in_clips} of "
        f"{plural(num_clips, 'clip')}; it does not happen in {len(answer.without)}. "
        f"{answer.elapsed_s:.1f} s; {answer.model_id}"
    )
    if not answer.is_calibrated:
        lines.append("P is the model's own P(relevant), not calibrated (python -m tempo_core calibrate).")
    lines += [f"{name} was not asked: {reason}" for name, reason in answer.problems.items()]
    return "\n".join([*lines, *answer.notes])
