"""A clip of more than half a minute, asked in pieces: each on its own clock, one answer on the clip's."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core import chunks
from tempo_core.endpoints import open_endpoint
from tempo_core.endpoints.client import KEY_VARIABLE
from tempo_core.engine import encode_file, ground
from tests.openai_server import FakeServer, completion, fake_server
from tests.videos import constant, numbers_of, write_clip

QUERY = "a yellow square jumps"


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """62 seconds at 8 pictures a second, each with its number."""
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", constant(62 * 8, 8), gop=16)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with fake_server() as fake:
        fake.models = ["NemoStation/Marlin-2B"]
        yield fake


def stamps(body: dict[str, Any]) -> list[float]:
    parts = next(m["content"] for m in body["messages"] if m["role"] == "user")
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return [float(s) for text in texts for s in re.findall(r"<([\d.]+) seconds>", text)]


def test_each_piece_has_its_own_clock_and_the_answer_the_clips(server: FakeServer, long_clip: Path) -> None:
    # three pieces from 0, 25 and 50 s; the second and the third see the same event
    server.replies = [completion(f"From {a} to {b}.") for a, b in ((1.0, 4.0), (26.0, 29.0), (0.5, 3.0))]
    engine = open_endpoint(server.address)
    answer, context = ground(engine, long_clip, QUERY)
    assert context.windows == ((0.0, 30.0), (25.0, 55.0), (50.0, context.end_s))
    assert context.end_s == pytest.approx(62, abs=0.1)
    assert [(m.start_s, m.end_s) for m in answer.moments] == [(1.0, 4.0), (51.0, 54.0)]
    times_told = [stamps(body) for body in server.bodies]
    assert [times[0] for times in times_told] == [0.0, 0.0, 0.0]
    assert all(times[-1] <= 30 for times in times_told)
    assert "in 3 pieces" in answer.notes[-1]
    # what is told is true on the piece's clock, and listed on the clip's
    for record in context.stamp_records:
        told_s = float(re.findall(r"[\d.]+", str(record["stamp"]))[0])
        assert told_s + float(record["clock_start_s"]) == pytest.approx(float(record["time_s"]), abs=0.051)
    assert np.all(np.diff(context.times_s) > 0)
    assert len(context.allocation.tokens) == len(context.times_s)
    server.replies = [completion("From 2.0 to 3.0.")]
    again = engine.ask(context, "a blue circle")
    assert [(m.start_s, m.end_s) for m in again.moments] == [(2.0, 3.0), (27.0, 28.0), (52.0, 53.0)]


def test_pieces_that_do_not_fit_are_read_again(
    server: FakeServer, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.replies = [completion("From 1.0 to 2.0.")]
    engine = open_endpoint(server.address)
    whole = encode_file(engine, long_clip)
    monkeypatch.setattr(chunks, "KEPT_BYTES", 0)
    bare = encode_file(engine, long_clip)
    assert bare.cache_bytes() == 0 < whole.cache_bytes()
    first, second = engine.ask(whole, QUERY), engine.ask(bare, QUERY)
    assert first.moments == second.moments
    half = len(server.bodies) // 2
    assert server.bodies[:half] == server.bodies[half:]


def test_a_named_rate_or_a_short_clip_is_one_piece(server: FakeServer, long_clip: Path, clip: Path) -> None:
    server.replies = [completion("From 1.0 to 2.0.")]
    engine = open_endpoint(server.address)
    ground(engine, clip, QUERY)
    ground(engine, long_clip, QUERY, fps=0.5)
    assert len(server.bodies) == 2


def test_a_window_holds_the_pictures_that_begin_in_it(long_clip: Path) -> None:
    from tempo_core.protocols.marlin import PROTOCOL
    from tempo_core.video import probe, sample

    info = probe(long_clip)
    assert PROTOCOL.sampling is not None
    times, _ = chunks.window_plan(PROTOCOL.sampling, info, (25.0, 55.0))
    assert len(times) == 60
    video = chunks.on_own_clock(sample(long_clip, at=times), (25.0, 55.0))
    assert numbers_of(video.frames) == [round((25 + t) * 8) for t in video.times_s]
    assert video.times_s[0] == 0.0
    assert video.end_s == 30.0
