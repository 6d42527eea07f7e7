"""From a checkpoint folder to a model that can be asked: weights, NF4, adapter, tokenizer, pixels, defaults.

One path for every family, from the tiny Qwen2-VL that ships to the published sizes. No torchvision: the tokenizer is
loaded on its own and frames are prepared by `vision`.
"""

import contextlib
import ctypes
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from tempo_core.checkpoint import (
    ADAPTER_CONFIG,
    ADAPTER_LINEAGE,
    ADAPTER_WEIGHTS,
    check_adapter,
    check_checkpoint,
    find_adapter,
    find_checkpoint,
    fingerprint,
    folder_name,
    hub_name,
    read_config,
    stored_precision,
    weight_files,
)
from tempo_core.defaults import FILE_NAME, GroundingDefaults, read_defaults, read_json
from tempo_core.errors import CheckpointError, InputError, MemoryShortage
from tempo_core.families import family_named, family_of
from tempo_core.families.base import Family
from tempo_core.memory import MemoryPlan, plan, published_name
from tempo_core.protocols import Choice, choose_protocol, protocol_named
from tempo_core.protocols.base import (
    IM_END,
    IM_START,
    IMAGE_PAD,
    VIDEO_PAD,
    VISION_END,
    VISION_START,
    Protocol,
    special_id,
)
from tempo_core.protocols.tempo import TempoProtocol
from tempo_core.vision import MERGE, TEMPORAL_PATCH, Normaliser
from tempo_core.vocabulary import Vocabulary, read_vocabulary

LOADING_WEIGHTS = "Loading weights"
"""What transformers calls its progress bar over a checkpoint's weights."""

SMALL_BYTES = 1 << 30
"""Checkpoints up to so many bytes are loaded without asking whether they fit."""

ADAPTER_TENSOR = re.compile(
    r"(?:base_model\.model\.|module\.|_orig_mod\.)*(.+)\.lora_(A|B)(?:\.default)?\.weight"
)
"""A tensor's layer and matrix. What stands before the layer's name depends on what the model was wrapped in: PEFT,
PEFT twice, DistributedDataParallel, torch.compile."""

PRESENT_NAMES = ((r"model\.(?=layers\.)", "model.language_model."), (r"visual\.", "model.visual."))
"""Beginnings of layers' names before transformers 4.52, as adapters still have them, and what they are today."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """A model ready for inference, with what belongs to it."""

    model: Any
    """The family's transformers model in eval mode, with LoRA layers inside when an adapter was given."""
    tokenizer: Any
    normaliser: Normaliser
    defaults: GroundingDefaults
    model_id: str
    """Name and fingerprint of weights and adapter, the precision, and a protocol that is not Tempo's own: what an
    answer was made with."""
    fingerprint: str
    folder: Path
    adapter: Path | None
    """The adapter's folder."""
    precision: str
    """How the language model's layers are held: nf4, fp4, int8, or a float type."""
    device: str
    choice: Choice
    """How it is asked, and why so."""
    vocabulary: Vocabulary | None
    """The words that it was taught, where its folder names them."""

    @property
    def protocol(self) -> Protocol:
        """How it is asked and how it answers."""
        return self.choice.protocol

    @property
    def family(self) -> Family:
        """What is known about models of this kind."""
        return family_of(self.model)

    @property
    def four_bit(self) -> bool:
        """Whether those layers are held in four bits."""
        return self.precision in ("nf4", "fp4")


