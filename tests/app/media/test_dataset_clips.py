"""Clips of datasets: found, prepared once, shared by annotators; shot changes to the frame."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotations.errors import DatabaseAway
from annotations.store import Store
from app.job_queue import JobQueue
from app.media.clips import draw_strip, prepare_clip
from app.media.dataset_clips import ClipStatus, DatasetClips
from app.media.library import DATASETS, ClipFacts, MediaLibrary
from tempo_core.errors import VideoError
from tests.app.annotating import row, until
from tests.app.fakes import light_draw, light_prepare, no_sound, write_clip


@pytest.fixture
def job_queue() -> Iterator[JobQueue]:
    """A queue of its own."""
    job_queue = JobQueue("clips")
    yield job_queue
    job_queue.close()


def shelf_of(tmp_path: Path, job_queue: JobQueue, store: Store, **parts: object) -> DatasetClips:
    for name in ("media", "videos"):
        (tmp_path / name).mkdir(exist_ok=True)
    media = MediaLibrary(tmp_path / "media", light_prepare, light_draw)
    arguments = {
        "shots": lambda clip, facts, cancel: [1200],
        "sound": no_sound,
        "clock": lambda: 0.0,
        **parts,
    }
    return DatasetClips(store, media, job_queue, tmp_path / "videos", **arguments)  # type: ignore[arg-type]


def settled(dataset_clips: DatasetClips, vid: str) -> ClipStatus:
    """What is said of a clip in the end, its shot changes included."""
    status = until(
        lambda: dataset_clips.look(vid),
        lambda status: (
            status.preparing is None and (status.ready is None or status.ready.shots_ms is not None)
        ),
    )
    assert isinstance(status, ClipStatus)
    return status


def test_a_clip_that_somebody_waits_for_is_ready_before_its_shot_changes(
    tmp_path: Path, job_queue: JobQueue
) -> None:
    may_end = threading.Event()

    def shots(clip: Path, facts: ClipFacts, *, cancel: threading.Event) -> list[int]:
        assert may_end.wait(300)
        return [1200]

    with Store(":memory:") as store:
        store.import_rows([row(1, "a")], dataset="d", op_id="d")
        dataset_clips = shelf_of(tmp_path, job_queue, store, shots=shots)
        write_clip(tmp_path / "videos" / "a.mp4")
        early = until(lambda: dataset_clips.look("a"), lambda status: status.ready is not None).ready
        assert (early.shots_ms, early.frame_count) == (None, 40)
        may_end.set()
        ready = settled(dataset_clips, "a").ready
        assert ready is not None
        assert (ready.clip, ready.strip, ready.shots_ms) == (early.clip, early.strip, (1200,))


def test_a_clip_is_prepared_once_and_belongs_to_the_datasets(tmp_path: Path, job_queue: JobQueue) -> None:
    with Store(":memory:") as store:
        store.import_rows([row(1, "a")], dataset="d", op_id="d")
        dataset_clips = shelf_of(tmp_path, job_queue, store)
        write_clip(tmp_path / "videos" / "a.mp4")
        ready = settled(dataset_clips, "a").ready
        assert ready is not None
        assert (ready.clip.owner, ready.frame_rate, ready.frame_count) == (DATASETS, 10.0, 40)
        assert ready.shots_ms == (1200,)
        assert (ready.clip.folder / "shot_changes.json").read_text() == "[1200]"
        again = shelf_of(tmp_path, job_queue, store, shots=None)
        ready_again = again.look("a").ready  # at once: an answer given before a restart may be on its way
        assert ready_again is not None
        assert (ready_again.clip.id, ready_again.shots_ms) == (ready.clip.id, (1200,))


def test_a_file_that_comes_later_is_found_on_the_next_look(tmp_path: Path, job_queue: JobQueue) -> None:
    now_s = 0.0
    with Store(":memory:") as store:
        store.import_rows([row(1, "a")], dataset="d", op_id="d")
        dataset_clips = shelf_of(tmp_path, job_queue, store, clock=lambda: now_s)
        missing = dataset_clips.look("a").missing
        assert missing is not None
        assert "a.mp4" in missing
        assert "the folder videos of TEMPO_HOME" in missing
        assert str(tmp_path) not in missing
        write_clip(tmp_path / "videos" / "a.mp4")
        assert dataset_clips.look("a").missing is not None  # looked through a moment ago
        now_s = 60.0
        assert settled(dataset_clips, "a").ready is not None


def test_a_broken_file_says_why_and_is_tried_again(tmp_path: Path, job_queue: JobQueue) -> None:
    with Store(":memory:") as store:
        store.import_rows([row(1, "a")], dataset="d", op_id="d")
        gate = threading.Event()
        gate.set()

        def prepare(source: Path, folder: Path, **named: object) -> ClipFacts:
            gate.wait(600)
            return light_prepare(source, folder, **named)  # type: ignore[arg-type]

        dataset_clips = shelf_of(tmp_path, job_queue, store)
        dataset_clips.media._prepare = prepare
        (tmp_path / "videos" / "a.mp4").write_bytes(b"no video at all")
        assert "is not a video" in str(settled(dataset_clips, "a").failed)
        gate.clear()  # or it has failed again before it is looked at
        assert dataset_clips.look("a").preparing is not None
        gate.set()


def test_work_in_advance_goes_on_past_a_broken_clip(tmp_path: Path, job_queue: JobQueue) -> None:
    ready_vids: list[str] = []
    with Store(":memory:") as store:
        store.import_rows([row(1, "a"), row(2, "b")], dataset="d", op_id="d")
        dataset_clips = shelf_of(tmp_path, job_queue, store)
        (tmp_path / "videos" / "a.mp4").write_bytes(b"no video at all")
        write_clip(tmp_path / "videos" / "b.mp4")
        dataset_clips.scan_folder(at_once=True)
        dataset_clips.prepare_in_turn(["a", "b"], on_ready=ready_vids.append)
        until(lambda: ready_vids, bool)
        assert ready_vids == ["b"]
        assert dataset_clips.look("b").ready is not None


def test_a_long_clip_never_holds_up_a_short_one(tmp_path: Path, job_queue: JobQueue) -> None:
    """The film's copy waits at a gate; the short clip is ready meanwhile, and each says what it waits for."""
    gate, films = threading.Event(), JobQueue("films")

    def prepare(source: Path, folder: Path, **named: object) -> ClipFacts:
        if source.stem.startswith("film"):
            gate.wait(600)
        return light_prepare(source, folder, **named)  # type: ignore[arg-type]

    def measure(path: Path) -> float:
        return 1200.0 if path.stem.startswith("film") else 4.0

    with Store(":memory:") as store:
        vids = ["film", "film-2", "short"]
        store.import_rows([row(n, vid) for n, vid in enumerate(vids)], dataset="d", op_id="d")
        dataset_clips = shelf_of(tmp_path, job_queue, store, film_queue=films, measure=measure)
        dataset_clips.media._prepare = prepare
        for vid in vids:
            write_clip(tmp_path / "videos" / f"{vid}.mp4", hue=10 * len(vid))
        for vid in ("film", "film-2"):
            dataset_clips.look(vid)
        assert settled(dataset_clips, "short").ready is not None
        assert dataset_clips.look("film").preparing == "Preparing the clip, a long one."
        waiting = until(
            lambda: dataset_clips.look("film-2").preparing, lambda text: text is not None and "line" in text
        )
        assert waiting == "This clip waits for the film film. It is number 2 in line."
        gate.set()
        assert settled(dataset_clips, "film").ready is not None
        assert settled(dataset_clips, "film-2").ready is not None
    films.close()


