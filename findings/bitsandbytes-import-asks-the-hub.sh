#!/usr/bin/env bash
# bitsandbytes: on a processor with bfloat16 the import alone asks the model hub for a kernel, or for a package that would.
#
# Version: bitsandbytes 0.50.2 with torch 2.13.0, on a CPU with AVX512_BF16 (elsewhere nothing is asked, and this script
# says so and checks nothing).
# Guess: importing a library uses what was installed; the network is used when a model is fetched by name.
# Seen: at import, on such a processor, the CPU backend calls `kernels.get_kernel("kernels-community/...", version=1)`,
# before anything is quantised and whether or not four bits are ever used. With Hugging Face's package `kernels` installed
# that is a download of compiled code. Without it the import writes a line to stderr that asks for it
# to be installed, in every program that imports peft or transformers' quantisers. A stand-in for `kernels` that only
# writes down what it is asked shows both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 bitsandbytes==0.50.2
cd "$folder"
mkdir stand-in
cat > stand-in/kernels.py <<'PYTHON'
def get_kernel(name, **options):
    with open("asked.txt", "a") as file:
        print(name, options, file=file)
    raise OSError("there is no network")
PYTHON

if ! venv/bin/python -c "
import sys, bitsandbytes.functional as functional
sys.exit(not functional.has_avx512bf16())" 2> without.txt; then
  echo "This processor has no AVX512_BF16: bitsandbytes asks for nothing here, and nothing was checked."
  exit 0
fi
echo "without the package, on stderr:"
cat without.txt
grep -q "Failed to load CPU gemm_4bit_forward from kernels-community" without.txt

PYTHONPATH=stand-in venv/bin/python -c "import bitsandbytes" 2> with.txt
echo "with a stand-in for it, by the import alone:"
cat asked.txt
test "$(wc -l < asked.txt)" -eq 1
grep -qx "kernels-community/quantization-bitsandbytes {'version': 1}" asked.txt
grep -q "there is no network" with.txt
