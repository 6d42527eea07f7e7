"""Reads every command and option from the parsers themselves, and keeps docs/commands.md beside them.

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
PACKAGES = ("tempo_core", "annotations", "train", "app")

# Runs a package's __main__ up to where it would parse its arguments, and reads the parser instead.
_READ_PARSER = """
import argparse, json, runpy, sys

class Found(BaseException):
    pass

def found(self, *_, **__):
    raise Found(self)

def walk(parser, words):
    subs = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    options = [o for a in parser._actions for o in a.option_strings if o.startswith("--") and o != "--help"]
    here = {words: {"help": parser.format_help(), "options": options}}
    shown = {} if subs and not options else here
    for sub in subs:
        for name, inner in sub.choices.items():
            shown |= walk(inner, f"{words} {name}".strip())
    return shown

argparse.ArgumentParser.parse_args = argparse.ArgumentParser.parse_known_args = found
try:
    module, *words = sys.argv.pop(1).split()
    sys.argv[1:] = words
    runpy.run_module(module, run_name="__main__", alter_sys=True)
except Found as reached:
    print(json.dumps(walk(reached.args[0], " ".join(words))))
"""


class Command(TypedDict):
    """One command: its help text as argparse prints it, and its long options."""

    help: str
    options: list[str]


def read_commands(line: str) -> dict[str, Command]:
    """Every command that begins with `line` ("app", "benchmarks store") by its whole line as it is typed.

    Raises RuntimeError when it does not start or does not parse its arguments with argparse.
    """
    done = subprocess.run(
        [sys.executable, "-c", _READ_PARSER, line],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"python -m {line} has no argument parser that can be read: {done.stderr.strip()}")
    read: dict[str, Command] = json.loads(done.stdout.strip().splitlines()[-1])
    package = line.split()[0]
    return {f"python -m {package} {words}".strip(): command for words, command in read.items()}


def all_commands() -> dict[str, Command]:
    """Every command of the project. Each benchmark is a module that reads its own arguments."""
    lines = [package for package in PACKAGES if (ROOT / package / "__main__.py").exists()]
    benchmarks = sorted(path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py"))
    lines += [f"benchmarks {name}" for name in benchmarks]
    return {name: command for line in lines for name, command in read_commands(line).items()}


def sections(document: str) -> dict[str, str]:
    """The document's sections headed `## `python -m …`` by their command line, heading included."""
    parts = re.split(r"^(?=## `python -m )", document, flags=re.MULTILINE)[1:]
    return {part.split("`")[1]: part for part in parts}


def refresh(document: str, commands: dict[str, Command]) -> str:
    """The document with today's commands, in their order, and today's help texts; prose stays."""
    held = sections(document)
    parts = [re.split(r"^## `python -m ", document, flags=re.MULTILINE)[0].rstrip()]
    for line, command in commands.items():
        before, _, rest = held.get(line, f"## `{line}`").partition("```text\n")
        after = rest.partition("```")[2].strip()
        parts += [before.rstrip(), f"```text\n{command['help'].rstrip()}\n```", *([after] if after else [])]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    path = Path(sys.argv[1])
    path.write_text(refresh(path.read_text(), all_commands()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
