"""Which protocol a checkpoint is asked with, which frames it sees, and what it is told about their times."""

import random
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tempo_core import protocols
from tempo_core.conformance import stamp_gaps
from tempo_core.errors import CheckpointError, InputError
from tempo_core.protocols import HUB_NAMES, NAMES, PLAIN, choose_protocol, protocol_named
from tempo_core.protocols.base import THOUGHT, Sampling, Thinking, fit_pixels


def info(**changes: Any) -> Any:
    """What a plan reads of a probed clip; of 10 s at 30 frames a second unless said otherwise."""
    facts = {"duration_s": 10.0, "start_s": 0.0, "end_s": 10.0, "width": 1280, "height": 720}
    return SimpleNamespace(**facts | {"frame_rate": Fraction(30), "frame_count": 300} | changes)


def test_a_protocol_is_found_by_either_spelling() -> None:
    assert protocol_named("TimeLens-8B") is protocol_named("timelens_8b")
    with pytest.raises(InputError, match=r"no protocol 'gpt'. Use one of: tempo, timelens2"):
        protocol_named("gpt")


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_says_where_it_comes_from(name: str) -> None:
    protocol = protocol_named(name)
    assert protocol.name == name
    assert protocol.licence
    assert protocol.source
    assert set(protocol.model_types) <= set(PLAIN)


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_is_one_short_file(name: str) -> None:
    source = Path(protocols.__file__).with_name(f"{name}.py").read_text()
    assert len(source.splitlines()) <= 80, "what several may need belongs into base.py"


@pytest.mark.parametrize(
    ("model_type", "hub_name", "name"),
    [
        ("qwen3_vl", "MCG-NJU/TimeLens2-4B", "timelens2"),
        ("qwen3_vl", "TencentARC/TimeLens-8B@main", "timelens_8b"),
        ("qwen2_5_vl", "TencentARC/TimeLens-7B", "timelens_7b"),
        ("qwen2_5_vl", "RuizheChen/TVG_Coldstart", "tvg_r1"),
        ("qwen2_5_vl", "Boshenxx/Time-R1-7B", "time_r1"),
        ("qwen2_vl", "zeqianli/UniTime", "unitime"),
        ("qwen3_5", "NemoStation/Marlin-2B@fd111fc", "marlin"),
        ("qwen2_5_vl", "zhengmh/OmniVTG-7B", "omnivtg"),
        ("qwen2_5_vl", "JINSUBY/RA-RFT-Qwen2.5-VL-7B", "ra_rft"),
    ],
)
def test_a_published_checkpoint_is_known_by_its_name(model_type: str, hub_name: str, name: str) -> None:
    choice = choose_protocol(model_type, source=hub_name)
    assert choice.protocol.name == name
    assert choice.is_known


def test_every_name_in_the_table_is_of_a_family_that_speaks_it() -> None:
    for hub_name, name in HUB_NAMES.items():
        assert hub_name == hub_name.lower()
        assert choose_protocol(protocol_named(name).model_types[0], source=hub_name).is_known


def test_an_adapter_speaks_for_its_base() -> None:
    choice = choose_protocol("qwen2_vl", source="Qwen/Qwen2-VL-7B-Instruct", adapter="zeqianli/UniTime")
    assert choice.protocol.name == "unitime"
    assert choice.reason == "zeqianli/UniTime was trained with it."


def test_a_person_goes_before_the_file_and_the_file_before_the_name() -> None:
    source = "TencentARC/TimeLens-8B"
    settings = {"protocol": "timelens2"}
    named = choose_protocol("qwen3_vl", named="tempo", settings=settings, source=source)
    choice = choose_protocol("qwen3_vl", settings=settings, source=source)
    assert (named.protocol.name, choice.protocol.name) == ("tempo", "timelens2")
    assert choose_protocol("qwen2_vl", settings={"max_frames": 40}).protocol.name == "tempo"


@pytest.mark.parametrize(
    ("model_type", "name"),
    [
        ("qwen2_vl", "tempo"),
        ("qwen2_5_vl", "qwen2_5_vl"),
        ("qwen3_vl", "timelens_8b"),
        ("qwen3_5", "qwen3_5"),
    ],
)
def test_an_unknown_checkpoint_is_asked_plainly_and_that_is_told(model_type: str, name: str) -> None:
    choice = choose_protocol(model_type, source="somebody/Finetune-7B")
    assert choice.protocol.name == name
    assert not choice.is_known
    assert choice.reason.startswith("Nothing is known about this checkpoint")


