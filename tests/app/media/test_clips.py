"""The real preparing of clips, and real bad files through a running app: the app stays up."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.http.errors import NoSuchFile
from app.media.clips import draw_sheet, draw_strip, prepare_clip
from app.media.library import LEVEL_FACTOR, SHEET_COLUMNS, UPLOAD_TTL_S, MediaLibrary
from tempo_core.errors import VideoError
from tempo_core.video import VideoInfo, sample
from tests.app.conftest import RunningApp
from tests.app.fakes import write_clip
from tests.videos import constant
from tests.videos import write_clip as write_numbered

gradio_client = pytest.importorskip("gradio_client")
pytestmark = pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")  # gradio 6.31 on pandas 3


def prepare(source: Path, folder: Path) -> Any:
    folder.mkdir(exist_ok=True)
    return prepare_clip(source, folder, cancel=threading.Event(), on_progress=lambda fraction: None)


def test_makes_a_copy_and_a_strip_with_true_times(clip: Path, tmp_path: Path) -> None:
    facts = prepare(clip, tmp_path / "clip")
    assert (facts.width, facts.height) == (160, 96)
    assert facts.duration_s == pytest.approx(4.0, abs=0.11)
    copy = tmp_path / "clip" / "clip.mp4"
    strip = draw_strip(copy, tmp_path / "strip.jpg", facts, cancel=threading.Event())
    rows = -(-len(strip.times_s) // strip.columns)
    with Image.open(tmp_path / "strip.jpg") as sheet:
        size = sheet.size
    assert size == (strip.columns * strip.tile_width, rows * strip.tile_height)
    assert list(strip.times_s) == sorted(set(strip.times_s))
    assert 0 <= strip.times_s[0] < strip.times_s[-1] < facts.duration_s


def test_finer_levels_of_the_strip_are_drawn_when_they_are_asked_for(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "minute.mp4", seconds=60)
    (tmp_path / "media").mkdir()
    media = MediaLibrary(tmp_path / "media", prepare_clip, draw_strip, draw_sheet=draw_sheet)
    clip = media.ingest(source, owner="alice", title="minute")
    strip = media.strip_of(clip)
    assert (len(strip.times_s), strip.levels) == (
        48,
        1,
    )  # a second level's tiles would be less than two frames apart
    count = 48 * LEVEL_FACTOR
    number = 3
    with Image.open(media.sheet_of(clip, 1, number)) as image:
        sheet = np.asarray(image)
    assert sheet.shape == (2 * strip.tile_height, SHEET_COLUMNS * strip.tile_width, 3)
    at_s = [(tile + 0.5) * clip.facts.duration_s / count for tile in range(16 * number, 16 * (number + 1))]
    frames = sample(
        clip.path, at=at_s, size=(strip.tile_height, strip.tile_width), force_reader="pyav"
    ).frames
    for place, frame in enumerate(frames):
        row, column = divmod(place, SHEET_COLUMNS)
        y, x = row * strip.tile_height, column * strip.tile_width
        tile = sheet[y : y + strip.tile_height, x : x + strip.tile_width]
        assert np.abs(tile.astype(int) - frame).mean() < 3
    first = media.sheet_of(clip, 1, number).stat().st_mtime_ns
    assert media.sheet_of(clip, 1, number).stat().st_mtime_ns == first
    for level, wrong in ((0, 0), (2, 0), (1, count // 16)):
        with pytest.raises(NoSuchFile):
            media.sheet_of(clip, level, wrong)
    assert list(clip.folder.glob(".strip*")) == []


def test_a_clip_that_browsers_play_is_there_before_its_copy(clip: Path, tmp_path: Path) -> None:
    now = [1000.0]
    (tmp_path / "media").mkdir()

    def library() -> MediaLibrary:
        return MediaLibrary(tmp_path / "media", prepare_clip, draw_strip, clock=lambda: now[0])

    media = library()
    early = media.ingest(clip, owner="alice", title="square", may_wait=True)
    assert (early.path.name, early.is_copy, early.url) == ("upload.mp4", False, f"/media/{early.id}/upload")
    assert early.path.read_bytes() == clip.read_bytes()
    assert not (early.folder / "clip.mp4").exists()
    assert media.ingest(clip, owner="alice", title="square", may_wait=True) == early
    media = library()  # a server that begins again has it as it was
    assert media.get(early.id, "alice") == early
    copied = media.ingest(clip, owner="alice", title="square")  # somebody needs single frames
    assert (copied.id, copied.is_copy, copied.url) == (early.id, True, f"/media/{early.id}")
    assert media.make_copy(early) == copied == library().get(early.id, "alice")
    assert early.path.is_file(), "whoever watches the upload goes on watching it"
    times_s = [0.0, 1.05, 3.95]
    assert sample(early.path, at=times_s).times_s.tolist() == pytest.approx(
        sample(copied.path, at=times_s).times_s.tolist(), abs=0.001
    )
    now[0] += UPLOAD_TTL_S + 1
    media.sweep()
    assert not early.path.exists()
    assert copied.path.is_file()


def test_what_browsers_do_not_play_gets_its_copy_first(tmp_path: Path) -> None:
    source = write_numbered(tmp_path / "clip.mkv", constant(25))
    facts = prepare_clip(
        source,
        tmp_path,
        cancel=threading.Event(),
        on_progress=lambda fraction: None,
        may_wait=True,
    )
    assert facts.file_name == "clip.mp4"
    assert (tmp_path / "clip.mp4").is_file()


def test_an_upload_is_never_a_link(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(clip)
    with pytest.raises(VideoError, match="symbolic link"):
        prepare(tmp_path / "link.mp4", tmp_path)


def test_a_very_long_clip_is_refused(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Long:
        duration_s = 5400.0

    def measured(path: Path, **named: Any) -> VideoInfo:
        return Long()  # type: ignore[return-value]

    monkeypatch.setattr("app.media.clips.probe", measured)
    with pytest.raises(VideoError, match="lasts 90 minutes; the page takes up to 60"):
        prepare(clip, tmp_path)


def bad_files(folder: Path) -> dict[str, Path]:
    """Files that are no clips, by what is wrong with them."""
    import wave

    whole = write_clip(folder / "whole.mp4")
    files = {name: folder / f"{name}.mp4" for name in ("empty", "text", "playlist", "truncated", "audio")}
    files["empty"].write_bytes(b"")
    files["text"].write_text("hello " * 1000)
    files["playlist"].write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{whole}\n#EXT-X-ENDLIST\n")
    files["truncated"].write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    with wave.open(str(files["audio"]), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0" * 16000)
    return files


def test_bad_files_are_explained_and_the_app_stays_up(
    serve: Callable[..., RunningApp], clip: Path, tmp_path: Path
) -> None:
    running = serve(prepare=prepare_clip, draw=draw_strip)
    client = gradio_client.Client(
        running.url, verbose=False, analytics_enabled=False, httpx_kwargs={"timeout": 300}
    )
    for kind, path in bad_files(tmp_path).items():
        with pytest.raises(gradio_client.exceptions.AppError) as caught:
            client.predict(video=gradio_client.handle_file(path), query="a square", api_name="/ground")
        message = str(caught.value)
        assert "incident" not in message, (kind, message)
        assert str(running.home.root) not in message, (kind, message)
        assert path.name in message or "video" in message, (kind, message)
    answer = client.predict(video=gradio_client.handle_file(clip), query="a square", api_name="/ground")
    assert answer["refused"] is False
    assert sorted(running.home.media.iterdir()) == [running.home.media / answer["clip"]["url"].split("/")[2]]
