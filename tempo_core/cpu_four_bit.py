"""NF4 layers on a CPU.

Of a large model, with instructions for bfloat16 (AVX512_BF16: AMD since Zen 4, many Intel Xeons), weights are held
once, in bitsandbytes' packed layout. Up to PACKED_ROWS rows go through bitsandbytes' packed kernel, which reads four
bits a weight: a decoded token, a question. More rows are arithmetic: a few megabytes of the layer's weights at a time
become bfloat16, and oneDNN multiplies. Both see the same weights. Without such instructions weights stay as they are;
few rows are multiplied block by block, so that the float32 weights of a block are used while they are in the cache.

Of a very small model the dequantised float32 weights are kept beside the codes: a few megabytes, and the same numbers.

The plain twin of all is bitsandbytes' own layer, which dequantises all of its weights to float32 for every call: what
a model between DENSE_CPU_WEIGHTS and EXACT_CPU_WEIGHTS has.
Legend: N outputs, K inputs, M rows, B values that share a scale.
"""

import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from bitsandbytes.functional import dequantize_4bit, dequantize_blockwise, has_avx512bf16
from bitsandbytes.nn import Linear4bit
from torch import Tensor

from tempo_core.memory import UNPACKED_WEIGHTS

PACKED_ROWS = 192
"""Most rows of the packed kernel; behind it, unpacking costs less than what oneDNN is faster (docs/experiments.md)."""
TILE = 32
"""Rows of weights that bitsandbytes packs together."""
BLOCK_WEIGHTS = 1 << 19
"""Weights of a block without packing: 2 MB of float32."""
BLOCK_ROWS = 64
"""Most rows that are multiplied block by block."""
SCALED = 64
"""B of the layers that are handled here: bitsandbytes' default."""


class PackedLinear4bit(Linear4bit):
    """A Linear4bit in the packed layout. Made from a loaded layer by `pack`; gradients reach its input."""

    def forward(self, x: Tensor) -> Tensor:
        weight: Any = self.weight
        needs_grad = torch.is_grad_enabled() and x.requires_grad
        # saving the weights unpacks them
        is_packed = getattr(weight.quant_state, "packing_format_for_cpu", False)
        if not is_packed or not (needs_grad or x.numel() > PACKED_ROWS * self.in_features):
            return super().forward(x)
        rows = x.to(torch.bfloat16)
        biases: Iterable[Tensor | None] = itertools.repeat(None)
        if self.bias is not None:
            biases = self.bias.to(torch.bfloat16).split(_outputs_at_once(self))
        products = [F.linear(rows, *block) for block in zip(unpacked_weights(self), biases, strict=False)]
        return torch.cat(products, dim=-1).to(x.dtype)


