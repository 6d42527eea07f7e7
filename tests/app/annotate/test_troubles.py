"""Saving while the server's disk is full, its database read-only or away: what the page is told, and what is stored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from annotations import checks
from annotations.errors import DatabaseAway
from tests.annotations import postgresql
from tests.annotations.conftest import execute, postgresql_url
from tests.app.annotating import Bench, annotator_with, edit_of, fill, open_bench, row, until


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_bench(tmp_path / "home") as opened:
        fill(opened.store, opened.home, [row(1, "clip")], without=("clip",))
        yield opened


def set_pragma(bench: Bench, setting: str) -> Any:
    """Set it on the pool's connection, and say what it was set to."""
    with bench.store.database.engine.connect() as connection:
        result = connection.execute(text(f"PRAGMA {setting}"))
        return result.scalar() if result.returns_rows else None


def check_sentence(answer: Any, bench: Bench) -> None:
    """The page is told what is wrong and where the edit is; no folder, address or traceback of the server."""
    sentence = answer.json()["error"]
    assert "Edits stay in the browser" in sentence
    assert str(bench.home.root) not in sentence
    assert not any(word in sentence for word in ("sqlite", "postgresql", "Traceback", "cqvh"))


def test_a_full_disk_is_told_and_the_same_save_goes_in_when_there_is_room(bench: Bench) -> None:
    """SQLite's own bound on a file's pages stands for the disk."""
    set_pragma(bench, f"max_page_count = {set_pragma(bench, 'page_count')}")
    note, op_ids = "x" * 3000, [f"save-{number}" for number in range(30)]
    answers = []
    for op_id in op_ids:
        answers.append(bench.save(1, edit_of((0, 1000), note=note), op_id=op_id, who=f"{op_id}/annotator"))
        if answers[-1].status_code != 200:
            break
    assert answers[-1].status_code == 507
    check_sentence(answers[-1], bench)
    assert bench.get("/queries/1").status_code == 200, "what is stored is still shown"
    set_pragma(bench, "max_page_count = 1000000")
    op_id = op_ids[len(answers) - 1]
    again = bench.save(1, edit_of((0, 1000), note=note), op_id=op_id, who=f"{op_id}/annotator")
    assert again.status_code == 200
    assert len(bench.store.corrections(1)) == len(answers)
    assert checks.problems(bench.store) == []


def test_a_database_that_became_read_only_is_told_and_the_save_goes_in_later(bench: Bench) -> None:
    assert bench.get("/queries/1").status_code == 200
    set_pragma(bench, "query_only = ON")
    answer = bench.save(1, edit_of((0, 1000)), op_id="save")
    assert answer.status_code == 503
    check_sentence(answer, bench)
    set_pragma(bench, "query_only = OFF")
    assert bench.save(1, edit_of((0, 1000)), op_id="save").status_code == 200
    assert [version.op_id for version in bench.store.corrections(1)] == ["save"]


def test_a_lost_postgresql_is_told_and_the_same_save_goes_in_once_it_is_back(tmp_path: Path) -> None:
    with postgresql.server("") as server:
        execute(str(server.folder), "CREATE DATABASE lost")
        url = postgresql_url(str(server.folder), "lost")
        with open_bench(tmp_path / "home", url=url) as bench:
            fill(bench.store, bench.home, [row(1, "clip")], without=("clip",))
            first = bench.save(1, edit_of((0, 1000)), op_id="first")
            assert first.status_code == 200
            head = first.json()["correction_id"]
            server.stop()
            for answer in (
                bench.save(1, edit_of((0, 2000)), head, op_id="second"),
                bench.get("/queries/1"),
                bench.get("/me"),
                bench.post("/next", {"op_id": "next"}),
            ):
                assert answer.status_code == 503
                check_sentence(answer, bench)
                assert str(server.folder) not in answer.text
            server.start()
            saves = [bench.save(1, edit_of((0, 2000)), head, op_id="second") for _ in range(2)]
            assert [save.status_code for save in saves] == [200, 200], "no restart, and a retry is harmless"
            assert saves[0].json()["correction_id"] == saves[1].json()["correction_id"]
            assert [version.op_id for version in bench.store.corrections(1)] == ["first", "second"]
            assert checks.problems(bench.store) == []


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_jumps_changes_neither_the_order_of_versions_nor_a_loan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    with open_bench(tmp_path / "home") as bench:
        fill(bench.store, bench.home, [row(1, "one"), row(2, "two")], without=("one", "two"))
        lent = bench.post("/next", {"op_id": "a"}).json()["item"]["edit"]["query_id"]
        first = bench.save(lent, edit_of((0, 1000))).json()
        clock = bench.store._clock
        monkeypatch.setattr(bench.store, "_clock", lambda: clock() + days * 24 * 3600 * 1000)
        second = bench.save(lent, edit_of((0, 2000)), first["correction_id"])
        assert second.status_code == 200
        assert [version.edit.moments[0].end_ms for version in bench.store.corrections(lent)] == [1000, 2000]
        assert bench.get(f"/queries/{lent}").json()["edit"]["parent_id"] == second.json()["correction_id"]
        assert bench.post("/next", {"op_id": "b"}).json()["item"]["edit"]["query_id"] == lent
        assert checks.problems(bench.store) == []


def test_a_proposal_that_could_not_be_stored_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_bench(tmp_path / "home") as bench:
        fill(bench.store, bench.home, [row(1, "clip")])
        propose, failures = bench.store.propose, [DatabaseAway("The database does not answer.")] * 2

        def fail_first(*values: Any, **options: Any) -> Any:
            if failures:
                raise failures.pop()
            return propose(*values, **options)

        monkeypatch.setattr(bench.store, "propose", fail_first)
        who = f"{annotator_with('original-first')}/annotator"
        bench.ready(1, who=who)
        states = set()

        def ask() -> str:
            states.add(state := bench.get("/queries/1/proposal", who=who).json()["state"])
            return state

        until(ask, lambda state: state == "ready")
        assert states <= {"waiting", "computing", "ready"}
        assert len(bench.store.proposals(1)) == 1
