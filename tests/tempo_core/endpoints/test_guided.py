"""The grammar that servers decode under, against the parser that reads their answers."""

import re

import pytest

from tempo_core.answers import AnswerError
from tempo_core.endpoints.guided import answer_grammar, cut_thought, guided_fields
from tempo_core.endpoints.messages import with_stills
from tempo_core.protocols import NAMES, protocol_named

TIMES = [0.0, 0.5, 1.0, 1.5, 2.0, 9.5, 10.0]
END_S = 12.0
PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\[\^<\]\*|[\w-]+|[()|?]')


class Recogniser:
    """A plain reader of the part of GBNF that is written here: which ends of a text a rule reaches."""

    def __init__(self, grammar: str) -> None:
        lines = [line.partition(" ::= ") for line in grammar.splitlines()]
        self.rules = {name: PIECE.findall(body) for name, _, body in lines}

    def accepts(self, text: str) -> bool:
        return len(text) in self.ends("root", text, 0)

    def ends(self, name: str, text: str, begin: int) -> set[int]:
        return self.alternatives(self.rules[name], text, begin)[0]

    def alternatives(self, pieces: list[str], text: str, begin: int) -> tuple[set[int], int]:
        """Ends of a list of alternatives up to its ")" or end, and how many pieces it takes."""
        every, current, k = set[int](), {begin}, 0
        while k < len(pieces) and pieces[k] != ")":
            piece = pieces[k]
            k += 1
            if piece == "|":
                every, current = every | current, {begin}
            elif piece == "(":
                inner = {end: self.alternatives(pieces[k:], text, end) for end in current}
                length = self.alternatives(pieces[k:], text, begin)[1]
                before, current = current, {end for ends, _ in inner.values() for end in ends}
                k += length + 1
                if k < len(pieces) and pieces[k] == "?":
                    current, k = current | before, k + 1
            elif piece.startswith('"'):
                word = re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), piece[1:-1])
                current = {end + len(word) for end in current if text.startswith(word, end)}
            elif piece.startswith("["):
                stops = {end: text.find("<", end) for end in current}
                current = {
                    k
                    for end, stop in stops.items()
                    for k in range(end, (stop if stop >= 0 else len(text)) + 1)
                }
            else:
                current = {stop for end in current for stop in self.ends(piece, text, end)}
        return every | current, k


@pytest.mark.parametrize("name", NAMES)
def test_a_server_can_say_what_the_parser_takes_and_nothing_else(name: str) -> None:
    protocol = with_stills(protocol_named(name))
    timeline, form = protocol.timeline(TIMES, END_S), protocol.answer
    grammar = Recogniser(answer_grammar(protocol, timeline))
    marks = [texts[0] for texts in timeline.mark_texts]
    good = [form.write([(marks[1], marks[3])]), form.write([(marks[0], marks[-1])]), *form.refusals]
    bad = [form.write([(marks[3], marks[1])]), form.write([(marks[3], marks[3])])]
    bad += [form.write([(marks[1], "77.7")]), good[0] + " no", good[0][:-1], "", "Nothing."]
    if form.next is not None:
        good.append(form.write([(marks[1], marks[2]), (marks[3], marks[5])]))
        bad.append(form.write([(marks[3], marks[5]), (marks[1], marks[2])]))
    if protocol.thinking is not None:
        good.append(f"<think>from 1 to 2\n</think>{protocol.thinking.glue}{good[0]}")
    for text in good:
        assert grammar.accepts(text), text
        if text in form.refusals and name == "ra_rft":
            continue  # the prose of a refusal goes on behind what is offered
        form.parse(text, timeline, END_S)
    for text in bad:
        assert not grammar.accepts(text), text
    with pytest.raises(AnswerError):
        form.parse(bad[0], timeline, END_S)


def test_a_thought_that_is_given_is_the_only_one() -> None:
    protocol = protocol_named("time_r1")
    timeline, thought = protocol.timeline(TIMES, END_S), '<think>a "b" \\ c\n</think>\n'
    marks = [texts[0] for texts in timeline.mark_texts]
    answer = protocol.answer.write([(marks[1], marks[3])])
    grammar = Recogniser(answer_grammar(protocol, timeline, thought=thought))
    assert grammar.accepts(thought + answer)
    assert not grammar.accepts(answer)
    assert not grammar.accepts(f"<think>other\n</think>\n{answer}")


@pytest.mark.parametrize(
    ("finish", "text", "closed"),
    [
        ("length", "<think>then", "<think>then</think>\n"),
        ("length", "<think>then </thin", "<think>then </think>\n"),
        ("length", "<think>th\ufffd", "<think>th</think>\n"),
        ("length", "<think>then</think>\n<answer>", None),
        ("length", "<answer>1.00", None),
        ("stop", "<think>then", None),
    ],
)
def test_a_thought_is_closed_where_it_was_cut(finish: str, text: str, closed: str | None) -> None:
    assert cut_thought(protocol_named("time_r1"), {"finish_reason": finish}, text) == closed
    assert cut_thought(protocol_named("timelens2"), {"finish_reason": finish}, text) is None


def test_only_servers_that_say_who_they_are_get_a_grammar() -> None:
    protocol = protocol_named("timelens2")
    timeline = protocol.timeline(TIMES, END_S)
    assert guided_fields("openai", protocol, timeline) == {}
    assert list(guided_fields("sglang", protocol, timeline)) == ["ebnf"]
