"""From a foreign file to a clip: the normal copy that model and player share, and its film strip.

Every decoder runs in a limited child process (`tempo_core.sandbox`); nothing here opens the foreign file itself.
"""

import math
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from app.media.library import ClipFacts, FilmStrip
from tempo_core.errors import VideoError
from tempo_core.proxy import conforms, normalise
from tempo_core.video import VideoLimits, probe, sample

UPLOAD_LIMITS = VideoLimits(follow_links=False)
MAX_CLIP_S = 30 * 60.0
"""The page's limit; the command line takes longer videos."""
TILE_HEIGHT_PX = 72
STRIP_TILES = 48
STRIP_COLUMNS = 8


def prepare_clip(
    source: Path, folder: Path, *, cancel: threading.Event, on_progress: Callable[[float], None]
) -> ClipFacts:
    """Write `clip.mp4` into `folder`: the file itself where it is normal already, else a normal copy.

    Raises VideoError for what is not a video or longer than MAX_CLIP_S, Cancelled when `cancel` is set.
    """
    source_info = probe(source, limits=UPLOAD_LIMITS, cancel=cancel)
    if source_info.duration_s > MAX_CLIP_S:
        raise VideoError(
            f"This clip lasts {source_info.duration_s / 60:.0f} minutes; the page takes up to "
            f"{MAX_CLIP_S / 60:.0f}. Cut out the part in question, or use the command line for the whole."
        )
    copy = folder / "clip.mp4"
    if conforms(source_info):
        shutil.copyfile(source, copy)
        info = source_info
    else:
        info = normalise(source, copy, limits=UPLOAD_LIMITS, cancel=cancel, on_progress=on_progress)
    return ClipFacts(
        duration_s=info.duration_s,
        frame_rate=None if info.frame_rate is None else float(info.frame_rate),
        width=info.width,
        height=info.height,
        notes=info.notes,
        frame_count=info.frame_count,
    )


def draw_strip(clip: Path, target: Path, facts: ClipFacts, *, cancel: threading.Event) -> FilmStrip:
    """Write one JPEG with up to STRIP_TILES small frames, evenly spaced, and say where each is in time."""
    width = max(8, 2 * round(TILE_HEIGHT_PX * facts.width / facts.height / 2))
    spacing_s = facts.duration_s / STRIP_TILES
    at_s = [(tile + 0.5) * spacing_s for tile in range(STRIP_TILES)]
    # Decord's colours are off by up to 3 of 255 where it scales, and JPEG's rounding comes on top.
    frames = sample(clip, at=at_s, size=(TILE_HEIGHT_PX, width), cancel=cancel, force_reader="pyav")
    count = len(frames.times_s)
    columns = min(STRIP_COLUMNS, count)
    sheet = np.zeros((math.ceil(count / columns) * TILE_HEIGHT_PX, columns * width, 3), dtype=np.uint8)
    for tile, frame in enumerate(frames.frames):  # frame: uint8[TILE_HEIGHT_PX, width, 3]
        row, column = divmod(tile, columns)
        y, x = row * TILE_HEIGHT_PX, column * width
        sheet[y : y + TILE_HEIGHT_PX, x : x + width] = frame
    # Chroma at full size: halved, it bleeds over the edges of things in tiles this small.
    Image.fromarray(sheet).save(target, quality=95, subsampling=0)
    return FilmStrip(
        tile_width=width,
        tile_height=TILE_HEIGHT_PX,
        columns=columns,
        times_s=tuple(float(time_s) for time_s in frames.times_s),
    )
