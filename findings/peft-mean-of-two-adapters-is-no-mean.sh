#!/usr/bin/env bash
# peft: the "linear" mean of two adapters is as far from their mean as zero is; of two equal ones it can be nothing at all.
#
# Version: peft 0.21.2, add_weighted_adapter with combination_type="linear", weights 0.5 and 0.5; torch 2.13.0 on a CPU.
# Guess: the new adapter's update is half of the one plus half of the other, as the same call gives with "cat".
# Seen: it adds the factors, not their products. (B1 + B2)(A1 + A2) / 2 is the mean of the updates plus half of what the B of
# one adapter makes of the A of the other. Of two random adapters of rank 8 the result is 100 % off (Frobenius norm,
# beside the mean's); of two that change the weights by exactly the same, one with both factors negated, it is zero.
# The docstring calls it a very rough approximation; nothing warns. "cat" is exact (and of rank 16).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet peft==0.21.2 torch==2.13.0 transformers==5.23.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON' 2>errors.txt || { cat errors.txt; exit 1; }
import torch
from peft import LoraConfig, get_peft_model

torch.manual_seed(0)
config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj"])
model = get_peft_model(torch.nn.ModuleDict({"q_proj": torch.nn.Linear(64, 64, bias=False)}), config, "morning")
for name in ("evening", "twin"):
    model.add_adapter(name, config)
layer = model.base_model.model["q_proj"]
with torch.no_grad():
    for name in ("morning", "evening"):
        layer.lora_A[name].weight.normal_()
        layer.lora_B[name].weight.normal_()
    layer.lora_A["twin"].weight.copy_(-layer.lora_A["morning"].weight)
    layer.lora_B["twin"].weight.copy_(-layer.lora_B["morning"].weight)


def gap(first, second, combination):
    """How far the adapter of weights 0.5 and 0.5 is from the mean of both updates, as a share of the mean."""
    model.add_weighted_adapter([first, second], [0.5, 0.5], "mean", combination_type=combination)
    combined = layer.get_delta_weight("mean").detach()
    model.delete_adapter("mean")
    mean = (layer.get_delta_weight(first) + layer.get_delta_weight(second)).detach() / 2
    return float((combined - mean).norm() / mean.norm())


pairs = {(other, kind): gap("morning", other, kind) for other in ("evening", "twin") for kind in ("linear", "cat")}
print({" ".join(pair): round(share, 4) for pair, share in pairs.items()})
assert torch.equal(layer.get_delta_weight("morning"), layer.get_delta_weight("twin"))
assert 0.8 < pairs["evening", "linear"] < 1.2, pairs
assert pairs["twin", "linear"] == 1, pairs
assert pairs["evening", "cat"] < 1e-5, pairs
assert pairs["twin", "cat"] < 1e-5, pairs
PYTHON
