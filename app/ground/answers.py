"""Answers that stay: those about a clip lie beside it, for whoever brought it, and go with it.

An answer's address is its clip's unguessable id and its own. Only the clip's owner opens it. The owner may make a link
with a further secret: whoever may use the page and has that link sees the answer as one HTML file, without the clip.
"""

import base64
import hmac
import io
import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse
from PIL import Image

from app.auth.users import User
from app.ground.service import Outcome
from app.http.base_path import address_of
from app.http.dependencies import Visitor
from app.http.errors import NoSuchFile, StorageFull
from app.job_queue import Job, JobQueues
from app.media.library import Clip, MediaLibrary
from app.timeline.value import BAND_WORDS, clip_parts
from app.ui.templates import macros
from tempo_core.errors import VideoError
from tempo_core.files import make_folder, write_whole
from tempo_core.library.cutting import cut_shots
from tempo_core.library.editing import Shot
from tempo_core.moments import Moment

FOLDER_NAME = "answers"
PER_CLIP = 50
"""Answers of one clip; the oldest make room."""
RECENT = 10
ID_SHAPE = re.compile(r"[A-Za-z0-9_-]{16}")
GONE = "There is no such answer, or it is no longer kept."
HEADERS = {"cache-control": "private, no-store", "referrer-policy": "no-referrer"}
PAGE_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
"""What a page with an answer may load: nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAnswer:
    """One answer, as it was given."""

    id: str
    clip_id: str
    title: str
    """The clip's."""
    at_ms: int
    line: str
    """What the page said of it."""
    value: dict[str, Any]
    """The timeline's value, without the parts that are of the clip."""
    answer: dict[str, Any]
    """`Outcome.to_dict()`"""
    secret: str = ""
    """What a link to it must hold; empty: there is none."""

    @property
    def address(self) -> str:
        return address_of(f"/answers/{self.clip_id}/{self.id}")

    @property
    def link(self) -> str:
        """The address for others; empty where the owner made none."""
        return address_of(f"/shared/{self.clip_id}/{self.id}/{self.secret}") if self.secret else ""


class AnswerHistory:
    """The answers beside the clips of a library. Threads may share it."""

    def __init__(self, media: MediaLibrary, *, clock: Callable[[], float] = time.time) -> None:
        self.media, self._clock = media, clock
        self._lock = threading.Lock()

    def add(self, outcome: Outcome, value: dict[str, Any], line: str) -> StoredAnswer:
        """Keep an answer beside its clip; the same question again takes the place of the earlier answer.

        Raises StorageFull.
        """
        clip = outcome.clip
        stored = StoredAnswer(
            id=secrets.token_urlsafe(12),
            clip_id=clip.id,
            title=clip.title,
            at_ms=round(self._clock() * 1000),
            line=line,
            value={
                name: part for name, part in value.items() if name not in clip_parts(None) or name == "frames"
            },
            answer=outcome.to_dict(),
        )
        with self._lock:
            try:
                make_folder(clip.folder / FOLDER_NAME)
                self._write(clip, stored)
            except OSError as error:
                raise StorageFull("The answer cannot be kept: the server's disk is full.") from error
            earlier = [other for other in self.of_clip(clip) if other.id != stored.id]
            same = [o for o in earlier if o.value["query"] == value["query"] and not o.secret]
            for surplus in {o.id for o in [*same, *earlier[PER_CLIP - 1 :]]}:
                for path in (clip.folder / FOLDER_NAME).glob(f"{surplus}*"):
                    if path.is_dir():  # its moments as clips
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink(missing_ok=True)
        return stored

    def of_clip(self, clip: Clip) -> list[StoredAnswer]:
        """The clip's answers, the newest first."""
        answers = [_read(path) for path in (clip.folder / FOLDER_NAME).glob("*.json")]
        return sorted((a for a in answers if a is not None), key=lambda a: a.at_ms, reverse=True)

    def recent(self, user: User, besides: str = "") -> list[StoredAnswer]:
        """The user's last answers about any clip but the one with the id `besides`, the newest first."""
        clips = [clip for clip in self.media.of_owner(user.id) if clip.id != besides]
        paths = [path for clip in clips for path in (clip.folder / FOLDER_NAME).glob("*.json")]
        # Many clips have many answers: only those that are listed are read.
        latest = sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)[:RECENT]
        answers = [answer for path in latest if (answer := _read(path)) is not None]
        return sorted(answers, key=lambda answer: answer.at_ms, reverse=True)

    def get(self, user: User, clip_id: str, answer_id: str) -> tuple[StoredAnswer, Clip]:
        """The user's own answer. Raises NoSuchFile, the same for unknown and for foreign addresses."""
        clip = self.media.get(clip_id, user.id)
        stored = (
            _read(clip.folder / FOLDER_NAME / f"{answer_id}.json") if ID_SHAPE.fullmatch(answer_id) else None
        )
        if stored is None:
            raise NoSuchFile(GONE)
        return stored, clip

    def share(self, user: User, clip_id: str, answer_id: str, *, is_shared: bool) -> StoredAnswer:
        """Make a new link to the user's own answer, or end the one that there is. Raises NoSuchFile."""
        with self._lock:
            stored, clip = self.get(user, clip_id, answer_id)
            stored = replace(stored, secret=secrets.token_urlsafe(32) if is_shared else "")
            self._write(clip, stored)
        return stored

    def shared(self, clip_id: str, answer_id: str, secret: str) -> tuple[StoredAnswer, Clip]:
        """The answer that a link names. Raises NoSuchFile, the same for whatever is wrong with the link."""
        clip = self.media.any_owners(clip_id)
        stored = None
        if clip is not None and ID_SHAPE.fullmatch(answer_id):
            stored = _read(clip.folder / FOLDER_NAME / f"{answer_id}.json")
        if clip is None or stored is None or not stored.secret:
            raise NoSuchFile(GONE)
        if not hmac.compare_digest(stored.secret.encode(), secret.encode()):
            raise NoSuchFile(GONE)
        return stored, clip

    def _write(self, clip: Clip, stored: StoredAnswer) -> None:
        write_whole(clip.folder / FOLDER_NAME / f"{stored.id}.json", json.dumps(asdict(stored)))


