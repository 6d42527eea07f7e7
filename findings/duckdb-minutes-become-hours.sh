#!/usr/bin/env bash
# DuckDB reads `0:03` in a CSV of moments as three minutes: the column of ends becomes a TIME of hours and minutes.
#
# Version: duckdb 2.0.1, read_csv with its own detection.
# Guess: clock times in a CSV stay text, or M:SS means minutes and seconds, as video players write it; a pair of columns
# start and end gets one type.
# Seen: `end` (0:03, 00:00:04) becomes TIME, and 0:03 is 00:03:00, sixty times too long. `start` (0:01.5, 00:00:02) stays
# VARCHAR because of its decimal. One row with a fraction more or less decides what the others mean, and nothing is said.
# With all_varchar=true everything is text.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet duckdb==2.0.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import datetime
from pathlib import Path

import duckdb

Path("moments.csv").write_text("vid,start,end,label\na,0:01.5,0:03,dog\nb,00:00:02,00:00:04,cat\n")
types = {name: kind for name, kind, *_ in duckdb.sql("describe select * from 'moments.csv'").fetchall()}
rows = duckdb.sql("select \"start\", \"end\" from 'moments.csv'").fetchall()
plain = duckdb.sql("select \"end\" from read_csv('moments.csv', all_varchar=true)").fetchall()
print(duckdb.__version__, types, rows, plain)
assert (types["start"], types["end"]) == ("VARCHAR", "TIME"), types
assert rows[0] == ("0:01.5", datetime.time(0, 3)), rows
assert plain == [("0:03",), ("00:00:04",)], plain
PYTHON
