#!/usr/bin/env bash
# Decoding bound by a JSON schema: "maximum": 150 holds with llguidance; outlines and lm-format-enforcer allow 900 and -3.
#
# Versions: outlines_core 0.2.14 (it builds outlines' expressions), lm-format-enforcer 0.11.3, llguidance 1.9.1.
# Guess: a decoder that is bound to two numbers from 0 to 150 cannot write a time beyond the clip, and a library that cannot
# keep a part of a schema refuses it or warns.
# Seen: outlines_core and lm-format-enforcer drop minimum and maximum of a number without a word: {"start_s":900,"end_s":-3}
# is allowed. Only llguidance keeps them. They differ about exponents and the order of keys, too. All three let an end
# lie before its start, which a schema cannot say.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet outlines_core==0.2.14 lm-format-enforcer==0.11.3 llguidance==1.9.1 numpy==2.4.6
cd "$folder"
venv/bin/python -W error::UserWarning - <<'PYTHON'
import json
import re

from llguidance import LLMatcher, LLTokenizer
from lmformatenforcer import JsonSchemaParser
from outlines_core.json_schema import build_regex_from_schema

SECONDS = {"type": "number", "minimum": 0, "maximum": 150}
SCHEMA = {
    "type": "object",
    "properties": {"start_s": SECONDS, "end_s": SECONDS},
    "required": ["start_s", "end_s"],
    "additionalProperties": False,
}
BYTES = LLTokenizer("byte")


def outlines(text):
    return re.fullmatch(build_regex_from_schema(json.dumps(SCHEMA)), text) is not None


def enforcer(text):
    parser = JsonSchemaParser(SCHEMA)
    for character in text:
        if character not in parser.get_allowed_characters():
            return False
        parser = parser.add_character(character)
    return parser.can_end()


def llguidance(text):
    matcher = LLMatcher(BYTES, LLMatcher.grammar_from_json_schema(SCHEMA))
    tokens = BYTES.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def allowed(text):
    return [outlines(text), enforcer(text), llguidance(text)]


TEXTS = {
    "within": '{"start_s":1.5,"end_s":150}',
    "beyond the clip": '{"start_s":900,"end_s":-3}',
    "with an exponent": '{"start_s":1.5e+1,"end_s":150}',
    "other order": '{"end_s":150,"start_s":1.5}',
    "end before start": '{"start_s":20,"end_s":10}',
}
answers = {name: allowed(text) for name, text in TEXTS.items()}
print("allowed by [outlines_core, lm-format-enforcer, llguidance]:", answers)
assert answers["within"] == [True, True, True]
assert answers["beyond the clip"] == [True, True, False]
assert answers["with an exponent"] == [True, True, False]
assert answers["other order"] == [False, True, False]
assert answers["end before start"] == [True, True, True]
PYTHON
