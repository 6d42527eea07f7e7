"""Training in every protocol: the prompt that is served, a target that its parser reads, the plain twin's gradients."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tempo_core.checkpoint import find_checkpoint
from tempo_core.context import prompt_for
from tempo_core.engine import Engine, encode_file, load_engine
from tempo_core.errors import CheckpointError, InputError
from tempo_core.families import family_of
from tempo_core.moments import Moment
from tempo_core.passes import sample_second_pass
from tempo_core.protocols import NAMES, choose_protocol, protocol_named
from tempo_core.protocols.base import plain_ids, prompt_ids
from tempo_core.video import probe
from tests.tempo_core.conftest import make_video
from tests.tempo_core.family_checkpoints import save_checkpoint
from tests.train.conftest import example_of, sampled
from tests.train.grpo.plain import assert_equal_gradients, model_positions, pixel_inputs, plain_logprobs
from tests.train.grpo.test_group_forward import gradient
from train.config import PirGrpoConfig, SftConfig
from train.data.encoding import Encoded, Encoder
from train.data.examples import Example
from train.data.sayable import cut_rows, pieces_of, with_sayable_rows
from train.grpo.group_forward import group_logprobs, pack
from train.grpo.rewards import reward
from train.grpo.rollouts import distinct, prefill, refusal_rollout, sample_group
from train.sft.packing import make_batch, plan_batches
from train.sft.targets import draw_target
from train.sft.trainer import SftTrainer, run_sft
from train.trainer import PrefetchedDataset, adapt, encode_video, unwrapped

OTHERS = [name for name in NAMES if name != "tempo"]
QUICK = SftConfig(
    rank=4, alpha=8, steps=1, questions_per_row=2, per_device_train_batch_size=2, logging_steps=1, threads=1
)
ROWS = [
    example_of(0, query="A red circle appears.", moments=[(2, 4)]),
    replace(example_of(0, query="a green star", moments=[(1.2, 5.1)]), weight=0.5),
    example_of(1, query="a blue square", moments=[(4, 8)]),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Any:
    """A random checkpoint of each family, made when it is asked for."""
    made: dict[str, Path] = {}

    def folder_of(model_type: str) -> Path:
        if model_type not in made:
            made[model_type] = save_checkpoint(tmp_path_factory.mktemp(model_type), model_type, tokenizer)
        return made[model_type]

    return folder_of


def open_engine(folders: Any, name: str) -> Engine:
    model_type = protocol_named(name).model_types[0]
    return load_engine(folders(model_type), four_bit=False, device="cpu", protocol=name)


@pytest.fixture(params=OTHERS)
def engine_of_protocol(request: pytest.FixtureRequest, folders: Any) -> Engine:
    return open_engine(folders, request.param)


def served_ids(engine: Engine, context_ids: list[int], query: str, *, thinking_tokens: int) -> list[int]:
    """What the engine feeds before the first token of an answer."""
    protocol, tokenizer = engine.protocol, engine.loaded.tokenizer
    ids = [*context_ids, *prompt_ids(tokenizer, protocol.question(query))]
    if protocol.thinking is not None and thinking_tokens == 0:
        ids += plain_ids(tokenizer, protocol.thinking.skipped)
    return ids


def test_a_row_is_the_prompt_that_is_served_and_an_answer_that_is_read(engine_of_protocol: Engine) -> None:
    engine, loaded = engine_of_protocol, engine_of_protocol.loaded
    encoder = Encoder.of(loaded, sample=sampled)
    encoded = encoder.encode(ROWS[1])
    prompt = prompt_for(loaded, make_video(0), token_budget=None, allocator=None)
    assert encoded.prompt_ids == served_ids(engine, prompt.ids, ROWS[1].query, thinking_tokens=0)
    assert np.array_equal(encoded.video.positions, prompt.positions)
    assert encoded.video.timeline == prompt.timeline
    text = loaded.tokenizer.decode(encoded.answer_ids[:-1])
    moments = engine.protocol.answer.parse(text, prompt.timeline, encoded.video.end_s)
    assert tuple(moments) == encoded.truth
    assert moments[0].start_s <= 1.25
    assert moments[0].end_s >= 5.05
    assert encoded.video.grammar.replay(encoded.answer_ids).pairs == encoded.pairs


def test_several_moments_and_refusals_are_taught_where_the_protocol_can_say_them(
    engine_of_protocol: Engine,
) -> None:
    protocol = engine_of_protocol.protocol
    encoder = Encoder.of(engine_of_protocol.loaded, sample=sampled)
    for row in (example_of(1, moments=[(0.6, 2), (5, 6.5)]), example_of(1)):
        reason = protocol.unsayable(len(row.moments))
        if reason is not None:
            assert protocol.title in reason
            with pytest.raises(InputError, match=r"Row rows:1.*(know no refusal|name one moment|at most 1)"):
                encoder.encode(row)
            continue
        encoded = encoder.encode(row)
        text = encoder.tokenizer.decode(encoded.answer_ids[:-1])
        timeline, end_s = encoded.video.timeline, encoded.video.end_s
        assert tuple(protocol.answer.parse(text, timeline, end_s)) == encoded.truth
        assert len(encoded.truth) == len(row.moments)
        earned = reward(text, encoded.truth, timeline=timeline, end_s=end_s, form=protocol.answer)
        assert earned.total == pytest.approx(1)
        if not row.moments:
            rollout = refusal_rollout(encoded)
            assert encoded.video.grammar.replay(rollout.completion.ids).done
            assert protocol.answer.parse(rollout.text, timeline, end_s) == []
    assert (protocol.unsayable(0) is None) == bool(protocol.answer.refusals)


def test_a_file_is_sampled_as_it_is_served(engine_of_protocol: Engine, clip: Path) -> None:
    engine = engine_of_protocol
    example = Example(row_id="clip", video=clip, query="a jump", duration_s=6.0, moments=(Moment(2.5, 5),))
    encoded = Encoder.of(engine.loaded).encode(example)
    context = encode_file(engine, clip)
    assert context.prompt is not None
    assert list(encoded.video.context_ids) == context.prompt.ids
    assert encoded.video.timeline == context.timeline


@pytest.mark.parametrize("name", ["timelens_8b", "unitime", "time_r1", "marlin"])
def test_an_edge_with_a_band_is_spread_over_marks_of_any_length(folders: Any, name: str) -> None:
    encoder = Encoder.of(open_engine(folders, name).loaded, sample=sampled)
    soft = replace(example_of(2, moments=[(2.0, 6.0)]), bands_s=((1.5, 1.0),))
    encoded = encoder.encode(soft)
    targets = [draw_target(encoded, encoder.tokenizer, np.random.default_rng(seed)) for seed in range(12)]
    assert len({target.ids for target in targets}) > 1
    for target in targets:
        assert encoded.video.grammar.replay(target.ids).done
        assert target.shares
        for place, shares in target.shares.items():
            assert target.ids[place] in shares
            assert sum(shares.values()) == pytest.approx(1)


def adapted(engine: Engine) -> Any:
    """The model with an adapter that is no longer at its beginning, so that both of its matrices get gradients."""
    model = adapt(engine.loaded.model, QUICK)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.05)
    return model.train()


def plain_loss(model: Any, questions: list[Encoded]) -> torch.Tensor:
    """Weighted negative log-likelihood of the answers' tokens by the model's own forward, a question at a time."""
    losses, tokens, base = [], 0, unwrapped(model)
    for question in questions:
        ids = torch.tensor([[*question.prompt_ids, *question.answer_ids]])
        output = model(
            input_ids=ids,
            position_ids=model_positions(base, question, ids),
            use_cache=False,
            **pixel_inputs(base, question.video, ids),
        )
        logprobs = output.logits[0, len(question.prompt_ids) - 1 : -1].log_softmax(-1)
        answer = torch.tensor(question.answer_ids)[:, None]
        losses.append(-logprobs.gather(-1, answer).sum() * question.example.weight)
        tokens += len(question.answer_ids)
    return torch.stack(losses).sum() / tokens


GRADIENTS = ["unitime", "time_r1", "timelens_8b", "marlin"]
"""Groups of two frames in three families, deepstack and linear attention among them, and one block of video."""


@pytest.mark.filterwarnings("ignore:.*pin_memory.*")
@pytest.mark.parametrize("name", GRADIENTS)
def test_a_supervised_step_equals_its_plain_twin(folders: Any, name: str, tmp_path: Path) -> None:
    engine = open_engine(folders, name)
    model, encoder = adapted(engine), Encoder.of(engine.loaded, sample=sampled, token_budget=40)
    rng = np.random.default_rng(0)
    plan, steps = plan_batches(
        ROWS,
        QUICK,
        encoder.defaults,
        protocol=engine.protocol,
        packs_rows=family_of(unwrapped(model)).packs_rows,
    )
    plan = [tuple(pack for batch in plan for pack in batch)]
    trainer = SftTrainer(
        model,
        QUICK,
        PrefetchedDataset(1, lambda idx: make_batch(plan[idx], ROWS, encoder, rng)),
        tmp_path,
        steps=steps,
        gradient_accumulation_steps=1,
        lr_scheduler_type="cosine",
    )
    loss = trainer.compute_loss(model, make_batch(plan[0], ROWS, encoder, rng))
    loss.backward()
    fast = gradient(model)
    in_batch = [idx for row in plan[0] for idx in row.example_idx]
    twin = plain_loss(model, [encoder.encode(ROWS[idx]) for idx in in_batch])
    twin.backward()
    assert len(in_batch) >= 2
    assert loss.item() == pytest.approx(twin.item(), abs=1e-4)
    assert_equal_gradients(fast, gradient(model))


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_groups_gradient_equals_its_plain_twin(folders: Any, name: str) -> None:
    engine = open_engine(folders, name)
    model, encoder = adapted(engine), Encoder.of(engine.loaded, sample=sampled, token_budget=40)
    encoded = encoder.encode(ROWS[2])
    with torch.no_grad():
        visual_tokens = encode_video(model, encoded.video)
        model.eval()
        rollouts = sample_group(
            prefill(model, encoded, visual_tokens),
            encoded,
            encoder.tokenizer,
            np.random.default_rng(0),
            PirGrpoConfig(temperature=3.0),
        )
    answers = distinct(rollouts)[0]
    assert len(answers) > 2
    completions = [answer.completion for answer in answers]
    row = pack(encoded, completions, one_row=family_of(unwrapped(model)).packs_rows)
    advantages = torch.linspace(-1, 1, len(answers))[row.completion_idx]
    model.train()
    logprobs = group_logprobs(model, row, visual_tokens, temperature=3.0)
    recorded = [answer.logprobs[step] for answer in answers for step in answer.completion.choices]
    assert logprobs.tolist() == pytest.approx(recorded, abs=5e-5)
    (-(advantages * logprobs).sum()).backward()
    fast = gradient(model)
    plain = plain_logprobs(model, encoded, completions, temperature=3.0)
    (-(advantages * plain).sum()).backward()
    torch.testing.assert_close(logprobs, plain, atol=2e-5, rtol=1e-5)
    assert_equal_gradients(fast, gradient(model))


@pytest.mark.parametrize("name", ["unitime", "time_r1"])
def test_an_adapter_is_served_as_it_was_taught(folders: Any, name: str, tmp_path: Path) -> None:
    engine = open_engine(folders, name)
    encoder = Encoder.of(engine.loaded, sample=sampled, token_budget=40)
    run_sft(adapt(engine.loaded.model, QUICK), encoder, ROWS, QUICK, tmp_path)
    served = load_engine(
        folders(engine.loaded.family.model_type), adapter=tmp_path / "adapter", four_bit=False, device="cpu"
    )
    assert (served.protocol.name, served.loaded.choice.is_known) == (name, True)
    encoded = encoder.encode(ROWS[0])
    context = served.encode(make_video(0), token_budget=40)
    answer = served.ask(context, ROWS[0].query, n_best=0)
    assert context.prompt is not None
    assert encoded.prompt_ids == served_ids(served, context.prompt.ids, ROWS[0].query, thinking_tokens=0)
    assert answer.moments
    if served.protocol.thinking is not None:
        assert served.protocol.thinking.max_tokens == 0
        assert answer.text.startswith(served.protocol.thinking.skipped)


def test_a_rows_own_trace_is_the_thought_where_a_recipe_teaches_it(folders: Any) -> None:
    loaded = open_engine(folders, "time_r1").loaded
    encoder = Encoder.of(loaded, sample=sampled, thinking=True)
    traced = encoder.encode(replace(ROWS[0], thinking="it appears"))
    assert encoder.settings == {"protocol": "time_r1"}
    text = loaded.tokenizer.decode(traced.answer_ids[:-1])
    assert text.startswith("<think>it appears</think>\n<answer>")
    timeline, end_s = traced.video.timeline, traced.video.end_s
    earned = reward(
        text, traced.truth, timeline=timeline, end_s=end_s, form=loaded.protocol.answer, thinking=True
    )
    assert earned.total == pytest.approx(1)
    plain = encoder.encode(ROWS[0])
    assert loaded.tokenizer.decode(plain.answer_ids).startswith("<think>\n</think>\n<answer>")
    with pytest.raises(InputError, match="UniTime is served without one"):
        Encoder.of(open_engine(folders, "unitime").loaded, thinking=True)


def test_a_thoughts_length_in_tempo_json_must_be_one() -> None:
    settings = {"protocol": "time_r1", "thinking_tokens": 0}
    choice = choose_protocol("qwen2_5_vl", settings=settings)
    assert choice.protocol.thinking is not None
    assert choice.protocol.thinking.max_tokens == 0
    named = choose_protocol("qwen2_5_vl", named="tvg_r1", settings=settings).protocol
    assert named == protocol_named("tvg_r1")
    with pytest.raises(CheckpointError, match="'thinking_tokens' has value -1"):
        choose_protocol("qwen2_5_vl", settings={**settings, "thinking_tokens": -1})


def test_the_shipped_models_rows_are_spelled_as_its_questions_are() -> None:
    loaded = load_engine(find_checkpoint(None), device="cpu").loaded
    encoder = Encoder.of(loaded, sample=sampled)
    loud, quiet = (encoder.encode(example_of(0, query=query)) for query in ("A Red Circle!", "a red circle"))
    assert loud.prompt_ids == quiet.prompt_ids


def test_rows_that_a_protocol_cannot_say_are_counted() -> None:
    from train.data.examples import ExampleSplit

    rows = (*ROWS, example_of(3), example_of(4, moments=[(0, 1), (4, 5)]))
    split = ExampleSplit(training=rows, held_out=(replace(example_of(5), split="val"),))
    unitime = with_sayable_rows(split, protocol_named("unitime"))
    assert unitime.training == (*ROWS, rows[-1])
    assert unitime.held_out == split.held_out
    assert unitime.skipped == {"nothing matches, which UniTime's answers cannot say": (rows[3].row_id,)}
    marlin = with_sayable_rows(split, protocol_named("marlin"))
    assert marlin.training == tuple(ROWS)
    assert list(marlin.skipped) == [
        "nothing matches, which Marlin's answers cannot say",
        "several moments match, and Marlin's answers name one",
    ]
    assert with_sayable_rows(split, protocol_named("tempo")) == split


def test_a_long_clip_is_taught_in_the_window_of_the_second_pass(folders: Any, clip: Path) -> None:
    unitime = protocol_named("unitime")
    assert unitime.first_pass is not None
    first = replace(unitime.first_pass, over_s=4.0, segment_s=2.0)
    engine = open_engine(folders, "unitime")
    choice = replace(engine.loaded.choice, protocol=replace(unitime, first_pass=first))
    engine = Engine(replace(engine.loaded, choice=choice))
    info = probe(clip)
    edges_s = first.plan(info).edges_s(info.end_s)
    assert len(edges_s) > 3
    row = Example(
        row_id="clip",
        video=clip,
        query="a jump",
        duration_s=info.end_s,
        moments=(Moment(edges_s[1] + 0.3, edges_s[1] + 0.9),),
    )
    ((windowed,),) = cut_rows([row], engine.protocol)
    assert windowed == replace(row, window_s=(edges_s[1], edges_s[2]))
    encoded = Encoder.of(engine.loaded).encode(windowed)
    served = engine.encode(sample_second_pass(engine.protocol, clip, info, (edges_s[1], edges_s[2])))
    assert served.prompt is not None
    assert list(encoded.video.context_ids) == served.prompt.ids
    assert encoded.truth[0].start_s >= edges_s[1] - 0.5
    assert cut_rows([row], unitime) == [[row]]
    gone = replace(row, video=clip.with_name("gone.mp4"))
    assert cut_rows([gone], engine.protocol) == [[gone]]


def test_a_long_clip_is_taught_in_the_pieces_that_are_served() -> None:
    marlin = protocol_named("marlin")
    row = replace(
        example_of(0, moments=[(10, 12), (27, 40), (52, 58)]),
        duration_s=60.0,
        bands_s=((1.0, 1.0), (0.5, 2.0), (0.0, 0.0)),
    )
    pieces = pieces_of(row, marlin, 60.0)
    assert [piece.window_s for piece in pieces] == [(0.0, 30.0), (25.0, 55.0), (50.0, 60.0)]
    assert [[(moment.start_s, moment.end_s) for moment in piece.moments] for piece in pieces] == [
        [(10, 12), (27, 30)],
        [(2, 15), (27, 30)],
        [(2, 8)],
    ]
    assert [piece.bands_s for piece in pieces] == [
        ((1.0, 1.0), (0.5, 0.0)),
        ((0.5, 2.0), (0.0, 0.0)),
        ((0.0, 0.0),),
    ]
    assert [piece.duration_s for piece in pieces] == [30.0, 30.0, 10.0]
    assert len({piece.row_id for piece in pieces}) == 3
    assert pieces_of(row, protocol_named("unitime"), 60.0) == [row]
    assert pieces_of(replace(row, duration_s=30.0), marlin, 30.0) == [replace(row, duration_s=30.0)]
