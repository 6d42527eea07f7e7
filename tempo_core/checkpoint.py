"""A checkpoint or adapter folder on disk: found, looked through before anything heavy is loaded, fingerprinted.

Safetensors only: a pickle can run code. Nothing here imports torch.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tempo_core.defaults import FILE_NAME, read_json
from tempo_core.errors import CheckpointError
from tempo_core.families import MIXTURES, check_model_type

_CHECKPOINTS = Path(__file__).parent / "checkpoints"
SHIPPED = _CHECKPOINTS / "tempo-tiny"
"""What is used where no checkpoint is named."""
FOOTAGE = _CHECKPOINTS / "tempo-tiny-footage"
"""What knows cutting and looks of anybody's footage, and no shapes."""
SHIPPED_FOLDERS = {folder.name: folder for folder in (SHIPPED, FOOTAGE)}
"""By the names that they can be asked for with."""
WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG, ADAPTER_LINEAGE = "adapter_config.json", "tempo_adapter.json"
PROMOTED = "promoted.json"
"""In a folder of adapters, which one each base is served with (`train.refresh.registry` writes it)."""
HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja")
ADAPTER_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, ADAPTER_LINEAGE, FILE_NAME)

HUB_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
PLAIN_LORA: dict[str, tuple[object, ...]] = {
    "use_dora": (None, False),
    "bias": (None, "none"),
    "modules_to_save": (None, []),
    "trainable_token_indices": (None, []),
    "target_parameters": (None, []),
    "lora_bias": (None, False),
    "layer_replication": (None, []),
    "alora_invocation_tokens": (None, []),  # active behind these tokens only
    "use_qalora": (None, False),
    "use_bdlora": (None, False, {}),
    "arrow_config": (None, {}),
    "kasa_config": (None, {}),
    "monteclora_config": (None, {}),
    "velora_config": (None, {}),
    # others change the base's weights when they begin
    "init_lora_weights": (None, True, False, "gaussian", "orthogonal"),
}
"""Settings of an adapter that change more than its two matrices a layer, with the values that do not."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_WHOLE_BYTES = 64 << 20
_EDGE_BYTES = 1 << 20


def find_checkpoint(checkpoint: str | Path | None) -> Path:
    """The folder of a checkpoint: the shipped one for None, a folder, a shipped one's name, or else a hub name, which
    is downloaded.

    A hub name may carry a branch, tag or commit: `owner/name@revision`. Raises CheckpointError when there is neither
    such a folder nor such a name, or when the hub cannot be reached.
    """
    name = SHIPPED.name if checkpoint is None else str(checkpoint)
    if checkpoint is None or (name in SHIPPED_FOLDERS and not Path(name).is_dir()):
        if not SHIPPED_FOLDERS[name].is_dir():
            raise CheckpointError(
                f"The shipped checkpoint is missing from {SHIPPED_FOLDERS[name]}. Install again, or name another one."
            )
        return SHIPPED_FOLDERS[name]
    folder = Path(checkpoint).expanduser()
    if folder.is_file():
        raise CheckpointError(
            f"{folder} is a file. Name the checkpoint's folder, which holds config.json and {WEIGHTS}."
        )
    return _find_folder(checkpoint, "checkpoint", "Qwen/Qwen2-VL-2B-Instruct", HUB_FILES)


def find_adapter(adapter: str | Path) -> Path:
    """The folder of an adapter, or that of a hub name (`owner/name` or `owner/name@revision`), which is downloaded.

    Raises CheckpointError when there is neither.
    """
    return _find_folder(adapter, "adapter", "zeqianli/UniTime", ADAPTER_FILES)


def _find_folder(name: str | Path, kind: str, example: str, patterns: tuple[str, ...]) -> Path:
    """A folder, or what the hub has under a name of that form."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    match = HUB_NAME.fullmatch(str(name))
    if match is None:
        raise CheckpointError(
            f"There is no {kind} folder {folder}. Name a folder, or a hub name like {example}."
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(match[1], revision=match[2], allow_patterns=list(patterns)))
    except Exception as error:  # the client raises its own, its transport's, and the system's errors
        raise CheckpointError(
            f"{str(name)!r} is no folder here and could not be fetched from the hub ({type(error).__name__}). "
            "Check the name and the network, or name a downloaded folder."
        ) from error


def folder_name(folder: Path) -> str:
    """What a checkpoint or adapter is called: its folder's name, or its repository's in the hub's cache."""
    return (hub_name(folder) or folder.resolve().name).rpartition("/")[2]


def hub_name(folder: Path) -> str | None:
    """The hub name, owner/name, of a folder in the hub's cache; None for any other folder."""
    # models--owner--name/snapshots/commit
    snapshots = folder.resolve().parent
    kind, *names = snapshots.parent.name.split("--", 2)
    return "/".join(names) if snapshots.name == "snapshots" and kind == "models" else None


