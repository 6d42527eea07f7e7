"""A protocol's answers about one video as a grammar that servers decode under.

GBNF, which llama.cpp defined and xgrammar (vLLM, SGLang) reads. The rules let through what `AnswerForm.parse` takes of
sampled times: moments in time order, each end after its start, or a refusal. They are linear in the number of marks:
one rule says "a start from here on", one "an end from here on", one what may follow an end.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tempo_core.protocols.base import Protocol, Timeline

FIELDS: Mapping[str, str] = {
    "vllm": "structured_outputs",
    "sglang": "ebnf",
    "llamacpp": "grammar",
}
"""Which field of a request holds the grammar, by what the server calls itself in its list of models."""


def guided_fields(
    server: str, protocol: Protocol, timeline: Timeline, *, thought: str | None = None
) -> dict[str, Any]:
    """The fields that bind an answer; none for servers that are not known to take a grammar. `thought` is that of
    `answer_grammar`."""
    name = FIELDS.get(server)
    if name is None:
        return {}
    grammar = answer_grammar(protocol, timeline, thought=thought)
    return {name: {"grammar": grammar} if server == "vllm" else grammar}


def answer_grammar(protocol: Protocol, timeline: Timeline, *, thought: str | None = None) -> str:
    """The GBNF of the answers that `protocol` can give with a timeline's marks.

    `thought` is what a protocol that thinks must write before its answer, tags and all; None: what it likes.
    """
    form, marks, last = protocol.answer, timeline.mark_texts, len(timeline.mark_texts) - 1
    answers = ["opening start-0", *(_literal((text,)) for text in form.refusals)]
    body = f"({' | '.join(answers)})"
    lead = "thought " if protocol.thinking is not None else ""
    rules = [
        f"root ::= {lead}{body}",
        f"opening ::= {_literal(form.opening)}",
        f"to ::= {_literal(form.to)}",
        f"closing ::= {_literal(form.closing)}",
    ]
    if protocol.thinking is not None:
        thinking = protocol.thinking
        closing = _literal((thinking.closing, thinking.glue))
        free = f"({_literal((thinking.opening,))} [^<]* {closing})?"
        rules.append(f"thought ::= {free if thought is None else _literal((thought,))}")
    if form.next is not None:
        rules.append(f"next ::= {_literal(form.next)}")
    for idx, texts in enumerate(marks):
        number = f"({' | '.join(_literal((text,)) for text in texts)})"
        if idx < last:
            later = f" | start-{idx + 1}" if idx + 1 < last else ""
            rules.append(f"start-{idx} ::= {number} to end-{idx + 1}{later}")
        if idx > 0:
            later = f" | end-{idx + 1}" if idx < last else ""
            # Another moment needs two marks behind this one.
            more = (
                f" (closing | next start-{idx + 1})"
                if form.next is not None and idx + 2 <= last
                else " closing"
            )
            rules.append(f"end-{idx} ::= {number}{more}{later}")
    return "\n".join(rules) + "\n"


def cut_thought(protocol: Protocol, choice: dict[str, Any], text: str) -> str | None:
    """The thought that a completion's limit cut off, with the words that close it; None where none was cut."""
    thinking = protocol.thinking
    if thinking is None or choice.get("finish_reason") != "length" or not text.startswith(thinking.opening):
        return None
    written = text.removeprefix(thinking.opening).rstrip("\ufffd")  # a letter that was cut in two
    return None if thinking.is_over(written) else thinking.opening + written + thinking.bridge(written)


def _literal(pieces: Sequence[str]) -> str:
    """A text as GBNF writes it."""
    text = "".join(pieces)
    for letter, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(letter, written)
    return f'"{text}"'
