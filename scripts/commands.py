"""Reads every command and option from the parsers themselves, and keeps docs/commands.md beside them.

`python -m scripts.commands docs/commands.md` (or `make docs`) replaces the help text of each documented
command and adds a section for a new one; prose stays. tests/test_docs.py fails while one is undocumented.
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
    runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
except Found as reached:
    print(json.dumps(walk(reached.args[0], "")))
"""


class Command(TypedDict):
    """One command: its help text as argparse prints it, and its long options."""

    help: str
    options: list[str]


def read_commands(package: str) -> dict[str, Command]:
    """Every command of `python -m package` by its whole line ("python -m app accounts add").

    Raises RuntimeError when the package does not start or does not parse arguments with argparse.
    """
    done = subprocess.run(
        [sys.executable, "-c", _READ_PARSER, package],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(
            f"python -m {package} has no argument parser that can be read: {done.stderr.strip()}"
        )
    read: dict[str, Command] = json.loads(done.stdout.strip().splitlines()[-1])
    return {f"python -m {package} {words}".strip(): command for words, command in read.items()}


def all_commands() -> dict[str, Command]:
    packages = [package for package in PACKAGES if (ROOT / package / "__main__.py").exists()]
    return {line: command for package in packages for line, command in read_commands(package).items()}


def sections(document: str) -> dict[str, str]:
    """The document's `## `python -m …`` sections by their command line, heading included."""
    parts = re.split(r"^(?=##+ )", document, flags=re.MULTILINE)
    headed = ((re.match(r"##+ `(python -m [^`]+)`", part), part) for part in parts)
    return {heading[1]: part for heading, part in headed if heading}


def refresh(document: str, commands: dict[str, Command]) -> str:
    """The document with today's help texts; a command without a section gets one at the end."""
    for line, command in commands.items():
        block = f"```text\n{command['help'].rstrip()}\n```"
        section = sections(document).get(line)
        if section is None:
            document = f"{document.rstrip()}\n\n## `{line}`\n\n{block}\n"
        elif "```text\n" in section:
            before, _, rest = section.partition("```text\n")
            after = rest.partition("```")[2]
            document = document.replace(section, f"{before}{block}{after}")
        else:
            document = document.replace(section, f"{section.rstrip()}\n\n{block}\n\n")
    return document


def main() -> int:
    path = Path(sys.argv[1])
    path.write_text(refresh(path.read_text(), all_commands()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
