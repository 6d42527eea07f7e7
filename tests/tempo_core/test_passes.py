"""Long clips in two passes: the authors' segments, the model's own features, and a window that is looked at again."""

import json
import re
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tempo_core.conformance import unit_hash
from tempo_core.decoding import feed, share_cache
from tempo_core.engine import Answer, Engine, encode_file, ground, load_engine
from tempo_core.errors import MemoryShortage
from tempo_core.grammar import GrammarState
from tempo_core.library.contexts import is_storable
from tempo_core.passes import (
    SegmentGrammar,
    TwoPassContext,
    choose_segments,
    sample_second_pass,
    segment_ids,
)
from tempo_core.protocols import protocol_named
from tempo_core.protocols.base import prompt_ids
from tempo_core.video import sample
from tempo_core.vision import image_inputs
from tests.videos import constant, write_clip

UNITIME = protocol_named("unitime")
QUERY = "a red circle appears"
TOKEN = 28**2
ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent / "protocols" / "passes.jsonl").read_text("utf-8").splitlines()
]


def first_pass() -> Any:
    assert UNITIME.first_pass is not None
    return UNITIME.first_pass


def test_a_first_pass_that_the_memory_does_not_hold_reads_no_frame(
    twice: Engine, long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempo_core.room.free_bytes", lambda device: 1000)
    monkeypatch.setattr("tempo_core.video.sample", lambda *args, **options: pytest.fail("a frame was read"))
    with pytest.raises(MemoryShortage, match="smaller token budget"):
        encode_file(twice, long_clip)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['frames'] / row['fps']:.0f} s")
