#!/usr/bin/env bash
# webdataset: of three clips whose names hold times, as QVHighlights names them, two samples come back, under other keys.
#
# Version: webdataset 1.0.2, TarWriter and WebDataset with their defaults.
# Guess: what a TarWriter took under a key, with fields "json" and "txt", is read under that key, with these fields.
# Seen: a file's name is cut at its first dot. "abc_60.0_210.0.json" is field "0_210.0.json" of sample "abc_60", and clips of
# one recording that begin in the same second are one sample of four fields. The writer does not refuse the key.
# Whoever takes a sample's first field that ends in .json loses a clip of three and never hears of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet webdataset==1.0.2 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON' 2>errors.txt || { cat errors.txt; exit 1; }
import webdataset

CLIPS = ["abc_60.0_210.0", "abc_60.5_360.0", "xyz_0.0_150.0"]
with webdataset.TarWriter("clips.tar") as writer:
    for clip in CLIPS:
        writer.write({"__key__": clip, "json": {"vid": clip}, "txt": "a dog"})
samples = [
    (sample["__key__"], sorted(name for name in sample if not name.startswith("__")))
    for sample in webdataset.WebDataset("clips.tar", shardshuffle=False)
]
print(f"{len(CLIPS)} written, {len(samples)} read:", samples)
assert samples == [
    ("abc_60", ["0_210.0.json", "0_210.0.txt", "5_360.0.json", "5_360.0.txt"]),
    ("xyz_0", ["0_150.0.json", "0_150.0.txt"]),
], samples
PYTHON
