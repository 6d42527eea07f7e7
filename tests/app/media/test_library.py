"""The media library and its route."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.auth.users import VISITOR_COOKIE, Authenticator, Role, VisitorCookies
from app.http.dependencies import prepare_app
from app.http.errors import StorageFull
from app.job_queue import Busy
from app.media.library import (
    DATASET_TTL_S,
    DATASETS,
    SHEETS_AT_ONCE,
    SHEETS_IN_LINE,
    MediaLibrary,
    media_routes,
)
from app.media.storage import StorageLimits
from tempo_core.errors import Cancelled, InputError, VideoError
from tests.app.fakes import light_draw, light_prepare


@pytest.fixture
def media(tmp_path: Path) -> MediaLibrary:
    (tmp_path / "media").mkdir()
    return MediaLibrary(tmp_path / "media", light_prepare, light_draw)


def test_the_same_bytes_are_prepared_once_per_owner(
    media: MediaLibrary, clip: Path, other_clip: Path
) -> None:
    first = media.ingest(clip, owner="alice", title="square.mp4")
    assert media.ingest(clip, owner="alice", title="again.mp4") is first
    assert media.ingest(clip, owner="bob", title="square.mp4").id != first.id
    assert media.ingest(other_clip, owner="alice", title="other.mp4").id != first.id
    assert len(first.id) >= 22


def test_a_clip_belongs_to_its_owner(media: MediaLibrary, clip: Path) -> None:
    copy = media.ingest(clip, owner="alice", title="square.mp4")
    assert media.get(copy.id, "alice") is copy
    with pytest.raises(InputError, match="no such clip"):
        media.get(copy.id, "bob")


def test_a_datasets_clip_is_for_those_who_ask_as_annotators(media: MediaLibrary, clip: Path) -> None:
    shared = media.ingest(clip, owner=DATASETS, title="vid")
    assert media.get(shared.id, "ada", DATASETS) is shared
    assert media.find(DATASETS, shared.source_sha256) is shared
    with pytest.raises(InputError, match="no such clip"):
        media.get(shared.id, "visitor")


def test_a_datasets_clip_outlives_a_persons(tmp_path: Path, clip: Path, other_clip: Path) -> None:
    now_s = 1000.0
    media = MediaLibrary(tmp_path, light_prepare, light_draw, clock=lambda: now_s)
    media.ingest(clip, owner="alice", title="square.mp4")
    shared = media.ingest(other_clip, owner=DATASETS, title="vid")
    now_s += 2 * 24 * 3600
    assert media.sweep() == 1
    assert media.find(DATASETS, shared.source_sha256) is shared
    now_s += DATASET_TTL_S + 1
    assert media.sweep() == 1


def test_a_restart_keeps_whole_clips_and_removes_unfinished_ones(media: MediaLibrary, clip: Path) -> None:
    copy = media.ingest(clip, owner="alice", title="square.mp4")
    (media.folder / "unfinished").mkdir()
    (media.folder / "broken").mkdir()
    (media.folder / "broken" / "clip.json").write_text(json.dumps({"owner": "alice"}))
    again = MediaLibrary(media.folder, light_prepare, light_draw)
    assert again.get(copy.id, "alice") == copy
    assert sorted(path.name for path in media.folder.iterdir()) == [copy.id]


def test_unused_clips_are_removed(tmp_path: Path, clip: Path, other_clip: Path) -> None:
    now = [0.0]
    media = MediaLibrary(tmp_path, light_prepare, light_draw, ttl_s=100, clock=lambda: now[0])
    old = media.ingest(clip, owner="alice", title="old")
    now[0] = 90
    new = media.ingest(other_clip, owner="alice", title="new")
    now[0] = 120
    assert media.sweep() == 1
    assert not old.folder.exists()
    assert media.get(new.id, "alice") is new


def test_one_owner_keeps_a_limited_number(tmp_path: Path, clip: Path, other_clip: Path) -> None:
    now = [0.0]
    media = MediaLibrary(tmp_path, light_prepare, light_draw, per_owner=1, clock=lambda: now[0])
    old = media.ingest(clip, owner="alice", title="old")
    now[0] = 1
    media.ingest(other_clip, owner="alice", title="new")
    assert not old.folder.exists()
    with pytest.raises(InputError):
        media.get(old.id, "alice")


def test_all_visitors_together_keep_a_limited_number(tmp_path: Path, clip: Path, other_clip: Path) -> None:
    """A visitor who drops the cookie is somebody else; what they leave behind is bounded all the same."""
    now = [0.0]
    media = MediaLibrary(tmp_path, light_prepare, light_draw, of_visitors=2, clock=lambda: now[0])
    copy = media.ingest(clip, owner="ada", title="kept")
    clips = []
    for now[0] in range(1, 5):
        clips.append(media.ingest(clip, owner=f"visitor-{now[0]}", title="square"))
    assert [c.folder.exists() for c in clips] == [False, False, True, True]
    assert copy.folder.exists()


def test_a_disk_that_is_almost_full_takes_no_copy(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = MediaLibrary(
        tmp_path, light_prepare, light_draw, limits=StorageLimits(free_space_floor_bytes=1000)
    )
    free_bytes = 999 + clip.stat().st_size
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=free_bytes))
    with pytest.raises(StorageFull, match="disk is too full"):
        media.ingest(clip, owner="alice", title="square.mp4")
    free_bytes += 1
    assert media.ingest(clip, owner="alice", title="square.mp4").path.is_file()


def test_an_original_that_made_way_for_its_copy_is_still_that_clip(media: MediaLibrary, clip: Path) -> None:
    copy = media.ingest(clip, owner="alice", title="square.mp4")
    link = media.folder.parent / "upload.mp4"
    os.link(copy.path, link)
    assert media.ingest(link, owner="alice", title="square.mp4") is copy
    assert media.ingest(link, owner="bob", title="square.mp4").owner == "bob"


def test_nothing_is_left_of_a_failed_clip(media: MediaLibrary, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video at all")
    with pytest.raises(VideoError, match=r"notes\.mp4"):
        media.ingest(tmp_path / "notes.mp4", owner="alice", title="notes.mp4")
    assert list(media.folder.iterdir()) == []


def test_nothing_is_left_of_a_cancelled_clip(tmp_path: Path, clip: Path) -> None:
    def cancelled(*arguments: Any, **named: Any) -> Any:
        raise Cancelled("Cancelled.")

    (tmp_path / "media").mkdir()
    media = MediaLibrary(tmp_path / "media", cancelled, light_draw)
    with pytest.raises(Cancelled):
        media.ingest(clip, owner="alice", title="square.mp4")
    assert list(media.folder.iterdir()) == []


def test_links_and_missing_files_are_refused(media: MediaLibrary, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(clip)
    for path in (tmp_path / "link.mp4", tmp_path / "gone.mp4", tmp_path):
        with pytest.raises(VideoError, match="no longer there"):
            media.ingest(path, owner="alice", title="x")


def test_the_route_serves_ranges_to_the_owner_only(media: MediaLibrary, clip: Path) -> None:
    authenticator = Authenticator(anonymous=True)
    inner = FastAPI()
    prepare_app(inner, authenticator)
    inner.include_router(media_routes(media))
    app = VisitorCookies(inner)
    with TestClient(app) as alice, TestClient(app) as bob:
        alice.cookies.set(VISITOR_COOKIE, "a" * 43)
        bob.cookies.set(VISITOR_COOKIE, "b" * 43)
        request: Any = type("Asking", (), {"cookies": {VISITOR_COOKIE: "a" * 43}})
        owner = authenticator.require(request, Role.VISITOR).id
        copy = media.ingest(clip, owner=owner, title="square.mp4")
        whole = alice.get(copy.url)
        assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
        assert whole.headers["accept-ranges"] == "bytes"
        assert "private" in whole.headers["cache-control"]
        part = alice.get(copy.url, headers={"range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")
        assert part.headers["content-range"] == f"bytes 4-7/{clip.stat().st_size}"
        assert alice.get(copy.url, headers={"range": "bytes=999999999-"}).status_code == 416
        assert alice.get(copy.strip_url).status_code == 404
        strip = media.strip_of(copy)
        assert media.strip_of(copy) == strip
        assert alice.get(copy.strip_url).headers["content-type"] == "image/jpeg"
        for url in (copy.url, copy.strip_url, "/media/unknown", "/media/..%2f..%2fetc%2fpasswd"):
            assert bob.get(url).status_code == 404


def test_few_pictures_of_finer_levels_are_drawn_and_waited_for_at_once(tmp_path: Path, clip: Path) -> None:
    may_end, drawing = threading.Event(), threading.Semaphore(0)

    def draw_sheet(clip: Path, target: Path, *arguments: object, **named: object) -> None:
        drawing.release()
        may_end.wait()
        target.write_bytes(b"sheet")

    (tmp_path / "media").mkdir()
    media = MediaLibrary(tmp_path / "media", light_prepare, light_draw, draw_sheet=draw_sheet)
    copy = media.ingest(clip, owner="alice", title="a")
    (copy.folder / "strip.json").write_text(json.dumps({"times_s": [0.0] * 48, "levels": 2}))
    with ThreadPoolExecutor(SHEETS_IN_LINE + 3) as pool:
        pending = [pool.submit(media.sheet_of, copy, 2, number) for number in range(SHEETS_IN_LINE + 3)]
        finished = as_completed(pending)
        refusals = [next(finished).exception() for _ in range(3)]
        for _ in range(SHEETS_AT_ONCE):
            drawing.acquire()
        is_more_drawn = drawing.acquire(blocking=False)
        may_end.set()
        pages = [future.result() for future in finished]
    assert [type(refusal) for refusal in refusals] == [Busy] * 3
    assert not is_more_drawn
    assert [page.read_bytes() for page in pages] == [b"sheet"] * SHEETS_IN_LINE
    assert media.sheet_of(copy, 2, 20).is_file()
