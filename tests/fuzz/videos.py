"""Mutated videos, read as the app reads an upload."""

import random
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from app.media import clips
from tempo_core.errors import InputError, VideoError
from tempo_core.sandbox import ChildDied, ChildLimits
from tempo_core.video import VideoLimits, sample
from tests.fuzz.campaign import Case, Fault
from tests.fuzz.mutations import mutated
from tests.fuzz.seed_videos import write_seeds
from tests.processes import lasting_children

LIMITS = VideoLimits(child=ChildLimits(cpu_s=60, wall_s=240.0), threads=1)
WHOLE_WAY_EVERY = 10
"""One case in so many goes the whole way of an upload, with the copy and the film strip."""


@contextmanager
def video_case(folder: Path) -> Iterator[Case]:
    """A case runs in `folder`, which is emptied after each."""
    seeds_folder, home, temporary = folder / "seeds", folder / "server-home", folder / "temporary"
    for path in (seeds_folder, home, temporary):
        path.mkdir()
    seeds = write_seeds(seeds_folder)
    contents = [*seeds.values()]

    def run_case(seeded: random.Random) -> str:
        name = seeded.choice([*seeds])
        clip = home / f"clip{Path(name).suffix}"
        clip.write_bytes(mutated(seeded, seeds[name], contents))
        copies = home / "copies"
        copies.mkdir()
        try:
            outcome = read(clip, copies, whole_way=seeded.randrange(WHOLE_WAY_EVERY) == 0)
        finally:
            for file in (*copies.iterdir(), clip):
                file.unlink()
            copies.rmdir()
        if children := lasting_children():
            raise Fault(f"{name}: child processes stay: {children}")
        if files := [*temporary.iterdir(), *home.iterdir()]:
            raise Fault(f"{name}: files stay: {files}")
        return outcome

    def read(clip: Path, copies: Path, *, whole_way: bool) -> str:
        try:
            if whole_way:
                facts = clips.prepare_clip(
                    clip, copies, cancel=threading.Event(), on_progress=lambda share: None
                )
                clips.draw_strip(copies / "clip.mp4", copies / "strip.jpg", facts, cancel=threading.Event())
            else:
                sample(clip, max_frames=3, max_pixels=100_000, limits=LIMITS)
        except (VideoError, InputError) as error:
            if str(folder) in str(error):
                raise Fault(f"{clip.name}: a folder is told: {error}") from error
            cause = error.cause if isinstance(error, ChildDied) else None
            if cause == "time":
                raise Fault(f"{clip.name}: a hang: {error}") from error
            return "refused" if cause is None else f"child ended ({cause or 'other'})"
        except Exception as error:
            raise Fault(f"{clip.name}: {traceback.format_exc()}") from error
        return "read whole" if whole_way else "read"

    limits = replace(LIMITS, follow_links=False)
    with (
        mock.patch.object(tempfile, "tempdir", str(temporary)),
        mock.patch.object(clips, "UPLOAD_LIMITS", limits),
    ):
        yield run_case
