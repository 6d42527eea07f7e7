"""Any protocol with any family that speaks it: prompts, thoughts, refusals and answers through one engine."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_core.answers import REFUSAL
from tempo_core.calibration import PlattScaling, write_scaling
from tempo_core.engine import Answer, Engine, ground, load_engine, sample_for
from tempo_core.errors import InputError
from tempo_core.loading import LoadedModel
from tempo_core.protocols import NAMES, Choice, protocol_named
from tempo_core.protocols.base import prompt_ids
from tempo_core.protocols.tempo import PROTOCOL as TEMPO
from tempo_core.timestamps import format_stamps
from tempo_core.video import SampledVideo, probe
from tests.tempo_core.conftest import make_video
from tests.tempo_core.family_checkpoints import ALL, save_checkpoint
from tests.videos import constant, write_clip
from train.scratch.prompt import context_ids, question_ids

QUERY = "a red circle appears"
SPOKEN = [
    (name, model_type)
    for name in NAMES
    for model_type in ALL
    if model_type in protocol_named(name).model_types
]

TOLD_BY_POSITIONS = [name for name in NAMES if protocol_named(name).layout == "video"]


@pytest.fixture(scope="module")
def loaded_models(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> dict[str, LoadedModel]:
    """A random model of each family."""
    folders = {kind: save_checkpoint(tmp_path_factory.mktemp(kind), kind, tokenizer) for kind in ALL}
    return {
        kind: load_engine(folder, four_bit=False, device="cpu").loaded for kind, folder in folders.items()
    }


def _speaking(loaded: LoadedModel, name: str, *, most_tokens: int = 4) -> Engine:
    """The model asked with a protocol, at the small frames and short thoughts that a test can afford."""
    protocol = protocol_named(name)
    if protocol.sampling is not None:
        small = replace(
            protocol.sampling,
            min_pixels=1,
            max_pixels=most_tokens * loaded.normaliser.token_px**2,
            total_pixels=10**6,
        )
        protocol = replace(protocol, sampling=small)
    if protocol.thinking is not None:
        protocol = replace(protocol, thinking=replace(protocol.thinking, max_tokens=3))
    model_id = f"{loaded.model_id}/{name}"
    return Engine(replace(loaded, choice=Choice(protocol, "", True), model_id=model_id))


def _video() -> SampledVideo:
    """Seven frames at uneven times: the last unit of two lacks its second."""
    video = make_video(0, count=7)
    times_s = np.array([0.0, 0.5, 1.25, 2.0, 3.5, 4.0, 5.75])
    return replace(video, times_s=times_s, end_s=6.5)


@pytest.mark.parametrize(("name", "model_type"), SPOKEN)
def test_every_protocol_answers_as_its_plain_twin(
    loaded_models: dict[str, LoadedModel], name: str, model_type: str
) -> None:
    engine = _speaking(loaded_models[model_type], name)
    context = engine.encode(_video())
    answer = engine.ask(context, QUERY, n_best=2)
    plain = engine.ask_plain(_video(), QUERY, n_best=2)
    assert (plain.text, plain.moments) == (answer.text, answer.moments)
    assert plain.relevance == pytest.approx(answer.relevance, abs=1e-4)
    assert [moment for moment, _ in plain.ranked] == [moment for moment, _ in answer.ranked]
    assert engine.ask(context, QUERY, n_best=2).text == answer.text
    # what the model wrote is what the protocol's own parser reads
    moments = engine.protocol.answer.parse(answer.text, context.timeline, context.end_s)
    assert moments == answer.moments or len(moments) < len(answer.moments)  # moments that touch are one
    named = set(context.timeline.marks_s)
    assert all({moment.start_s, moment.end_s} <= named for moment in answer.moments)
    assert answer.refused is (not answer.moments)
    if not engine.protocol.refuses:
        assert answer.moments
        assert any("never taught to refuse" in note for note in answer.notes)


@pytest.mark.parametrize(("name", "model_type"), SPOKEN)
def test_the_context_is_the_protocols_prompt(
    loaded_models: dict[str, LoadedModel], name: str, model_type: str
) -> None:
    from tempo_core.context import prompt_for

    engine = _speaking(loaded_models[model_type], name)
    tokenizer, protocol = engine.loaded.tokenizer, engine.protocol
    prompt = prompt_for(engine.loaded, _video(), token_budget=None, allocator=None)
    text = tokenizer.decode(prompt.ids)
    timeline = protocol.timeline(_video().times_s, 6.5)
    place = text.index("<|vision_start|>")
    for stamp in timeline.stamps:  # in order, each before its own pictures
        offset = text.index(f"{stamp}<|vision_start|>" if protocol.layout != "video" else stamp)
        place, text = offset, text[offset + len(stamp) :]
    assert place >= 0
    n_visual = sum(
        prompt.ids.count(tokenizer.convert_tokens_to_ids(f"<|{kind}_pad|>")) for kind in ("image", "video")
    )
    assert n_visual == int(prompt.allocation.tokens.sum())
    assert len(prompt.allocation.tokens) == len(timeline.units)
    assert prompt.ids[: len(prompt_ids(tokenizer, protocol.opening))] == prompt_ids(
        tokenizer, protocol.opening
    )


@pytest.mark.parametrize("name", TOLD_BY_POSITIONS)
def test_a_late_first_picture_changes_no_prompt_and_the_answer_is_true(
    loaded_models: dict[str, LoadedModel], tmp_path: Path, name: str
) -> None:
    """Positions begin at 0 with the first picture, as in training; answers are on the clip's clock."""
    engine = _speaking(loaded_models["qwen2_5_vl"], name)
    late = write_clip(tmp_path / "late.mp4", constant(75, start_s=5.0), audio_s=8.0)
    answer, context = ground(engine, late, QUERY, n_best=3)
    assert context.prompt is not None
    video = sample_for(engine.defaults, late, protocol=engine.protocol)
    begun = engine.encode(
        replace(video, times_s=video.times_s - video.times_s[0], end_s=video.end_s - video.times_s[0])
    )
    assert begun.prompt is not None
    assert video.times_s[0] == pytest.approx(5.0, abs=1e-3)
    assert begun.prompt.ids == context.prompt.ids
    np.testing.assert_array_equal(begun.prompt.positions, context.prompt.positions)

    from_zero = engine.ask(begun, QUERY, n_best=3)
    assert answer.text == from_zero.text
    windows = [
        window for window, _ in [*zip(answer.moments, answer.confidences, strict=True), *answer.ranked]
    ]
    told = [
        window
        for window, _ in [*zip(from_zero.moments, from_zero.confidences, strict=True), *from_zero.ranked]
    ]
    assert windows
    for window, told_window in zip(windows, told, strict=True):
        assert window.start_s == pytest.approx(told_window.start_s + video.times_s[0])
        assert window.end_s == pytest.approx(told_window.end_s + video.times_s[0])
        assert 5.0 <= window.start_s < window.end_s <= 8.01
    assert context.stamp_records[0]["clock_start_s"] == pytest.approx(5.0, abs=1e-3)
    assert float(context.stamp_records[0]["time_s"]) >= 5.0
    assert any("the first picture, which this clip shows at 5.00 s" in note for note in answer.notes)
    assert from_zero.notes == engine.notes
    assert "clock_start_s" not in begun.stamp_records[0]


