"""The audit log for administrators: a page with a filter, and all of it as CSV."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response

from annotations.audit import ACTIONS
from app.auth.accounts import AccountService
from app.auth.audit_rows import csv_text, detail_text
from app.auth.forms import PAGE_HEADERS, page_response
from app.http.dependencies import MAX_ID, Administrator
from app.ui.templates import macros

AUDIT = "/audit"
PAGE_SIZE = 100
pages = macros("auth/people.html")

Position = Annotated[int | None, Query(ge=1, le=MAX_ID)]


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
