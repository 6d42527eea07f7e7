"""`history`: every version of a query."""

import argparse
from datetime import UTC, datetime

from annotations.commands import common
from annotations.history import HistoryEntry, history


def add_parser(subparsers: common.Subparsers) -> None:
    parser = common.add_parser(
        subparsers,
        "history",
        run,
        "Show who said what about a query, when, from which proposal, and what changed.",
    )
    parser.add_argument("query", metavar="QUERY", help="its number in the store, or DATASET:QID")


def run(args: argparse.Namespace) -> int:
    """Show one line for each event and one for each change."""
    with common.open_store(args) as store:
        entries = history(store, common.find_query(store, args.query).id)
    answer = [
        {
            "kind": entry.kind,
            "id": entry.id,
            "who": entry.author,
            "at": _time(entry.at_ms),
            "model": entry.model,
            "restores": entry.restores_id,
            "changes": [change.text for change in entry.changes],
        }
        for entry in entries
    ]
    common.show(args, {"history": answer}, "\n".join(_lines(entries)))
    return 0


def _lines(entries: list[HistoryEntry]) -> list[str]:
    lines = []
    for entry in entries:
        number = "" if entry.id is None else f" {entry.id}"
        origin = f" from a proposal of {entry.model}" if entry.model else ""
        back = f" (brings back {entry.restores_id})" if entry.restores_id else ""
        lines.append(f"{_time(entry.at_ms) or '–'}  {entry.kind}{number} by {entry.author}{origin}{back}")
        lines += [f"    {change.text}" for change in entry.changes]
    return lines


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
