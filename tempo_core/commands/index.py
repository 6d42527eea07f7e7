"""`python -m tempo_core index`: encode every clip of a folder once, for questions to all of them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tempo_core.command_line import AsJson, show
from tempo_core.commands import options
from tempo_core.errors import InputError
from tempo_core.wording import plural

if TYPE_CHECKING:
    from tempo_core.engine import Engine
    from tempo_core.library.contexts import EncodingSettings
    from tempo_core.library.index import ClipIndex, IndexReport

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="a folder of clips; folders below it too")]
Workers = Annotated[int, typer.Option(min=1, max=32, help="clips that are read from disk at the same time")]
CacheGb = Annotated[
    float,
    typer.Option(metavar="GB", min=0.001, help="most disk space of all encoded clips; the oldest make room"),
]


def index(
    folder: Folder,
    checkpoint: options.Checkpoint = None,
    adapter: options.Adapter = None,
    four_bit: options.FourBit = True,
    fps: options.Fps = None,
    token_budget: options.TokenBudget = None,
    allocator: options.Allocator = None,
    protocol: options.Protocol = None,
    workers: Workers = 2,
    cache_gb: CacheGb = 20.0,
    as_json: AsJson = False,
) -> int:
    """Encode every clip of a folder once, so that `ask` answers at once.

    A run that was stopped goes on where it was; changed clips are encoded anew, and vanished ones are dropped. The
    index is in TEMPO_HOME/library. Exit code 1 when a clip cannot be asked.
    """
    check_folder(folder)
    engine, clip_index, settings = open_library(
        checkpoint, adapter, four_bit, protocol, fps, token_budget, allocator, cache_gb
    )
    report = index_with_bar(engine, folder, clip_index, settings, workers)
    data = {
        "folder": str(folder),
        "encoded": report.encoded,
        "unchanged": report.unchanged,
        "problems": [{"clip": name, "reason": reason} for name, reason in report.problems.items()],
        "dropped": report.dropped,
        "not_stored": report.not_stored,
        "cache_bytes": clip_index.contexts.total_bytes(),
        "model_id": engine.model_id,
    }
    lines = [
        f"{plural(len(report.encoded), 'clip')} encoded, {report.unchanged} unchanged, {len(report.dropped)} dropped."
    ]
    if report.not_stored:
        lines.append(
            f"{len(report.not_stored)} are encoded again for each question: there is no room for them (--cache-gb), "
            "they were cut into pieces, or they are films."
        )
    lines += [f"{name}: {reason}" for name, reason in report.problems.items()]
    show(data, "\n".join(lines), as_json=as_json)
    return 1 if report.problems else 0


def check_folder(folder: Path) -> None:
    """Raise InputError for a folder without clips, before a model is loaded."""
    from tempo_core.library.index import list_clips

    if not list_clips(folder):
        raise InputError(f"There is no video file in {folder}. Name a folder with clips.")


def open_library(
    checkpoint: str | None,
    adapter: str | None,
    four_bit: bool,
    protocol: str | None,
    fps: float | None,
    token_budget: int | None,
    allocator: str | None,
    cache_gb: float,
) -> tuple["Engine", "ClipIndex", "EncodingSettings"]:
    """The engine, the index in TEMPO_HOME, and the settings that the options describe."""
    from tempo_core.engine import Engine
    from tempo_core.library.contexts import EncodingSettings
    from tempo_core.library.index import ClipIndex, library_folder

    engine: Any = options.open_engine(checkpoint, adapter, four_bit=four_bit, protocol=protocol)
    if not isinstance(engine, Engine):
        raise InputError("A model behind an endpoint keeps no encoded clips. Name a checkpoint's folder.")
    settings = EncodingSettings(fps=fps, token_budget=token_budget, allocator=allocator)
    return engine, ClipIndex(library_folder(), max_bytes=round(cache_gb * 1e9)), settings


def index_with_bar(
    engine: "Engine", folder: Path, clip_index: "ClipIndex", settings: "EncodingSettings", workers: int
) -> "IndexReport":
    """`index_folder` with a line of progress on stderr, where there is something to do."""
    from tqdm import tqdm

    from tempo_core.library.index import IndexProgress, index_folder

    with tqdm(unit="clip", file=sys.stderr, delay=0.5, leave=False) as bar:

        def on_progress(progress: IndexProgress) -> None:
            if bar.total is None:
                bar.total, bar.n, bar.initial = progress.total, progress.done - 1, progress.done - 1
            bar.update(progress.done - bar.n)

        try:
            return index_folder(
                engine, folder, clip_index, settings, workers=workers, on_progress=on_progress
            )
        except KeyboardInterrupt:
            bar.write("Stopped. What is encoded is kept; run the command again to go on.", file=sys.stderr)
            raise
