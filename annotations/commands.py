"""The commands of `python -m annotations`. Each imports what it needs when it runs, so that `--help` stays fast."""

import dataclasses
import json
import os
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import uuid4

import typer

from annotations.choices import REASONS, ExportFormat, ExportRule, FormatName, SaliencyPolicy, Snapping
from annotations.project_commands import projects
from annotations.rows import Split
from tempo_core import command_line
from tempo_core.command_line import AsJson, actor, show, table
from tempo_core.errors import InputError
from tempo_core.wording import plural

if TYPE_CHECKING:
    from annotations.formats import RowsRejected
    from annotations.records import Query
    from annotations.store import Store

LISTED_OMISSIONS = 20
"""Things left out of an import that the text for people names; the JSON names all."""
HELD_NAMES = {
    "qid": "ids",
    "duration_s": "duration",
    "split": "split",
    "saliency_scores": "saliency",
    "annotations": "everybody's answers",
    "original_windows": "originals",
    "reason": "reasons",
    "extra": "further fields",
}
"""Attributes of a row in the words of the list of formats."""
LISTED_VIDEOS = 20
"""Videos that the text for people names; the JSON names all."""

app = command_line.new_app("python -m annotations", "The store of corrections (cQvH).")
app.add_typer(projects)
Database = Annotated[
    str | None,
    typer.Option(metavar="URL", help="SQLAlchemy URL or SQLite file; default: cqvh.sqlite3 in TEMPO_HOME"),
]
QueryName = Annotated[
    str, typer.Argument(metavar="QUERY", help="its number in the store, or DATASET:QID", show_default=False)
]

FrameRates = Annotated[
    Path | None, typer.Option(metavar="JSON", help="the same by clip: {vid: frames a second}")
]


def open_store(database: str | None) -> "Store":
    from annotations.store import Store

    return Store(database)


def list_problems(error: "RowsRejected") -> int:
    """Write the rows that broke a rule to stderr, a line each; the exit code of bad input."""
    sys.stderr.write(f"{error}\n")
    return 2


LARGEST_ID = 2**63 - 1
"""What a database takes as a number."""


def snapshots_folder() -> Path:
    return Path(os.environ.get("TEMPO_HOME", "data")) / "snapshots"