def load_model(
    checkpoint: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    four_bit: bool = True,
    device: str | None = None,
    protocol: str | None = None,
) -> LoadedModel:
    """Load a checkpoint folder or hub name (None: the one that ships) for inference; `adapter` likewise.

    `four_bit` stores the language model's linear layers in NF4 with double quantisation; weights that are quantised on
    disk stay as they are. `device` is "cpu", "cuda" or None (a GPU when there is one). `protocol` names how it is asked
    (None: as its tempo.json or its hub name says, else its family's plain one). Raises CheckpointError for anything
    wrong with the folders, and for weights that the device has no room for; InputError for a protocol that the family
    does not speak.
    """
    folder = find_checkpoint(checkpoint)
    check_checkpoint(folder)
    where = pick_device(device)
    base = fingerprint(folder)
    adapter_folder = None if adapter is None else find_adapter(adapter)
    if adapter_folder is not None:
        check_adapter(adapter_folder, base)
    tokenizer = load_tokenizer(folder)
    defaults, normaliser = read_defaults(folder), read_normaliser(folder)
    choice = serving_choice(folder, adapter_folder, protocol)
    model = load_weights(folder, four_bit=four_bit, device=where)
    for name, token in (("image_token_id", IMAGE_PAD), ("video_token_id", VIDEO_PAD)):
        if getattr(model.config, name) != special_id(tokenizer, token):
            raise CheckpointError(
                f"{folder} has the tokenizer of another model: {token} is {special_id(tokenizer, token)}, and "
                f"config.json's {name} is {getattr(model.config, name)}. Copy the tokenizer that belongs to the "
                "weights."
            )
    model_id = f"{folder_name(folder)}@{base[:12]}"
    if adapter_folder is not None:
        model = attach_adapter(model, adapter_folder).get_base_model()
        model_id += f"+{folder_name(adapter_folder)}@{fingerprint(adapter_folder)[:12]}"
    precision = precision_of(model)
    model_id += f"/{precision}"
    if choice.protocol.name != "tempo":
        model_id += f"/{choice.protocol.name}"
    return LoadedModel(
        model=model.eval(),
        tokenizer=tokenizer,
        normaliser=normaliser,
        defaults=defaults,
        model_id=model_id,
        fingerprint=base,
        folder=folder,
        adapter=adapter_folder,
        precision=precision,
        device=where,
        choice=choice,
        # an adapter without a list of its own may have been taught any word
        vocabulary=read_vocabulary(adapter_folder or folder),
    )


def serving_choice(folder: Path, adapter: Path | None, named: str | None = None) -> Choice:
    """The protocol that a checkpoint with an adapter is asked with, and why: the checkpoint's own instruction and the
    spelling of its words are in it. Reads no weights. Raises CheckpointError, InputError."""
    choice = protocol_for(str(read_config(folder)["model_type"]), named, folder, adapter)
    protocol = choice.protocol
    if isinstance(protocol, TempoProtocol):
        protocol = protocol.with_instruction(read_defaults(folder).instruction)
    vocabulary = read_vocabulary(adapter or folder)
    if vocabulary is not None:
        protocol = replace(protocol, clean=vocabulary.normalise)
    return replace(choice, protocol=protocol)


def protocol_for(model_type: str, named: str | None, folder: Path, adapter: Path | None) -> Choice:
    """The protocol of a checkpoint and its adapter, whose own word goes first: one trained here speaks Tempo's own."""
    settings = folder / FILE_NAME
    if adapter is not None and (adapter / FILE_NAME).is_file():
        settings = adapter / FILE_NAME
    elif named is None and adapter is not None and (adapter / ADAPTER_LINEAGE).is_file():
        return Choice(protocol_named("tempo"), "The adapter was trained with it.", True)
    return choose_protocol(
        model_type,
        named=named,
        settings=read_json(settings) if settings.is_file() else None,
        source=hub_name(folder),
        adapter=None if adapter is None else hub_name(adapter),
    )


