"""Example clips: whatever a folder's manifest.json lists, and nothing where there is none.

The manifest is a list of {"file", "title", "questions": [...], "loop_s": [start, end], "licence", "source"}; files lie
beside it. The stretch `loop_s` is what a card plays: the inside of a moment.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse

from app.http.dependencies import Visitor
from app.http.errors import NoSuchFile
from tempo_core.errors import InputError

MAX_LOOP_S = 4.0
"""Of a card's picture: what moves by itself for more than five seconds needs a way to stop it (WCAG 2.2.2)."""
SHIPPED = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A clip to try, with questions that suit it."""

    path: Path
    title: str
    questions: tuple[str, ...]
    loop_s: tuple[float, float]
    """What its card plays, at most MAX_LOOP_S long."""
    licence: str
    source: str

    def card(self) -> dict[str, Any]:
        """What its card on the page shows."""
        return {
            "title": self.title,
            "questions": list(self.questions),
            "loop_s": list(self.loop_s),
            "licence": self.licence,
            "source": self.source,
        }


def read_examples(folder: Path | None = SHIPPED) -> list[Example]:
    """The examples in manifest order; [] without a manifest. Raises InputError on a broken one."""
    manifest = folder / "manifest.json" if folder is not None else None
    if folder is None or manifest is None or not manifest.is_file():
        return []
    try:
        rows = json.loads(manifest.read_text(encoding="utf-8"))
        return [_example(folder, row) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{manifest} is not a list of examples with file, title and questions ({error!r}). "
            "Mend it or remove it."
        ) from error


def _example(folder: Path, row: dict[str, Any]) -> Example:
    path = folder / row["file"]
    if path.parent != folder or not path.is_file():
        raise InputError(
            f"{folder / 'manifest.json'} names {row['file']!r}, which is not a file beside it. "
            "Add it or drop the row."
        )
    start_s, end_s = (float(bound) for bound in row.get("loop_s", (2.0, 2.0 + MAX_LOOP_S)))
    if not 0 <= start_s < end_s <= start_s + MAX_LOOP_S:
        raise InputError(
            f"{folder / 'manifest.json'} lets {row['file']!r} play from {start_s:g} to {end_s:g} s. Give at most "
            f"{MAX_LOOP_S:g} seconds."
        )
    return Example(
        path=path,
        title=str(row["title"]),
        questions=tuple(str(question) for question in row["questions"]),
        loop_s=(start_s, end_s),
        licence=str(row.get("licence", "")),
        source=str(row.get("source", "")),
    )


def example_routes(examples: list[Example]) -> APIRouter:
    """GET /examples/<number>: the clip for its thumbnail; role visitor."""
    router = APIRouter(include_in_schema=False)

    @router.get("/examples/{number}")
    def example(user: Visitor, number: int) -> FileResponse:
        if not 0 <= number < len(examples):
            raise NoSuchFile("There is no such example.")
        path = examples[number].path
        return FileResponse(path, media_type="video/mp4", headers={"cache-control": "private, max-age=3600"})

    return router
