"""An adapter and its base as one checkpoint, for tools that load no adapters.

merge_adapter("Qwen/Qwen3-VL-4B-Instruct", "runs/cold/adapter", Path("merged"))
"""

import shutil
import tempfile
from pathlib import Path

import torch

from tempo_core.checkpoint import (
    HUB_FILES,
    check_adapter,
    find_adapter,
    find_checkpoint,
    fingerprint,
    read_config,
    stored_precision,
)
from tempo_core.defaults import FILE_NAME, read_json
from tempo_core.errors import CheckpointError, InputError
from tempo_core.files import move
from tempo_core.loading import attach_adapter, load_weights, protocol_for
from tempo_core.vocabulary import FILE_NAME as VOCABULARY
from train.checkpoints import write_json

OWN_FILES = ("*.safetensors", "*.safetensors.index.json", "config.json", FILE_NAME, "calibration.json")
"""Files of a base that are not those of the merged checkpoint."""


def merge_adapter(checkpoint: str | Path | None, adapter: str | Path, out: Path) -> None:
    """Write `out`, a checkpoint folder as transformers saves it: the base's weights with the adapter's added.

    Weights are added in float32 and stored in the base's type; tokenizer and processor are the base's, and tempo.json
    names the protocol that base and adapter are asked with. `out` appears whole or not at all. Raises CheckpointError
    for an adapter that does not fit or a base that is quantised on disk, InputError when `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already. Name a folder that does not exist.")
    folder, adapter_folder = find_checkpoint(checkpoint), find_adapter(adapter)
    config = read_config(folder)
    if stored_precision(config) is not None:
        raise CheckpointError(
            f"{folder} is quantised, so that an adapter cannot be added exactly. Name the checkpoint that it was made "
            "from."
        )
    check_adapter(adapter_folder, fingerprint(folder))
    choice = protocol_for(config["model_type"], None, folder, adapter_folder)
    base = load_weights(folder, four_bit=False, device="cpu")
    merged = attach_adapter(base, adapter_folder).merge_and_unload()
    stored_type = config.get("dtype") or config.get("torch_dtype") or "float32"
    merged.to(getattr(torch, str(stored_type)))

    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        merged.save_pretrained(partial)
        own_names = {path.name for pattern in OWN_FILES for path in folder.glob(pattern)}
        for path in (path for pattern in HUB_FILES for path in folder.glob(pattern)):
            if path.name not in own_names:
                shutil.copyfile(path, partial / path.name)
        # the words that the adapter was taught are the merged model's
        (partial / VOCABULARY).unlink(missing_ok=True)
        if (adapter_folder / VOCABULARY).is_file():
            shutil.copyfile(adapter_folder / VOCABULARY, partial / VOCABULARY)
        settings = read_json(folder / FILE_NAME) if (folder / FILE_NAME).is_file() else {}
        own = read_json(adapter_folder / FILE_NAME) if (adapter_folder / FILE_NAME).is_file() else {}
        write_json(partial / FILE_NAME, {**settings, **own, "protocol": choice.protocol.name})
        partial.chmod(0o755)
        move(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
