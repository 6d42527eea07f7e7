#!/usr/bin/env bash
# bitsandbytes: one evaluation on a CPU, and QLoRA behind it trains with another gradient.
#
# Version: bitsandbytes 0.50.2 with torch 2.13.0, on a CPU with AVX512_BF16 (elsewhere layers are not repacked, and this
# script says so and checks nothing).
# Guess: evaluating a four-bit model before training changes nothing about its gradients; train() puts it back.
# Seen: the first forward in eval mode repacks a Linear4bit's weights for good, and train() does not undo it. The packed
# kernel has no backward, so that nothing flows through the layer any more: in a residual block with an adapter in front
# of it, only the skip path's gradient arrives (.48 away from the right one), and the adapter is trained, wrongly.
# Outputs are as before, and training goes on; torch warns once that an autograd kernel is missing. Asking the layer
# for its state_dict unpacks it, and the gradient is right again until the next look.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 bitsandbytes==0.50.2
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings

import bitsandbytes
import torch
from bitsandbytes.functional import has_avx512bf16
from bitsandbytes.nn import Linear4bit

torch.manual_seed(0)
layer = Linear4bit(256, 256, bias=False, quant_type="nf4", compute_dtype=torch.bfloat16).to("cpu")
layer.weight.requires_grad_(False)
x = torch.randn(4, 256, dtype=torch.bfloat16)
adapter = torch.nn.Parameter(torch.eye(256, dtype=torch.bfloat16))


def gradient():
    """Of a residual block behind the adapter: h + layer(h)."""
    layer.train()
    adapter.grad = None
    hidden = x @ adapter
    output = hidden + layer(hidden)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        output.float().square().sum().backward()
    return output.detach().float(), adapter.grad.float(), [str(one.message)[:90] for one in caught]


if not has_avx512bf16():
    print("no AVX512_BF16 here: bitsandbytes repacks nothing, and nothing can be shown")
    raise SystemExit
before, whole, _ = gradient()
with torch.no_grad():
    layer.eval()(x)
after, part, messages = gradient()
skip = 2 * x.float().T @ after  # what the residual path alone gives
layer.state_dict()
_, again, _ = gradient()


def gap(a, b):
    return float((a - b).norm() / b.norm())


print(bitsandbytes.__version__, torch.__version__, f"outputs apart {gap(after, before):.4f}")
print(f"gradient after one look: {gap(part, whole):.3f} from the right one, {gap(part, skip):.4f} from the skip path's alone")
print(f"after state_dict: {gap(again, whole):.4f} from the right one; warnings: {messages}")
assert gap(after, before) < 0.02
assert gap(part, whole) > 0.2
assert gap(part, skip) < 0.02
assert gap(again, whole) < 0.02
PYTHON
