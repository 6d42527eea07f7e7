"""`python -m tempo_core predict`: answer every query of a ground-truth file, resumably.

One line a query, in QVHighlights' prediction format and more: `pred_relevant_windows` [[start_s, end_s,
score], ...] ranks the windows of the best answers, `moments` [[start_s, end_s], ...] is the answer itself,
`relevance` is P(relevant), `refused` says whether the model refused, and `understood` whether it knew what was asked,
where it names its words. `run` names model and settings; a
file is never continued with others.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tempo_core.command_line import VIDEO_SUFFIXES, AsJson, show, writable_file
from tempo_core.commands import options
from tempo_core.errors import InputError, VideoError
from tempo_core.wording import plural

if TYPE_CHECKING:
    from tempo_core.backend import Backend
    from tempo_core.engine import Answer

N_BEST = 10


def predict(
    ground_truth: Annotated[Path, typer.Option(metavar="ROWS.jsonl", help="rows with qid, query and vid")],
    videos: Annotated[Path, typer.Option(metavar="DIR", help="the folder with a video file for every vid")],
    out: Annotated[Path, typer.Option(metavar="PREDICTIONS.jsonl", help="where answers are appended")],
    checkpoint: options.Checkpoint = None,
    endpoint: options.Endpoint = None,
    adapter: options.Adapter = None,
    four_bit: options.FourBit = True,
    fps: options.Fps = None,
    token_budget: options.TokenBudget = None,
    allocator: options.Allocator = None,
    protocol: options.Protocol = None,
    as_json: AsJson = False,
) -> int:
    """Answer every query of a ground-truth file. A run that was stopped goes on where it was: queries that OUT already
    answers are left out."""
    rows = read_rows(ground_truth)
    video_paths = find_videos(videos, [row["vid"] for row in rows])
    writable_file(out)
    engine = options.open_engine(checkpoint, adapter, four_bit=four_bit, protocol=protocol, endpoint=endpoint)
    allocator = allocator or ("saa" if engine.protocol.sampling is None else "uniform")
    settings = {"model_id": engine.model_id, "allocator": allocator, "token_budget": token_budget, "fps": fps}
    if engine.scaling is not None:
        settings["calibrated"] = True
    answered_qids = read_answered(out, settings)
    open_rows = [row for row in rows if _key(row["qid"]) not in answered_qids]
    unreadable = answer_rows(engine, rows, video_paths, out, settings, answered_qids)
    old_count = len(rows) - len(open_rows)
    answer_count = sum(row["vid"] not in unreadable for row in open_rows)
    data = {
        "out": str(out),
        "answered": answer_count,
        "already_there": old_count,
        "unreadable": unreadable,
        **settings,
    }
    text = f"{plural(answer_count, 'query', 'queries')} answered, {old_count} were there; see {out}"
    if unreadable:
        unanswered = plural(len(open_rows) - answer_count, "query has", "queries have")
        text += (
            f"\n{unanswered} no answer, because these videos cannot be read: "
            f"{', '.join(map(repr, unreadable))}. Mend them and run the command again."
        )
    show(data, text, as_json=as_json)
    return 1 if unreadable else 0


def answer_rows(
    engine: "Backend",
    rows: list[dict[str, Any]],
    videos: dict[str, Path],
    out: Path,
    settings: dict[str, Any],
    answered_qids: set[str],
) -> dict[str, str]:
    """Append an answer for every row, video by video, a batch at a time, on disk before the next is begun.

    Rows that are answered are left out, but stay in their batch until all of it is: the figures' last digits depend on
    what is answered together, and a run that was stopped ends in the same file as one that was not.
    A video that cannot be read is named on stderr and passed over; returned are those vids and why.
    """
    from tqdm import tqdm

    from tempo_core.backend import AskRequest
    from tempo_core.engine import encode_file

    unreadable: dict[str, str] = {}
    by_video: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_video.setdefault(row["vid"], []).append(row)
    open_qids = {_key(row["qid"]) for row in rows} - answered_qids
    with (
        out.open("a", encoding="utf-8") as file,
        tqdm(total=len(open_qids), unit="query", file=sys.stderr) as bar,
    ):
        for vid, video_rows in by_video.items():
            starts = range(0, len(video_rows), engine.batch_size)
            batches = [video_rows[start : start + engine.batch_size] for start in starts]
            batches = [batch for batch in batches if any(_key(row["qid"]) in open_qids for row in batch)]
            if not batches:
                continue
            try:
                context = encode_file(
                    engine,
                    videos[vid],
                    fps=settings["fps"],
                    token_budget=settings["token_budget"],
                    allocator=settings["allocator"],
                )
            except VideoError as error:
                unreadable[vid] = str(error)
                bar.write(f"predict: video {vid!r} is passed over: {error}", file=sys.stderr)
                continue
            for batch in batches:
                requests = [AskRequest(context=context, query=row["query"], n_best=N_BEST) for row in batch]
                for row, answer in zip(batch, engine.ask_each(requests), strict=True):
                    if isinstance(answer, Exception):
                        raise answer
                    if _key(row["qid"]) not in open_qids:
                        continue
                    file.write(json.dumps(prediction(row, answer, settings), allow_nan=False) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                    bar.update()
    return unreadable


def prediction(row: dict[str, Any], answer: "Answer", settings: dict[str, Any]) -> dict[str, Any]:
    """One line of the output."""
    # Where nothing is known of how sure the model is, its moments are windows that are all equally good.
    ranked = answer.ranked or [(moment, 1.0) for moment in answer.moments]
    return {
        "qid": row["qid"],
        "query": row["query"],
        "vid": row["vid"],
        "pred_relevant_windows": [[m.start_s, m.end_s, round(score, 6)] for m, score in ranked],
        "moments": [[m.start_s, m.end_s] for m in answer.moments],
        "confidences": [None if figure is None else round(figure, 6) for figure in answer.confidences],
        "relevance": answer.relevance,
        "refused": answer.refused,
        "understood": answer.to_dict()["understood"],
        "run": settings,
    }


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows with qid, query and vid. In NA-VMR's files the n-th row of a qid gets the qid `QID#n`.

    Raises InputError naming the line of the first broken one.
    """
    from tempo_core.metrics.rows import is_coded_refusal, number_repeats
    from tempo_core.protocols.base import clean_query

    rows: list[dict[str, Any]] = []
    repeats: list[str] = []
    first_lines: dict[str, int] = {}
    for number, row in _numbered_rows(path):
        for field, types in [("qid", (int, str)), ("query", (str,)), ("vid", (str,))]:
            if not isinstance(row.get(field), types) or isinstance(row.get(field), bool):
                raise InputError(f"{path}, line {number}: {field!r} is {row.get(field)!r}; it must be there.")
        try:
            clean_query(row["query"])
        except InputError as error:
            raise InputError(f"{path}, line {number} (qid {row['qid']}): {error}") from error
        if (first := first_lines.setdefault(_key(row["qid"]), number)) != number:
            repeats.append(f"line {number}: qid {row['qid']!r} was already in line {first}")
        rows.append(row)
    if not rows:
        raise InputError(f"{path} holds no rows.")
    if repeats and any(is_coded_refusal(row.get("relevant_windows")) for row in rows):
        qids = number_repeats([row["qid"] for row in rows])
        return [{**row, "qid": qid} for row, qid in zip(rows, qids, strict=True)]
    if repeats:
        raise InputError(f"{path}, {repeats[0]}. Make it unique.")
    return rows


