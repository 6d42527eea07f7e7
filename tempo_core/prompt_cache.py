"""The cache that a prompt of known length is read into, piece by piece.

transformers' DynamicLayer joins old and new keys into new tensors for every piece, and the old ones leave holes in the
heap: .12 GB where a 2B reads 2,305 tokens in three pieces (docs/experiments.md). Here every layer has its whole length
from the start. Afterwards the layers are transformers' own again, which share what is there and grow by copying.
"""

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class SizedLayer(DynamicLayer):
    """A layer of attention for `length` tokens; keys and values [B, heads, length, D] are views while it fills."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.whole: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the next tokens behind those that are there; keys and values so far."""
        states = key_states, value_states
        if not self.is_initialized:
            self.lazy_initialization(*states)
            self.whole = [new.new_empty(*new.shape[:2], self.length, new.shape[-1]) for new in states]
        start = self.get_seq_length()
        stop = start + key_states.shape[-2]
        for whole, new in zip(self.whole, states, strict=True):
            whole[:, :, start:stop] = new
        self.keys, self.values = (whole[:, :, :stop] for whole in self.whole)
        return self.keys, self.values

    def plain(self) -> DynamicLayer:
        """The same keys and values as a layer that grows."""
        keys, values = self.whole
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        return layer


def sized_cache(config: Any, length: int) -> DynamicCache:
    """An empty cache of a language model for so many tokens; layers of linear attention do not grow, and are usual."""
    cache = DynamicCache(config=config)
    cache.layers = [SizedLayer(length) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def grow_from(cache: DynamicCache) -> DynamicCache:
    """The full cache as one that grows."""
    cache.layers = [layer.plain() if isinstance(layer, SizedLayer) else layer for layer in cache.layers]
    return cache