def find_query(store: "Store", name: str) -> "Query":
    """The query of `17` (the store's number) or `DATASET:QID`."""
    dataset, colon, qid = name.rpartition(":")
    if colon:
        return store.find(dataset, qid)
    if not name.isdecimal():
        raise InputError(f"{name!r} names no query; give its number in the store, or DATASET:QID.")
    if int(name) > LARGEST_ID:
        raise InputError(
            f"Query {name} is beyond the store's numbers, which have at most 64 bits. Mend the number."
        )
    return store.query(int(name))


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", show_default=False)],
    format: Annotated[FormatName | None, typer.Option(help="default: detected")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="default: the format's or the file's name, or the only dataset there is"
        ),
    ] = None,
    split: Annotated[Split | None, typer.Option(help="default: from the file or its name")] = None,
    durations: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="charades-sta: {vid: seconds}; default: the neighbour"),
    ] = None,
    frame_rate: Annotated[
        float | None, typer.Option(metavar="F", help="frames a second, where the file counts frames only")
    ] = None,
    frame_rates: FrameRates = None,
    query_from: Annotated[
        Literal["query", "label"] | None,
        typer.Option(help="label-studio: what the queries are; default: labels, unless they are Moment"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="predictions: whose they are where no line says it; default: the file's name"
        ),
    ] = None,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend",
            help="repair windows: cut ends at the duration, swap edges, merge overlaps, drop what has no length",
        ),
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="fill what known rows lack: a split, labels of a test set")
    ] = False,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="leave bad rows out")] = False,
    rejects: Annotated[
        Path | None, typer.Option(metavar="PATH", help="where --keep-going writes the bad rows")
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Bring rows of a file into the store.

    All or nothing, and harmless to repeat. Originals are kept byte for byte; --update fills what is empty in them.
    Models' answers in the file become proposals, annotators' answers become corrections. Of several files, those
    before a bad one stay imported.
    """
    from annotations.formats import Mending, ReadOptions, RowsRejected
    from annotations.formats.options import ReadLimits
    from annotations.importing import import_file
    from tempo_core.sandbox import ChildLimits

    # More than what the browser's uploads may cost: here somebody reads a file of their own choice.
    limits = ReadLimits(
        max_bytes=4 * 2**30,
        max_items=20_000_000,
        child=ChildLimits(memory_bytes=16 * 2**30, cpu_s=3600, wall_s=7200, output_bytes=8 * 2**30),
    )
    options = ReadOptions(
        split=split,
        keep_going=keep_going,
        durations=read_positive(durations, "--durations", "seconds"),
        frame_rate=checked_rate(frame_rate),
        frame_rates=read_positive(frame_rates, "--frame-rates", "frames a second") or {},
        query_from=query_from,
    )
    if rejects is None and keep_going:
        rejects = Path(f"{files[0].name}.rejects.jsonl")
    options = dataclasses.replace(options, rejects_path=rejects)
    answers: list[dict[str, Any]] = []
    with open_store(database) as store:
        for file in files:
            try:
                imported = import_file(
                    store,
                    file,
                    op_id=str(uuid4()),
                    actor=actor(),
                    format=format,
                    dataset=dataset,
                    # Each file counts its own repairs.
                    options=dataclasses.replace(options, mending=Mending() if mend else None),
                    model=model,
                    update=update,
                    limits=limits,
                )
            except RowsRejected as error:
                return list_problems(error)
            report = imported.report
            answer = {
                "file": str(file),
                "format": imported.format,
                "dataset": imported.dataset,
                "models": list(imported.models),
                **dataclasses.asdict(report),
                "contents": {
                    item.unit: {"held": item.held, "taken": item.taken} for item in imported.contents
                },
                "omitted": [str(omission) for omission in imported.omissions],
                "rejected": [str(problem) for problem in imported.problems],
            }
            answers.append(answer)
            if not as_json:
                line = (
                    f"{file.name} ({imported.format}) → {imported.dataset}: {report.added} added, "
                    f"{report.unchanged} known, {plural(report.proposals, 'proposal')}, "
                    f"{plural(report.corrections, 'correction')}"
                )
                if imported.models:
                    line += f"; predictions of {', '.join(imported.models)}"
                contents = [f"  {item}" for item in imported.contents if item.taken != item.held]
                contents += [
                    f"  filled: {name} of {plural(count, 'known row')}"
                    for name, count in report.filled.items()
                ]
                contents += [
                    f"  {plural(count, 'known row lacks', 'known rows lack')} {name}, "
                    "which the file has: --update fills it"
                    for name, count in report.empty.items()
                ]
                if report.other_split:
                    rows_stay = plural(report.other_split, "known row stays", "known rows stay")
                    contents.append(f"  {rows_stay} in another split than the file's")
                contents += [f"  mended: {count} {repair}" for repair, count in imported.mended.items()]
                left_out = [f"  left out: {item}" for item in answer["omitted"][:LISTED_OMISSIONS]]
                if (rest := len(answer["omitted"]) - LISTED_OMISSIONS) > 0:
                    left_out.append(f"  … and {rest} more things (--json lists all)")
                left_out += [f"  left out: {item}" for item in answer["rejected"]]
                show(None, "\n".join([line, *contents, *left_out]), as_json=False)
    if as_json:
        command_line.write_json(answers[0] if len(answers) == 1 else {"files": answers}, pretty=True)
    return 0


def read_positive(path: Path | None, option: str, unit: str) -> dict[str, float] | None:
    """Numbers by vid; None without a file. Raises InputError for anything but a JSON object of positive numbers."""
    if path is None:
        return None
    try:
        numbers = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{option} {path} cannot be read as JSON ({error}).") from error
    if not isinstance(numbers, dict) or not all(
        isinstance(number, int | float) and not isinstance(number, bool) and number > 0
        for number in numbers.values()
    ):
        raise InputError(f"{option} {path} must be an object of positive {unit} by vid.")
    return {str(vid): float(number) for vid, number in numbers.items()}


def checked_rate(rate: float | None) -> float | None:
    """Frames a second. Raises InputError."""
    if rate is not None and not 0 < rate <= 1000:
        raise InputError(f"--frame-rate must lie above 0 and up to 1000; got {rate}.")
    return rate


@app.command()
def formats(as_json: AsJson = False) -> None:
    """List the formats: which are read, which are written, and what each can hold."""
    from annotations.formats import FORMATS

    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "title": form.title,
            "read": form.is_read,
            "written": form.is_written,
            "holds": sorted(form.carries - {"qid_is_int"}),
        }
        for name, form in FORMATS.items()
    ]
    lines: list[tuple[str, ...]] = [("format", "", "what it is", "beside query, video and moments")]
    for row in rows:
        use = "/".join(word for word, is_so in (("in", row["read"]), ("out", row["written"])) if is_so)
        holds = [HELD_NAMES[name] for name in HELD_NAMES if name in row["holds"]]
        lines.append((str(row["name"]), use, str(row["title"]), ", ".join(holds)))
    show({"formats": rows}, table(lines), as_json=as_json, pretty=True)


@app.command()
def export(
    format: Annotated[ExportFormat, typer.Option()],
    out: Annotated[Path, typer.Option(help="a file, or a folder where the format makes several")],
    snapshot: Annotated[
        Path | None, typer.Option(metavar="DIR", help="read this snapshot, not the store")
    ] = None,
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="needed when there are several")] = None,
    split: Annotated[Split | None, typer.Option()] = None,
    adjudication: Annotated[ExportRule, typer.Option(help="whose answer holds")] = "latest",
    edited_text: Annotated[
        bool, typer.Option("--edited-text", help="take the annotators' wording of queries")
    ] = False,
    snapping: Annotated[Snapping, typer.Option()] = "outward",
    saliency: Annotated[SaliencyPolicy, typer.Option()] = "keep+neutral",
    model: Annotated[
        str | None, typer.Option(metavar="ID", help="predictions: the model whose answers are written")
    ] = None,
    refusals: Annotated[
        Literal["apart", "inline"], typer.Option(help="predictions: where refusals go")
    ] = "apart",
    frame_rate: Annotated[
        float | None, typer.Option(metavar="F", help="label-studio: frames a second of the videos")
    ] = None,
    frame_rates: FrameRates = None,
    video_prefix: Annotated[
        str,
        typer.Option(metavar="URL", help="label-studio: before file names, so that it can play the clips"),
    ] = "",
    licence: Annotated[
        str | None,
        typer.Option(metavar="ID", help="of the source; default: QVHighlights' for its clips"),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="leave out rows that the format cannot carry")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace files that exist")] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Write the rows, with the answers that hold now, in a format.

    Takes a snapshot first (or reads one). Rows that nobody changed pass through byte for byte. The manifest beside
    the files records every option.
    """
    from annotations.exporting import export_to, only_dataset
    from annotations.formats import ExportOptions, RowsRejected
    from annotations.snapshot import open_snapshot, take_snapshot

    options = ExportOptions(
        snapping=snapping,
        saliency=saliency,
        keep_going=keep_going,
        overwrite=overwrite,
        predictions_of=model,
        refusals=refusals,
        frame_rate=checked_rate(frame_rate),
        frame_rates=read_positive(frame_rates, "--frame-rates", "frames a second") or {},
        video_prefix=video_prefix,
        licence=licence,
    )
    if snapshot is not None:
        source = open_snapshot(snapshot)
    else:
        with open_store(database) as store:
            datasets = None if dataset is None else [dataset]
            source = take_snapshot(store, snapshots_folder(), actor=actor(), datasets=datasets)
    dataset = dataset or only_dataset(source)
    try:
        report = export_to(
            source,
            out,
            format=format,
            rule=adjudication,
            dataset=dataset,
            split=split,
            edited_text=edited_text,
            options=options,
        )
    except RowsRejected as error:
        return list_problems(error)
    if snapshot is None:  # a snapshot that is handed in was taken out of a store before
        with open_store(database) as store:
            counts = {"dataset": dataset, "format": report.format, "rows": report.rows}
            store.record_event("exported", actor=actor(), detail=counts)
    lines = [
        f"{plural(report.rows, 'row')} of {dataset} as {report.format}:",
        *(f"  {file}" for file in report.files),
    ]
    lines += [f"  {plural(count, 'row')}: {name}" for name, count in report.counts.items() if count]
    lines += [f"  {plural(count, 'row loses', 'rows lose')} {name}" for name, count in report.dropped.items()]
    lines += [f"  left out: {problem}" for problem in report.problems]
    answer = {**report.to_dict(), "dataset": dataset, "snapshot": source.sha256}
    show(answer, "\n".join(lines), as_json=as_json, pretty=True)
    return 0


@app.command()
def snapshot(
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="where; default: snapshots in TEMPO_HOME")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="only this one; may be repeated")
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Write everything the store holds now to a folder named by its hash.

    The same data gives the same folder.
    """
    from annotations.snapshot import take_snapshot

    with open_store(database) as store:
        snapshot = take_snapshot(store, out or snapshots_folder(), actor=actor(), datasets=dataset or None)
        store.record_event("exported", actor=actor(), detail={"snapshot": snapshot.sha256[:16]})
    answer = {"folder": str(snapshot.folder), "sha256": snapshot.sha256, "counts": dict(snapshot.counts)}
    counts = ", ".join(f"{count} {name}" for name, count in snapshot.counts.items())
    show(answer, f"{snapshot.folder}\nsha256 {snapshot.sha256}\n{counts}", as_json=as_json, pretty=True)


@app.command()
def stats(database: Database = None, as_json: AsJson = False) -> None:
    """Count queries, corrections, verdicts, proposals and suspicions."""
    from annotations import statistics

    with open_store(database) as store:
        counts = statistics.stats(store)
    lines: list[tuple[str, Any]] = []
    for name, value in counts.items():
        if isinstance(value, dict):
            lines += [(f"  {name.split('_by_')[-1]} {key}", number) for key, number in value.items()]
        else:
            lines.append((name.replace("_", " "), value))
    show(counts, table(lines), as_json=as_json, pretty=True)


@app.command()
def agreement(
    dataset: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Compare annotators with each other, and the originals with the answers that hold.

    Mean matched tIoU, set-F1, edge differences in seconds, Krippendorff's alpha on 2-second clips.
    """
    from annotations import statistics

    with open_store(database) as store:
        queries = store.answered_records(dataset)
    reports = {
        "annotators": statistics.agreement_between_annotators(queries),
        "original against corrected": statistics.agreement_with_original(queries),
    }
    by_annotator = statistics.agreement_of_each(queries)
    answer: dict[str, Any] = {name: report.to_dict() for name, report in reports.items()}
    answer["by annotator"] = {name: report.to_dict() for name, report in by_annotator.items()}
    reports |= {f"{name} and others": report for name, report in by_annotator.items()}
    columns = [
        {**report.to_dict(), **{f"set-F1@{threshold}": value for threshold, value in report.f1.items()}}
        for report in reports.values()
    ]
    lines: list[tuple[str, ...]] = [("", *reports)]
    for measure in columns[0]:
        if measure != "f1":
            values = [column[measure] for column in columns]
            cells = ["–" if value is None else f"{value:.3f}".rstrip("0").rstrip(".") for value in values]
            lines.append((measure, *cells))
    show(answer, table(lines), as_json=as_json, pretty=True)


