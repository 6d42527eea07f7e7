"""What is an answer and what is none, and that whatever the automaton lets through is one."""

import random
from typing import Any

import pytest

from tempo_core.answers import AnswerError
from tempo_core.grammar import AnswerGrammar, GrammarState
from tempo_core.moments import Moment
from tempo_core.protocols import NAMES, protocol_named
from tempo_core.protocols.base import Timeline
from tests.tempo_core.conftest import DIGIT_BY_DIGIT, build_tokenizer

END_S = 30.3
TIMES = [k * 0.5 for k in range(60)]

READ = [
    ("timelens_8b", "The event happens in 3.0 - 5.0 seconds.", [(3.0, 5.0)]),
    ("timelens_8b", "The event happens in 3.0 - 5.0 seconds", [(3.0, 5.0)]),
    ("timelens_8b", "The event happens in 3.0 - 5.0 seconds, 8.25 - 9 seconds.", [(3.0, 5.0), (8.25, 9.0)]),
    ("timelens_8b", "The event happens in 28.0 - 30.3 seconds.", [(28.0, END_S)]),
    ("timelens_8b", "The event happens in 28.0 - 30.7 seconds.", [(28.0, END_S)]),
    ("timelens2", "[[0, 3.5], [10, 12]]", [(0.0, 3.5), (10.0, 12.0)]),
    ("timelens2", "[[10.0,12.0],[0.0,3.5]]", [(0.0, 3.5), (10.0, 12.0)]),
    ("timelens2", "[[0, 5], [4, 9]]", [(0.0, 9.0)]),
    ("timelens2", " [ ] ", []),
    ("tvg_r1", "<think>From 3 to 9 he waits.</think> <time>[5.2, 10.4]</time>", [(5.2, 10.4)]),
    ("time_r1", "<think>\nabout 3 to 9\n</think>\n<answer>12.54 to 17.83</answer>", [(12.54, 17.83)]),
    ("time_r1", "<answer>12.54 to 17.83</answer>", [(12.54, 17.83)]),
    (
        "unitime",
        "From 3.0 seconds to 5.0 seconds, from 7.1 seconds to 9.0 seconds.",
        [(3.0, 5.0), (7.1, 9.0)],
    ),
    ("marlin", "From 1.2 to 3.4.", [(1.2, 3.4)]),
    ("marlin", "<think>\nFrom 1.2 to 3.4.", [(1.2, 3.4)]),
    ("marlin", "<think>\n\n</think>\n\nFrom 1.2 to 3.4.", [(1.2, 3.4)]),
    (
        "omnivtg",
        "<think>5.0 seconds to 20.0 seconds</think>\n<answer>\nFrom 14.2 seconds to 14.7 seconds\n</answer>",
        [(14.2, 14.7)],
    ),
    (
        "ra_rft",
        "<think>t</think>\n<answer>12.54 to 17.83</answer>\n<correction>NIL</correction>",
        [(12.54, 17.83)],
    ),
    (
        "ra_rft",
        "<think>t</think>\n<answer>There are 2 cats and 1 dog, no horse.</answer><correction>two cats</correction>",
        [],
    ),
]
NOT_READ = [
    ("numbers in a refusal", "No: there are 2 cats and 1 dog in the video."),
    ("numbers in a refusal", "The clip lasts 30 seconds (0.0 - 30.0) and the event never occurs."),
    ("clock times", "The event happens in 00:03 - 00:05 seconds."),
    ("clock times", "From 00:03 to 00:05."),
    ("prose", "The event happens between 3 and 5 seconds."),
    ("nothing", ""),
    ("an empty array", "[]"),
    ("an empty tag", "<answer></answer>"),
    ("an open thought", "<think>He walks from 3 to 5"),
    ("numbers that are none", "From nan to inf."),
    ("a sign", "From -1.0 to 3.0."),
]
BROKEN = [
    ("end before start", "{5.0|3.0}"),
    ("an empty moment", "{3.0|3.0}"),
    ("outside the video", "{31.0|33.0}"),
    ("far behind the end", "{3.0|40.0}"),
]


def sentence(name: str, start: str, end: str) -> str:
    return protocol_named(name).answer.write([(start, end)])


