"""A folder of two short clips with different pictures, and an index of its own."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tempo_core.library.index import ClipIndex


def write_jump(path: Path, jump_idx: int) -> None:
    """Six seconds of a square that jumps at a frame, ten pictures a second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 112, 84, "yuv420p"
        for idx in range(60):
            picture = np.full((84, 112, 3), (30, 90, 140), dtype=np.uint8)
            left = 10 if idx < jump_idx else 70
            picture[30:60, left : left + 30] = (240, 210, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="session")
def two_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: copy it before changing it."""
    folder = tmp_path_factory.mktemp("two") / "clips"
    (folder / "later").mkdir(parents=True)
    write_jump(folder / "a.mp4", 20)
    write_jump(folder / "later" / "b.mp4", 40)
    return folder


@pytest.fixture
def index(tmp_path: Path) -> ClipIndex:
    return ClipIndex(tmp_path / "library")
