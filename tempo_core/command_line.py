"""The base of every package's command line: a typer app, the one way to run it, and what commands print.

    app = command_line.new_app("python -m tempo_core", "Ask a video when something happens.")

    @app.command()
    def frames(video: Path, as_json: command_line.AsJson = False) -> None:
        '''The first line is the summary, all of it is the help text.'''

    sys.exit(command_line.main(app))

Commands import what is heavy inside themselves, so that `--help` stays fast. Imports no torch and no numpy.
"""

import getpass
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tempo_core.errors import InputError, TempoError

AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]
"""The option of every command that answers: `as_json: AsJson = False`."""
VIDEO_SUFFIXES = (
    *(".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v"),
    *(".mpg", ".ts", ".mxf", ".wmv", ".flv", ".dv"),
)
"""By which commands know the clips in a folder."""


def new_app(name: str, description: str, *, variables: str | None = None) -> typer.Typer:
    """An app with plain help and no completion options. `name` is how it is called: "python -m app", or the word of a
    group of commands, which `add_typer` hangs below another app. With `variables="TEMPO"` every option can come from
    the environment: `--log` from TEMPO_LOG."""
    app = typer.Typer(
        name=name,
        help=description,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={
            "max_content_width": 100,
            "help_option_names": ["-h", "--help"],
            "auto_envvar_prefix": variables,
        },
    )
    app.callback()(lambda: None)  # without a callback, typer takes an app's only command for the app
    return app


def main(app: typer.Typer, argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (default: the process's arguments) names, and return the exit code.

    0; what the command returned; 2 after one line on stderr for a TempoError or arguments that do not fit;
    130 after Ctrl-C. Any other exception is a bug and propagates.
    """
    group = typer.main.get_command(app)
    name = group.name or ""
    context: Any = None
    try:
        context = group.make_context(name, list(sys.argv[1:] if argv is None else argv))
        with context:
            return int(group.invoke(context) or 0)
    except typer.Exit as stop:
        return stop.exit_code
    except typer.TyperException as error:
        failed_context = getattr(error, "ctx", None)
        command = name if failed_context is None else failed_context.command_path
        message = error.format_message().replace("Value error, ", "").removesuffix(".")
        words = command.removeprefix(name).strip() or name.split()[-1]
        return _fail(words, f"{message}. See {command} --help.")
    except TempoError as error:
        invoked = None if context is None else context.invoked_subcommand
        return _fail(invoked or name.split()[-1], str(error))
    except BrokenPipeError:  # whoever reads our output needs no more of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, typer.Abort):
        return 130


def _fail(command: str, message: str) -> int:
    sys.stderr.write(f"{command}: {' '.join(message.split())}\n")
    return 2


def actor() -> str:
    """Who runs the command, for the records."""
    try:
        return os.environ.get("TEMPO_ACTOR") or getpass.getuser()
    except (OSError, KeyError):
        return "shell"


def write_json(data: Any, *, pretty: bool = False) -> None:
    """One JSON object on stdout: on one line of ASCII, or `pretty`: indented, with all letters as they are."""
    text = json.dumps(data, indent=2 if pretty else None, ensure_ascii=not pretty, allow_nan=False)
    sys.stdout.write(text + "\n")


def show(data: Any, text: str, *, as_json: bool, pretty: bool = False) -> None:
    """A command's answer on stdout: the data as JSON, or the text for people."""
    if as_json:
        write_json(data, pretty=pretty)
    else:
        sys.stdout.write(text.removesuffix("\n") + "\n")


def table(rows: Iterable[Sequence[Any]]) -> str:
    """Columns of text, aligned to the left. None is an empty cell."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )


def clock(seconds: float) -> str:
    """Seconds as people read them: 1:02.5 or 1:00:02.5."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{tenths // 10:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def writable_file(path: str | Path) -> Path:
    """A file that can be written. Raises InputError when its folder is missing or it cannot be opened."""
    file = Path(path)
    if file.is_dir() or not file.parent.is_dir():
        raise InputError(f"Cannot write {file}: it must be a file in a folder that exists.")
    try:
        with file.open("ab"):
            return file
    except OSError as error:
        raise InputError(f"Cannot write {file}: {error.strerror}. Choose another place.") from error


class ProgressLine:
    """An `on_progress(stage, share)` that shows one changing line on stderr; silent where that is no terminal."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, stage: str, share: float) -> None:
        if self._is_terminal:
            sys.stderr.write(f"\r{stage} {share:4.0%}   ")
            sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self._is_terminal:
            sys.stderr.write("\r" + " " * 30 + "\r")
