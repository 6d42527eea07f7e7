"""Files of others are read in a child: the same rows as without, and a sentence where a limit is met."""

import io
import json
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotations.formats import (
    FORMATS,
    ExportOptions,
    Mending,
    ReadOptions,
    RowsRejected,
    export_names,
    read,
    write,
)
from annotations.formats.child import _RowUnpickler, read_in_child
from annotations.formats.options import ReadLimits
from annotations.rows import AnnotatorVersion, Row
from tempo_core.errors import Cancelled, InputError
from tempo_core.sandbox import ChildLimits

LIMITS = ReadLimits(max_bytes=2**24, max_items=1000, child=ChildLimits())
MODEL = AnnotatorVersion(annotator="m", source="model", windows=((1.0, 3.0),), scores=(0.5,))
ROWS = [
    Row(
        qid=str(number),
        qid_is_int=True,
        query=f"square {number}",
        vid="v",
        duration_s=60.0,
        split="val",
        windows=windows,
        annotations=(MODEL,),
    )
    for number, windows in enumerate([((0.0, 4.0), (10.0, 12.0)), ((2.0, 8.0),), ()])
]


def parts(result: Any) -> dict[str, Any]:
    """Everything of a ReadResult, also what rows do not compare."""
    return {name: getattr(result, name) for name in type(result).__slots__} | {
        "unseen": [(row.raw, row.origin) for row in result.rows]
    }


@pytest.mark.parametrize("format", [name for name in export_names() if FORMATS[name].is_read])
def test_a_child_reads_what_the_reader_reads(tmp_path: Path, format: str) -> None:
    path = tmp_path / ("export" if FORMATS[format].folder else f"rows{FORMATS[format].suffix}")
    write(ROWS, path, format=format, options=ExportOptions(keep_going=True, frame_rate=25))
    options = ReadOptions(keep_going=True, durations={"v": 60.0}, frame_rate=25)
    assert parts(read_in_child(path, options=options, limits=LIMITS, format=format)) == parts(
        read(path, options=options, format=format)
    )


def test_a_neighbour_that_the_format_names_is_read_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text("v 0 4##a\n")
    (tmp_path / "rows.durations.json").write_text('{"v": 60}')
    (row,) = read_in_child(path, limits=LIMITS).rows
    assert row.duration_s == 60


def test_problems_repairs_and_rejects_come_back(tmp_path: Path) -> None:
    path = tmp_path / "rows_val.jsonl"
    lines = [
        {"qid": 1, "query": "a", "vid": "v", "duration": 60, "relevant_windows": [[8, 4]]},
        {"qid": 2, "query": "", "vid": "v", "duration": 60, "relevant_windows": []},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(RowsRejected) as refused:
        read_in_child(path, limits=LIMITS)
    with pytest.raises(RowsRejected) as plain:
        read(path)
    assert refused.value.problems == plain.value.problems
    assert str(refused.value) == str(plain.value)

    results = []
    for name, reader in {"child": lambda **o: read_in_child(limits=LIMITS, **o), "plain": read}.items():
        mending, rejects = Mending(), tmp_path / f"{name}.rejects"
        options = ReadOptions(keep_going=True, mending=mending, rejects_path=rejects)
        results.append((parts(reader(path=path, options=options)), rejects.read_text(), dict(mending.counts)))
    assert results[0] == results[1]
    assert results[0][2] == {"edges swapped": 1}


def test_a_file_beyond_a_limit_is_refused_with_the_limit_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    line = {"qid": "q", "query": "a", "vid": "v", "duration": 60, "relevant_windows": []}
    path.write_text("\n".join(json.dumps(line | {"qid": f"q{number}"}) for number in range(20)))
    small = ReadLimits(max_bytes=1000, max_items=1000, child=ChildLimits())
    with pytest.raises(InputError, match=r"rows\.jsonl has 0\.0 MiB; an import takes 0\. Divide it"):
        read_in_child(path, limits=small)
    few = ReadLimits(max_bytes=2**20, max_items=19, child=ChildLimits())
    with pytest.raises(InputError, match=r"rows\.jsonl holds more than 19 rows\. Divide it"):
        read_in_child(path, limits=few)


def test_a_set_event_stops_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("vid,query,start_s,end_s\nv,q,1,2\n")
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match=r"'rows\.csv' was stopped"):
        read_in_child(path, limits=LIMITS, cancel=cancel)


def test_a_small_parquet_file_that_swells_costs_a_child_only(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    query = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array(["x" * 2**20]))
    pq.write_table(pa.table({"qid": pa.array(range(2000)), "query": query, "vid": query}), path)
    assert path.stat().st_size < 2**22
    limits = ReadLimits(max_bytes=2**22, max_items=10_000, child=ChildLimits(memory_bytes=2**30))
    with pytest.raises(InputError, match=r"rows\.parquet needs more than 1 GiB of memory\. Divide it"):
        read_in_child(path, limits=limits)


def test_rows_that_fill_the_output_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    line = {"qid": 1, "query": "x" * 2**20, "vid": "v", "duration": 60, "relevant_windows": []}
    path.write_text(json.dumps(line))
    limits = ReadLimits(max_bytes=2**22, max_items=10, child=ChildLimits(output_bytes=2**20))
    with pytest.raises(InputError, match=r"gives more than 0\.0 GiB of rows"):
        read_in_child(path, limits=limits)


@pytest.mark.parametrize(
    "deep", ['{"qid": 1, "extra": ' + "[" * 64 + "]" * 64 + "}", '{"a":' * 65 + "1" + "}" * 65]
)
def test_deep_json_is_refused_in_a_sentence(tmp_path: Path, deep: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(deep)
    with pytest.raises(RowsRejected, match="nests more than 64 levels"):
        read(path, format="qvhighlights")


def test_brackets_inside_texts_are_no_levels(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    line = {"qid": 1, "query": '\\"[{' * 100, "vid": "v", "duration": 60, "relevant_windows": []}
    path.write_text(json.dumps(line))
    (row,) = read(path, format="qvhighlights").rows
    assert row.query == line["query"]


class _Harmless:
    """Names a function that an unpickler would call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.getcwd, ()


def test_what_a_child_hands_over_can_only_be_rows() -> None:
    with pytest.raises(pickle.UnpicklingError, match="is no part of a row"):
        _RowUnpickler(io.BytesIO(pickle.dumps(_Harmless()))).load()
    assert _RowUnpickler(io.BytesIO(pickle.dumps(ROWS))).load() == ROWS
