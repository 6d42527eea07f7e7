"""An answer about a folder as a file: JSON, CSV, a page, an EDL or FCPXML, by the file's ending."""

import base64
import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tempo_core.command_line import clock
from tempo_core.errors import InputError, VideoError
from tempo_core.files import write_whole
from tempo_core.library.editing import Shot, edl, fcpxml
from tempo_core.library.index import ClipIndex
from tempo_core.library.search import LibraryAnswer
from tempo_core.video import probe

SUFFIXES = (".json", ".csv", ".html", ".edl", ".fcpxml")
FIELDS = ("rank", "clip", "start_s", "end_s", "probability", "confidence")


def check_suffix(path: Path) -> None:
    """Raise InputError for a file whose ending names no form."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out {path} ends with none of {', '.join(SUFFIXES)}. The ending names the form.")


def write_report(
    path: Path,
    answer: LibraryAnswer,
    index: ClipIndex,
    shots: Callable[[], list[Shot]],
    *,
    drop: bool = False,
) -> None:
    """Write the answer in the form that the file's ending names, whole or not at all.

    `shots` makes the moments of editing programs, and is asked only for those. Raises InputError.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        text = (
            json.dumps({"folder": str(answer.folder), **answer.to_dict()}, indent=1, allow_nan=False) + "\n"
        )
    elif suffix == ".csv":
        text = csv_text(answer)
    elif suffix == ".html":
        text = page(answer, index, path.parent)
    else:
        text = (edl if suffix == ".edl" else fcpxml)(shots(), answer.query, drop=drop)
    try:
        write_whole(path, text.encode("utf-8", "replace"))
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}. Choose another place.") from error


def csv_text(answer: LibraryAnswer) -> str:
    """A line for each moment, the most probable first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    for rank, item in enumerate(answer.moments, start=1):
        # A spreadsheet would take a name that begins so for a formula.
        name = f"'{item.clip}" if item.clip[:1] in "=+-@\t" else item.clip
        writer.writerow(
            [rank, name, item.moment.start_s, item.moment.end_s, item.probability, item.confidence]
        )
    return buffer.getvalue()


def page(answer: LibraryAnswer, index: ClipIndex, beside: Path) -> str:
    """One page that needs nothing else but the clips, which it plays by their paths from the folder `beside`."""
    digests = index.digests(answer.folder)
    rows = []
    for rank, item in enumerate(answer.moments, start=1):
        sheet = index.sheet(digests[item.clip]) if item.clip in digests else None
        picture = b"" if sheet is None else sheet.tile((item.moment.start_s + item.moment.end_s) / 2)
        address = quote(
            os.path.relpath(answer.folder / item.clip, beside.resolve()), errors="surrogateescape"
        )
        rows.append(
            {
                "rank": rank,
                "clip": item.clip,
                "times": f"{clock(item.moment.start_s)} to {clock(item.moment.end_s)}",
                "address": f"{address}#t={item.moment.start_s:.3f},{item.moment.end_s:.3f}",
                "picture": base64.b64encode(picture).decode(),
                "probability": f"{item.probability:.2f}",
                "confidence": "" if item.confidence is None else f"{item.confidence:.2f}",
            }
        )
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(answer=answer, rows=rows)


def shots_of(
    answer: LibraryAnswer, on_problem: Callable[[str, str], None] = lambda clip, problem: None
) -> list[Shot]:
    """The answer's moments for editing programs; each clip is probed once, and one that is gone is told."""
    shots, probed = [], dict[str, Shot | None]()
    for item in answer.moments:
        note = f"{answer.query} (P {item.probability:.2f})"
        if item.clip not in probed:
            try:
                info = probe(answer.folder / item.clip)
                probed[item.clip] = Shot.of(item.clip, item.moment, info, note)
            except VideoError as error:
                on_problem(item.clip, str(error))
                probed[item.clip] = None
        first = probed[item.clip]
        if first is not None:
            shots.append(first.at(item.moment, note))
    return shots
