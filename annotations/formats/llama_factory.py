"""LLaMA-Factory: a JSON list of {"messages", "videos"}, and beside it what `dataset_info.json` needs to say of it.

The entry is in `dataset_info.json` of the same folder, with the file's name as the dataset's. Form:
hiyouga/LLaMA-Factory, data/README.md (sharegpt, OpenAI roles) and data/mllm_video_demo.json.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from annotations.formats.options import ExportFiles, ExportOptions
from annotations.formats.training import check, conversation, left_out
from annotations.rows import Row

__all__ = ["check", "left_out", "write"]


def write(rows: Sequence[Row], path: Path, options: ExportOptions) -> ExportFiles:
    """The examples, and the dataset's entry."""
    examples = [conversation(row, options) for row in rows]
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    entry = {
        "file_name": path.name,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "videos": "videos"},
        "tags": tags,
    }
    files = {
        path: json.dumps(examples, indent=1).encode("ascii"),
        path.with_name("dataset_info.json"): json.dumps({path.stem: entry}, indent=2).encode("ascii"),
    }
    return ExportFiles(files=files, counts={"examples": len(examples)})
