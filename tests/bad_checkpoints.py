"""Checkpoint folders that cannot run, each with what a person is to read about it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _configured(**changes: Any) -> Callable[[Path], None]:
    """Other values in config.json."""

    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


def _without_weights(name: str) -> Callable[[Path], None]:
    """A file of another format in place of the weights."""

    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(b"GGUF" if name.endswith("gguf") else b"\x80\x04")

    return change


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _headless(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


BAD_CHECKPOINTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "custom code": (_configured(auto_map={"AutoModel": "mine.Model"}), "code of its own"),
    "pickle": (_without_weights("pytorch_model.bin"), "pickle"),
    "gptq": (_configured(quantization_config={"quant_method": "gptq"}), "quantised with 'gptq'"),
    "awq": (_configured(quantization_config={"quant_method": "awq"}), "quantised with 'awq'"),
    "gguf": (_without_weights("model-q4.gguf"), "GGUF weights"),
    "unknown type": (_configured(model_type="llama"), "holds a 'llama' model; families that run here"),
    "mixture of experts": (_configured(model_type="qwen3_vl_moe"), "mixture of experts"),
    "cut off": (_cut, "model.safetensors"),
    "without tokenizer": (_headless, "tokenizer"),
}


def bad_checkpoint(kind: str, source: Path, folder: Path) -> str:
    """Make `folder` a copy of the checkpoint `source` with this fault; gives words of the message."""
    change, words = BAD_CHECKPOINTS[kind]
    shutil.copytree(source, folder)
    change(folder)
    return words