def planned_protocol(
    checkpoint: Any, model_type: str, *, named: str | None = None, adapter: Any = None
) -> Protocol:
    """The protocol that a checkpoint will be asked with, for a plan: of known grounders nothing is downloaded. Raises
    CheckpointError, InputError."""
    if published_name(checkpoint) is None:
        folder = find_checkpoint(checkpoint)
        adapter_folder = None if adapter is None else find_adapter(adapter)
        return protocol_for(model_type, named, folder, adapter_folder).protocol
    settings = None if adapter is None else Path(adapter) / FILE_NAME
    return choose_protocol(
        model_type,
        named=named,
        settings=read_json(settings) if settings is not None and settings.is_file() else None,
        source=str(checkpoint),
        adapter=None if adapter is None else str(adapter),
    ).protocol


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
    """The model of a folder that `check_checkpoint` passed, frozen. Raises CheckpointError."""
    config = read_config(folder)
    family, stored = family_named(config["model_type"]), stored_precision(config)
    memory_plan = plan(folder, four_bit=four_bit, device=device)
    check_memory(folder, memory_plan, device=device, four_bit=four_bit)
    dtype = getattr(torch, memory_plan.dtype)
    options: dict[str, Any] = {"device_map": {"": device}} if four_bit or stored or device != "cpu" else {}
    if four_bit and stored is None:
        options["quantization_config"] = nf4_config(dtype, family)
    try:
        with quiet():
            loaded: Any = family.model_class.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                attn_implementation="sdpa",
                output_loading_info=True,
                **options,
            )
    except (RuntimeError, ValueError, OSError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise CheckpointError(
            f"{folder} could not be loaded as {family.title}: {_first_line(error)}"
        ) from error
    model, report = loaded
    if missing := sorted(map(str, report["missing_keys"])):
        raise CheckpointError(
            f"{folder} lacks {len(missing)} weights, among them {missing[0]}. Copy or download it again."
        )
    layers = [module for module in model.modules() if hasattr(module, "support_avx512bf16_for_cpu")]
    if stored is not None:
        # the type to compute in is this device's, not that of the machine that stored them
        for layer in layers:
            layer.compute_dtype, layer.compute_type_is_set = dtype, True
    for layer in layers:
        # bitsandbytes would pack any layer at its first question, with scales in bfloat16 and no way back to training
        layer.support_avx512bf16_for_cpu = False
    if memory_plan.kernel == "packed":
        from tempo_core.cpu_four_bit import pack, unmap

        pack(model)
        return_freed_memory()
        unmap(model)
    elif memory_plan.kernel == "blocks":
        from tempo_core.cpu_four_bit import block

        block(model)
    elif memory_plan.kernel == "dense":
        from tempo_core.cpu_four_bit import keep_dense

        keep_dense(model)
    return_freed_memory()
    return model.requires_grad_(False)


@contextlib.contextmanager
def watched_loading(on_weight: Callable[[int, int], None]) -> Iterator[None]:
    """Within the block, call `on_weight` before each weight that is loaded: how many are loaded, of how many.

    What it raises ends the loading. It hears what every thread of the process loads.
    """
    from transformers.utils import logging as notices

    def counted(weights: Collection[Any]) -> Iterator[Any]:
        for count, weight in enumerate(weights):
            on_weight(count, len(weights))
            yield weight
        on_weight(len(weights), len(weights))

    def hook(factory: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if options.get("desc") == LOADING_WEIGHTS:
            return counted(args[0])
        return factory(*args, **options)

    previous = notices.set_tqdm_hook(hook)
    try:
        yield
    finally:
        notices.set_tqdm_hook(previous)


def return_freed_memory() -> None:
    """Give the C heap's free pages back to the system, where the C library can (glibc).

    Quantising frees each layer's float weights below memory that stays in use, and glibc keeps such pages: .25 to
    .39 GB of a 2B model (docs/experiments.md). So does the vision tower before the language model begins.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def precision_of(model: Any) -> str:
    """How a model's linear layers are held: nf4, fp4, int8, or the float type of its weights."""
    for layer in model.modules():
        if "Linear4bit" in [kind.__name__ for kind in type(layer).__mro__]:
            return str(layer.weight.quant_type)
        if type(layer).__name__ == "Linear8bitLt":
            return "int8"
    return str(model.dtype).removeprefix("torch.")


def check_memory(folder: Path, memory_plan: MemoryPlan, *, four_bit: bool, device: str) -> None:
    """Raise MemoryShortage when a checkpoint of more than SMALL_BYTES takes more memory than a device has free."""
    if sum(path.stat().st_size for path in weight_files(folder)) < SMALL_BYTES:
        return
    needed = memory_plan.weight_bytes
    free = free_bytes(device)
    if needed > free:
        smaller = "" if four_bit else " load it in four bits,"
        raise MemoryShortage(
            f"The weights of {folder_name(folder)} take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on "
            f"{device}. Name a smaller checkpoint,{smaller} or use a device with more memory.",
            missing_bytes=needed - free,
        )


def free_bytes(device: str) -> int:
    """Memory of a device that nobody uses, or that the system can take back at once."""
    if device.startswith("cuda"):
        # What torch holds in reserve is ours to use, and counts as taken on the device.
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + reserve
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def nf4_config(dtype: torch.dtype, family: Family) -> Any:
    """NF4 with double quantisation for the linear layers that the family does not keep whole."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(family.unquantised),
    )


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, with the special tokens that prompts need. Raises CheckpointError when it is damaged or
    another's."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises bare Exception on damaged files
        raise CheckpointError(f"The tokenizer in {folder} cannot be read: {_first_line(error)}") from error
    for token in (IM_START, IM_END, VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD):
        special_id(tokenizer, token)
    return tokenizer


def read_normaliser(folder: Path) -> Normaliser:
    """Mean and standard deviation of the pixels, as the checkpoint's processor wants them; the family's own where there
    is no processor.

    Checkpoints have it in preprocessor_config.json; transformers 5 writes it into processor_config.json.
    """
    family = family_named(read_config(folder)["model_type"])
    default = family.normaliser
    name = "preprocessor_config.json"
    if (folder / name).is_file():
        data = read_json(folder / name)
    elif (folder / "processor_config.json").is_file():
        name = "processor_config.json"
        data = read_json(folder / name).get("image_processor") or {}
    else:
        return default
    expected = {"patch_size": default.patch_px, "merge_size": MERGE, "temporal_patch_size": TEMPORAL_PATCH}
    for key, value in expected.items():
        if data.get(key, value) != value:
            raise CheckpointError(f"{folder}: {name} has {key} {data[key]}; {family.title} has {value}.")
    try:
        mean = tuple(map(float, data.get("image_mean", default.mean)))
        std = tuple(map(float, data.get("image_std", default.std)))
    except (TypeError, ValueError):
        mean = std = ()
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise CheckpointError(f"{folder}: image_mean and image_std in {name} must be three numbers each.")
    return replace(default, mean=mean, std=std, rescale=float(data.get("rescale_factor", default.rescale)))


def attach_adapter(model: Any, folder: Path, *, trainable: bool = False) -> Any:
    """The PeftModel of a model and an adapter folder that `check_adapter` passed, its layers unmerged.

    Layers are those that the adapter has tensors for, whatever its `target_modules` say; names from before
    transformers 4.52 are understood. Raises CheckpointError when a tensor finds no layer or does not fit it, and for an
    adapter that changes nothing, unless it is `trainable`: training begins so.
    """
    from peft import LoraConfig, PeftModel, set_peft_model_state_dict
    from peft.utils.other import get_pattern_key

    modules = dict(model.named_modules())
    tensors: dict[str, torch.Tensor] = {}
    stored_names: dict[str, str] = {}
    for name, tensor in load_file(folder / ADAPTER_WEIGHTS).items():
        match = ADAPTER_TENSOR.fullmatch(name)
        layer = match[1] if match else ""
        if layer not in modules:
            for old, new in PRESENT_NAMES:
                layer = re.sub(f"^{old}", new, layer)
        module = modules.get(layer)
        if match is None or (module is not None and not isinstance(module, nn.Linear)):
            raise CheckpointError(
                f"The adapter {folder} is more than plain LoRA: {name!r} is no pair of matrices of a linear layer. "
                "Merge it into its base with the tool that made it, and name the merged checkpoint."
            )
        if module is None:
            raise CheckpointError(
                f"The adapter {folder} was made for another base: this one has no layer for {name!r}."
            )
        width = module.in_features if match[2] == "A" else module.out_features
        if tensor.shape[1 if match[2] == "A" else 0] != width:
            raise CheckpointError(
                f"The adapter {folder} was made for another base: {name!r} has shape {list(tensor.shape)}, the layer "
                f"has {width} there."
            )
        if (key := f"base_model.model.{layer}.lora_{match[2]}.weight") in tensors:
            raise CheckpointError(
                f"The adapter {folder} holds {layer} twice: as {stored_names[layer]!r} and as {match[1]!r}. Copy or "
                "download it again."
            )
        if not tensor.isfinite().all():
            raise CheckpointError(
                f"The adapter {folder} holds numbers in {name!r} that are not finite: its training broke. Take an "
                "earlier one."
            )
        tensors[key] = tensor
        stored_names[layer] = match[1]
    incomplete = [layer for layer in stored_names if f"base_model.model.{layer}.lora_A.weight" not in tensors]
    incomplete += [
        layer for layer in stored_names if f"base_model.model.{layer}.lora_B.weight" not in tensors
    ]
    if incomplete or not tensors:
        raise CheckpointError(
            f"The adapter {folder} lacks a matrix of {incomplete[0] if incomplete else 'every layer'}. Copy or "
            "download it again."
        )
    try:
        with quiet():
            config: Any = LoraConfig.from_pretrained(str(folder))
            # exact names: patterns and leaf names were written for the names of their time
            alphas, ranks = config.alpha_pattern or {}, config.rank_pattern or {}
            config.alpha_pattern = {
                layer: alphas.get(get_pattern_key(list(alphas), stored), config.lora_alpha)
                for layer, stored in stored_names.items()
            }
            config.rank_pattern = {
                layer: ranks.get(get_pattern_key(list(ranks), stored), config.r)
                for layer, stored in stored_names.items()
            }
            for layer, stored in stored_names.items():
                matrix_ranks = (
                    tensors[f"base_model.model.{layer}.lora_A.weight"].shape[0],
                    tensors[f"base_model.model.{layer}.lora_B.weight"].shape[1],
                )
                if matrix_ranks != (config.rank_pattern[layer],) * 2:
                    raise CheckpointError(
                        f"The adapter {folder} has rank {config.rank_pattern[layer]} by {ADAPTER_CONFIG}, and the "
                        f"matrices of {stored!r} have {matrix_ranks[0]} and {matrix_ranks[1]}. Copy both files of one "
                        "adapter."
                    )
            if not trainable:
                _check_effect(folder, tensors, config.alpha_pattern)
            config.target_modules = sorted(stored_names)
            config.exclude_modules = config.layers_to_transform = config.layers_pattern = None
            config.inference_mode = not trainable
            peft_model = PeftModel(model, config)
            result: Any = set_peft_model_state_dict(peft_model, tensors)
    except (RuntimeError, ValueError, OSError, KeyError, TypeError) as error:
        raise CheckpointError(f"The adapter {folder} could not be loaded: {_first_line(error)}") from error
    if result.unexpected_keys:
        raise CheckpointError(
            f"The adapter {folder} does not fit its own {ADAPTER_CONFIG}: {result.unexpected_keys[0]!r} is left over."
        )
    return peft_model


def _check_effect(folder: Path, tensors: dict[str, torch.Tensor], alphas: dict[str, float]) -> None:
    """Raise CheckpointError for an adapter with which every answer is the base's; `alphas` by layer."""
    if not any(alphas.values()):
        raise CheckpointError(
            f"The adapter {folder} changes nothing: lora_alpha is 0 in {ADAPTER_CONFIG}. Write the number there that "
            "it was trained with, or leave the adapter out."
        )
    for layer, alpha in alphas.items():
        matrices = [tensors[f"base_model.model.{layer}.lora_{letter}.weight"] for letter in "AB"]
        if alpha and all(matrix.any() for matrix in matrices):
            return
    raise CheckpointError(
        f"The adapter {folder} changes nothing: of each layer one of its two matrices is zero, as before training. "
        "Train it first, or leave the adapter out."
    )


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
