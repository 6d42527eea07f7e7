"""The model that ships, and a folder of clips to offer."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.ground.examples import SHIPPED
from app.ground.service import ground_with_engine
from app.media.clips import draw_strip, prepare_clip
from tests.app.annotating import until
from tests.app.conftest import RunningApp

RED = "a red circle is on screen"


@pytest.fixture(scope="session")
def engine() -> Any:
    from tempo_core.engine import load_engine

    return load_engine(four_bit=False, device="cpu")


@pytest.fixture
def rushes(tmp_path: Path) -> Path:
    """Two clips, the second in a folder below and behind a link."""
    folder = tmp_path / "rushes"
    (folder / "day 2").mkdir(parents=True)
    shutil.copyfile(SHIPPED / "shapes-plain.mp4", folder / "plain.mp4")
    (folder / "day 2" / "moving.mp4").symlink_to(SHIPPED / "shapes-moving.mp4")
    return folder


@pytest.fixture
def serve_rushes(serve: Callable[..., RunningApp], engine: Any, rushes: Path) -> Callable[[], RunningApp]:
    """The app that offers the folder; its clips are encoded when it returns."""

    def start() -> RunningApp:
        running = serve(
            engine=engine,
            ground=ground_with_engine,
            prepare=prepare_clip,
            draw=draw_strip,
            libraries=[rushes],
        )
        # It encodes them by itself; beside a second thread's, its line would go back once more.
        until(
            running.app.state.library.statuses, lambda states: not any(state.is_indexing for state in states)
        )
        return running

    return start
