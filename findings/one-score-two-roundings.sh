#!/usr/bin/env bash
# numpy: the same score is printed as 72.96 or 72.97, by whether the evaluator's mean was a numpy number or a float.
#
# Version: numpy 2.4.6, Python 3.11 to 3.13.
# Guess: round(score, 2) gives the same two decimals for np.float64(72.965) and for 72.965, since they are the same number.
# Seen: Python rounds the exact binary value, numpy multiplies by 100, rounds halves to even, and divides. Of the scores
# 0.000, 0.001 ... 99.999, 4,227 differ by .01, half of them in either direction. Published evaluators of this field mix both in one
# table: where a mean passes through float() or json, another digit is printed than where it does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np

scores = [thousandths / 1000 for thousandths in range(100_000)]
differing = [score for score in scores if round(score, 2) != round(np.float64(score), 2)]
lower = sum(round(np.float64(score), 2) < round(score, 2) for score in differing)
example = (round(72.965, 2), float(round(np.float64(72.965), 2)))
print(np.__version__, len(differing), "differ, of which numpy is lower in", lower, "example 72.965:", example)
assert example == (72.97, 72.96), example
assert 0 < lower < len(differing)
PYTHON
