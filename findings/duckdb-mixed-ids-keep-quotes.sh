#!/usr/bin/env bash
# DuckDB: in a JSON-lines file that mixes ids 7 and "007", text ids come out with their quotation marks.
#
# Version: duckdb 2.0.1.
# Guess: a column of numbers and texts becomes VARCHAR, with the values 7 and 007, so that a join on ids works.
# Seen: it becomes JSON; fetched as Python values they are `7` and `"007"`, the second with its quotation marks inside. A join
# with a VARCHAR column of ids matches the numbers only. A file of texts alone is VARCHAR and has none. A column of
# empty window lists alone is JSON[], and that of a file with whole windows BIGINT[][].
# The text operator (qid->>'$') takes the marks away.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet duckdb==2.0.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import json
from pathlib import Path

import duckdb


def write(name, rows):
    Path(name).write_text("\n".join(json.dumps(row) for row in rows))


write("mixed.jsonl", [{"qid": 7, "windows": []}, {"qid": "007", "windows": []}])
write("texts.jsonl", [{"qid": "7", "windows": [[0, 2]]}, {"qid": "007", "windows": []}])
types = {
    name: {column: kind for column, kind, *_ in duckdb.sql(f"describe select * from '{name}'").fetchall()}
    for name in ("mixed.jsonl", "texts.jsonl")
}
values = [value for (value,) in duckdb.sql("select qid from 'mixed.jsonl'").fetchall()]
joined = duckdb.sql("select t.qid from 'mixed.jsonl' m join 'texts.jsonl' t on m.qid::varchar = t.qid").fetchall()
plain = duckdb.sql("select qid->>'$' from 'mixed.jsonl'").fetchall()
print(types, values, joined, plain)
assert types["mixed.jsonl"] == {"qid": "JSON", "windows": "JSON[]"}, types
assert types["texts.jsonl"] == {"qid": "VARCHAR", "windows": "BIGINT[][]"}, types
assert values == ["7", '"007"'], values
assert joined == [("7",)], joined
assert plain == [("7",), ("007",)], plain
PYTHON
