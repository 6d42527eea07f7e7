#!/usr/bin/env bash
# datasets: the chat answers "1.50", "007" and "null" come back as 1.5, 7 and None, because another row's answer is a list.
#
# Version: datasets 5.2.0, load_dataset("json") on JSON lines of chats, as trainers of vision-language models read them.
# Guess: a JSON string stays a string. Rows whose content is a text beside rows whose content is a list of parts, both of
# which chat templates take, are either refused or kept as they are.
# Seen: a column of mixed kinds gets the new type Json, and in it every text that happens to be JSON is parsed: "1.50" is
# 1.5, "007" is 7, "[0, 2]" is a list, "null" and "NaN" are None. Sentences stay texts. to_json writes the numbers, so
# that the file is changed for good. Without the one row of parts every text stays as it was.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0
cd "$folder"
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1 venv/bin/python - <<'PYTHON'
import json
from pathlib import Path

from datasets import load_dataset

ANSWERS = ["1.50", "007", "[0, 2]", "null", "NaN", "from 1.50 to 2 s"]
PARTS = [{"type": "text", "text": "1.50"}]


def answers_read(name, answers):
    chats = [{"messages": [{"role": "assistant", "content": answer}]} for answer in answers]
    Path(f"{name}.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    dataset = load_dataset("json", data_files=f"{name}.jsonl", split="train")
    dataset.to_json(f"{name}-written.jsonl")
    written = [json.loads(line) for line in Path(f"{name}-written.jsonl").read_text().splitlines()]
    return [[chat["messages"][0]["content"] for chat in rows] for rows in (dataset, written)]


plain, plain_written = answers_read("plain", ANSWERS)
mixed, mixed_written = answers_read("mixed", [*ANSWERS, PARTS])
print("texts alone:", plain)
print("and one list of parts:", mixed)
print("written:", mixed_written)
assert plain == plain_written == ANSWERS, plain
assert mixed == [1.5, 7, [0, 2], None, None, "from 1.50 to 2 s", PARTS], mixed
assert mixed_written == mixed, mixed_written
PYTHON
