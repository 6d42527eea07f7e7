"""`migrate`: bring a database up to this program's schema."""

import argparse

from annotations.commands import common
from annotations.database import Database, default_url
from annotations.migrations import HEAD


def add_parser(subparsers: common.Subparsers) -> None:
    common.add_parser(
        subparsers,
        "migrate",
        run,
        "Bring a database up to date.\n\nEvery other command does so too; this one does nothing else.",
    )


def run(args: argparse.Namespace) -> int:
    """Apply what is missing."""
    database = Database(args.database or default_url(), migrate=False)
    try:
        changed = database.migrate()
    finally:
        database.close()
    text = f"Migrated to schema {HEAD}." if changed else f"Already at schema {HEAD}."
    common.show(args, {"schema": HEAD, "changed": changed}, text)
    return 0
