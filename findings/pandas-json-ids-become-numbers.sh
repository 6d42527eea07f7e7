#!/usr/bin/env bash
# pandas: read_json turns text ids into numbers, so that "1e3" and "1_000" are one id and a video named nan is missing.
#
# Version: pandas 3.1.1.
# Guess: values in quotation marks stay texts, since JSON says what is a text.
# Seen: ids "007" and "010" become 7 and 10. "1e3" and "1_000" both become 1000.0, and the video ids "nan" and "inf" become a
# missing value and infinity. One id that is no number keeps the whole column as text. dtype=False keeps all texts.
# Besides, to_json writes ten decimals unless told otherwise: 24.299999999999997 comes back as 24.3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pandas==3.1.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import io
import json
import math

import pandas as pd


def frame(rows, **options):
    return pd.read_json(io.StringIO("\n".join(json.dumps(row) for row in rows)), lines=True, **options)


zeros = frame([{"qid": "007"}, {"qid": "010"}])["qid"].tolist()
odd = frame([{"qid": "1e3", "vid": "nan"}, {"qid": "1_000", "vid": "inf"}])
kept = frame([{"qid": "1e3"}, {"qid": "1_000"}], dtype=False)["qid"].tolist()
text = pd.DataFrame({"start": [24.299999999999997]}).to_json(orient="records", lines=True).strip()
print(pd.__version__, zeros, odd.to_dict("records"), kept, text)
assert zeros == [7, 10], zeros
assert odd["qid"].tolist() == [1000.0, 1000.0], odd
assert math.isnan(odd["vid"][0]) and math.isinf(odd["vid"][1]), odd
assert kept == ["1e3", "1_000"], kept
assert text == '{"start":24.3}', text
PYTHON
