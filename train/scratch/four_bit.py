"""Training with the rounding that NF4 will do: forward sees 4-bit weights, the gradient passes straight through.

A model this small loses accuracy when it is quantised afterwards; in the last part of its training it learns to live
with the rounding (straight-through estimator, arXiv 1308.3432; NF4 with blocks of 64, arXiv 2305.14314).
"""

import torch
from bitsandbytes.functional import get_4bit_type
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import Qwen2VLForConditionalGeneration

BLOCK = 64


class RoundToNF4(nn.Module):
    """A weight as NF4 stores it: each block of 64 scaled by its largest magnitude, rounded to one of 16 values."""

    values: Tensor
    borders: Tensor

    def __init__(self) -> None:
        super().__init__()
        values = get_4bit_type("nf4", device="cpu").float().sort().values
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("borders", (values[1:] + values[:-1]) / 2, persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.no_grad():
            blocks = weight.reshape(-1, BLOCK)
            scale = blocks.abs().amax(1, keepdim=True).clamp_min(1e-12)
            rounded = (self.values[torch.bucketize(blocks / scale, self.borders)] * scale).view_as(weight)
        return weight + (rounded - weight).detach()


def quantised_layers(model: Qwen2VLForConditionalGeneration) -> list[nn.Linear]:
    """The language model's linear layers: what loading in 4 bit quantises."""
    return [m for m in model.model.language_model.modules() if isinstance(m, nn.Linear)]


def round_weights(model: Qwen2VLForConditionalGeneration) -> None:
    """From now on the forward pass sees rounded weights; the parameters stay exact."""
    for layer in quantised_layers(model):
        if not parametrize.is_parametrized(layer):
            parametrize.register_parametrization(layer, "weight", RoundToNF4())


def exact_weights(model: Qwen2VLForConditionalGeneration) -> None:
    """Undo `round_weights`; the exact parameters remain."""
    for layer in quantised_layers(model):
        if parametrize.is_parametrized(layer):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
