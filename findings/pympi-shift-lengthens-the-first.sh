#!/usr/bin/env bash
# pympi shifts a tier to the left and the annotation at the edge grows.
#
# Version: pympi-ling 1.71.
# Guess: a shift moves every annotation by the same time; what would begin before zero is cut there, as the docstring says
# ("squashed"), so that an annotation of 0.2-1.0 s that is shifted by half a second to the left is 0.0-0.5 s.
# Seen: its beginning is cut at 0 and its end stays where it was: 0.0-1.0 s, 200 ms longer than before. Its neighbour does
# move, so that two annotations of one tier now overlap, which ELAN does not allow. What is reported as squashed are the
# times from before the shift.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pympi-ling==1.71
cd "$folder"
venv/bin/python - <<'PYTHON'
import pympi

document = pympi.Elan.Eaf()
document.add_tier("moments")
document.add_annotation("moments", 200, 1000, "a dog appears")
document.add_annotation("moments", 1000, 2000, "it runs")
squashed, removed = document.shift_annotations(-500)
first, second = sorted(annotation[:2] for annotation in document.get_annotation_data_for_tier("moments"))
print("after a shift of -500 ms:", first, second)
print("squashed:", squashed, "removed:", removed)
assert second == (500, 1500), second
assert first == (0, 1000), "the end of the first annotation moves too now"
assert first[1] > second[0]
assert (squashed, removed) == ([("moments", 200, 1000, "a dog appears")], [])
PYTHON