def _read(path: Path) -> StoredAnswer | None:
    try:
        return StoredAnswer(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # removed meanwhile, or of another version of the app


def answer_page(stored: StoredAnswer, clip: Clip) -> str:
    """The answer as one HTML file that needs nothing else: a picture of each moment out of the film strip."""
    value, end_s = stored.value, clip.facts.duration_s
    pictures = _pictures(clip, [(m["start_s"] + m["end_s"]) / 2 for m in value["moments"]])
    moments = [
        {
            **moment,
            "left": round(100 * moment["start_s"] / end_s, 3),
            "width": round(100 * (moment["end_s"] - moment["start_s"]) / end_s, 3),
            "word": BAND_WORDS.get(moment.get("band"), ""),
            "picture": picture,
        }
        for moment, picture in zip(value["moments"], pictures, strict=True)
    ]
    return str(macros("ground/answer.html").page(stored, moments, end_s))


def _pictures(clip: Clip, at_s: list[float]) -> list[str]:
    """The film strip's tile nearest to each time as a data URL; empty ones where no strip is drawn."""
    try:
        strip = json.loads((clip.folder / "strip.json").read_text())
        with Image.open(clip.strip_path) as sheet:
            sheet.load()
    except (OSError, ValueError):
        return [""] * len(at_s)
    width, height = strip["tile_width"], strip["tile_height"]
    urls = []
    for time_s in at_s:
        tile = min(range(len(strip["times_s"])), key=lambda tile: abs(strip["times_s"][tile] - time_s))
        row, column = divmod(tile, strip["columns"])
        place = (column * width, row * height, (column + 1) * width, (row + 1) * height)
        buffer = io.BytesIO()
        sheet.crop(place).save(buffer, "JPEG", quality=90)
        urls.append(f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}")
    return urls


def answer_routes(answers: AnswerHistory, queues: JobQueues) -> APIRouter:
    """GET /answers/<clip>/<answer> (one HTML file) and .../moments/<number> (a clip of it), role visitor and only the
    owner's; GET /shared/<clip>/<answer>/<secret>, role visitor, for whoever has the link.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/answers/{clip_id}/{answer_id}")
    def answer(user: Visitor, clip_id: str, answer_id: str) -> HTMLResponse:
        stored, clip = answers.get(user, clip_id, answer_id)
        headers = {**HEADERS, "content-security-policy": PAGE_POLICY}
        headers["content-disposition"] = 'attachment; filename="tempo-answer.html"'
        return HTMLResponse(answer_page(stored, clip), headers=headers)

    @router.get("/shared/{clip_id}/{answer_id}/{secret}")
    def shared(user: Visitor, clip_id: str, answer_id: str, secret: str) -> HTMLResponse:
        stored, clip = answers.shared(clip_id, answer_id, secret)
        return HTMLResponse(
            answer_page(stored, clip), headers={**HEADERS, "content-security-policy": PAGE_POLICY}
        )

    @router.get("/answers/{clip_id}/{answer_id}/moments/{number}")
    def moment(user: Visitor, clip_id: str, answer_id: str, number: int) -> FileResponse:
        stored, clip = answers.get(user, clip_id, answer_id)
        moments = stored.value["moments"]
        if not 1 <= number <= len(moments):
            raise NoSuchFile("The answer has no such moment.")
        start_s, end_s = moments[number - 1]["start_s"], moments[number - 1]["end_s"]
        folder = clip.folder / FOLDER_NAME / f"{stored.id}-{number}"

        def cut(job: Job) -> Path:
            path = next(folder.glob("*.mp4"), None)
            if path is None:
                answers.media.limits.check_free_space(clip.folder, clip.path.stat().st_size)
                shot = Shot(
                    name=clip.title,
                    path=clip.path,
                    moment=Moment(start_s, end_s),
                    duration_s=clip.facts.duration_s,
                )
                [piece] = cut_shots([shot], folder, cancel=job.cancel)
                path = piece.file
                if path is None:
                    raise VideoError(piece.problem or "The moment cannot be cut.")
            return path

        path = queues.clips.submit(user.id, cut, network=user.network).future.result()
        name = f"{Path(clip.title).stem}-{start_s:.1f}-{end_s:.1f}.mp4"
        return FileResponse(path, media_type="video/mp4", filename=name, headers=HEADERS)

    return router