def test_a_protocol_of_another_family_is_refused() -> None:
    with pytest.raises(InputError, match="'marlin' is for qwen3_5; this checkpoint is qwen2_vl"):
        choose_protocol("qwen2_vl", named="marlin")
    with pytest.raises(CheckpointError, match=r"tempo\.json: There is no protocol 'other'"):
        choose_protocol("qwen2_vl", settings={"protocol": "other"})


def test_a_grounder_without_words_is_refused() -> None:
    with pytest.raises(CheckpointError, match="names moments by a regression head"):
        choose_protocol("qwen2_vl", source="yeliudev/VideoMind-2B@main")


@pytest.mark.parametrize(
    ("name", "frames", "size", "tokens"),
    [  # of 10 s of 1280 x 720: two frames a second, in pairs, by the authors' numbers
        ("timelens_8b", 20, (640, 1152), 10 * 720),
        ("timelens2", 20, (352, 640), 10 * 220),
        ("timelens_7b", 10, (560, 1008), 10 * 720),
        ("qwen2_5_vl", 20, (560, 1008), 10 * 720),
        ("time_r1", 20, (392, 700), 10 * 350),
        ("tvg_r1", 64, (168, 280), 32 * 60),
        ("marlin", 20, (320, 576), 10 * 180),
        ("unitime", 44, (560, 1008), 22 * 720),
    ],
)
def test_frames_and_pixels_follow_the_authors(
    name: str, frames: int, size: tuple[int, int], tokens: int
) -> None:
    sampling = protocol_named(name).sampling
    assert sampling is not None
    plan = sampling.plan(info())
    assert (len(plan.times_s), plan.size_px, plan.budget_tokens) == (frames, size, tokens)


def test_wanted_times_lie_within_their_frames() -> None:
    sampling = Sampling(factor_px=28, min_pixels=784, total_pixels=784 * 1000)
    plan = sampling.plan(info(start_s=0.5, end_s=10.5, duration_s=10.5))
    frames = [(time_s - 0.5) * 30 for time_s in plan.times_s]
    assert [round(frame - 0.5, 6) for frame in frames] == [round(k * 299 / 19) for k in range(20)]


@pytest.mark.parametrize(("count", "frames"), [(1, 1), (2, 2), (3, 2), (5, 4)])
def test_a_short_video_has_what_it_has(count: int, frames: int) -> None:
    sampling = protocol_named("time_r1").sampling
    assert sampling is not None
    short = info(frame_count=count, end_s=count / 30, duration_s=count / 30)
    assert len(sampling.plan(short).times_s) == frames


def test_a_long_video_is_cut_to_the_most_frames() -> None:
    sampling = protocol_named("marlin").sampling
    assert sampling is not None
    long = info(frame_count=30 * 600, end_s=600.0, duration_s=600.0)
    assert len(sampling.plan(long).times_s) == 240


def test_timelens_7b_sees_the_first_frame_of_every_pair() -> None:
    pairs, stills = (protocol_named(name).sampling for name in ("qwen2_5_vl", "timelens_7b"))
    assert pairs is not None
    assert stills is not None
    for seconds in (3, 10, 61, 600):  # of ten minutes 768 frames are spread, and 384 seen
        clip = info(frame_count=30 * seconds, end_s=float(seconds), duration_s=float(seconds))
        assert stills.plan(clip).times_s == pairs.plan(clip).times_s[::2]
        assert stills.most_units(seconds)[0] == pairs.most_units(seconds)[0]


def test_sizes_are_the_nearest_that_fit() -> None:
    assert fit_pixels(100, 100, factor=28, low=1, high=10**6) == (112, 112)
    assert fit_pixels(10, 4000, factor=28, low=1, high=10**6) == (28, 4004)
    assert fit_pixels(28, 28, factor=28, low=28 * 28 * 4, high=10**6) == (56, 56)
    assert fit_pixels(4000, 3000, factor=28, low=1, high=28 * 28 * 13) == (112, 84)


