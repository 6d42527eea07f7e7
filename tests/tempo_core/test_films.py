"""Long clips coarse to fine: equal to the full-rate pass where the budget allows it, true times, bounded memory."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tempo_core import films
from tempo_core.backend import AskRequest
from tempo_core.conformance import unit_hash
from tempo_core.endpoints import open_endpoint
from tempo_core.endpoints.client import KEY_VARIABLE
from tempo_core.engine import Answer, encode_file, ground
from tempo_core.errors import Cancelled, InputError
from tempo_core.film_plan import FilmWindow
from tempo_core.films import FilmContext, WindowCache, ask_film, frames_seen
from tempo_core.library.contexts import ContextFiles, EncodingSettings, StoredWindows
from tempo_core.library.index import ClipIndex, index_folder
from tempo_core.library.search import ask_library
from tempo_core.moments import Moment
from tempo_core.video import sample
from tempo_core.vocabulary import Understanding
from tests.openai_server import FakeServer, completion, fake_server
from tests.videos import constant, number_of, write_clip

QUERY = "a red circle appears"
RATE = 3
"""Pictures a second: a wanted second falls on a picture."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """330 seconds: longer than eight contexts of 40 frames, a second apart."""
    return write_clip(tmp_path_factory.mktemp("film") / "film.mp4", constant(330 * RATE, RATE), gop=RATE * 5)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with fake_server() as fake:
        yield fake


def encode_film(engine: Any, film: Path) -> FilmContext:
    context = encode_file(engine, film)
    assert isinstance(context, FilmContext)
    return context


def what_is_said(answer: Answer) -> dict[str, Any]:
    data = answer.to_dict()
    return {name: data[name] for name in ("moments", "relevance", "refused", "ranked")}


@pytest.mark.parametrize("query", ["a red circle", "two squares", "night"])
def test_coarse_to_fine_without_a_limit_is_the_full_rate_pass(engine: Any, film: Path, query: str) -> None:
    fine, _ = ground(engine, film, query, budget_frames=10_000)
    plain, _ = ground(engine, film, query, scan_step_s=1.0)
    assert [look.kind for look in plain.looks] == ["scan"] * 9
    assert [look.window for look in fine.looks if look.kind == "second"] == [
        look.window for look in plain.looks
    ]
    one, other = what_is_said(fine), what_is_said(plain)
    assert one["moments"] == other["moments"]
    assert one["refused"] == other["refused"]
    assert one["ranked"] == other["ranked"]
    assert one["relevance"] == pytest.approx(other["relevance"])


def test_what_second_looks_do_not_confirm_is_not_in_the_answers_text(
    engine: Any, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask_each = type(engine).ask_each

    def named_by_the_scan_alone(self: Any, requests: Any) -> list[Answer]:
        answers: list[Answer] = ask_each(self, requests)
        if isinstance(requests[0].context, FilmContext):
            return answers
        if requests[0].n_best == 0:
            moment: dict[str, Any] = {"moments": [Moment(1.0, 2.0)], "confidences": [0.9], "relevance": 0.9}
            return [replace(answer, **moment, refused=False, text="From 1 to 2.") for answer in answers]
        refusal: dict[str, Any] = {"moments": [], "confidences": [], "relevance": 0.01, "ranked": []}
        return [replace(answer, **refusal, refused=True, text="Nothing.") for answer in answers]

    monkeypatch.setattr(type(engine), "ask_each", named_by_the_scan_alone)
    answer, _ = ground(engine, film, "a red circle", budget_frames=10_000)
    assert {look.kind for look in answer.looks if look.moments} == {"scan"}
    assert (answer.refused, answer.moments, answer.text) == (True, [], "Nothing.")


def test_long_clips_are_films_unasked_and_others_are_not(engine: Any, film: Path, clip: Path) -> None:
    answer, context = ground(engine, film, QUERY)
    assert isinstance(context, FilmContext)
    assert engine.is_film(320.1)
    assert not engine.is_film(320)
    assert engine.step_for(330) is None
    short, short_context = ground(engine, clip, QUERY)
    assert not isinstance(short_context, FilmContext)
    assert "looks" not in short.to_dict()
    assert frames_seen(short_context, short) is short_context
    data = answer.to_dict()
    assert [look["pass"] for look in data["looks"]].count("scan") == len(context.plan.scan)
    assert {look["step_s"] for look in data["looks"]} <= {8.0, 1.0}
    assert sum(look["frames"] for look in data["looks"]) <= context.plan.budget_frames
    assert Answer.from_dict(json.loads(json.dumps(data))) == replace(answer, clip_end_s=None)
    assert "scanned with a frame every 8 s" in answer.notes[-1]


def test_stamps_are_true_times_and_frames_are_hashed_as_in_short_clips(engine: Any, film: Path) -> None:
    answer, context = ground(engine, film, QUERY, budget_frames=200)
    seen = frames_seen(context, answer)
    assert len(seen.times_s) == len(seen.allocation.tokens) == len(set(seen.times_s))
    assert sorted(seen.times_s) == list(seen.times_s)
    video = sample(film, at=sorted({float(record["time_s"]) for record in seen.stamp_records}))
    by_time = {round(time_s, 6): idx for idx, time_s in enumerate(video.times_s)}
    for record in seen.stamp_records:
        idx = by_time[round(float(record["time_s"]), 6)]
        assert record["sha256"] == unit_hash(video, (idx,))
        assert number_of(video.frames[idx]) == round(float(record["time_s"]) * RATE)
        stated_s = float(record["stamp"]) + float(record["clock_start_s"])
        assert stated_s == pytest.approx(float(record["time_s"]), abs=0.051)

    # a window whose first picture is left out begins later for a model that counts from its first picture
    late = [
        replace(look, frames=replace(look.frames, stamp_records=[{**record, "clock_start_s": 0.08}]))
        for look in answer.looks
        if look.frames is not None
        for record in look.frames.stamp_records[:1]
    ]
    starts = sorted(look.frames.clock_start_s for look in late if look.frames is not None)
    records = frames_seen(context, replace(answer, looks=tuple(late))).stamp_records
    assert [record["clock_start_s"] for record in records] == [start_s + 0.08 for start_s in starts]


def test_another_question_encodes_only_what_was_not_seen(
    engine: Any, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = encode_film(engine, film)
    first = ask_film(engine, AskRequest(context=context, query=QUERY))
    assert 0 < context.cache_bytes() < films.KEPT_BYTES
    reads: list[FilmWindow] = []
    read = films._read

    def counted(backend: Any, context: Any, windows: Any, cancel: Any) -> Any:
        reads.extend(windows)
        return read(backend, context, windows, cancel)

    monkeypatch.setattr(films, "_read", counted)
    again = engine.ask(context, QUERY)
    assert reads == []
    assert what_is_said(again) == what_is_said(first)
    engine.ask(context, "two squares")
    assert not set(reads) & set(context.plan.scan)


def test_memory_is_bounded_whatever_the_length(
    engine: Any, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = ground(engine, film, QUERY)
    context = replace(encode_film(engine, film), windows=WindowCache(0))
    monkeypatch.setattr(films, "READ_BYTES", 1)
    monkeypatch.setattr(films, "ASK_WINDOWS", 1)
    bare = engine.ask(context, QUERY)
    assert context.cache_bytes() == 0
    assert bare.moments == whole.moments


def test_the_window_that_was_not_used_for_longest_makes_room(engine: Any, film: Path) -> None:
    piece: Any = engine.encode(sample(film, at=[0.0, 1.0]))
    cache = WindowCache(2 * piece.cache_bytes())
    first, second, third = (FilmWindow(number, number + 1, 1.0) for number in range(3))
    cache.save(first, piece)
    cache.save(second, piece)
    assert cache.load(first) is not None
    cache.save(third, piece)
    assert [window in cache for window in (first, second, third)] == [True, False, True]
    assert cache.n_bytes() == cache.max_bytes


def test_progress_goes_up_and_a_cancelled_film_stops_between_windows(engine: Any, film: Path) -> None:
    stages: list[tuple[str, float]] = []
    cancel = threading.Event()

    def on_progress(stage: str, share: float) -> None:
        stages.append((stage, share))
        if stage == "scanning" and share > 0.5:
            cancel.set()

    with pytest.raises(Cancelled):
        ground(engine, film, QUERY, cancel=cancel, on_progress=on_progress)
    scanning = [share for stage, share in stages if stage == "scanning"]
    assert scanning == sorted(scanning)
    assert scanning[-1] < 1
    stages.clear()
    ground(engine, film, QUERY, on_progress=lambda stage, share: stages.append((stage, share)))
    assert ("scanning", 1.0) in stages


def test_nobody_looks_for_what_is_not_understood(
    engine: Any, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = Understanding(probability=0.0, words=("axolotl",))
    monkeypatch.setattr(type(engine), "understanding", lambda self, query: unknown)
    answer, context = ground(engine, film, "an axolotl")
    assert not answer.is_understood
    assert answer.looks == ()
    assert not answer.refused
    assert context.cache_bytes() == 0
    assert frames_seen(context, answer) is context


def test_windows_on_disk_answer_without_decoding(
    engine: Any, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StoredWindows(ContextFiles(tmp_path), engine, "0" * 64, EncodingSettings())
    first, _ = ground(engine, film, QUERY, window_store=store)
    monkeypatch.setattr(films, "_read", lambda *_: pytest.fail("decoded again"))
    again, context = ground(engine, film, QUERY, window_store=store)
    assert what_is_said(again) == what_is_said(first)
    assert [look.to_dict() for look in again.looks] == [look.to_dict() for look in first.looks]
    assert float(frames_seen(context, again).stamp_records[-1]["clock_start_s"]) > 0


def test_a_rate_for_the_whole_clip_and_a_scan_exclude_each_other(engine: Any, film: Path) -> None:
    with pytest.raises(InputError, match="Leave one out"):
        encode_file(engine, film, fps=0.1, scan_step_s=8.0)
    with pytest.raises(InputError, match="finest step is 1 s"):
        encode_file(engine, film, scan_step_s=0.1)
    with pytest.raises(InputError, match="does not hold the scan"):
        encode_file(engine, film, budget_frames=3)
    assert not isinstance(encode_file(engine, film, fps=0.1), FilmContext)


def test_a_model_behind_an_endpoint_is_asked_window_by_window(server: FakeServer, film: Path) -> None:
    engine = open_endpoint(server.address)
    assert not engine.is_film(3600)  # its protocol has a sampling of its own
    texts = [f"The event happens in {times} seconds." for times in ("120.0 - 130.0", "18.0 - 31.0")]
    server.replies = [completion(text) for text in texts]
    answer, context = ground(engine, film, QUERY, scan_step_s=10.0, budget_frames=100)
    assert isinstance(context, FilmContext)
    scan, *second = answer.looks
    assert (scan.window.start_s, scan.window.end_s) == (0.0, context.end_s)
    assert [(look.window.start_s, look.window.end_s) for look in second] == [(100.0, 150.0)]
    assert [(m.start_s, m.end_s) for m in answer.moments] == [(118.0, 131.0)]
    assert len(server.bodies) == 2
    assert answer.relevance is None


def test_a_protocol_that_cuts_clips_scans_none(server: FakeServer, film: Path) -> None:
    server.models = ["NemoStation/Marlin-2B"]
    with pytest.raises(InputError, match="into pieces of 30 s"):
        encode_file(open_endpoint(server.address), film, scan_step_s=8.0)


def test_a_film_of_a_folder_is_not_encoded_before_it_is_asked(
    engine: Any, film: Path, clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "film.mp4").symlink_to(film)
    (folder / "short.mp4").symlink_to(clip)
    index = ClipIndex(tmp_path / "index")
    report = index_folder(engine, folder, index)
    assert (sorted(report.encoded), report.not_stored) == (["film.mp4", "short.mp4"], ["film.mp4"])
    answer = ask_library(engine, folder, index, QUERY)
    alone, _ = ground(engine, film, QUERY)
    assert sorted(item.moment for item in answer.moments if item.clip == "film.mp4") == alone.moments
    assert answer.ends_s["film.mp4"] == pytest.approx(330, abs=0.5)
