"""From a foreign file to a clip: the normal copy that model and player share, and its film strip.

Every decoder runs in a limited child process (`tempo_core.sandbox`); nothing here opens the foreign file itself.
"""

import math
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.media.library import (
    COPY_NAME,
    LEVEL_FACTOR,
    SHEET_COLUMNS,
    UPLOAD_NAME,
    ClipFacts,
    FilmStrip,
)
from tempo_core.errors import VideoError
from tempo_core.proxy import conforms, normalise, plays_as_is
from tempo_core.video import SampledVideo, VideoInfo, VideoLimits, probe, sample

UPLOAD_LIMITS = VideoLimits(follow_links=False)
MAX_CLIP_S = 60 * 60.0
"""The page's limit; the command line takes longer videos."""
TILE_HEIGHT_PX = 72
STRIP_TILES = 48
STRIP_COLUMNS = 8


def prepare_clip(
    source: Path,
    folder: Path,
    *,
    cancel: threading.Event,
    on_progress: Callable[[float], None],
    may_wait: bool = False,
) -> ClipFacts:
    """Write `clip.mp4` into `folder`: the file itself where it is normal already, else a normal copy.

    With `may_wait` a file that browsers play as it is becomes `upload.mp4` or `upload.webm` there, and its copy is
    left for later. Raises VideoError for what is not a video or longer than MAX_CLIP_S, Cancelled when `cancel` is set.
    """
    source_info = probe(source, limits=UPLOAD_LIMITS, cancel=cancel)
    if source_info.duration_s > MAX_CLIP_S:
        raise VideoError(
            f"This clip lasts {source_info.duration_s / 60:.0f} minutes; the page takes up to "
            f"{MAX_CLIP_S / 60:.0f}. Cut out the part in question, or use the command line for the whole."
        )
    copy = folder / COPY_NAME
    file_name = COPY_NAME
    if conforms(source_info):
        shutil.copyfile(source, copy)
        info = source_info
    elif may_wait and (suffix := _browser_suffix(source, source_info)):
        file_name, info = UPLOAD_NAME + suffix, source_info
        _link(source, folder / file_name)
    else:
        info = normalise(source, copy, limits=UPLOAD_LIMITS, cancel=cancel, on_progress=on_progress)
    # Whether frame k is shown at k / rate, as in every copy.
    counts_frames = not info.variable_rate and info.start_s == 0
    return ClipFacts(
        duration_s=info.duration_s,
        frame_rate=float(info.frame_rate) if info.frame_rate is not None and counts_frames else None,
        width=info.width,
        height=info.height,
        notes=info.notes,
        frame_count=info.frame_count,
        file_name=file_name,
        has_sound=info.audio_codec is not None,
    )


def _browser_suffix(source: Path, info: VideoInfo) -> str | None:
    """The suffix under which browsers play a file as it is; None for one that they do not."""
    if not plays_as_is(info):
        return None
    if info.container.startswith("mov"):
        return ".mp4"
    with source.open("rb") as file:
        # Of Matroska's files browsers promise to play those of the document type "webm".
        return ".webm" if b"webm" in file.read(64) else None


def _link(source: Path, target: Path) -> None:
    """The same file under another name, or a copy where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def draw_strip(clip: Path, target: Path, facts: ClipFacts, *, cancel: threading.Event) -> FilmStrip:
    """Write one JPEG with up to STRIP_TILES small frames, evenly spaced, and say where each is in time."""
    spacing_s = facts.duration_s / STRIP_TILES
    at_s = [(tile + 0.5) * spacing_s for tile in range(STRIP_TILES)]
    frames = _sample_tiles(clip, facts, at_s, cancel)
    count = len(frames.times_s)
    columns = min(STRIP_COLUMNS, count)
    _write_sheet(list(frames.frames), columns, target)
    # Levels as long as neighbouring tiles are at least two frames apart; none where tiles fell together already.
    step_s = 2 / (facts.frame_rate or 25.0)
    levels = 0
    while count == STRIP_TILES and spacing_s / LEVEL_FACTOR ** (levels + 1) >= step_s:
        levels += 1
    return FilmStrip(
        tile_width=tile_width(facts),
        tile_height=TILE_HEIGHT_PX,
        columns=columns,
        times_s=tuple(float(time_s) for time_s in frames.times_s),
        levels=levels,
    )


def draw_sheet(
    clip: Path, target: Path, facts: ClipFacts, at_s: Sequence[float], *, cancel: threading.Event
) -> None:
    """Write the frames shown at these seconds as one JPEG, SHEET_COLUMNS side by side."""
    frames = _sample_tiles(clip, facts, at_s, cancel)
    shown_idx = (
        np.searchsorted(frames.times_s, np.asarray(at_s), side="right") - 1
    )  # two times may show one frame
    _write_sheet([frames.frames[max(0, idx)] for idx in shown_idx], SHEET_COLUMNS, target)


def tile_width(facts: ClipFacts) -> int:
    """Pixels of a tile's width; its height is TILE_HEIGHT_PX."""
    return max(8, 2 * round(TILE_HEIGHT_PX * facts.width / facts.height / 2))


def _sample_tiles(
    clip: Path, facts: ClipFacts, at_s: Sequence[float], cancel: threading.Event
) -> SampledVideo:
    # Decord's colours are off by up to 3 of 255 where it scales, and JPEG's rounding comes on top.
    size = (TILE_HEIGHT_PX, tile_width(facts))
    return sample(clip, at=at_s, size=size, cancel=cancel, force_reader="pyav")


def _write_sheet(tiles: Sequence[npt.NDArray[np.uint8]], columns: int, target: Path) -> None:
    """Tiles uint8[TILE_HEIGHT_PX, width, 3] in reading order as one JPEG."""
    height, width = tiles[0].shape[:2]
    sheet = np.zeros((math.ceil(len(tiles) / columns) * height, columns * width, 3), dtype=np.uint8)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
    # Chroma at full size: halved, it bleeds over the edges of things in tiles this small.
    Image.fromarray(sheet).save(target, format="JPEG", quality=95, subsampling=0)
