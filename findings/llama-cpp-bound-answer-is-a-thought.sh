#!/usr/bin/env bash
# llama.cpp's server: an answer that a grammar binds comes back empty, because the template opens a thought.
#
# Versions: xllamacpp 2026.10.11549 (llama.cpp's own server as a wheel), gguf 0.19.0, numpy 2.4.6.
# Guess: a request with a grammar gets a text of that grammar as the message's content, and its log-probabilities are those
# among the tokens that the grammar allows: the only one allowed has probability 1.
# Seen: the template ends the prompt with "<think>"; the grammar lets nobody end the thought, so the whole answer is
# handed over as reasoning_content, and content is "". With `enable_thinking: false` it is the content. The log-probabilities
# are those without the grammar: the only token allowed has less than one in a hundred and is missing among its own
# top_logprobs. With `post_sampling_probs` every token of a greedy answer has probability 1, also one of two choices.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6
cd "$folder"
venv/bin/python - 2> log.txt <<'PYTHON'
import json
import math
import os
import urllib.request

import gguf
import numpy as np
import xllamacpp

TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'assistant' %}<|start|>assistant\n"
    "{% if message.reasoning_content is string %}<think>\n{{ message.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ message.content }}<|end|>\n{% else %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}{% endif %}"
)
GRAMMAR = 'root ::= "z" ("1" | "2")'
WIDTH, HIDDEN = 64, 128

# A random model of bytes.
printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
letters = {byte: chr(byte) for byte in printable}
letters |= {byte: chr(256 + n) for n, byte in enumerate(byte for byte in range(256) if byte not in letters)}
tokens = [letters[byte] for byte in range(256)] + ["th", "<|start|>", "<|end|>"]
writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_block_count(1)
writer.add_context_length(512)
writer.add_embedding_length(WIDTH)
writer.add_feed_forward_length(HIDDEN)
writer.add_head_count(2)
writer.add_head_count_kv(2)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(WIDTH // 2)
writer.add_vocab_size(len(tokens))
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("gpt-2")
writer.add_token_list(tokens)
writer.add_token_types([1] * 257 + [3] * 2)
writer.add_token_merges(["t h"])
writer.add_eos_token_id(len(tokens) - 1)
writer.add_chat_template(TEMPLATE)
draw = np.random.default_rng(0)
shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH)}
shapes |= {f"blk.0.{name}": (WIDTH, WIDTH) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
shapes |= {"blk.0.ffn_gate": (HIDDEN, WIDTH), "blk.0.ffn_up": (HIDDEN, WIDTH), "blk.0.ffn_down": (WIDTH, HIDDEN)}
for name, shape in shapes.items():
    writer.add_tensor(f"{name}.weight", draw.normal(0, 0.3, shape).astype(np.float32))
for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
    writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

params = xllamacpp.CommonParams()
params.model.path = "model.gguf"
params.port, params.n_ctx, params.n_parallel, params.warmup, params.fit_params = 0, 512, 1, False, False
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)


def ask(**fields):
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 20, "temperature": 0, "grammar": GRAMMAR}
    body |= {"logprobs": True, "top_logprobs": 5} | fields
    request = urllib.request.Request(f"{server.listening_address}/v1/chat/completions", json.dumps(body).encode())
    return json.load(urllib.request.urlopen(request))["choices"][0]


THOUGHTLESS = {"chat_template_kwargs": {"enable_thinking": False}}
thought, answer = ask()["message"], ask(**THOUGHTLESS)["message"]
print("as it is:", thought)
print("with enable_thinking false:", answer)
assert thought["content"] == ""
assert thought["reasoning_content"][0] == "z"
assert answer["content"][0] == "z"

row = ask(**THOUGHTLESS)["logprobs"]["content"][0]
others = [other["token"] for other in row["top_logprobs"]]
print(f"the only token allowed: {row['token']!r}, probability {math.exp(row['logprob']):.6f}, likeliest {others}")
assert row["token"] == "z"
assert math.exp(row["logprob"]) < 0.01
assert "z" not in others

rows = ask(**THOUGHTLESS, post_sampling_probs=True)["logprobs"]["content"]
print("with post_sampling_probs:", [(row["token"], row["prob"]) for row in rows])
assert all(row["prob"] == 1.0 for row in rows)
os._exit(0)  # the server's threads do not end by themselves
PYTHON
