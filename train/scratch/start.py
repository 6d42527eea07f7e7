"""What training from random weights can begin with: a finished run, or a checkpoint folder such as the one that ships.

A checkpoint keeps no read-outs, so that it can lend its vision tower and not the whole of what a run had learned.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

from tempo_core.checkpoint import WEIGHTS
from tempo_core.defaults import FILE_NAME
from tempo_core.errors import InputError
from train.checkpoints import file_digest
from train.scratch.tokenizer import build_tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """A folder to begin with."""

    folder: Path
    whole: bool
    """A finished run, with its language model's and its read-outs' exact weights."""
    tokenizer_seed: int
    """Seed of the text that its tokenizer was made from."""

    @property
    def digest(self) -> str:
        """SHA-256 of the weights' file."""
        return file_digest(self.folder / ("state.pt" if self.whole else WEIGHTS))

    def weights(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The model's weights and the read-outs', of which a checkpoint has none."""
        if self.whole:
            saved = torch.load(self.folder / "state.pt", weights_only=True)
            return saved["model"], saved["heads"]
        model = Qwen2VLForConditionalGeneration.from_pretrained(self.folder, dtype=torch.float32)
        return model.state_dict(), {}


def start_in(folder: Path, *, fresh_language: bool) -> Start:
    """The start that `folder` holds: a finished run or, for its vision tower exclusive_lock, a checkpoint.

    Raises InputError where there is neither, where more than the tower is asked of a checkpoint, and where the
    checkpoint's tokenizer is not one of ours.
    """
    if (folder / "state.pt").is_file() and (folder / "recipe.json").is_file():
        recipe = json.loads((folder / "recipe.json").read_text())
        seed = recipe["seed"] if recipe["tokenizer_seed"] is None else recipe["tokenizer_seed"]
        return Start(folder=folder, whole=True, tokenizer_seed=seed)
    if not fresh_language or not (folder / FILE_NAME).is_file():
        also = ", nor a checkpoint such as tempo_core/checkpoints/tempo-tiny" if fresh_language else ""
        raise InputError(
            f"{folder} holds no state.pt with its recipe.json, of a finished `train sft --recipe` run{also}. "
            "Name the --out folder of one."
        )
    seed = json.loads((folder / FILE_NAME).read_text()).get("seed", 0)
    if AutoTokenizer.from_pretrained(folder).get_vocab() != build_tokenizer(seed).get_vocab():
        raise InputError(f"{folder} was not trained from random weights here: its tokenizer is another one.")
    return Start(folder=folder, whole=False, tokenizer_seed=seed)
