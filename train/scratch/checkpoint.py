"""What training from random weights begins with, and the checkpoint folder that it leaves.

It can begin with a finished run, or with a checkpoint folder such as the one that ships: that one keeps no read-outs,
so that it can lend its vision tower and not the whole of what a run had learned. It leaves a folder that loads like any
other Qwen2-VL: bf16 safetensors, tokenizer, tempo.json.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen2VLForConditionalGeneration

from tempo_core.checkpoint import WEIGHTS
from tempo_core.defaults import FILE_NAME, GroundingDefaults
from tempo_core.errors import InputError
from tempo_core.vision import MERGE, PATCH_PX, TEMPORAL_PATCH
from tempo_core.vocabulary import Vocabulary, write_vocabulary
from train.checkpoints import file_digest
from train.naturalworld.assets import Assets
from train.naturalworld.vocabulary import natural_vocabulary
from train.scratch.architecture import NORMALISER
from train.scratch.recipe import ScratchRecipe
from train.scratch.tokenizer import build_tokenizer
from train.shapeworld.vocabulary import shapeworld_vocabulary

DEFAULTS = GroundingDefaults(
    max_frames=40,
    finest_step_s=1.0,
    token_budget=1024,
    tokens_per_frame=8.0,
    min_tokens=4,
    max_tokens=16,
    max_new_tokens=256,
    instruction="",
)
"""What tempo-tiny was trained with: at most 40 frames, eight tokens a frame on average, four to sixteen each."""


def export(
    model: Qwen2VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    recipe: ScratchRecipe,
    folder: Path,
    *,
    assets: Assets | None = None,
) -> Path:
    """Write the checkpoint; returns its folder. The model is converted to bfloat16 in place.

    `assets` are what the run saw of naturalworld, whose words are then known too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    vocabulary = shapeworld_vocabulary()
    if assets is not None:
        natural = natural_vocabulary(assets.concepts, recipe.natural_mix)
        shapes = vocabulary if recipe.shows_shapes else Vocabulary(content=())
        grammar = (shapes.grammar | natural.grammar) - shapes.content - natural.content
        vocabulary = Vocabulary(
            content=shapes.content | natural.content, grammar=grammar, is_general=not recipe.shows_shapes
        )
    write_vocabulary(folder, vocabulary)
    defaults = asdict(DEFAULTS) | {"recipe": recipe.name, "seed": recipe.seed}
    preprocessor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_mean": NORMALISER.mean,
        "image_std": NORMALISER.std,
        "patch_size": PATCH_PX,
        "merge_size": MERGE,
        "temporal_patch_size": TEMPORAL_PATCH,
        "min_pixels": 28 * 28,
        "max_pixels": 16 * 28 * 28,
    }
    for name, data in ((FILE_NAME, defaults), ("preprocessor_config.json", preprocessor)):
        (folder / name).write_text(json.dumps(data, indent=1) + "\n")
    return folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """A folder to begin with."""

    folder: Path
    whole: bool
    """A finished run, with its language model's and its read-outs' exact weights."""
    tokenizer_seed: int
    """Seed of the text that its tokenizer was made from."""

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer that its embeddings belong to."""
        if self.whole:
            return build_tokenizer(self.tokenizer_seed)
        return AutoTokenizer.from_pretrained(self.folder)

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


def checkpoint_start(folder: Path) -> Start:
    """A start with all weights of a checkpoint of ours, such as the one that ships; its read-outs begin anew.

    Raises InputError where the folder is no such checkpoint.
    """
    if not (folder / FILE_NAME).is_file() or not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{folder} is no checkpoint such as tempo_core/checkpoints/tempo-tiny. Name one with --start."
        )
    return Start(
        folder=folder, whole=False, tokenizer_seed=json.loads((folder / FILE_NAME).read_text()).get("seed", 0)
    )


def start_in(folder: Path, *, fresh_language: bool) -> Start:
    """The start that `folder` holds: a finished run or, for its vision tower alone, a checkpoint.

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