@pytest.mark.parametrize("instruction", ["", "Name every moment.\n"])
def test_tempos_prompt_is_what_its_models_are_trained_on(
    loaded_models: dict[str, LoadedModel], instruction: str
) -> None:
    """Training from scratch writes its rows with `context_ids` and `question_ids`."""
    from tempo_core.context import prompt_for

    loaded = loaded_models["qwen2_vl"]
    protocol = TEMPO.with_instruction(instruction)
    prompt = prompt_for(
        replace(loaded, choice=Choice(protocol, "", True)), _video(), token_budget=None, allocator=None
    )
    question = prompt_ids(loaded.tokenizer, protocol.question(QUERY))
    stamps = format_stamps(_video().times_s, 6.5)
    assert [*prompt.ids, *question] == [
        *context_ids(loaded.tokenizer, stamps, prompt.allocation.tokens.tolist()),
        *question_ids(loaded.tokenizer, QUERY, instruction),
    ]


@pytest.mark.parametrize(("name", "model_type"), [pair for pair in SPOKEN if pair[0] != "tempo"])
def test_any_protocol_shares_its_budget_out_by_variation(
    loaded_models: dict[str, LoadedModel], name: str, model_type: str
) -> None:
    """Units of other sizes, in one block or in many, and the answer of the plain twin."""
    engine = _speaking(loaded_models[model_type], name, most_tokens=9)
    video = _video()
    still = np.concatenate([np.repeat(video.frames[:1], 6, axis=0), video.frames[6:]])
    video = replace(video, frames=still)
    own = engine.encode(video).allocation
    context = engine.encode(video, allocator="saa")
    assert context.allocation.allocator == "saa"
    assert len(set(context.allocation.tokens.tolist())) > 1
    assert context.allocation.tokens.sum() <= own.tokens.sum()
    answer = engine.ask(context, QUERY)
    plain = engine.ask_plain(video, QUERY, allocator="saa")
    assert (plain.text, plain.moments) == (answer.text, answer.moments)
    assert plain.relevance == pytest.approx(answer.relevance, abs=1e-4)


