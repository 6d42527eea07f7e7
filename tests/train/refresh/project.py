"""A store with clips on disk and people who correct, small enough to refresh in a test."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from annotations.records import Edit, EditedMoment, Video
from annotations.rows import Row
from annotations.snapshot import take_snapshot
from annotations.store import Store
from tests.app.fakes import write_clip
from train.config import PirGrpoConfig, PromotionCriteria, RefreshConfig, SftConfig

SFT = SftConfig(
    rank=4,
    alpha=8,
    learning_rate=1e-2,
    steps=4,
    questions_per_row=3,
    per_device_train_batch_size=2,
    save_steps=2,
    logging_steps=1,
    threads=1,
)
PIR = PirGrpoConfig(
    rank=4,
    alpha=8,
    learning_rate=1e-3,
    steps=2,
    groups=2,
    num_generations=2,
    save_steps=1,
    logging_steps=1,
    threads=1,
)
QUICK = RefreshConfig(
    name="quick",
    sft=SFT,
    pir=PIR,
    replay_share=0.0,
    world_clips=0,
    criteria=PromotionCriteria(min_rows=2, min_clips=2, num_resamples=50),
)
SFT_ONLY = replace(QUICK, pir=None)


@functools.cache
def clip_content(hue: int) -> bytes:
    """An encoded clip's file."""
    with TemporaryDirectory() as folder:
        return write_clip(Path(folder) / "clip.mp4", hue=hue).read_bytes()


@functools.cache
def empty_store() -> bytes:
    """The file of a migrated store without rows."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "empty.sqlite3"
        Store(file).close()
        return file.read_bytes()


class Project:
    """A store of `clips` clips of four seconds with two queries each; the last clips are held out."""

    def __init__(self, folder: Path, *, clips: int = 4, held_out: int = 2) -> None:
        self.folder, self.clips = folder, folder / "clips"
        self.clips.mkdir(parents=True)
        (folder / "cqvh.sqlite3").write_bytes(empty_store())
        self.store = Store(folder / "cqvh.sqlite3")
        rows: list[Row] = []
        videos: list[Video] = []
        for clip in range(clips):
            file, content = self.clips / f"clip{clip}.mp4", clip_content(20 + 40 * clip)
            file.write_bytes(content)
            digest, size = hashlib.sha256(content).hexdigest(), len(content)
            videos.append(
                Video(vid=f"clip{clip}", sha256=digest, path=str(file), size_bytes=size, modified_ns=clip)
            )
            split: Any = "val" if clip >= clips - held_out else "train"
            for number in (0, 1):
                rows.append(
                    Row(
                        qid=f"{clip}-{number}",
                        query=f"the square number {number} moves",
                        vid=f"clip{clip}",
                        duration_s=4.0,
                        split=split,
                        windows=((1.0, 2.0),),
                    )
                )
        self.store.import_rows(rows, dataset="set", op_id="import")
        self.store.save_videos(videos, op_id="clips", actor="test")

    def correct(self, qid: str, *pairs_ms: tuple[int, int]) -> None:
        """Ada's answer: these moments, or that nothing matches."""
        moments = tuple(EditedMoment(start_ms=start, end_ms=end) for start, end in pairs_ms)
        verdict, reason = ("moments", None) if moments else ("no-moment", "nothing there")
        query = self.store.find("set", qid)
        edit = Edit(verdict=verdict, moments=moments, reason=reason)  # type: ignore[arg-type]
        self.store.submit(query.id, edit, annotator="ada", parent_id=None, op_id=f"correct {qid}")

    def correct_all(self, qids: Sequence[str] | None = None) -> None:
        """Every query: the first of a clip gets two seconds, the second one refuses."""
        for qid in qids or [row.qid for row in self.store.browse(limit=200).rows]:
            self.correct(qid, *([(2000, 4000)] if qid.endswith("-0") else []))

    def snapshot(self) -> Path:
        return take_snapshot(self.store, self.folder / "snapshots", actor="test").folder

    def close(self) -> None:
        self.store.close()
