"""From a checkpoint folder to a model that can be asked: weights, NF4, adapter, tokenizer, pixels, defaults.

One path for every Qwen2-VL, from the tiny one that ships to Qwen2-VL-7B-Instruct. No torchvision: the
tokenizer is loaded on its own and frames are prepared by `vision`.
"""

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tempo_core.checkpoint import check_adapter, check_checkpoint, find_checkpoint, fingerprint
from tempo_core.defaults import GroundingDefaults, read_defaults, read_json
from tempo_core.errors import CheckpointError, InputError
from tempo_core.prompt import IM_END, IM_START, IMAGE_PAD, VISION_END, VISION_START, special_id
from tempo_core.vision import MERGE, PATCH_PX, TEMPORAL_PATCH, Normaliser

KEPT_WHOLE = ("model.visual", "lm_head")
"""Modules that stay unquantised. A list of one's own replaces bitsandbytes' default, so lm_head must be in it."""

EXACT_CPU_WEIGHTS = 200_000_000
"""Up to so many quantised weights, a CPU dequantises to float32 instead of using bitsandbytes' bfloat16 kernel.

That kernel exists on some processors only and rounds activations, so that answers would depend on the machine; a large
model cannot be used on a CPU without it.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """A model ready for inference, with what belongs to it."""

    model: Any
    """Qwen2VLForConditionalGeneration in eval mode, with LoRA layers inside when an adapter was given."""
    tokenizer: Any
    normaliser: Normaliser
    defaults: GroundingDefaults
    model_id: str
    """Folder name and fingerprint of weights and adapter, and the precision: what an answer was made with."""
    fingerprint: str
    folder: Path
    adapter: Path | None
    four_bit: bool
    device: str


def load_model(
    checkpoint: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    four_bit: bool = True,
    device: str | None = None,
) -> LoadedModel:
    """Load a Qwen2-VL checkpoint folder or hub name (None: the one that ships) for inference.

    `four_bit` stores the language model's linear layers in NF4 with double quantisation. `device` is "cpu",
    "cuda" or None (a GPU when there is one). Raises CheckpointError for anything wrong with the folders.
    """
    folder = find_checkpoint(checkpoint)
    check_checkpoint(folder)
    where = pick_device(device)
    base = fingerprint(folder)
    lora = None if adapter is None else check_adapter(Path(adapter).expanduser(), base)
    tokenizer = load_tokenizer(folder)
    defaults, normaliser = read_defaults(folder), read_normaliser(folder)
    model = load_weights(folder, four_bit=four_bit, device=where)
    name = f"{folder.resolve().name}@{base[:12]}"
    if adapter is not None and lora is not None:
        model = attach_adapter(model, Path(adapter).expanduser(), lora)
        name += f"+{Path(adapter).name}@{fingerprint(Path(adapter).expanduser())[:12]}"
    precision = "nf4" if four_bit else str(model.dtype).removeprefix("torch.")
    return LoadedModel(
        model=model.eval(),
        tokenizer=tokenizer,
        normaliser=normaliser,
        defaults=defaults,
        model_id=f"{name}/{precision}",
        fingerprint=base,
        folder=folder,
        adapter=None if adapter is None else Path(adapter),
        four_bit=four_bit,
        device=where,
    )


def pick_device(device: str | None) -> str:
    """The device asked for, or a GPU when there is one, or the CPU. Raises InputError for one that is not there."""
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise InputError(f"Unknown device {device!r}. Use cpu or cuda.") from error
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"The device {device!r} is not available here. Use cpu, or leave it out.")
    return device


def load_weights(folder: Path, *, four_bit: bool, device: str) -> Any:
    """The Qwen2-VL model of a folder that `check_checkpoint` passed, frozen. Raises CheckpointError."""
    from transformers import Qwen2VLForConditionalGeneration

    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    options: dict[str, Any] = {"device_map": {"": device}} if four_bit or device != "cpu" else {}
    if four_bit:
        options["quantization_config"] = nf4_config(dtype)
    try:
        with quiet():
            loaded: Any = Qwen2VLForConditionalGeneration.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                attn_implementation="sdpa",
                output_loading_info=True,
                **options,
            )
    except (RuntimeError, ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder} could not be loaded as Qwen2-VL: {_first_line(error)}") from error
    model, report = loaded
    if missing := sorted(map(str, report["missing_keys"])):
        raise CheckpointError(
            f"{folder} lacks {len(missing)} weights, among them {missing[0]}. Copy or download it again."
        )
    if four_bit and device == "cpu":
        layers = [module for module in model.modules() if hasattr(module, "support_avx512bf16_for_cpu")]
        if sum(layer.in_features * layer.out_features for layer in layers) <= EXACT_CPU_WEIGHTS:
            for layer in layers:
                layer.support_avx512bf16_for_cpu = False
    return model.requires_grad_(False)


def nf4_config(dtype: torch.dtype) -> Any:
    """NF4 with double quantisation for the language model's linear layers; vision and lm_head stay whole."""
    # It warns on import of an optional kernel.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(KEPT_WHOLE),
    )


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, with Qwen2-VL's special tokens. Raises CheckpointError when it is damaged or
    another's."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises bare Exception on damaged files
        raise CheckpointError(f"The tokenizer in {folder} cannot be read: {_first_line(error)}") from error
    for token in (IM_START, IM_END, VISION_START, VISION_END, IMAGE_PAD):
        special_id(tokenizer, token)
    return tokenizer


