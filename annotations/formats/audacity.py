"""Audacity's label tracks: `START<tab>END<tab>TEXT` in seconds, one label a line, of the clip that names the file.

A label whose times are equal is a point and marks no moment. A line that begins with a backslash gives the frequencies
of the label before it. Form: Audacity manual, "Importing and exporting labels".
"""

from collections.abc import Iterator
from pathlib import Path

from annotations.formats import fields
from annotations.formats.files import read_text, split_of, vid_of_name
from annotations.formats.options import Contents, Item, Omission, ReadOptions
from annotations.rows import Row, SourceLine
from tempo_core.metrics.rows import FieldError, Problem


def read(path: Path, options: ReadOptions) -> Iterator[Item]:
    """Rows in the file's order, one for each label."""
    held_count = taken_count = 0
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        if line.startswith("\\"):
            place = f"line {number}"
            yield Omission(file=path.name, place=place, reason="a label's frequencies are not read")
            continue
        held_count += 1
        place = f"label {held_count} (line {number})"
        try:
            cells = line.split("\t", 2)
            if len(cells) < 2:
                raise FieldError("label", line, "must be `START<tab>END<tab>TEXT`")
            # Older versions wrote the decimal comma of the system.
            edges = [fields.seconds_of_text(cell, "label") for cell in cells[:2]]
            if edges[0] == edges[1]:
                yield Omission(file=path.name, place=place, reason="a point label marks no moment")
                continue
            yield Row(
                qid=f"{path.stem}/{held_count}",
                query=fields.text(cells[2] if len(cells) > 2 else "", "label text"),
                vid=vid_of_name(path.stem),
                split=split_of(path, options),
                windows=(fields.window(edges, "label", mending=options.mending),),
                origin=SourceLine(file=path.name, line=number, place=place),
            )
            taken_count += 1
        except FieldError as error:
            yield Problem.of(error, path.name, number, place=place, raw=line)
    yield Contents(unit="labels", held=held_count, taken=taken_count)
