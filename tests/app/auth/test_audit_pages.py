"""What sign-ins and accounts leave in the audit log, and how administrators read it."""

import csv
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.auth.audit_pages import PAGE_SIZE
from app.auth.users import Authenticator
from tests.app.auth.test_routes import browsing, sign_in
from tests.app.markup import HOSTILE, hostile_texts, page_text
from tests.app.people import PASSWORD, People


@pytest.fixture
def people() -> People:
    return People().add(ada="annotator", root="administrator")


@pytest.fixture
def browser(people: People) -> Iterator[TestClient]:
    with browsing(Authenticator(anonymous=False, local=False, accounts=people.accounts)) as client:
        yield client


def logged(people: People) -> list[tuple[str, str | None, str | None]]:
    """The log but for the accounts that were added at first, the oldest entry first."""
    entries = people.store.audit_entries()[::-1]
    return [(e.action, e.actor, e.person) for e in entries if e.action != "account added"]


def test_sign_ins_right_and_wrong_and_what_follows_are_logged(browser: TestClient, people: People) -> None:
    sign_in(browser, password="wrong")
    sign_in(browser, name="my password by mistake", password="x")
    sign_in(browser)
    browser.post(
        "/account/password", data={"present": PASSWORD, "new": "new " + PASSWORD, "again": "new " + PASSWORD}
    )
    browser.post("/sign-out")
    browser.post("/sign-out")
    assert logged(people) == [
        ("sign-in refused", None, "ada"),
        ("sign-in refused", None, None),
        ("signed in", "ada", "ada"),
        ("password changed", "ada", "ada"),
        ("signed out", "ada", "ada"),
    ]
    assert "mistake" not in str(people.store.audit_entries())


def test_what_administrators_do_to_others_is_logged(browser: TestClient, people: People) -> None:
    sign_in(browser, "root")
    people.token("ada")
    browser.post("/people/ada/sign-out", data={"session": ""})
    browser.post("/people/ada/sign-out", data={"session": ""})  # there is none left
    browser.post("/people/ada/password")
    assert logged(people)[2:] == [("sessions ended", "root", "ada"), ("password reset", "root", "ada")]


def test_administrators_read_it_by_person_and_kind(browser: TestClient, people: People) -> None:
    sign_in(browser, "root")
    for _ in range(PAGE_SIZE):
        people.store.record_event("signed in", actor="ada", person="ada", detail={"by": "password"})
    text = " ".join(page_text(browser.get("/audit").text).split())
    assert "ada: signed in" in text
    assert "root: signed in" not in text, "it is on the next page"
    page = browser.get("/audit?person=ada&action=signed+in").text
    assert "ada: signed in" in page_text(page)
    older = page.split('href="/audit?')[1].split('"')[0].replace("&amp;", "&")
    assert older.startswith("action=signed+in&person=ada&before=")
    assert "Nothing of this kind" in page_text(browser.get(f"/audit?{older}").text)
    assert "root: signed in" in page_text(browser.get("/audit?person=root").text)
    assert browser.get("/audit?before=0").status_code == 422


def test_it_is_taken_out_as_csv_which_is_logged_too(browser: TestClient, people: People) -> None:
    sign_in(browser, "root")
    people.store.record_event("exported", actor="=cmd()", detail={"dataset": "a,b"})
    answer = browser.get("/audit.csv?action=exported")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    rows = list(csv.DictReader(answer.text.splitlines()))
    assert [(row["action"], row["actor"], row["detail"]) for row in rows] == [
        ("exported", "'=cmd()", '{"dataset": "a,b"}')
    ]
    last = people.store.audit_entries(limit=1)[0]
    assert (last.action, last.actor, last.detail) == ("exported", "root", {"audit log entries": 1})


def test_nobody_else_reads_it(browser: TestClient) -> None:
    sign_in(browser)
    assert browser.get("/audit").status_code == 403
    assert browser.get("/audit.csv").status_code == 403


def test_names_are_shown_as_text(browser: TestClient, people: People) -> None:
    sign_in(browser, "root")
    people.store.record_event("exported", actor=HOSTILE, detail={"dataset": HOSTILE})
    assert hostile_texts(browser.get("/audit", params={"person": HOSTILE}).text) == 3
