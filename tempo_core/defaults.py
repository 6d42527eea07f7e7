"""How a checkpoint wants to be asked: frames, tokens, words. Read from its `tempo.json`, else Qwen2-VL's defaults."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tempo_core.errors import CheckpointError, InputError

FILE_NAME = "tempo.json"

INSTRUCTION = (
    "The video is given as frames, each after its time in seconds; the last time is the end of the video. "
    "Name every moment that matches the query, in time order, as 'From START to END, from START to END.', "
    "with times copied from above, or say 'No relevant moment.'\n"
)
"""For checkpoints that were not trained on this answer grammar."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundingDefaults:
    """Sampling, budget and wording that a checkpoint was trained with."""

    max_frames: int = 150
    """Most frames sampled from a video: QVHighlights' 150 s at one frame a second."""
    finest_step_s: float = 1.0
    """Seconds between frames of a short video; doubled until `max_frames` suffice."""
    token_budget: int = 3584
    """Vision tokens of a whole video (Time-R1's number), shared by the allocator."""
    tokens_per_frame: float | None = None
    """If set, the budget is this many tokens a sampled frame, and `token_budget` is only its upper bound."""
    min_tokens: int = 4
    """Fewest vision tokens of a frame."""
    max_tokens: int = 256
    """Most vision tokens of a frame."""
    max_new_tokens: int = 256
    """Longest answer in tokens; it bounds the number of moments too."""
    instruction: str = INSTRUCTION
    """A sentence before the query; empty for checkpoints that were trained on the grammar."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "instruction":
                good, rule = isinstance(value, str), "a text"
            elif field.name in ("finest_step_s", "tokens_per_frame"):
                number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6
                good = number or (value is None and field.name == "tokens_per_frame")
                rule = "a positive number"
            else:
                good, rule = type(value) is int and value > 0, "a positive whole number"
            if not good:
                raise InputError(f"'{field.name}' has value {value!r}; it must be {rule}.")
        if self.min_tokens > self.max_tokens:
            raise InputError(
                f"'min_tokens' {self.min_tokens} is above 'max_tokens' {self.max_tokens}. Swap them."
            )

    def budget_for(self, n_frames: int) -> int:
        """The vision tokens of a video with so many sampled frames."""
        if self.tokens_per_frame is None:
            return self.token_budget
        return min(
            self.token_budget, max(round(self.tokens_per_frame * n_frames), self.min_tokens * n_frames)
        )


def read_defaults(folder: Path) -> GroundingDefaults:
    """The defaults in a checkpoint folder's `tempo.json`; keys it does not know belong to others and are left alone.

    Raises CheckpointError when the file is damaged or a value breaks its rule.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return GroundingDefaults()
    data = read_json(path)
    names = {field.name for field in fields(GroundingDefaults)}
    try:
        return GroundingDefaults(**{key: value for key, value in data.items() if key in names})
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a checkpoint's file. Raises CheckpointError when it is missing or damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path.parent} has no {path.name}; it is not a complete checkpoint folder."
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON ({error}). Copy or download it again."
        ) from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} must hold a JSON object; it holds a {type(data).__name__}.")
    return data