def parse(name: str, text: str) -> list[Moment]:
    protocol = protocol_named(name)
    return protocol.answer.parse(text, protocol.timeline(TIMES, END_S), END_S)


@pytest.mark.parametrize(("name", "text", "moments"), READ)
def test_an_answer_is_read_whole(name: str, text: str, moments: list[tuple[float, float]]) -> None:
    assert parse(name, text) == [Moment(*pair) for pair in moments]


@pytest.mark.parametrize(
    ("name", "why", "text"),
    # An empty array is well formed for TimeLens2; it is in the table above.
    [(name, *row) for name in NAMES for row in NOT_READ if (name, row[1]) != ("timelens2", "[]")],
)
def test_no_answer_is_guessed(name: str, why: str, text: str) -> None:
    with pytest.raises(AnswerError):
        parse(name, text)


@pytest.mark.parametrize("name", ["time_r1", "tvg_r1", "ra_rft", "qwen2_5_vl"])
def test_answers_count_from_the_first_picture_where_positions_do(name: str) -> None:
    protocol = protocol_named(name)
    timeline = protocol.timeline([5.04, 5.54, 6.04, 6.54], 7.04)
    assert timeline.mark_texts[0] == protocol.spell(0.0)
    assert timeline.mark_texts[-1] == protocol.spell(2.0)
    assert timeline.marks_s == [5.04, 5.54, 6.04, 6.54, 7.04]
    (start,), (end,) = timeline.mark_texts[1], timeline.mark_texts[-1]
    assert protocol.answer.parse(sentence(name, start, end), timeline, 7.04) == [Moment(5.54, 7.04)]
    # a time that was not sampled is on the same clock
    (between,) = protocol.answer.parse(sentence(name, "0.25", "1.25"), timeline, 7.04)
    assert (between.start_s, between.end_s) == (pytest.approx(5.29), pytest.approx(6.29))
    with pytest.raises(AnswerError, match=r"which ends at 2\.0 s"):
        protocol.answer.parse(sentence(name, "5.0", "7.0"), timeline, 7.04)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("why", "numbers"), BROKEN)
def test_a_moment_must_run_forward_inside_the_video(name: str, why: str, numbers: str) -> None:
    start, end = numbers.strip("{}").split("|")
    with pytest.raises(AnswerError):
        parse(name, sentence(name, start, end))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "remark", [" I am sure.", " The clip lasts 0.0 to 30.0 seconds.", " (or 7.0 to 9.0)"]
)
def test_a_remark_beside_an_answer_makes_it_none(name: str, remark: str) -> None:
    start, end = ("0003.0", "0005.0") if name == "tempo" else ("3.0", "5.0")
    answer = sentence(name, start, end)
    assert parse(name, answer) == [Moment(3.0, 5.0)]
    for text in (answer + remark, remark + answer):
        with pytest.raises(AnswerError):
            parse(name, text)


@pytest.mark.parametrize("name", [name for name in NAMES if protocol_named(name).answer.next is None])
def test_a_second_moment_is_not_dropped_where_one_is_meant(name: str) -> None:
    form = protocol_named(name).answer
    first, to, closing = "".join(form.opening), "".join(form.to), "".join(form.closing)
    for joint in (", ", ", from ", " and "):
        with pytest.raises(AnswerError):
            parse(name, f"{first}3.0{to}5.0{joint}7.0{to}9.0{closing}")


def test_a_number_written_like_a_mark_is_the_marks_true_time() -> None:
    protocol = protocol_named("timelens_8b")
    timeline = protocol.timeline([0.0, 1.04, 2.52], 3.46)
    text = "The event happens in 1.0 - 3.5 seconds."
    assert protocol.answer.parse(text, timeline, 3.46) == [Moment(1.04, 3.46)]


def test_a_correction_beside_a_moment_and_nil_beside_prose_are_no_answers() -> None:
    for text in (
        "<answer>1.00 to 3.00</answer><correction>a dog runs</correction>",
        "<answer>It does not.</answer><correction>NIL</correction>",
        "<answer>It does not.</answer>",
    ):
        with pytest.raises(AnswerError):
            parse("ra_rft", text)