def test_the_next_rows_are_prepared_ahead_and_the_newest_list_counts(
    tmp_path: Path, job_queue: JobQueue
) -> None:
    began, gate, order = threading.Event(), threading.Event(), list[str]()

    def prepare(source: Path, folder: Path, **named: object) -> ClipFacts:
        began.set()
        gate.wait(600)
        order.append(source.stem)
        return light_prepare(source, folder, **named)  # type: ignore[arg-type]

    with Store(":memory:") as store:
        vids = ["a", "b", "c", "d"]
        store.import_rows([row(n, vid) for n, vid in enumerate(vids)], dataset="d", op_id="d")
        dataset_clips = shelf_of(tmp_path, job_queue, store)
        dataset_clips.media._prepare = prepare
        for number, vid in enumerate(vids):
            write_clip(tmp_path / "videos" / f"{vid}.mp4", hue=20 * number)
        dataset_clips.scan_folder(at_once=True)
        dataset_clips.prepare_ahead("ada", ["a", "b"])
        assert began.wait(600)
        dataset_clips.prepare_ahead("ada", ["c"])  # ada has skipped on
        dataset_clips.look("d")  # and somebody has this one on screen
        gate.set()
        assert settled(dataset_clips, "c").ready is not None
        # What was begun is finished; what is on screen goes before what is for later.
        assert [vid for vid in order if vid != "a"] == ["d", "c"]


