"""A model counts for the datasets that it was named for, and nowhere else."""

import dataclasses
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from annotations import migrations
from annotations.errors import NotFound
from annotations.proposers import ANY, may_propose
from annotations.records import Prediction, ProposedMoment
from annotations.reviewing import review_item
from annotations.rows import AnnotatorVersion
from annotations.source_worth import SourceWorth, source_worth
from annotations.store import Store
from tempo_core.errors import InputError
from tests.annotations.conftest import ROWS, Operations, edit

BEFORE = "0006"
TINY = "tempo-tiny@0123456789ab+squares@ba9876543210/float32"


def reasons(store: Store, query_id: int) -> set[str]:
    return {suspicion.reason for suspicion in store.suspicions(query_id)}


def candidates(store: Store, query_id: int) -> list[tuple[str, str]]:
    return [(candidate.kind, candidate.name) for candidate in review_item(store, query_id, "eve").candidates]


def test_a_model_that_is_not_named_never_disagrees(filled: Store, op: Operations) -> None:
    filled.import_rows(ROWS, dataset="other", op_id=op())
    filled.save_proposer("other", "tempo-tiny", op_id=op(), actor="ada")
    filled.propose(1, Prediction(model_id=TINY), op_id=op())  # "no matching moment"
    before = filled.queue()
    assert "model-disagrees" not in reasons(filled, 1)
    assert candidates(filled, 1) == [("original", "qvh")]
    filled.save_proposer("qvh", "tempo-tiny", op_id=op(), actor="ada")
    assert "model-disagrees" in reasons(filled, 1)
    assert candidates(filled, 1) == [("model", TINY), ("original", "qvh")]
    filled.save_proposer("qvh", "tempo-tiny", op_id=op(), actor="ada", is_named=False)
    assert filled.queue() == before


def test_a_dataset_takes_the_newest_answer_of_those_that_are_named(filled: Store, op: Operations) -> None:
    filled.save_proposer("qvh", "large", op_id=op(), actor="ada")
    same = tuple(ProposedMoment(start_ms=a, end_ms=b) for a, b in ((10_000, 20_000), (22_000, 40_000)))
    filled.propose(1, Prediction(model_id="large@1/nf4", moments=same), op_id=op())
    filled.propose(1, Prediction(model_id=TINY), op_id=op())
    assert "model-disagrees" not in reasons(filled, 1)
    assert candidates(filled, 1) == [("model", "large@1/nf4"), ("original", "qvh")]


@pytest.mark.parametrize(
    ("model_id", "names", "expected"),
    [
        (TINY, {"tempo-tiny"}, True),
        ("tempo-tiny", {"tempo-tiny"}, True),
        (TINY, {ANY}, True),
        (TINY, set(), False),
        (TINY, {"tempo"}, False),
        ("tempo-tiny-2@0/float32", {"tempo-tiny"}, False),
        ("tempo_tiny@0/float32", {"tempo%tiny", "temp_tiny"}, False),
        (TINY, {TINY}, True),
    ],
)
def test_a_name_stands_for_a_model_with_its_adapters(
    filled: Store, op: Operations, model_id: str, names: set[str], expected: bool
) -> None:
    filled.propose(1, Prediction(model_id=model_id), op_id=op())
    for name in names:
        filled.save_proposer("qvh", name, op_id=op(), actor="ada")
    assert filled.proposers("qvh") == names
    assert may_propose(model_id, names) == expected
    assert ("model-disagrees" in reasons(filled, 1)) == expected


def test_naming_needs_a_dataset_and_a_name(filled: Store, op: Operations) -> None:
    with pytest.raises(NotFound, match="no dataset 'qvhh'"):
        filled.save_proposer("qvhh", "large", op_id=op(), actor="ada")
    with pytest.raises(InputError, match="needs a name"):
        filled.save_proposer("qvh", " ", op_id=op(), actor="ada")


def test_who_imports_a_models_answers_names_it(store: Store, op: Operations) -> None:
    answer = AnnotatorVersion(annotator="large@1", source="model", windows=((100, 110),), scores=(0.9,))
    store.import_rows([dataclasses.replace(ROWS[0], annotations=(answer,))], dataset="qvh", op_id=op())
    assert store.proposers("qvh") == {"large"}
    assert "model-disagrees" in reasons(store, 1)


def test_the_worth_of_a_model_is_its_overlap_with_what_people_answered(filled: Store, op: Operations) -> None:
    def worth() -> SourceWorth:
        return source_worth(filled.answered_records("qvh"), "tempo-tiny")

    for query_id in (1, 2, 3):
        moment = ProposedMoment(start_ms=0, end_ms=10_000)
        filled.propose(query_id, Prediction(model_id=TINY, moments=(moment,)), op_id=op())
    assert worth() == SourceWorth(answers=0, mean_tiou=None)
    filled.submit(1, edit((0, 10_000), arm="model-first"), annotator="ada", parent_id=None, op_id=op())
    assert worth() == SourceWorth(answers=0, mean_tiou=None)  # it began with the model's moments
    filled.submit(1, edit((0, 5_000), arm="blind"), annotator="bo", parent_id=None, op_id=op())
    filled.submit(2, edit(arm="original-first"), annotator="ada", parent_id=None, op_id=op())
    assert worth() == SourceWorth(answers=2, mean_tiou=pytest.approx(0.25))
    assert source_worth(filled.answered_records("qvh"), "large") == SourceWorth(answers=0, mean_tiou=None)


def test_an_older_store_forgets_what_the_unnamed_said_and_keeps_its_sample(tmp_path: Path) -> None:
    path, today = tmp_path / "old.sqlite3", tmp_path / "today.sqlite3"
    with Store(today) as store:
        for name in ("qvh", "sample", "sample-2", "sample-of-films"):
            store.import_rows(ROWS, dataset=name, op_id=name)
            query_id = store.find(name, 10).id
            store.propose(query_id, Prediction(model_id=TINY), op_id=f"{name} proposal")
            store.save_proposer(name, ANY, op_id=f"{name} named", actor="ada")
        assert {
            row.dataset for row in store.queue() if "model-disagrees" in reasons(store, row.query_id)
        } == {
            "qvh",
            "sample",
            "sample-2",
            "sample-of-films",
        }
    # The same in the schema before models were named, with the reasons of then.
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        migrations.upgrade(connection, BEFORE)
    with engine.connect() as connection:
        connection.execute(text("ATTACH :today AS today"), {"today": str(today)})
        connection.execute(text("PRAGMA foreign_keys = OFF"))
        for table in inspect(connection).get_table_names():
            if table != "alembic_version":
                names = ", ".join(column["name"] for column in inspect(connection).get_columns(table))
                connection.execute(
                    text(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM today.{table}")
                )
        connection.commit()
    engine.dispose()
    with Store(path) as store:
        named = {name: list(store.proposers(name)) for name in store.datasets()}
        assert named == {"qvh": [], "sample": [ANY], "sample-2": [ANY], "sample-of-films": []}
        assert {
            row.dataset for row in store.queue() if "model-disagrees" in reasons(store, row.query_id)
        } == {
            "sample",
            "sample-2",
        }