@app.command()
def verify(database: Database = None, as_json: AsJson = False) -> int:
    """Check the database and its snapshots; exit code 1 when something is wrong.

    File integrity, references, append-only triggers, the chained logs of operations and for audits, hashes of
    originals, corrections and snapshots. Compare the numbers and the last digests with those that a backup named.
    """
    from annotations import audit, checks, operation_log
    from annotations.errors import DatabaseTooNew, StoreError

    answer: dict[str, Any] = {
        "operations": None,
        "head_sha256": None,
        "audit_entries": None,
        "audit_sha256": None,
    }
    try:
        with open_store(database) as store:
            problems = [*filter(None, [checks.copy_problem(store)]), *checks.problems(store)]
            with store.database.read() as connection:
                answer["operations"], answer["head_sha256"] = operation_log.head(connection)
                answer["audit_entries"], answer["audit_sha256"] = audit.head(connection)
    except DatabaseTooNew:
        raise
    except StoreError as error:
        problems = [str(error)]
    lines = problems or [
        f"Everything is as it was written: {answer['operations']} operations, "
        f"the last digest {answer['head_sha256'] or 'none'}; {answer['audit_entries']} entries of the audit log, "
        f"the last digest {answer['audit_sha256'] or 'none'}."
    ]
    show({"problems": problems, **answer}, "\n".join(lines), as_json=as_json, pretty=True)
    return 1 if problems else 0


