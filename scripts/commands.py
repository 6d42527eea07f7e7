"""Reads every command and option from the programs themselves, and keeps docs/commands.md beside them.

`python -m scripts.commands docs/commands.md` (or `make docs`) replaces the help text of each documented
command, adds a section for a new one and drops one that is gone; prose stays. tests/test_docs.py fails while
one is undocumented.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tempo_core", "annotations", "train", "app", "benchmarks")

# Runs a package's __main__ up to where it would read its arguments, and reads its commands instead.
_READ_COMMANDS = """
import json, runpy, sys
import typer
from tempo_core import command_line

class Reached(BaseException):
    pass

def stop(app, *_, **__):
    raise Reached(app)

def walk(command, words, parent=None):
    context = typer.Context(command, info_name=command.name, parent=parent, **command.context_settings)
    options = [name for option in command.params for name in (*option.opts, *option.secondary_opts)]
    options = [name for name in options if name.startswith("--")]
    inner_commands = getattr(command, "commands", {})
    commands = {words: {"help": command.get_help(context), "options": options}}
    if inner_commands and not options:
        commands = {}
    for name, inner in inner_commands.items():
        commands |= walk(inner, f"{words} {name}".strip(), context)
    return commands

command_line.main = stop
package = sys.argv.pop(1)
try:
    runpy.run_module(package, run_name="__main__", alter_sys=True)
except Reached as reached:
    print(json.dumps(walk(typer.main.get_command(reached.args[0]), f"python -m {package}")))
"""


class Command(TypedDict):
    """One command: its help text as it is printed, and its long options."""

    help: str
    options: list[str]


def read_commands(package: str) -> dict[str, Command]:
    """Every command of a package ("app", "benchmarks") by its whole line as it is typed.

    Raises RuntimeError when the package does not start or does not read its arguments with `command_line`.
    """
    completed = subprocess.run(
        [sys.executable, "-c", _READ_COMMANDS, package],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    if completed.returncode or not completed.stdout.strip():
        raise RuntimeError(
            f"python -m {package} has no commands that can be read: {completed.stderr.strip()}"
        )
    commands: dict[str, Command] = json.loads(completed.stdout.strip().splitlines()[-1])
    return commands


def all_commands() -> dict[str, Command]:
    """Every command of the project."""
    return {line: command for package in PACKAGES for line, command in read_commands(package).items()}


def sections(document: str) -> dict[str, str]:
    """The document's sections headed `## `python -m …`` by their command line, heading included."""
    parts = re.split(r"^(?=## `python -m )", document, flags=re.MULTILINE)[1:]
    return {part.split("`")[1]: part for part in parts}


def refresh(document: str, commands: dict[str, Command]) -> str:
    """The document with today's commands, in their order, and today's help texts; prose stays."""
    old_sections = sections(document)
    parts = [re.split(r"^## `python -m ", document, flags=re.MULTILINE)[0].rstrip()]
    for line, command in commands.items():
        before, _, rest = old_sections.get(line, f"## `{line}`").partition("```text\n")
        after = rest.partition("```")[2].strip()
        parts += [before.rstrip(), f"```text\n{command['help'].rstrip()}\n```", *([after] if after else [])]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    path = Path(sys.argv[1])
    path.write_text(refresh(path.read_text(), all_commands()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
