"""What every command shares: the database, the name of who acts, and how answers are shown."""

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from annotations.database import default_url
from annotations.records import Query
from annotations.store import Store
from tempo_core.errors import InputError

Subparsers = Any  # argparse does not name the type


def add_parser(
    subparsers: Subparsers, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    """A command with the options that all have; the first line of `text` is its summary."""
    parser = subparsers.add_parser(
        name,
        help=text.splitlines()[0],
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--database", metavar="URL", help=f"SQLAlchemy URL or SQLite file (default: {default_url()})"
    )
    parser.add_argument("--json", action="store_true", help="answer with one JSON object")
    parser.set_defaults(run=run)
    return parser


def open_store(args: argparse.Namespace) -> Store:
    """The store that the arguments name."""
    return Store(args.database)


def new_op_id() -> str:
    """An operation id that nobody else has."""
    return str(uuid4())


def actor() -> str:
    """Who runs the command, for the records."""
    return os.environ.get("TEMPO_ACTOR") or getpass.getuser()


def home() -> Path:
    """The folder of all state (TEMPO_HOME, else ./data)."""
    return Path(os.environ.get("TEMPO_HOME", "data"))


def show(args: argparse.Namespace, answer: Any, text: str) -> None:
    """Write the answer: JSON if asked for, else text."""
    sys.stdout.write((json.dumps(answer, indent=2, ensure_ascii=False) if args.json else text) + "\n")


def find_query(store: Store, name: str) -> Query:
    """The query of `17` (the store's number) or `DATASET:QID`."""
    dataset, colon, qid = name.rpartition(":")
    if colon:
        return store.find(dataset, qid)
    if not name.isdecimal():
        raise InputError(f"{name!r} names no query; give its number in the store, or DATASET:QID.")
    return store.query(int(name))


def table(rows: list[tuple[Any, ...]]) -> str:
    """Columns of text, aligned."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))] if texts else []
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in texts
    )