def test_frames_and_segments_are_the_authors(row: dict[str, Any]) -> None:
    info: Any = SimpleNamespace(
        frame_count=row["frames"],
        start_s=0.0,
        end_s=row["frames"] / row["fps"],
        height=row["height"],
        width=row["width"],
    )
    plan = first_pass().plan(info)
    indices = [int(time_s * row["fps"]) for time_s in plan.times_s]
    units = list(zip(indices[::2], indices[1::2], strict=True))
    assert list(plan.tower_px) == row["tower_px"]
    assert [side // 28 for side in plan.pooled_px] == row["grid"]
    lengths = [
        min(plan.units_per_segment, len(units) - start)
        for start in range(0, len(units), plan.units_per_segment)
    ]
    assert lengths == row["lengths"]
    if 2 * len(units) == len(row["frame_idx"]):  # their linspace is of 32 bits
        assert np.abs(np.array(indices) - row["frame_idx"]).max() <= 1
    else:
        theirs = set(zip(row["frame_idx"][::2], row["frame_idx"][1::2], strict=True))
        near = {(first + a, last + b) for first, last in theirs for a in (-1, 0, 1) for b in (-1, 0, 1)}
        assert set(units) <= near
    starts_s = [sum(units[sum(lengths[:number])]) / 2 / row["fps"] for number in range(len(lengths))]
    assert starts_s == pytest.approx(row["starts_s"], abs=0.05 + 2 / row["fps"])


@pytest.mark.parametrize("row", ROWS[:2], ids=lambda row: f"{row['frames'] / row['fps']:.0f} s")
def test_the_prompt_is_the_authors(row: dict[str, Any], tokenizer: Any) -> None:
    stamps = [UNITIME.stamp.replace("{}", str(time_s)) for time_s in row["starts_s"]]
    tokens = [length * row["grid"][0] * row["grid"][1] for length in row["lengths"]]
    question = first_pass().asked(UNITIME).question(row["query"])
    ids = [*segment_ids(tokenizer, UNITIME, stamps, tokens), *prompt_ids(tokenizer, question)]
    text = re.sub(
        r"(?:<\|video_pad\|>)+",
        lambda run: f"<{run[0].count('<|video_pad|>')} pads>",
        tokenizer.decode(ids),
    )
    assert text == row["text"] + "".join(UNITIME.assistant)


def test_a_first_answer_is_a_list_of_beginnings_in_order(tokenizer: Any) -> None:
    marks = ["0.2", "9.8", "10.4", "104.1"]
    grammar = SegmentGrammar(
        tokenizer, [(mark,) for mark in marks], form=first_pass().answer, max_moments=len(marks)
    )
    texts: dict[str, list[int]] = {}
    states: list[tuple[GrammarState, tuple[int, ...]]] = [(GrammarState(), ())]
    while states:
        state, ids = states.pop()
        if state.done:
            texts[tokenizer.decode(ids[:-1])] = [mark for _, mark in state.pairs]
            continue
        states += [(grammar.advance(state, token), (*ids, token)) for token in grammar.options(state)]
    lists = chain.from_iterable(combinations(range(4), size) for size in (1, 2, 3, 4))
    assert texts == {", ".join(f"{marks[idx]} seconds" for idx in idxs) + ".": list(idxs) for idxs in lists}


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 seconds at 4 pictures a second, each with its number."""
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", constant(20 * 4, 4), gop=8)


@pytest.fixture(scope="module")
def twice(checkpoint: Path) -> Engine:
    """A random UniTime with small numbers: over 10 s it looks twice, in segments of 5 s."""
    loaded = load_engine(checkpoint, four_bit=False, device="cpu", protocol="unitime").loaded
    first = replace(
        first_pass(),
        over_s=10.0,
        segment_s=5.0,
        tower_min_pixels=16 * TOKEN,
        tower_max_pixels=24 * TOKEN,
        min_pixels=4 * TOKEN,
        total_pixels=120 * TOKEN,
        most_units=64,
    )
    sampling = replace(UNITIME.sampling, min_pixels=4 * TOKEN, total_pixels=60 * TOKEN)  # type: ignore[type-var]
    protocol = replace(UNITIME, first_pass=first, sampling=sampling)
    return Engine(replace(loaded, choice=replace(loaded.choice, protocol=protocol)))


@pytest.fixture(scope="module")
def context(twice: Engine, long_clip: Path) -> TwoPassContext:
    encoded = encode_file(twice, long_clip)
    assert isinstance(encoded, TwoPassContext)
    return encoded


def test_a_segments_features_are_the_towers_made_smaller(
    twice: Engine, context: TwoPassContext, long_clip: Path
) -> None:
    plan = twice.protocol.first_pass.plan(context.info)  # type: ignore[union-attr]
    video = sample(long_clip, at=plan.times_s[:2], size=plan.tower_px)
    model, normaliser = twice.loaded.model, twice.loaded.normaliser
    sizes = np.array([plan.tower_px])
    pixels, grids = image_inputs(model, video.frames, sizes, normaliser, frames_per_unit=2)
    with torch.inference_mode():
        (tokens,) = model.get_video_features(pixels, grids, return_dict=True).pooler_output
    rows, columns = (side // 28 for side in plan.tower_px)
    maps = tokens.view(1, rows, columns, -1).permute(0, 3, 1, 2)
    pooled = [side // 28 for side in plan.pooled_px]
    small = torch.nn.functional.interpolate(maps, size=pooled, mode="bilinear", align_corners=False)
    assert context.prompt is not None
    own = context.prompt.visual_tokens[: pooled[0] * pooled[1]]
    torch.testing.assert_close(own, small[0].permute(1, 2, 0).flatten(0, 1), atol=1e-4, rtol=1e-4)
    assert len(context.prompt.visual_tokens) == len(context.times_s) * pooled[0] * pooled[1]


def test_the_first_pass_is_the_models_own_forward(twice: Engine, context: TwoPassContext) -> None:
    loaded, prompt = twice.loaded, context.prompt
    assert prompt is not None
    question = prompt_ids(
        loaded.tokenizer,
        first_pass().asked(twice.protocol).question(QUERY),
    )
    ids = torch.tensor([[*prompt.ids, *question]])
    text = context.position + np.arange(len(question))
    positions = np.concatenate([prompt.positions, np.broadcast_to(text, (3, len(text)))], axis=1)
    pooled = twice.protocol.first_pass.plan(context.info).pooled_px  # type: ignore[union-attr]
    grids = torch.tensor([[len(unit), pooled[0] // 14, pooled[1] // 14] for unit in context.timeline.units])
    own, _ = loaded.model.model.get_rope_index(
        ids, (ids == loaded.model.config.video_token_id).int() * 2, video_grid_thw=grids
    )
    first_block = slice(0, prompt.ids.index(loaded.model.config.video_token_id) + grids[0].prod() // 4)
    assert np.array_equal(positions[:, first_block], own[:, 0, first_block].numpy())
    with torch.inference_mode():
        whole = loaded.model(
            input_ids=ids,
            position_ids=torch.from_numpy(positions)[:, None],
            use_cache=False,
            mm_encoder_outputs={
                "video": loaded.family.encoder_outputs(prompt.visual_tokens, prompt.visual_tokens.shape[-1])
            },
        ).logits[0, -1]
        cached = feed(loaded.model, torch.tensor([question]), context.position, share_cache(context.cache))
    torch.testing.assert_close(cached[0], whole, atol=1e-4, rtol=1e-4)


def test_both_passes_are_in_the_answer(twice: Engine, context: TwoPassContext, long_clip: Path) -> None:
    answer = twice.ask(context, QUERY)
    segments, text, _ = choose_segments(twice, context, QUERY)
    whole, window = answer.passes
    edges_s = context.edges_s
    assert edges_s[1] - edges_s[0] == pytest.approx(5, abs=0.3)
    assert whole["text"] == text
    assert [row["start_s"] for row in whole["segments"]] == [edges_s[idx] for idx in segments]
    assert [float(number) for number in re.findall(r"[\d.]+(?= seconds)", text)] == pytest.approx(
        [edges_s[idx] for idx in segments], abs=0.051
    )
    assert (window["start_s"], window["end_s"]) == (edges_s[segments[0]], edges_s[segments[-1] + 1])
    display_s = 0.25
    for moment in (*answer.moments, *(ranked for ranked, _ in answer.ranked)):
        assert window["start_s"] - display_s <= moment.start_s < moment.end_s <= window["end_s"] + display_s
    assert answer.text == window["text"]
    assert "looked at twice" in answer.notes[-1]
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer
    again, second = ground(twice, long_clip, QUERY)
    assert (again.moments, again.passes) == (answer.moments, answer.passes)
    assert isinstance(second, TwoPassContext)
    assert [record["stamp"] for record in context.stamp_records] == context.timeline.stamps


def test_the_windows_stamps_are_true_times_of_hashed_frames(
    twice: Engine, context: TwoPassContext, long_clip: Path
) -> None:
    window = json.loads(json.dumps(twice.ask(context, QUERY).to_dict()))["passes"][1]
    video = sample_second_pass(twice.protocol, long_clip, context.info, (window["start_s"], window["end_s"]))
    units = twice.protocol.timeline(video.times_s, video.end_s).units
    assert len(video.times_s) == window["frames"]
    for record, unit in zip(window["stamps"], units, strict=True):
        time_s = float(np.mean(video.times_s[list(unit)]))
        assert record["time_s"] == pytest.approx(time_s)
        assert window["start_s"] - 0.25 <= time_s <= window["end_s"] + 0.25
        assert float(re.findall(r"[\d.]+(?= seconds)", record["stamp"])[0]) == pytest.approx(time_s, abs=0.1)
        assert record["sha256"] == unit_hash(video, unit)


def test_a_clip_is_looked_at_once_where_it_is_short_or_a_rate_is_named(
    twice: Engine, long_clip: Path, tmp_path: Path
) -> None:
    short = write_clip(tmp_path / "short.mp4", constant(8 * 4, 4), gop=8)
    for context in (encode_file(twice, short), encode_file(twice, long_clip, fps=1.0)):
        assert not isinstance(context, TwoPassContext)
        answer = twice.ask(context, QUERY, n_best=0)
        assert answer.passes == []
        assert "passes" not in answer.to_dict()


def test_a_first_pass_is_neither_stored_nor_shared(twice: Engine, context: TwoPassContext) -> None:
    assert not is_storable(context)
    together = twice.ask_many(context, [QUERY, "a blue square"])
    assert [answer.passes != [] for answer in together] == [True, True]
