"""The base of every command line: exit codes, one line on stderr, help in plain text, and what is printed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
import typer

from tempo_core import command_line
from tempo_core.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(name="app")
def _app() -> typer.Typer:
    app = command_line.new_app("python -m choir", "Sing.")

    @app.command()
    def sing(
        song: str,
        times: Annotated[list[int] | None, typer.Option("--times")] = None,
        as_json: command_line.AsJson = False,
    ) -> int:
        """Sing a song."""
        if song == "silence":
            raise InputError("The song is 'silence'.\nGive one with a tune.")
        command_line.show({"song": song, "times": times}, f"{song} {times}", as_json=as_json)
        return 3 if song == "badly" else 0

    group = command_line.new_app("members", "Who sings.")
    group.command("list")(lambda: None)
    app.add_typer(group)
    return app


def fails_with(error: type[BaseException]) -> typer.Typer:
    app = command_line.new_app("python -m choir", "Sing.")

    def sing() -> None:
        raise error

    app.command()(sing)
    return app


@pytest.mark.parametrize(
    "argv",
    [
        ["sing", "--times", "1", "--times", "2", "song"],
        ["sing", "song", "--times", "1", "--times", "2"],
        ["sing", "--times", "1", "song", "--times", "2"],
    ],
)
def test_options_may_be_repeated_before_and_after_arguments(
    app: typer.Typer, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(app, argv) == 0
    assert capsys.readouterr().out == "song [1, 2]\n"
    assert command_line.main(app, [*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"song": "song", "times": [1, 2]}


def test_a_command_chooses_its_exit_code(app: typer.Typer) -> None:
    assert command_line.main(app, ["sing", "badly"]) == 3


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["sing", "silence"], "sing: The song is 'silence'. Give one with a tune."),
        (["sing"], "sing: Missing argument 'song'. See python -m choir sing --help."),
        (["sing", "a", "--loud"], "sing: No such option: --loud. See python -m choir sing --help."),
        (["dance"], "choir: No such command 'dance'. See python -m choir --help."),
        ([], "choir: Missing command. See python -m choir --help."),
        (["members"], "members: Missing command. See python -m choir members --help."),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    app: typer.Typer, argv: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(app, argv) == 2
    assert capsys.readouterr() == ("", line + "\n")


def test_help_is_plain_text(app: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(app, ["sing", "-h"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: python -m choir sing [OPTIONS] ")
    assert "  Sing a song.\n" in out
    assert out.isascii()
    assert "completion" not in out


def test_ctrl_c_is_130_and_a_bug_is_seen() -> None:
    assert command_line.main(fails_with(KeyboardInterrupt), ["sing"]) == 130
    with pytest.raises(ZeroDivisionError):
        command_line.main(fails_with(ZeroDivisionError), ["sing"])


def test_a_closed_pipe_is_no_error() -> None:
    code = (
        "import sys\nfrom tempo_core import command_line\n"
        "app = command_line.new_app('python -m choir', 'Sing.')\n"
        "def sing():\n    for _ in range(100_000): print('la')\n"
        "app.command()(sing)\nsys.exit(command_line.main(app, ['sing']))"
    )
    sing = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert sing.stdout is not None
    assert sing.stderr is not None
    assert sing.stdout.readline() == b"la\n"
    sing.stdout.close()
    errors = sing.stderr.read()
    sing.stderr.close()
    assert (sing.wait(), errors) == (0, b"")


def test_json_is_ascii_on_one_line_or_pretty(capsys: pytest.CaptureFixture[str]) -> None:
    command_line.write_json({"word": "é"})
    command_line.write_json({"word": "é"}, pretty=True)
    assert capsys.readouterr().out == '{"word": "\\u00e9"}\n{\n  "word": "é"\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        command_line.write_json(float("nan"))


@pytest.mark.parametrize(
    ("rows", "text"),
    [([], ""), ([("a", "bb"), ("ccc", None)], "a    bb\nccc"), ([(1,), (22,)], "1\n22")],
)
def test_a_table_is_aligned(rows: list[tuple[object, ...]], text: str) -> None:
    assert command_line.table(rows) == text


def test_the_clock_reads_like_a_players() -> None:
    texts = [command_line.clock(seconds) for seconds in (0, 59.96, 62.5, 3602.5)]
    assert texts == ["0:00.0", "1:00.0", "1:02.5", "1:00:02.5"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    assert command_line.writable_file(str(tmp_path / "out.html")) == tmp_path / "out.html"
    bad: list[Callable[[], Path]] = [
        lambda: command_line.writable_file(tmp_path),
        lambda: command_line.writable_file(tmp_path / "none" / "out.html"),
    ]
    for call in bad:
        with pytest.raises(InputError, match="Cannot write"):
            call()


def test_the_progress_line_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    line = command_line.ProgressLine()
    line("encode", 0.5)
    line.clear()
    assert capsys.readouterr().err == ""


def test_the_base_loads_nothing_heavy() -> None:
    code = (
        "import sys, tempo_core.command_line\n"
        "print(sorted({'torch', 'numpy', 'rich', 'pydantic', 'gradio'} & set(sys.modules)))"
    )
    completed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (completed.stdout, completed.stderr) == ("[]\n", "")
