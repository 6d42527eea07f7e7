"""The audit log for administrators: a page with a filter, and all of it as CSV."""

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response

from annotations.audit import ACTIONS, AuditEntry
from app.auth.accounts import AccountService
from app.auth.forms import PAGE_HEADERS, page_response
from app.http.dependencies import MAX_ID, Administrator
from app.ui.templates import macros

AUDIT = "/audit"
PAGE_SIZE = 100
COLUMNS = ("position", "at", "action", "actor", "person", "detail")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
pages = macros("auth/people.html")

Position = Annotated[int | None, Query(ge=1, le=MAX_ID)]


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
    """What else there is to know, as people read it: "dataset qvh, rows 3"."""
    return ", ".join(f"{name} {value}" for name, value in entry.detail.items())


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


def audit_routes(accounts: AccountService) -> APIRouter:
    """GET /audit and GET /audit.csv. An empty filter is none."""
    router = APIRouter(include_in_schema=False)

    @router.get(AUDIT)
    def page(user: Administrator, action: str = "", person: str = "", before: Position = None) -> Response:
        person = person.strip()
        entries = accounts.book.audit_entries(
            action=action or None, person=person or None, before=before, limit=PAGE_SIZE
        )
        chosen = {name: value for name, value in (("action", action), ("person", person)) if value}
        older = urlencode({**chosen, "before": entries[-1].position}) if len(entries) == PAGE_SIZE else ""
        rows = [(entry, detail_text(entry)) for entry in entries]
        return page_response(pages.audit(ACTIONS, action, person, rows, urlencode(chosen), older))

    @router.get(f"{AUDIT}.csv")
    def as_csv(user: Administrator, action: str = "", person: str = "") -> Response:
        entries = accounts.book.audit_entries(action=action or None, person=person.strip() or None)
        accounts.book.record_event("exported", actor=user.id, detail={"audit log entries": len(entries)})
        headers = {**PAGE_HEADERS, "content-disposition": 'attachment; filename="audit.csv"'}
        return Response(csv_text(entries), media_type="text/csv; charset=utf-8", headers=headers)

    return router