def walk(grammar: AnswerGrammar, rng: random.Random) -> tuple[list[int], GrammarState]:
    """A whole answer made of random allowed tokens."""
    ids, state = list[int](), GrammarState()
    while not state.done:
        ids.append(rng.choice(grammar.options(state)))
        state = grammar.advance(state, ids[-1])
    return ids, state


def random_timeline(name: str, rng: random.Random) -> tuple[Timeline, float]:
    times = [rng.choice([0.0, 0.31])]
    for _ in range(rng.randrange(1, 16)):
        times.append(times[-1] + rng.choice([0.2, 0.5, 1.0, 2.37, 100.0]))
    end_s = times[-1] + rng.choice([0.2, 1.0])
    return protocol_named(name).timeline(times, end_s), end_s


@pytest.fixture(scope="module")
def digits() -> Any:
    return build_tokenizer(DIGIT_BY_DIGIT)


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_bound_answers_are_answers(name: str, digits: Any) -> None:
    rng, form = random.Random(name), protocol_named(name).answer
    parsed = 0
    for _ in range(40):
        timeline, end_s = random_timeline(name, rng)
        grammar = AnswerGrammar(digits, timeline.mark_texts, form=form, max_moments=4)
        for _ in range(25):
            ids, state = walk(grammar, rng)
            text = digits.decode(ids[:-1])
            moments = [Moment(timeline.marks_s[a], timeline.marks_s[b]) for a, b in state.pairs]
            assert form.parse(text, timeline, end_s) == moments
            for (start, end), (a, b) in zip(state.spans, state.pairs, strict=True):
                assert digits.decode([ids[n] for n in start]) in timeline.mark_texts[a]
                assert digits.decode([ids[n] for n in end]) in timeline.mark_texts[b]
            parsed += 1
    assert parsed == 1000


@pytest.mark.parametrize("name", [name for name in NAMES if name != "tempo"])  # ours joins pieces, as trained
def test_bound_answers_are_the_tokens_that_the_model_would_write(name: str, digits: Any) -> None:
    rng, form = random.Random(7), protocol_named(name).answer
    timeline, _ = random_timeline(name, rng)
    for _ in range(20):
        ids, _ = walk(AnswerGrammar(digits, timeline.mark_texts, form=form), rng)
        assert ids[:-1] == digits(digits.decode(ids[:-1]), add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", NAMES)
def test_only_a_checkpoint_that_was_taught_to_can_refuse(name: str, digits: Any) -> None:
    protocol = protocol_named(name)
    timeline, _ = random_timeline(name, random.Random(3))
    grammar = AnswerGrammar(digits, timeline.mark_texts, form=protocol.answer)
    prefix, moment, refusal = grammar.relevance
    assert protocol.refuses == bool(refusal) == (name in ("tempo", "ra_rft"))
    state = grammar.replay(prefix)
    assert sorted(moment + refusal) == grammar.options(state)
    for token in refusal:
        state = grammar.advance(grammar.replay(prefix), token)
        while not state.done:
            state = grammar.advance(state, grammar.options(state)[0])
        assert state.pairs == ()


def test_random_weights_answer_every_protocol(engine: Any) -> None:
    import torch
    from transformers import DynamicCache

    from tempo_core.decoding import CachedScorer, Decoding, beam_search, feed
    from tempo_core.protocols.base import prompt_ids

    model, tokenizer = engine.loaded.model, engine.loaded.tokenizer
    for name in NAMES:
        protocol = protocol_named(name)
        timeline = protocol.timeline(TIMES[:12], 6.2)
        ids = prompt_ids(tokenizer, [*protocol.opening, *protocol.question("a red circle")])
        with torch.inference_mode():
            cache = DynamicCache(config=model.config.get_text_config())
            logits = feed(model, torch.tensor([ids]), 0, cache)
            scorer = CachedScorer(model, cache, logits, len(ids))
            grammar = AnswerGrammar(tokenizer, timeline.mark_texts, form=protocol.answer, max_moments=3)
            hypotheses = Decoding(beam_search(grammar, width=2)).run(scorer)
        for hypothesis in hypotheses:
            text = tokenizer.decode(hypothesis.ids[:-1])
            moments = protocol.answer.parse(text, timeline, 6.2)
            assert len(moments) == len(hypothesis.state.pairs)
