"""Long clips in pieces, against what the authors' code does with the same lengths and moments (pieces.json, written by
scripts/protocol_fixtures.py)."""

import json
from pathlib import Path

import pytest

from tempo_core.moments import Moment
from tempo_core.protocols.marlin import PROTOCOL

FIXTURE = json.loads(Path(__file__).with_name("pieces.json").read_text())
CHUNKS = PROTOCOL.chunks


def test_clips_are_cut_as_the_authors_cut_them() -> None:
    assert CHUNKS is not None
    for length, windows in FIXTURE["windows"].items():
        assert CHUNKS.windows(float(length)) == [pytest.approx(tuple(window)) for window in windows], length


def test_moments_of_pieces_are_joined_as_the_authors_join_them() -> None:
    assert CHUNKS is not None
    for case in FIXTURE["joins"]:
        joined = CHUNKS.join([Moment(*pair) for pair in case["given"]])
        assert [[moment.start_s, moment.end_s] for moment in joined] == case["kept"]
