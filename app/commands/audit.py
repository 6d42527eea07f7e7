"""`python -m app audit`: who did what, out of the audit log."""

import sys
from typing import Annotated

import typer

from annotations.audit import ACTIONS
from annotations.records import check_choice
from annotations.store import Store
from app.auth.audit_rows import csv_text, detail_text, row_of
from app.commands.accounts import Database, HomeFolder
from app.home import open_home
from tempo_core import command_line
from tempo_core.command_line import AsJson, actor


def audit(
    context: typer.Context,
    person: Annotated[str | None, typer.Option(metavar="NAME", help="who did it, or whose account")] = None,
    action: Annotated[
        str | None, typer.Option(metavar="WORDS", help=f"only this kind: {', '.join(ACTIONS)}")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="at most so many entries, the newest")] = 100,
    as_csv: Annotated[bool, typer.Option("--csv", help="print all of it as CSV")] = False,
    home: HomeFolder = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Print the audit log, the newest entry first."""
    if action is not None:
        check_choice("--action", action, ACTIONS)
    common = context.obj or {}
    tempo_home = open_home(home or common.get("home"))
    with Store(database or common.get("database") or tempo_home.database) as store:
        entries = store.audit_entries(action=action, person=person, limit=None if as_csv else limit)
        if as_csv:
            store.record_event("exported", actor=actor(), detail={"audit log entries": len(entries)})
            sys.stdout.write(csv_text(entries))
            return
    rows = [
        (
            entry.position,
            row_of(entry)["at"],
            entry.actor or "–",
            entry.action,
            entry.person,
            detail_text(entry),
        )
        for entry in entries
    ]
    text = command_line.table(rows) if rows else "There is no such entry."
    command_line.show({"entries": [row_of(entry) for entry in entries]}, text, as_json=as_json)
