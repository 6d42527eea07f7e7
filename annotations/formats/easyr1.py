"""EasyR1: JSON lines of {"prompt", "answer", "videos"}, the keys that its data set reads by default.

Form: hiyouga/EasyR1, verl/utils/dataset.py (prompt_key, answer_key, video_key; paths are joined to `image_dir`).
"""

from collections.abc import Sequence
from pathlib import Path

from annotations.formats.options import ExportFiles, ExportOptions
from annotations.formats.training import answer, check, left_out, prompt, video, write_lines
from annotations.rows import Row

__all__ = ["check", "left_out", "write"]


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file, a line for each query."""
    examples = [
        {"prompt": prompt(row), "answer": answer(row), "videos": [video(row, options)]} for row in rows
    ]
    return write_lines(path, examples)