@pytest.mark.parametrize("name", ["time_r1", "timelens_8b"])
def test_a_protocol_of_others_gives_all_frames_one_size_unless_asked(
    loaded_models: dict[str, LoadedModel], name: str
) -> None:
    engine = _speaking(loaded_models["qwen2_5_vl" if name == "time_r1" else "qwen3_vl"], name)
    allocation = engine.encode(_video()).allocation
    assert allocation.allocator == "uniform"
    assert len(set(map(tuple, allocation.sizes_px.tolist()))) == 1


def test_a_budget_of_a_persons_own_makes_the_frames_smaller(loaded_models: dict[str, LoadedModel]) -> None:
    engine = _speaking(loaded_models["qwen3_vl"], "timelens_8b")
    assert engine.encode(_video(), token_budget=4).allocation.tokens.tolist() == [1, 1, 1, 1]
    with pytest.raises(InputError, match="Give at least 4 tokens"):
        engine.encode(_video(), token_budget=3)


def test_a_thought_stands_before_the_answer_and_can_be_left_out(
    loaded_models: dict[str, LoadedModel],
) -> None:
    engine = _speaking(loaded_models["qwen2_5_vl"], "time_r1")
    context = engine.encode(_video())
    thinking = engine.protocol.thinking
    assert thinking is not None
    answer = engine.ask(context, QUERY)
    assert answer.text.startswith(thinking.opening)
    assert thinking.closing in answer.text
    assert engine.ask(context, QUERY, thinking_tokens=0).text.startswith(thinking.skipped)


def test_a_context_of_another_protocol_is_refused(loaded_models: dict[str, LoadedModel]) -> None:
    context = _speaking(loaded_models["qwen3_vl"], "timelens_8b").encode(_video())
    with pytest.raises(InputError, match="was encoded by"):
        _speaking(loaded_models["qwen3_vl"], "timelens2").ask(context, QUERY)


@pytest.mark.parametrize("name", ["tempo", "timelens_8b"])
@pytest.mark.parametrize("offset", [-40.0, 40.0])
def test_a_calibrated_model_refuses_by_its_scaled_relevance(
    tmp_path: Path, tokenizer: Any, name: str, offset: float
) -> None:
    folder = save_checkpoint(tmp_path, "qwen3_vl", tokenizer)
    options: dict[str, Any] = {"four_bit": False, "device": "cpu", "protocol": name}
    own = load_engine(folder, **options)
    rows = {"relevant_rows": 12, "irrelevant_rows": 13, "error_before": 0.3, "error_after": 0.1, "auroc": 0.7}
    write_scaling(folder, PlattScaling(slope=1.0, offset=offset, model_id=own.model_id, **rows))
    engine = load_engine(folder, **options)
    video = make_video(0)
    answer = engine.ask(engine.encode(video), QUERY)
    assert answer.refused is (offset < 0)
    assert (answer.relevance < 0.5) is answer.refused
    assert bool(answer.moments) is bool(answer.confidences) is not answer.refused
    assert Answer.from_dict(answer.to_dict()) == answer
    assert "calibrated on 25 held-out rows" in " ".join(answer.notes)
    assert (answer.text == REFUSAL) is (name == "tempo" and answer.refused)
    assert "calibrated on" not in " ".join(own.ask(own.encode(video), QUERY).notes)