def check_checkpoint(folder: Path) -> dict[str, Any]:
    """The configuration of a whole, safe checkpoint folder of a known family. Raises CheckpointError for any other."""
    config = read_config(folder)
    names = {name for path in weight_files(folder) for name in check_safetensors(path)}
    stated, stored = _kind(stored_precision(config)), _kind(weights_precision(names))
    if stated != stored:
        raise CheckpointError(
            f"{folder}: config.json says that the weights are {stated}, and the files hold {stored} ones. Copy the "
            "configuration and the weights of one checkpoint together."
        )
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.json").is_file():
        raise CheckpointError(f"{folder} has no tokenizer (tokenizer.json). Copy it beside the weights.")
    return config


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's configuration. Raises CheckpointError when it is missing, damaged, of no family that runs here, or
    of weights that are stored in a way that is not read here."""
    gguf_files = sorted(path.name for path in folder.glob("*.gguf"))
    if gguf_files and not any(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} holds GGUF weights ({gguf_files[0]}), which llama.cpp reads. Name the checkpoint that they were "
            "made from; it is stored in NF4 here when it is loaded."
        )
    config = read_json(folder / "config.json")
    is_mixture = config.get("model_type") in MIXTURES
    check_config(config, folder, weight_bytes=stated_bytes(folder) if is_mixture else 0)
    return config


def stated_bytes(folder: Path) -> int:
    """What a folder's weights take, as the index of its shards says, else what its safetensors files do; 0 where
    neither says it."""
    if (folder / WEIGHTS_INDEX).is_file():
        metadata = read_json(folder / WEIGHTS_INDEX).get("metadata")
        stated = metadata.get("total_size") if isinstance(metadata, dict) else None
        if isinstance(stated, int | float) and 0 < stated < float("inf"):
            return int(stated)
    return sum(path.stat().st_size for path in folder.glob("*.safetensors") if path.is_file())


def check_config(config: dict[str, Any], source: object, *, weight_bytes: int = 0) -> None:
    """Raise CheckpointError, which names `source`, for a configuration of code of its own, of no family that runs here,
    or of weights that are stored in a way that is not read here. `weight_bytes` is what they take (0: nobody knows)."""
    if config.get("auto_map"):
        raise CheckpointError(
            f"{source} wants to run code of its own (auto_map in config.json), which is never done. Name a checkpoint "
            "whose architecture is part of transformers."
        )
    check_model_type(config.get("model_type"), source, weight_bytes=weight_bytes)
    stored_precision(config, source)


def stored_precision(config: dict[str, Any], source: object = "The checkpoint") -> str | None:
    """How the weights are quantised on disk: nf4, fp4, int8, or None for plain ones.

    Raises CheckpointError, which names `source`, for a method that is not bitsandbytes.
    """
    # of the whole model, or of one of its parts: text_config, vision_config
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    quantisation = next(
        (part["quantization_config"] for part in parts if part.get("quantization_config")), None
    )
    if quantisation is None:
        return None
    if not isinstance(quantisation, dict):
        raise CheckpointError(
            f"{source}: 'quantization_config' in config.json is {quantisation!r}; it must be an object. Copy or "
            "download it again."
        )
    method = quantisation.get("quant_method")
    if method != "bitsandbytes":
        raise CheckpointError(
            f"{source} is quantised with {method!r}; plain weights and bitsandbytes' are read here. Name the "
            "checkpoint that it was made from; it is stored in NF4 here when it is loaded."
        )
    if quantisation.get("load_in_8bit"):
        return "int8"
    return str(quantisation.get("bnb_4bit_quant_type", "fp4"))


def weights_precision(names: Iterable[str]) -> str | None:
    """How weights are quantised, by the tensors beside them: nf4, fp4, int8, "gptq or awq", "fp8"; None for plain."""
    for name in names:
        if ".quant_state.bitsandbytes__" in name:
            return name.rpartition("__")[2]
        if name.endswith(".SCB"):
            return "int8"
        if name.endswith((".qweight", ".qzeros")):
            return "gptq or awq"
        if name.endswith((".weight_scale", ".weight_scale_inv")):
            return "fp8"
    return None


def _kind(precision: str | None) -> str:
    """What a configuration and its weights must agree about: which of the two four-bit types it is, the weights say."""
    return {None: "plain", "nf4": "four-bit", "fp4": "four-bit"}.get(precision, str(precision))


def weight_files(folder: Path) -> list[Path]:
    """The checkpoint's safetensors files, in order; where one whole file stands beside shards, that one, as
    transformers loads it. Raises CheckpointError when they are missing or pickled."""
    files = [folder / WEIGHTS]
    if (folder / WEIGHTS_INDEX).is_file():
        shards = read_json(folder / WEIGHTS_INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise CheckpointError(f"{folder / WEIGHTS_INDEX} names no weights. Copy or download it again.")
        names = sorted(set(map(str, shards.values())))
        if bad := [name for name in names if Path(name).name != name]:
            raise CheckpointError(f"{folder / WEIGHTS_INDEX} names the file {bad[0]!r} outside its folder.")
        if not files[0].is_file():
            files = [folder / name for name in names]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise CheckpointError(f"{folder} lacks the weights {', '.join(missing)}. {_pickle_hint(folder)}")
    return files


def check_safetensors(path: Path) -> dict[str, list[int]]:
    """Names and shapes in a safetensors file. Raises CheckpointError when it is truncated or no such file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as tensors:
            return {name: list(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or incomplete ({error}). Copy or download it again."
        ) from error


def check_adapter(folder: Path, base_fingerprint: str) -> dict[str, list[int]]:
    """Names and shapes of a LoRA adapter's tensors.

    Raises CheckpointError when the folder is incomplete, pickled, not LoRA, or its `tempo_adapter.json` names
    another base (`base_fingerprint`); adapters made elsewhere have no such file and are held by their shapes.
    """
    if not folder.is_dir():
        raise CheckpointError(f"There is no adapter folder {folder}.")
    config = read_json(folder / ADAPTER_CONFIG)
    if config.get("peft_type") != "LORA":
        raise CheckpointError(
            f"{folder} holds a {config.get('peft_type')!r} adapter; only LoRA is supported."
        )
    for key, harmless in PLAIN_LORA.items():
        if config.get(key) not in harmless:
            raise CheckpointError(
                f"The adapter {folder} is more than plain LoRA: {key} is {config[key]!r} in {ADAPTER_CONFIG}. Merge it "
                "into its base with the tool that made it, and name the merged checkpoint."
            )
    for key, types in (("r", (int,)), ("lora_alpha", (int, float))):
        if key in config and (isinstance(config[key], bool) or not isinstance(config[key], types)):
            raise CheckpointError(
                f"{folder / ADAPTER_CONFIG}: {key!r} is {config[key]!r}; it must be a number. Copy or download it "
                "again."
            )
    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{folder} lacks the weights {ADAPTER_WEIGHTS}. {_pickle_hint(folder)}")
    if (folder / ADAPTER_LINEAGE).is_file():
        base = read_json(folder / ADAPTER_LINEAGE).get("base_fingerprint")
        if base != base_fingerprint:
            raise CheckpointError(
                f"The adapter {folder} was made for another base: {str(base)[:12]}, not "
                f"{base_fingerprint[:12]}. Load it on the checkpoint it was trained from."
            )
    return check_safetensors(path)


def adapters_folder() -> Path:
    """Where adapters are kept: TEMPO_HOME's, else ./data's; it need not exist."""
    return Path(os.environ.get("TEMPO_HOME") or "data").expanduser() / "adapters"


def promoted_adapter(base_fingerprint: str, adapters: Path | None = None) -> Path | None:
    """The folder of the adapter that a base is served with, None for the bare base. Read-only.

    Raises CheckpointError when it is promoted but not there.
    """
    adapters = adapters_folder() if adapters is None else adapters
    if not (adapters / PROMOTED).is_file():
        return None
    try:
        name = read_json(adapters / PROMOTED)["bases"].get(base_fingerprint, {}).get("name")
    except (KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{adapters / PROMOTED} is damaged. Delete it to use the bare model."
        ) from error
    if name is None:
        return None
    if Path(str(name)).name != name or not (adapters / name).is_dir():
        raise CheckpointError(
            f"The promoted adapter {name!r} is missing from {adapters}. Roll back with "
            "`python -m train adapters rollback`, or use --adapter none."
        )
    return adapters / str(name)


def choose_adapter(
    checkpoint: str | Path | None, adapter: str | Path | None, adapters: Path | None = None
) -> Path | None:
    """What `--adapter` means: a folder; the word "none"; or, when it was not given, the promoted adapter.

    Raises CheckpointError.
    """
    if adapter is not None:
        return None if str(adapter) == "none" else Path(adapter).expanduser()
    adapters = adapters_folder() if adapters is None else adapters
    if not (adapters / PROMOTED).is_file():
        return None
    return promoted_adapter(fingerprint(find_checkpoint(checkpoint)), adapters)


def fingerprint(folder: Path) -> str:
    """A sha256 in hex of the folder's weights: whole files up to 64 MiB, of larger ones the header and both edges."""
    files = weight_files(folder) if (folder / "config.json").is_file() else [folder / ADAPTER_WEIGHTS]
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(json.dumps([path.name, size]).encode())
        with path.open("rb") as file:
            if size > _WHOLE_BYTES:
                header = int.from_bytes(file.read(8), "little")
                digest.update(file.read(min(header, _WHOLE_BYTES)))
                digest.update(file.read(_EDGE_BYTES))
                file.seek(-_EDGE_BYTES, 2)
            digest.update(file.read())
    return digest.hexdigest()


def _pickle_hint(folder: Path) -> str:
    """What to do about missing safetensors, with a word on pickles when some lie there."""
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        return (
            f"{pickles[0]} is a pickle, which can run code and is refused: convert it to safetensors first."
        )
    return "Copy or download the folder again."
