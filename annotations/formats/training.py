"""Rows for other people's trainers: one conversation a query, a prompt with the clip and the answer as JSON.

The answer is a JSON list of [start, end] in seconds, `[]` where nothing matches. Rows of val and test are left out, and
so are rows without ground truth.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annotations.formats import fields
from annotations.formats.options import ExportFiles, ExportOptions
from annotations.rows import Row
from tempo_core.metrics.rows import FieldError

VIDEO = "<video>"
"""Where the clip stands in a prompt, for all three trainers."""
PROMPT = (
    "Find every moment of the video that matches this query: {query}\n"
    "Answer with a JSON list of [start, end] pairs in seconds, or [] if nothing in the video matches."
)


def prompt(row: Row) -> str:
    return VIDEO + PROMPT.format(query=" ".join(row.query.split()))


def answer(row: Row) -> str:
    return json.dumps([[round(start_s, 3), round(end_s, 3)] for start_s, end_s in row.windows or ()])


def video(row: Row, options: ExportOptions) -> str:
    """The clip's path: the row's own, else its id with .mp4, behind the prefix of the options."""
    return f"{options.video_prefix}{row.extra.get('video', f'{row.vid}.mp4')}"


def conversation(row: Row, options: ExportOptions) -> dict[str, Any]:
    """Messages and clip, as LLaMA-Factory and ms-swift take them."""
    messages = [{"role": "user", "content": prompt(row)}, {"role": "assistant", "content": answer(row)}]
    return {"messages": messages, "videos": [video(row, options)]}


def check(row: Row, path: Path, options: ExportOptions) -> None:
    """Raises FieldError for a query that would place a second clip."""
    if VIDEO in row.query:
        raise FieldError("query", row.query, f"cannot hold {VIDEO}, which stands for the clip")


def left_out(row: Row) -> str | None:
    """Why a row is no training row, or None."""
    if row.split in ("val", "test"):
        return f"of {row.split}, which is for scoring, left out"
    return None if row.verdict in ("moments", "no-moment") else fields.LEFT_OUT[row.verdict]


def write_lines(path: Path, values: Sequence[dict[str, Any]]) -> ExportFiles:
    """JSON lines in UTF-8."""
    lines = [json.dumps(value, ensure_ascii=False) + "\n" for value in values]
    return ExportFiles(
        files={path: "".join(lines).encode("utf-8", "replace")}, counts={"examples": len(lines)}
    )