# --- which protocol


def test_a_checkpoint_says_how_it_is_asked(tmp_path: Path, tokenizer: Any) -> None:
    folder = save_checkpoint(tmp_path / "own", "qwen3_vl", tokenizer)
    own = load_engine(folder, four_bit=False, device="cpu")
    assert (own.protocol.name, own.loaded.choice.is_known) == ("tempo", True)
    (folder / "tempo.json").write_text('{"protocol": "timelens_8b"}')
    named = load_engine(folder, four_bit=False, device="cpu")
    assert named.protocol.name == "timelens_8b"
    assert named.model_id == f"{own.model_id}/timelens_8b"
    assert (
        load_engine(folder, four_bit=False, device="cpu", protocol="timelens2").protocol.name == "timelens2"
    )
    (folder / "tempo.json").unlink()
    unknown = load_engine(folder, four_bit=False, device="cpu")
    assert unknown.protocol.name == "timelens_8b"
    assert not unknown.loaded.choice.is_known
    assert "Nothing is known about this checkpoint" in unknown.describe()["protocol_reason"]
    with pytest.raises(InputError, match="is for qwen2_5_vl; this checkpoint is qwen3_vl"):
        load_engine(folder, four_bit=False, device="cpu", protocol="time_r1")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_that_was_trained_here_is_asked_as_it_was_trained(tmp_path: Path, tokenizer: Any) -> None:
    from peft import LoraConfig, get_peft_model

    folder = save_checkpoint(tmp_path / "base", "qwen3_vl", tokenizer)
    (folder / "tempo.json").write_text('{"protocol": "timelens_8b"}')
    base = load_engine(folder, four_bit=False, device="cpu")
    # both matrices are random
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(base.loaded.model, lora).save_pretrained(str(tmp_path / "lora"))
    elsewhere = load_engine(folder, adapter=tmp_path / "lora", four_bit=False, device="cpu")
    assert elsewhere.protocol.name == "timelens_8b"
    lineage = {"base_fingerprint": base.loaded.fingerprint}
    (tmp_path / "lora" / "tempo_adapter.json").write_text(json.dumps(lineage))
    ours = load_engine(folder, adapter=tmp_path / "lora", four_bit=False, device="cpu")
    assert (ours.protocol.name, ours.loaded.choice.is_known) == ("tempo", True)


def test_a_download_is_asked_as_its_hub_name_wants(tmp_path: Path, tokenizer: Any) -> None:
    snapshot = tmp_path / "models--TencentARC--TimeLens-8B" / "snapshots" / "abc"
    snapshot.parent.mkdir(parents=True)
    folder = save_checkpoint(snapshot, "qwen3_vl", tokenizer)
    (folder / "tempo.json").unlink()
    engine = load_engine(folder, four_bit=False, device="cpu")
    assert engine.protocol.name == "timelens_8b"
    assert engine.model_id.startswith("TimeLens-8B@")


def test_frames_are_sampled_as_the_protocol_wants(clip: Path, loaded_models: dict[str, LoadedModel]) -> None:
    protocol = protocol_named("timelens_8b")
    assert protocol.sampling is not None
    plan = protocol.sampling.plan(probe(clip))
    engine = _speaking(loaded_models["qwen3_vl"], "timelens_8b")
    video = sample_for(engine.defaults, clip, protocol=protocol)
    assert video.frames.shape[:3] == (len(plan.times_s), *plan.size_px)
    larger = sample_for(engine.defaults, clip, protocol=protocol, allocator="saa")
    assert larger.times_s.tolist() == video.times_s.tolist()
    assert larger.frames.shape[1:3] == (84, 112), (
        "the clip's own size, which is within four times the protocol's"
    )
    answer, context = ground(engine, clip, QUERY, n_best=0)
    assert len(context.timeline.units) == len(context.allocation.tokens)
    assert answer.model_id == engine.model_id
