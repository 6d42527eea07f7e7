#!/usr/bin/env bash
# Two moments touch at 2.0 s: pyannote gives that instant to the first, intervaltree to the second, pympi to both.
#
# Versions: pyannote.core 6.1.0, intervaltree 3.2.1, pympi-ling 1.71.
# Guess: libraries of time intervals are half-open, [start, end), as frames are: at 2.0 s the second moment has begun.
# Seen: what is on at 2.0 s, with moments 0 to 2 and 2 to 4? pyannote.core's Timeline.overlapping: the first. intervaltree: the
# second. pympi's get_annotation_data_at_time: both. Counting frames by these rules gives 50, 50 or 51 pictures for a moment
# of two seconds at 25 a second, and shifts it by one. Besides, an Annotation of pyannote keeps one label for a stretch:
# a second query with the same moment replaces the first without a word, unless each is given a track name.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyannote.core==6.1.0 intervaltree==3.2.1 pympi-ling==1.71
cd "$folder"
venv/bin/python - <<'PYTHON'
import pympi
from intervaltree import IntervalTree
from pyannote.core import Annotation, Segment, Timeline

MOMENTS = [(0, 2), (2, 4)]
by_pyannote = [tuple(segment) for segment in Timeline([Segment(*pair) for pair in MOMENTS]).overlapping(2)]
by_intervaltree = [(interval.begin, interval.end) for interval in IntervalTree.from_tuples(MOMENTS)[2]]
elan = pympi.Elan.Eaf()
elan.add_tier("moments")
for start, end in MOMENTS:
    elan.add_annotation("moments", start * 1000, end * 1000, "dog")
by_pympi = [(start // 1000, end // 1000) for start, end, _ in elan.get_annotation_data_at_time("moments", 2000)]
labels = Annotation()
labels[Segment(0, 2)] = "a dog"
labels[Segment(0, 2)] = "a cat"
print("pyannote", by_pyannote, "intervaltree", by_intervaltree, "pympi", by_pympi, "labels", labels.labels())
assert by_pyannote == [(0, 2)], by_pyannote
assert by_intervaltree == [(2, 4)], by_intervaltree
assert by_pympi == [(0, 2), (2, 4)], by_pympi
assert labels.labels() == ["a cat"], labels.labels()
PYTHON