def test_two_frames_share_the_mean_of_their_true_times() -> None:
    timeline = protocol_named("timelens_8b").timeline([0.4, 0.9, 3.0, 3.1, 7.7], 8.0)
    assert timeline.units == [(0, 1), (2, 3), (4, 4)]
    assert timeline.stamp_pairs() == [
        {"stamp": "<0.7 seconds>", "time_s": 0.65},
        {"stamp": "<3.0 seconds>", "time_s": 3.05},
        {"stamp": "<7.7 seconds>", "time_s": 7.7},
    ]
    assert timeline.marks_s == [0.4, 0.9, 3.0, 3.1, 7.7, 8.0]


def hostile_times(rng: random.Random) -> list[float]:
    """Frame times with bursts, gaps, late starts and odd rates, never nearer than a tenth of a second."""
    times = [rng.choice([0.0, 0.033, 2.5, 71.9])]
    for _ in range(rng.randrange(1, 60)):
        times.append(times[-1] + rng.choice([0.1001, 1001 / 2400, 0.5, rng.uniform(0.11, 3.0), 90.0]))
    return times


@pytest.mark.parametrize("name", NAMES)
def test_stamps_are_the_true_times_of_500_hostile_clips(name: str) -> None:
    protocol, rng = protocol_named(name), random.Random(name)
    allowed_s = 0.1 if name == "unitime" else 0.05  # what the digits can say; UniTime rounds twice
    for _ in range(500):
        times = hostile_times(rng)
        timeline = protocol.timeline(times, times[-1] + rng.choice([0.1001, 0.4, 3.0]))
        assert sorted({idx for unit in timeline.units for idx in unit}) == list(range(len(times)))
        for unit, unit_time_s in zip(timeline.units, timeline.unit_times_s, strict=True):
            assert unit_time_s == (times[unit[0]] + times[unit[-1]]) / 2
        assert max(stamp_gaps(timeline), default=0.0) <= allowed_s + 1e-9
        assert len(stamp_gaps(timeline)) == (len(timeline.units) if any(timeline.stamps) else 0)
        assert timeline.marks_s == sorted(set(timeline.marks_s))
        assert len(set(timeline.mark_texts)) == len(timeline.marks_s)


def test_unitime_answers_in_its_stamps() -> None:
    timeline = protocol_named("unitime").timeline([0.0, 0.5, 1.0, 1.5], 2.0)
    assert timeline.stamps == ["timestamp: 0.2 seconds; feature: ", "timestamp: 1.2 seconds; feature: "]
    assert timeline.mark_texts == [("0.2",), ("1.2",)]
    assert timeline.marks_s == [0.25, 1.25]


def test_times_that_are_written_alike_are_one_mark() -> None:
    timeline = protocol_named("timelens_8b").timeline([0.0, 0.04, 0.08, 0.12], 0.16)
    assert timeline.mark_texts == [("0.0",), ("0.1",), ("0.2",)]
    assert timeline.marks_s == [0.0, 0.08, 0.16]


@pytest.mark.parametrize("name", NAMES)
def test_the_shortest_clip_has_room_for_a_moment(name: str) -> None:
    timeline = protocol_named(name).timeline([0.0], 0.04)
    assert timeline.marks_s == [0.0, 0.04]
    assert len(set(timeline.mark_texts)) == 2


def test_a_thought_ends_where_its_tag_ends() -> None:
    thinking = Thinking()
    assert not thinking.is_over("he opens the door</thi")
    assert thinking.is_over("he opens the door</think>\n")
    assert not thinking.runs_on("he opens</think>\n")
    assert thinking.runs_on("he opens</think><")


@pytest.mark.parametrize(
    ("thought", "bridge"),
    [
        ("he opens</think>", "\n"),
        ("he opens</think>\n", ""),
        ("he opens</thi", "nk>\n"),
        ("he opens", "</think>\n"),
        ("", "</think>\n"),
    ],
)
def test_a_thought_is_closed_before_the_answer(thought: str, bridge: str) -> None:
    import re

    thinking = Thinking()
    assert thinking.bridge(thought) == bridge
    assert re.fullmatch(THOUGHT, thinking.opening + thought + bridge, re.DOTALL)
    assert re.fullmatch(THOUGHT, thinking.skipped, re.DOTALL)