def find_videos(folder: Path, vids: list[str]) -> dict[str, Path]:
    """The file of every vid. Raises InputError naming the first that is missing, and how many are."""
    if not folder.is_dir():
        raise InputError(f"There is no folder of videos {folder}.")
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    video_paths: dict[str, Path] = {}
    missing: list[str] = []
    for vid in dict.fromkeys(vids):
        names = (vid, *(vid + suffix for suffix in VIDEO_SUFFIXES))
        path = next((files[name] for name in names if name in files), None)
        if path is None:
            missing.append(vid)
        else:
            video_paths[vid] = path
    links = {path.name for path in folder.iterdir() if path.is_symlink() and not path.exists()}
    for vid in missing:
        if broken := links.intersection((vid, *(vid + suffix for suffix in VIDEO_SUFFIXES))):
            raise InputError(
                f"{folder} has no video {vid!r}: {min(broken)} is a link to a file that is not there. Mend the link."
            )
    if missing:
        ending = f" (and {len(missing) - 1} more videos)" if len(missing) > 1 else ""
        raise InputError(f"{folder} has no video {missing[0]!r}{ending}, such as {missing[0]}.mp4.")
    return video_paths


def read_answered(out: Path, settings: dict[str, Any]) -> set[str]:
    """The qids that the output answers; a last line cut short by a crash is removed from the file.

    Raises InputError when another model or other settings made a row.
    """
    content = out.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with out.open("rb+") as file:
            file.truncate(len(whole))
    answer_keys = set()
    for number, row in _numbered_rows(out):
        if row.get("run") != settings:
            raise InputError(
                f"{out}, line {number} was made by {row.get('run')}, not by {settings}. Give another --out, "
                "or the same model and flags."
            )
        answer_keys.add(_key(row.get("qid")))
    return answer_keys


def _key(qid: Any) -> str:
    """A qid as it is compared: 7 and "7" are different queries."""
    return json.dumps(qid)


def _numbered_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file with their line numbers. Raises InputError for a line that is none."""
    from tempo_core.metrics.rows import Problem, read_json_lines

    for line in read_json_lines(path):
        if isinstance(line, Problem):
            raise InputError(f"{line}.")
        yield line.number, line.values