@app.command()
def backup(
    out: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Write all of a SQLite store to one read-only file, while it is in use.

    The file is checked, and can be opened where nothing can be written. Videos and snapshots are files of their own.
    """
    from annotations import backups

    with open_store(database) as store:
        written = backups.back_up(store.database, out)
    answer = {
        "file": str(out),
        "operations": written.operations,
        "head_sha256": written.head_sha256,
        "audit_entries": written.audit_entries,
        "audit_sha256": written.audit_sha256,
    }
    text = (
        f"{out} holds {written.operations} operations, the last digest {written.head_sha256 or 'none'}, and "
        f"{written.audit_entries} entries of the audit log, the last digest {written.audit_sha256 or 'none'}."
    )
    show(answer, text, as_json=as_json, pretty=True)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the store, which stays beside it; stop the server first."""
    from annotations import backups
    from annotations.database import Database, default_url

    restored = backups.restore(file, Database(database or default_url(), migrate=False))
    answer = {
        "file": str(restored.path),
        "operations": restored.operations,
        "head_sha256": restored.head_sha256,
    }
    text = f"{restored.path} holds {restored.operations} operations again."
    show(answer, text, as_json=as_json, pretty=True)


@app.command()
def videos(
    action: Annotated[Literal["add", "missing", "plan", "cut"], typer.Argument(show_default=False)],
    folder: Annotated[Path | None, typer.Argument(show_default=False)] = None,
    pattern: Annotated[str, typer.Option(metavar="PATTERN", help="file names without suffix")] = "{vid}",
    all_clips: Annotated[bool, typer.Option("--all", help="plan: also the clips that are here")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="cut: where the clips go; default: videos in TEMPO_HOME"),
    ] = None,
    short_side: Annotated[
        int, typer.Option(metavar="PX", help="cut: of the clips at most; pictures are never scaled up")
    ] = 448,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Register the clips of a folder, list those that are missing, or cut them out of full-length videos.

    `videos add FOLDER` knows clips by their content, so that moved files are found again. `videos plan` lists the
    source videos and the cut points that vids such as ID_60.0_210.0 name, for whoever may fetch them. `videos cut
    FOLDER` makes those clips from files named ID.mp4 or "Title [ID].mp4", encoded anew at exactly those times, checks
    how long they are, and registers them; exit code 1 when one failed.
    """
    from annotations import cutting, videos

    if action == "cut" and folder is None:
        raise InputError("`videos cut` needs the folder of the full-length videos: videos cut FOLDER.")
    lines: list[str] = []
    answer: dict[str, Any] = {}
    status = 0
    with open_store(database) as store:
        if action == "plan":
            plan = cutting.cut_plan(store, with_present=all_clips)
            clips = [{**dataclasses.asdict(clip), "file": clip.file_name} for clip in plan.clips]
            rows: list[tuple[Any, ...]] = [("source", "start s", "end s", "rows", "clip")]
            rows += [
                (clip.source, f"{clip.start_s:g}", f"{clip.end_s:g}", clip.rows, clip.file_name)
                for clip in plan.clips
            ]
            sources = len({clip.source for clip in plan.clips})
            lines = [table(rows), f"{plural(len(clips), 'clip')} of {plural(sources, 'source video')}"]
            lines += [f"{vid}: needed as it is ({plural(count, 'row')})" for vid, count in plan.whole.items()]
            show({"clips": clips, "whole": plan.whole}, "\n".join(lines), as_json=as_json, pretty=True)
            return 0
        if action == "cut":
            assert folder is not None
            plan = cutting.cut_plan(store)

            def report_clip(number: int, clip: cutting.PlannedClip, failure: str | None) -> None:
                sys.stderr.write(f"{number + 1} of {len(plan.clips)}: {clip.file_name} {failure or ''}\n")

            target = out or Path(os.environ.get("TEMPO_HOME", "data")) / "videos"
            cuts = cutting.cut(plan, folder, target, short_side_px=short_side, on_clip=report_clip)
            videos.add_folder(store, target, op_id=str(uuid4()), actor=actor())
            missing, answer = videos.missing(store), dataclasses.asdict(cuts)
            lines = [f"{plural(len(cuts.vids), 'clip is', 'clips are')} in {target}"]
            lines += [f"  {vid}: {reason}" for vid, reason in cuts.failed.items()]
            if cuts.without_source:
                lack = plural(len(cuts.without_source), "clip lacks its", "clips lack their")
                lines.append(f"{lack} source video, such as")
                lines += [f"  {vid}" for vid in cuts.without_source[:LISTED_VIDEOS]]
            status = 1 if cuts.failed else 0
        elif action == "missing" or folder is None:
            missing = videos.missing(store, pattern=pattern)
        else:
            report = videos.add_folder(store, folder, op_id=str(uuid4()), actor=actor(), pattern=pattern)
            missing, answer = report.missing, dataclasses.asdict(report)
            lines = [
                f"{len(report.added)} added, {len(report.moved)} moved, {report.unchanged} unchanged",
                *(f"  no row asks for {file}" for file in report.unmatched[:LISTED_VIDEOS]),
            ]
    answer["missing"] = missing
    lines.append(f"{plural(len(missing), 'video')} of rows {'is' if len(missing) == 1 else 'are'} missing")
    lines += [f"  {vid}: would be found as {name}" for vid, name in list(missing.items())[:LISTED_VIDEOS]]
    if len(missing) > LISTED_VIDEOS:
        lines.append(f"  … and {len(missing) - LISTED_VIDEOS} more (--json lists all)")
    show(answer, "\n".join(lines), as_json=as_json, pretty=True)
    return status


@app.command()
def proposers(
    action: Annotated[Literal["list", "add", "remove"], typer.Argument(show_default=False)],
    dataset: Annotated[str | None, typer.Argument(show_default=False)] = None,
    model: Annotated[str | None, typer.Argument(show_default=False)] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List or change which models may propose for which datasets.

    A model is named by what stands before the @ of its id (tempo-tiny), with all its adapters; * is any model. Until
    one is named for a dataset, none proposes there, and none counts as disagreeing.
    """
    with open_store(database) as store:
        if action != "list":
            if dataset is None or model is None:
                raise InputError(
                    f"`proposers {action}` needs a dataset and a model: proposers {action} qvh MODEL."
                )
            store.save_proposer(dataset, model, op_id=str(uuid4()), actor=actor(), is_named=action == "add")
        names = [name for name in store.datasets() if dataset in (None, name)]
        answer = {name: sorted(store.proposers(name)) for name in names}
    lines = [f"{name}: {', '.join(models) or 'none'}" for name, models in answer.items()]
    show({"proposers": answer}, "\n".join(lines) or "There are no datasets.", as_json=as_json)


@app.command()
def queue(
    limit: Annotated[int, typer.Option(help="rows")] = 20,
    after: Annotated[int | None, typer.Option(metavar="ID", help="the last row of the page before")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    split: Annotated[Split | None, typer.Option()] = None,
    reason: Annotated[str | None, typer.Option(metavar="REASON", help=f"one of {', '.join(REASONS)}")] = None,
    with_video: Annotated[
        bool, typer.Option("--with-video", help="only rows whose clip is registered")
    ] = False,
    review: Annotated[
        bool, typer.Option("--review", help="the adjudicators' queue: least agreement first")
    ] = False,
    order: Annotated[
        Literal["suspicion", "gain"],
        typer.Option(help="gain: most expected change for a minute of work first"),
    ] = "suspicion",
    renew: Annotated[bool, typer.Option("--renew", help="work out every row's place again first")] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """List the rows that look most in need of correction, with the reasons.

    Fewest reviews first, then the highest score: 1 - product of (1 - weight * strength) over the reasons; or the
    highest expected gain, learned from what answers have changed so far.
    """
    from annotations.queue import QueueFilter

    row_filter = QueueFilter(
        dataset=dataset, split=split, reason=reason, with_video=with_video, review=review, order=order
    )
    with open_store(database) as store:
        if renew:
            store.renew_queue()
        if order == "gain":
            store.renew_gains()
        items = store.queue(row_filter, limit=limit, after=after)
        gains = store.gains([item.query_id for item in items])
    rows, lines = [], [("id", "query", "score", "gain/min", "because")]
    for item in items:
        texts = [suspicion.text for suspicion in item.reasons]
        rows.append({**dataclasses.asdict(item), "gain": gains.get(item.query_id), "texts": texts})
        lines.append(
            (
                str(item.query_id),
                f"{item.dataset}:{item.qid}",
                f"{item.score:.3f}",
                f"{gains[item.query_id]:.3f}" if item.query_id in gains else "",
                "; ".join(texts),
            )
        )
    show({"rows": rows}, table(lines), as_json=as_json, pretty=True)


@app.command()
def reasons(database: Database = None, as_json: AsJson = False) -> None:
    """Show how often each suspicion led to a change, from every answer so far."""
    with open_store(database) as store:
        lines = store.reason_precisions()
    rows: list[tuple[Any, ...]] = [("reason", "answers", "changed", "precision", "mean change", "weight")]
    for line in lines:
        weight = "" if line.weight is None else f"{line.weight:.1f}"
        cells = (f"{line.precision:.0%}", f"{line.mean_change:.3f}", weight)
        rows.append((line.reason, line.answers, line.changed, *cells))
    answer = [{**dataclasses.asdict(line), "precision": line.precision} for line in lines]
    text = table(rows) if lines else "Nobody has answered a row yet."
    show({"reasons": answer}, text, as_json=as_json, pretty=True)


@app.command()
def planted(database: Database = None, as_json: AsJson = False) -> None:
    """Show what people made of proposals that were wrong on purpose (see `projects create --planted-share`)."""
    with open_store(database) as store:
        lines = store.planted_answers()
    rows: list[tuple[Any, ...]] = [("person", "planted", "kept as shown", "found the decision", "flagged")]
    rows += [(line.annotator, line.answers, line.kept, line.right, line.flagged) for line in lines]
    text = table(rows) if lines else "Nobody has answered a planted row."
    show({"planted": [dataclasses.asdict(line) for line in lines]}, text, as_json=as_json, pretty=True)


@app.command()
def adopt(
    dataset: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list the rows and decide nothing")] = False,
    undo: Annotated[str | None, typer.Option(metavar="BATCH", help="take a batch's decisions back")] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Decide every row on which two annotators agree within one frame, or take such a batch back.

    Rows that somebody flagged, decided, or answered otherwise stay for a person. A decision that somebody has replaced
    since is not taken back.
    """
    from annotations import bulk_adoption

    with open_store(database) as store:
        if undo is not None:
            batches = [adoption.batch for adoption in bulk_adoption.bulk_adoptions(store)]
            if undo not in batches:
                raise InputError(f"There is no batch {undo!r}; there are: {', '.join(batches) or 'none'}.")
            query_ids = store.withdraw_verdicts(undo, op_id=str(uuid4()), actor=actor())
            answer: dict[str, Any] = {"batch": undo, "withdrawn": len(query_ids)}
            verb = "is" if len(query_ids) == 1 else "are"
            text = f"{plural(len(query_ids), 'decision')} of {undo} {verb} taken back."
            show(answer, text, as_json=as_json, pretty=True)
            return
        rows = bulk_adoption.agreed_rows(store.answered_records(dataset))
        batch = None
        if rows and not dry_run:
            batch = bulk_adoption.adopt_rows(store, rows, actor=actor())
    answer = {"batch": batch, "rows": [dataclasses.asdict(row) for row in rows]}
    lines = [
        f"{row.dataset}:{row.qid}  {' and '.join(row.annotators)}  {row.text}" for row in rows[:LISTED_VIDEOS]
    ]
    if len(rows) > LISTED_VIDEOS:
        lines.append(f"… and {len(rows) - LISTED_VIDEOS} more (--json lists all)")
    outcome = f"decided; `adopt --undo {batch}` takes that back" if batch else "that the rule would decide"
    show(answer, "\n".join([f"{plural(len(rows), 'row')} {outcome}.", *lines]), as_json=as_json, pretty=True)


@app.command()
def history(query: QueryName, database: Database = None, as_json: AsJson = False) -> None:
    """Show who said what about a query, when, from which proposal, and what changed."""
    from annotations.history import history

    with open_store(database) as store:
        entries = history(store, find_query(store, query).id)
    events, lines = [], []
    for entry in entries:
        time = None
        if entry.at_ms is not None:
            time = datetime.fromtimestamp(entry.at_ms / 1000, UTC).isoformat(timespec="seconds")
        changes = [change.text for change in entry.changes]
        events.append(
            {
                "kind": entry.kind,
                "id": entry.id,
                "who": entry.author,
                "at": time,
                "model": entry.model,
                "restores": entry.restores_id,
                "changes": changes,
            }
        )
        number = "" if entry.id is None else f" {entry.id}"
        origin = f" from a proposal of {entry.model}" if entry.model else ""
        restored = f" (brings back {entry.restores_id})" if entry.restores_id else ""
        lines.append(f"{time or '–'}  {entry.kind}{number} by {entry.author}{origin}{restored}")
        lines += [f"    {change}" for change in changes]
    show({"history": events}, "\n".join(lines), as_json=as_json, pretty=True)


@app.command()
def revert(
    query: QueryName,
    to: Annotated[str, typer.Option(metavar="ID", help="a correction's number, or `original`")],
    annotator: Annotated[
        str | None, typer.Option(metavar="NAME", help="whose version it becomes; default: who runs this")
    ] = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Add a version equal to an older one; nothing is removed (see `history`)."""
    if to != "original" and not (to.isdecimal() and int(to) <= LARGEST_ID):
        raise InputError(f"--to is {to!r}; give a correction's number, or `original`.")
    annotator = annotator or actor()
    with open_store(database) as store:
        query_id = find_query(store, query).id
        latest = store.latest(query_id, annotator)
        correction = store.revert(
            query_id,
            to_id=None if to == "original" else int(to),
            annotator=annotator,
            parent_id=None if latest is None else latest.id,
            op_id=str(uuid4()),
        )
    answer = {
        "correction": correction.id,
        "revision": correction.revision,
        "edit": correction.edit.to_dict(),
    }
    text = f"Correction {correction.id} is {annotator}'s version {correction.revision} of {query}."
    show(answer, text, as_json=as_json, pretty=True)


@app.command()
def migrate(database: Database = None, as_json: AsJson = False) -> None:
    """Bring a database up to date.

    Every other command does so too; this one does nothing else.
    """
    from annotations.database import Database, default_url
    from annotations.migrations import HEAD

    with closing(Database(database or default_url(), migrate=False)) as opened:
        changed = opened.migrate()
    text = f"Migrated to schema {HEAD}." if changed else f"Already at schema {HEAD}."
    show({"schema": HEAD, "changed": changed}, text, as_json=as_json, pretty=True)