class BlockLinear4bit(Linear4bit):
    """A Linear4bit whose few rows are multiplied block by block; everything else is as it was."""

    def forward(self, x: Tensor) -> Tensor:
        needs_grad = torch.is_grad_enabled() and x.requires_grad
        if needs_grad or x.dtype != torch.float32 or not 0 < x.numel() <= BLOCK_ROWS * self.in_features:
            return super().forward(x)
        weight: Any = self.weight
        state, n_in = weight.quant_state, self.in_features
        scales = state.absmax.float()
        if state.nested:
            scales = dequantize_blockwise(state.absmax, state.state2).float() + state.offset
        codes = weight.data.view(torch.uint8).view(self.out_features, n_in // 2)
        scales = scales.view(self.out_features, n_in // SCALED)
        step = max(1, BLOCK_WEIGHTS // n_in)
        products = []
        for start in range(0, self.out_features, step):
            block = codes[start : start + step]
            dense = torch.ops.bitsandbytes.dequantize_4bit(
                block.reshape(-1),
                scales[start : start + step].reshape(-1),
                SCALED,
                state.quant_type,
                (len(block), n_in),
                torch.float32,
            )
            products.append(F.linear(x, dense))
        product = torch.cat(products, dim=-1)
        return product if self.bias is None else product + self.bias


def keep_dense(model: Any) -> None:
    """Keep the dequantised weights float32[N, K] of every NF4 layer of a model that was loaded in float32.

    The layers multiply by them from now on, whatever is put in the place of the codes later.
    """
    layers: list[Any] = [layer for layer in model.modules() if type(layer) is Linear4bit]
    for layer in layers:
        with torch.inference_mode(False), torch.no_grad():  # else no gradient could go through them later
            dense = dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(torch.float32)
        layer.forward = partial(F.linear, weight=dense, bias=layer.bias)


def block(model: Any) -> None:
    """Multiply by blocks in every NF4 layer of a model that was loaded in float32."""
    for layer in model.modules():
        if type(layer) is Linear4bit and _has_whole_scales(layer):
            layer.__class__ = BlockLinear4bit


def _has_whole_scales(layer: Any) -> bool:
    """Whether each output's weights have scales of their own, one for SCALED of them."""
    return bool(layer.weight.quant_state.blocksize == SCALED and layer.in_features % SCALED == 0)


def pack(model: Any) -> None:
    """Pack the NF4 layers of a model that was loaded in bfloat16; it is in eval mode afterwards.

    Layers that bitsandbytes has no packed kernel for stay its own.
    """
    model.eval()
    for layer in model.modules():
        if type(layer) is not Linear4bit:
            continue
        is_packable = _has_whole_scales(layer) and layer.out_features % TILE == 0
        layer.support_avx512bf16_for_cpu = bool(has_avx512bf16() and is_packable)
        layer.compute_dtype, layer.compute_type_is_set = torch.bfloat16, True
        if layer.support_avx512bf16_for_cpu:
            layer.__class__ = PackedLinear4bit
            with torch.inference_mode(False), torch.no_grad():
                # bitsandbytes packs at the first call; now, so that memory is what the plan says and no visitor waits
                Linear4bit.forward(layer, torch.zeros(1, layer.in_features, dtype=torch.bfloat16))


def unmap(model: Any) -> None:
    """Copy the weights that are mapped from the checkpoint's files, so that these are closed.

    Weights whose type is the file's are the file's own pages, and with them all that was quantised stays mapped.
    """
    for parameter in model.parameters():
        if parameter.dtype == torch.bfloat16:
            parameter.data = parameter.data.clone()


def unpacked_weights(layer: Linear4bit) -> Iterator[Tensor]:
    """The weights bfloat16[N, K] of a packed layer in blocks of outputs, each code times its scale, rounded once."""
    weight: Any = layer.weight
    packed, state = weight.data, weight.quant_state
    n_out, n_in = layer.out_features, layer.in_features
    # A 16-bit word holds two inputs (low and high byte) of two outputs: row r of a tile (low halves) and row r + 16.
    words = packed.view(torch.int16).view(n_out // TILE, n_in // 2, TILE // 2)
    scales = state.absmax.T.float().contiguous()  # [N, K / B]
    step = _outputs_at_once(layer) // TILE
    for start in range(0, len(words), step):
        tiles = words[start : start + step]
        pairs = (tiles & 0x000F) << 4
        pairs |= (tiles & 0x0F00) >> 8
        pairs |= (tiles & 0x00F0) << 8
        pairs |= (tiles >> 4) & 0x0F00
        # low byte: the pair of row r, high byte: that of row r + 16
        bytes_of_rows = pairs.view(torch.uint8).view(-1, n_in // 2, TILE // 2, 2).permute(0, 3, 2, 1)
        yield torch.ops.bitsandbytes.dequantize_4bit(
            bytes_of_rows.reshape(-1),
            scales[TILE * start : TILE * (start + step)].reshape(-1),
            state.blocksize,
            state.quant_type,
            (TILE * len(tiles), n_in),
            torch.bfloat16,
        )


def _outputs_at_once(layer: Linear4bit) -> int:
    """Outputs of a block of `unpacked_weights`: whole tiles."""
    return TILE * max(1, UNPACKED_WEIGHTS // (TILE * layer.in_features))
