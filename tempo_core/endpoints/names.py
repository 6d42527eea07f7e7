"""What models are called by servers: by the hub's name, by a file, or by a path on the server's disk."""

import re
from pathlib import PurePosixPath, PureWindowsPath

_FILE_ENDS = re.compile(
    r"(?:\.gguf|-\d{5}-of-\d{5}|-GGUF|[-.]i1|[-.](?:UD-)?(?:I?Q\d\w*|TQ\d\w*|B?F16|F32|MXFP4\w*))+$",
    re.IGNORECASE,
)
"""What llama.cpp's files and hub pages add to a model's name: format, part, and how its weights are rounded."""


def shown_name(name: str) -> str:
    """The name for visitors: of a path on the server's disk its end."""
    path = PureWindowsPath(name) if "\\" in name else PurePosixPath(name)
    return path.name if path.is_absolute() and path.name else name


def plain_name(name: str) -> str:
    """The model's own name, without its owner, revision and rounding: Qwen3-VL-8B-Instruct of
    unsloth/Qwen3-VL-8B-Instruct-GGUF:Q4_K_M and of Qwen3-VL-8B-Instruct-Q4_K_M.gguf."""
    last = re.split(r"[/\\]", name)[-1]
    stem = re.split(r"[:@]", last)[0]
    return _FILE_ENDS.sub("", stem)
