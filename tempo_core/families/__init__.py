"""Model families: what the rest must know of an architecture, one file each, chosen by `model_type` in config.json.

    family = family_of(model)                       # of a loaded model
    family = family_named("qwen3_vl")               # of a configuration

Nothing here imports torch until a family is asked for. A new family is a module with a `FAMILY` and one line in
MODEL_TYPES.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tempo_core.errors import CheckpointError

if TYPE_CHECKING:
    from tempo_core.families.base import Family

MODEL_TYPES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5")
"""The `model_type`s that run here; each names its module."""


MIXTURES = ("qwen2_5_vl_moe", "qwen3_vl_moe", "qwen3_5_moe")
"""Mixtures of experts of the same makers: their layers are others."""


def check_model_type(model_type: object, source: object, *, weight_bytes: int = 0) -> str:
    """The `model_type` if it is a family's. Raises CheckpointError, which names `source`, for any other; `weight_bytes`
    is what its weights take (0: nobody knows)."""
    if model_type in MODEL_TYPES:
        return str(model_type)
    if model_type in MIXTURES:
        weights = f" of {weight_bytes / 1e9:.1f} GB" if weight_bytes else ""
        raise CheckpointError(
            f"{source} holds a mixture of experts{weights} ({model_type!r}), of which every expert would have to lie "
            "in memory; only dense models run here. Name a dense checkpoint of the family, such as "
            "Qwen/Qwen3-VL-8B-Instruct."
        )
    raise CheckpointError(
        f"{source} holds a {model_type!r} model; families that run here: {', '.join(MODEL_TYPES)}. "
        "Name a checkpoint of one of them."
    )


def family_named(model_type: str) -> "Family":
    """The family of a `model_type`. Raises CheckpointError for an unknown one."""
    module = import_module(f"tempo_core.families.{check_model_type(model_type, 'The configuration')}")
    return module.FAMILY


def family_of(model: Any) -> "Family":
    """The family of a loaded transformers model (not wrapped by PEFT or DDP)."""
    return family_named(model.config.model_type)
