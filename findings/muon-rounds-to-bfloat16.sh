#!/usr/bin/env bash
# torch.optim.Muon: float32 weights on a CPU get updates of eight bits, whatever precision was asked for.
#
# Version: torch 2.13.0, torch.optim.Muon (its five Newton-Schulz steps), CPU, parameters and gradients float32.
# Guess: in float32 training the orthogonalised gradient is exact to about 1e-6.
# Seen: the steps run in bfloat16 and the result is bfloat16 cast back: from weights of 0, a first step of rate 1 leaves
# only values that bfloat16 holds, 1.5 % away (Frobenius norm) from the same five steps in float64. No argument changes
# it. A gradient nudged by one part in ten thousand moves the step by 1.5 %.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import torch

A, B, C = 3.4445, -4.775, 2.0315  # the optimiser's defaults


def muon_step(gradient):
    weights = torch.nn.Parameter(torch.zeros_like(gradient))
    weights.grad = gradient.clone()
    torch.optim.Muon([weights], lr=1.0, weight_decay=0.0, momentum=0.0, nesterov=False).step()
    return -weights.detach()


torch.manual_seed(0)
gradient = torch.randn(64, 64)
exact = gradient.double() / gradient.double().norm()
for _ in range(5):
    gram = exact @ exact.T
    exact = A * exact + (B * gram + C * gram @ gram) @ exact
step = muon_step(gradient)
gap = float((step.double() - exact).norm() / exact.norm())
in_bfloat16 = bool((step == step.bfloat16().float()).all())
nudged = gradient * (1 + 1e-4 * torch.sign(torch.randn(64, 64)))
moved = float((muon_step(nudged) - step).norm() / step.norm())
print(torch.__version__, step.dtype, f"gap {gap:.4f}", f"all values bfloat16: {in_bfloat16}", f"moved by a nudge {moved:.4f}")
assert step.dtype == torch.float32
assert in_bfloat16
assert 0.005 < gap < 0.03, gap
assert moved > 0.003, moved
PYTHON
