"""ms-swift: JSON lines of {"messages", "videos", "solution"}; SFT reads the first two, GRPO's rewards the third.

Form: modelscope/ms-swift, docs "Custom dataset": standard keys, and further columns go to the reward functions.
"""

from collections.abc import Sequence
from pathlib import Path

from annotations.formats.options import ExportFiles, ExportOptions
from annotations.formats.training import answer, check, conversation, left_out, write_lines
from annotations.rows import Row

__all__ = ["check", "left_out", "write"]


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """One file, a line for each query."""
    return write_lines(path, [{**conversation(row, options), "solution": answer(row)} for row in rows])
