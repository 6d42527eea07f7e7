"""Entries of the audit log as text, JSON values and CSV, for the page and the command."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from annotations.audit import AuditEntry

COLUMNS = ("position", "at", "action", "actor", "person", "detail")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def row_of(entry: AuditEntry) -> dict[str, Any]:
    """An entry as JSON values, its time in UTC."""
    at = datetime.fromtimestamp(entry.at_ms / 1000, UTC).isoformat(timespec="seconds")
    return {
        "position": entry.position,
        "at": at,
        "action": entry.action,
        "actor": entry.actor,
        "person": entry.person,
        "detail": dict(entry.detail),
    }


def detail_text(entry: AuditEntry) -> str:
    """What else there is to know, as people read it: "dataset qvh, rows 3". Times in milliseconds are for programs."""
    return ", ".join(f"{name} {value}" for name, value in entry.detail.items() if not name.endswith("_ms"))


def csv_text(entries: Iterable[AuditEntry]) -> str:
    """Entries as CSV, the detail as JSON. No cell is a formula to a spreadsheet."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(COLUMNS)
    for entry in entries:
        row = row_of(entry)
        row["detail"] = json.dumps(row["detail"], ensure_ascii=False)
        cells = ["" if row[name] is None else str(row[name]) for name in COLUMNS]
        writer.writerow([f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell for cell in cells])
    return lines.getvalue()