def test_clips_are_prepared_ahead_again_after_the_store_was_away(
    tmp_path: Path, job_queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(":memory:") as store:
        store.import_rows([row(n, vid) for n, vid in enumerate("ab")], dataset="d", op_id="d")
        dataset_clips = shelf_of(tmp_path, job_queue, store)
        for vid in "ab":
            write_clip(tmp_path / "videos" / f"{vid}.mp4")
        dataset_clips.scan_folder(at_once=True)
        looking, find = threading.Event(), store.video

        def fail(vid: str) -> None:
            looking.set()
            raise DatabaseAway("The database does not answer.")

        monkeypatch.setattr(store, "video", fail)
        dataset_clips.prepare_ahead("ada", ["a"])
        assert looking.wait(600)
        monkeypatch.setattr(store, "video", find)
        dataset_clips.prepare_ahead("ada", ["b"])
        until(lambda: len(dataset_clips._ready), lambda count: count == 1)


def test_somebody_who_says_look_again_waits_for_no_interval(tmp_path: Path, job_queue: JobQueue) -> None:
    with Store(":memory:") as store:
        store.import_rows([row(1, "id_60.0_210.0")], dataset="d", op_id="d")
        dataset_clips = shelf_of(tmp_path, job_queue, store)
        missing = dataset_clips.look("id_60.0_210.0").missing
        assert missing is not None
        assert "from the whole video id, 60 to 210 s: python -m annotations videos cut FOLDER" in missing
        write_clip(tmp_path / "videos" / "id_60.0_210.0.mp4")
        assert dataset_clips.look("id_60.0_210.0").missing is not None
        dataset_clips.look_again("id_60.0_210.0")
        assert settled(dataset_clips, "id_60.0_210.0").ready is not None


def test_a_clip_without_strip_or_shots_is_still_ready(tmp_path: Path, job_queue: JobQueue) -> None:
    def fail(*arguments: object, **named: object) -> list[int]:
        raise VideoError("no pictures")

    with Store(":memory:") as store:
        store.import_rows([row(1, "a")], dataset="d", op_id="d")
        dataset_clips = shelf_of(tmp_path, job_queue, store, shots=fail)
        dataset_clips.media._draw = fail  # type: ignore[assignment]
        write_clip(tmp_path / "videos" / "a.mp4")
        ready = settled(dataset_clips, "a").ready
        assert ready is not None
        assert (ready.strip, ready.shots_ms) == (None, ())


def test_the_real_copy_counts_its_frames(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "source.mp4", seconds=3)
    (tmp_path / "copy").mkdir()
    facts = prepare_clip(
        source, tmp_path / "copy", cancel=threading.Event(), on_progress=lambda fraction: None
    )
    assert (facts.frame_count, facts.frame_rate) == (30, 10.0)
    assert facts.duration_s == pytest.approx(3.0)
    strip = draw_strip(
        tmp_path / "copy" / "clip.mp4", tmp_path / "strip.jpg", facts, cancel=threading.Event()
    )
    assert strip.times_s[0] == 0.0