def read_normaliser(folder: Path) -> Normaliser:
    """Mean and standard deviation of the pixels from `preprocessor_config.json`; Qwen2-VL's own without the file."""
    if not (folder / "preprocessor_config.json").is_file():
        return Normaliser()
    data = read_json(folder / "preprocessor_config.json")
    expected = {"patch_size": PATCH_PX, "merge_size": MERGE, "temporal_patch_size": TEMPORAL_PATCH}
    for key, value in expected.items():
        if data.get(key, value) != value:
            raise CheckpointError(
                f"{folder}: preprocessor_config.json has {key} {data[key]}; Qwen2-VL has {value}."
            )
    default = Normaliser()
    try:
        mean = tuple(map(float, data.get("image_mean", default.mean)))
        std = tuple(map(float, data.get("image_std", default.std)))
    except (TypeError, ValueError):
        mean = std = ()
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise CheckpointError(
            f"{folder}: image_mean and image_std in preprocessor_config.json must be three numbers each."
        )
    return Normaliser(mean=mean, std=std, rescale=float(data.get("rescale_factor", default.rescale)))


def attach_adapter(model: Any, folder: Path, shapes: dict[str, list[int]]) -> Any:
    """The model with the adapter's LoRA layers inside, unmerged. Raises CheckpointError when they do not fit it."""
    modules = dict(model.named_modules())
    for name, shape in shapes.items():
        match = re.fullmatch(r"base_model\.model\.(.+)\.lora_(A|B)(?:\.default)?\.weight", name)
        module = modules.get(match[1]) if match else None
        if match is None or not isinstance(module, nn.Linear):
            raise CheckpointError(
                f"The adapter {folder} was made for another base: this one has no layer for {name!r}."
            )
        width = module.in_features if match[2] == "A" else module.out_features
        if shape[1 if match[2] == "A" else 0] != width:
            raise CheckpointError(
                f"The adapter {folder} was made for another base: {name!r} has shape {shape}, the layer has "
                f"width {width}."
            )
    from peft import PeftModel

    try:
        with quiet():
            return PeftModel.from_pretrained(model, str(folder), is_trainable=False).get_base_model()
    except (RuntimeError, ValueError, OSError, KeyError, TypeError) as error:
        raise CheckpointError(f"The adapter {folder} could not be loaded: {_first_line(error)}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars, notices and warnings out of a person's terminal while a model loads."""
    from transformers.utils import logging as notices

    level, bars = notices.get_verbosity(), notices.is_progress_bar_enabled()
    notices.set_verbosity_error()
    notices.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        notices.set_verbosity(level)
        if bars:
            notices.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    """The first line of an error's text, short enough for one line on a terminal."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
