"""NF4 in bfloat16 on a CPU, against bitsandbytes' own layers in float32: layers, families, training."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit, Params4bit
from safetensors.torch import load_file, save_file

from tempo_core import cpu_four_bit
from tempo_core.cpu_four_bit import (
    BLOCK_ROWS,
    PACKED_ROWS,
    TILE,
    BlockLinear4bit,
    PackedLinear4bit,
    block,
    keep_dense,
    pack,
    unpacked_weights,
)
from tempo_core.decoding import feed, share_cache, token_logits
from tempo_core.engine import Engine, load_engine
from tempo_core.memory import has_bfloat16_cpu, plan
from tests.tempo_core.conftest import make_video
from tests.tempo_core.family_checkpoints import ALL, save_checkpoint
from tests.train.sft.test_trainer import train, weights

needs_bfloat16 = pytest.mark.skipif(
    not has_bfloat16_cpu(), reason="this processor has no instructions for bfloat16"
)
QUERIES = ["a red circle", "two blue squares that meet", "a green star fades", "the wall moves left"]
N_IN, N_OUT = 192, 160


def _layer(*, bias: bool = False) -> Linear4bit:
    torch.manual_seed(0)
    layer = Linear4bit(N_IN, N_OUT, bias=bias, compute_dtype=torch.float32, quant_type="nf4")
    weight: Any = Params4bit(
        torch.randn(N_OUT, N_IN), requires_grad=False, quant_type="nf4", compress_statistics=True
    )
    layer.weight = weight.to("cpu")
    layer.support_avx512bf16_for_cpu = False
    return layer.requires_grad_(False).eval()


def _packed(**options: Any) -> PackedLinear4bit:
    layer = _layer(**options)
    pack(torch.nn.Sequential(layer))
    assert isinstance(layer, PackedLinear4bit)
    return layer


def _unpacked(layer: Linear4bit) -> torch.Tensor:
    return torch.cat([*unpacked_weights(layer)])


def _exact(layer: Any) -> torch.Tensor:
    return dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()


@needs_bfloat16
def test_the_unpacked_weight_is_bitsandbytes_own_with_scales_in_bfloat16() -> None:
    exact, weight = _exact(_layer()), _unpacked(_packed())
    assert weight.dtype == torch.bfloat16
    # a scale and a product are rounded, by 2 ** -8 at most each
    torch.testing.assert_close(weight.float(), exact, rtol=2**-7, atol=0)


@needs_bfloat16
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 20, PACKED_ROWS, PACKED_ROWS + 1])
def test_any_number_of_rows_is_multiplied_by_the_same_weights(rows: int, bias: bool) -> None:
    layer = _packed(bias=bias)
    x = torch.randn(2, rows, N_IN)[:1].bfloat16()
    expected = x.float() @ _unpacked(layer).float().T
    expected += layer.bias.float() if bias else 0
    out = layer(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, rtol=2**-7, atol=0.25)
    assert layer(x.float()).dtype == torch.float32


@needs_bfloat16
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_in_blocks_is_the_layer_at_once(monkeypatch: pytest.MonkeyPatch, bias: bool) -> None:
    layer = _packed(bias=bias)
    x = torch.randn(PACKED_ROWS + 1, N_IN).bfloat16()
    at_once = layer(x)
    monkeypatch.setattr(cpu_four_bit, "UNPACKED_WEIGHTS", 2 * TILE * N_IN)
    assert [len(block) for block in unpacked_weights(layer)] == [2 * TILE, 2 * TILE, TILE]
    torch.testing.assert_close(layer(x), at_once)


@needs_bfloat16
def test_gradients_reach_the_input() -> None:
    layer = _packed().train()
    x = torch.randn(3, N_IN, requires_grad=True)
    layer(x).sum().backward()
    expected = _unpacked(layer).float().sum(0).expand(3, -1)
    torch.testing.assert_close(x.grad, expected, rtol=0.02, atol=0.1)


@needs_bfloat16
def test_weights_are_saved_as_bitsandbytes_lays_them_out() -> None:
    layer, packed = _layer(), _packed()
    x = torch.randn(2, N_IN).bfloat16()
    before = packed(x)
    saved = packed.state_dict()
    assert torch.equal(saved["weight"], layer.state_dict()["weight"])
    torch.testing.assert_close(packed(x).float(), before.float(), rtol=0.02, atol=0.1)


@needs_bfloat16
def test_a_layer_of_another_shape_stays_as_it_is() -> None:
    torch.manual_seed(0)
    layer = Linear4bit(64, 40, bias=False, compute_dtype=torch.float32, quant_type="nf4")
    weight: Any = Params4bit(torch.randn(40, 64), requires_grad=False, quant_type="nf4")
    layer.weight = weight.to("cpu")
    exact = _exact(layer)
    pack(torch.nn.Sequential(layer))
    assert type(layer) is Linear4bit
    x = torch.randn(3, 64).bfloat16()
    torch.testing.assert_close(layer(x).float(), x.float() @ exact.T, rtol=0.02, atol=0.1)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, BLOCK_ROWS, BLOCK_ROWS + 1])
def test_products_by_blocks_are_bitsandbytes_own(
    rows: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempo_core.cpu_four_bit.BLOCK_WEIGHTS", 50 * N_IN)  # the last block is smaller
    layer, plain = _layer(bias=bias), _layer(bias=bias)
    block(torch.nn.Sequential(layer))
    assert isinstance(layer, BlockLinear4bit)
    x = torch.randn(1, rows, N_IN)
    torch.testing.assert_close(layer(x), plain(x))
    x.requires_grad_()
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, _exact(plain).sum(0).expand(1, rows, -1))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 20, 300])
def test_products_of_dense_weights_are_bitsandbytes_own_to_the_bit(rows: int, bias: bool) -> None:
    layer, plain = _layer(bias=bias), _layer(bias=bias)
    keep_dense(torch.nn.Sequential(layer))
    x = torch.randn(1, rows, N_IN)
    layer.weight.data.zero_()  # it multiplies by its dense weights
    with torch.inference_mode():
        assert torch.equal(layer(x), plain(x))
    gradients = []
    for one in (layer, plain):
        inputs = x.clone().requires_grad_()
        one(inputs).square().sum().backward()
        gradients.append(inputs.grad)
    assert torch.equal(*gradients)
    assert layer.state_dict().keys() == plain.state_dict().keys()  # they are not saved


# --- models


@pytest.fixture(scope="module", params=ALL)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """Weights in bfloat16, as published checkpoints have them: else codes differ by what they are rounded from."""
    checkpoint = save_checkpoint(tmp_path_factory.mktemp(request.param), request.param, tokenizer)
    weights_file = checkpoint / "model.safetensors"
    rounded = {name: tensor.bfloat16() for name, tensor in load_file(weights_file).items()}
    save_file(rounded, weights_file, metadata={"format": "pt"})
    return checkpoint


def _load(folder: Path, monkeypatch: pytest.MonkeyPatch, *, packed: bool) -> Engine:
    monkeypatch.setattr("tempo_core.memory.EXACT_CPU_WEIGHTS", 0 if packed else 1 << 62)
    monkeypatch.setattr("tempo_core.memory.DENSE_CPU_WEIGHTS", 0)
    return load_engine(folder, device="cpu")


def test_a_small_model_is_computed_in_float32_with_dense_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, memory_plan = load_engine(folder, device="cpu"), plan(folder)
    plain = _load(folder, monkeypatch, packed=False)
    layers = [layer for layer in engine.loaded.model.modules() if isinstance(layer, Linear4bit)]
    assert layers
    assert engine.loaded.model.dtype == torch.float32
    assert engine.model_id == plain.model_id
    video = make_video(0)
    answers, twins = (
        [
            replace(asked.ask(context, query, n_best=2), timings={})
            for context in [asked.encode(video)]
            for query in QUERIES
        ]
        for asked in (engine, plain)
    )
    assert answers == twins
    quantised = memory_plan.quantised_parameters
    assert memory_plan.weight_bytes - plan(folder).weight_bytes == 4 * quantised
    dense: list[torch.Tensor] = [layer.forward.keywords["weight"] for layer in layers]
    assert sum(tensor.nbytes for tensor in dense) == 4 * quantised


@needs_bfloat16
def test_answers_are_the_plain_twins_in_every_family(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast, plain = (_load(folder, monkeypatch, packed=packed) for packed in (True, False))
    layers = [layer for layer in fast.loaded.model.modules() if isinstance(layer, Linear4bit)]
    assert layers
    assert {type(layer) for layer in layers} == {PackedLinear4bit}
    assert (fast.loaded.precision, fast.loaded.model.dtype) == ("nf4", torch.bfloat16)
    video = make_video(0)
    contexts = fast.encode(video), plain.encode(video)
    ids = torch.tensor([[300, 301, 302]])
    with torch.inference_mode():
        logits, exact = (
            feed(engine.loaded.model, ids, context.position, share_cache(context.cache))
            for engine, context in zip((fast, plain), contexts, strict=True)
        )
    error = (logits - exact).std() / exact.std()
    assert error < 0.03, f"{error:.4f} of the logits' spread"
    for query in QUERIES:
        answer, twin = (
            engine.ask(context, query) for engine, context in zip((fast, plain), contexts, strict=True)
        )
        assert answer.text == twin.text
        assert answer.relevance == pytest.approx(twin.relevance, abs=0.05)


def test_a_large_model_without_bfloat16_is_multiplied_by_blocks(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load_engine(checkpoint, device="cpu")
    monkeypatch.setattr("tempo_core.memory.EXACT_CPU_WEIGHTS", 0)
    monkeypatch.setattr("tempo_core.memory.has_bfloat16_cpu", lambda: False)
    engine = load_engine(checkpoint, device="cpu")
    assert engine.loaded.model.dtype == torch.float32
    assert engine.model_id == plain.model_id
    layers = {type(layer) for layer in engine.loaded.model.modules() if isinstance(layer, Linear4bit)}
    assert layers == {BlockLinear4bit}
    video = make_video(0)
    for query in QUERIES:
        answer, twin = (asked.ask(asked.encode(video), query) for asked in (engine, plain))
        assert answer.text == twin.text
        assert answer.relevance == pytest.approx(twin.relevance, abs=1e-4)


@needs_bfloat16
def test_the_plan_is_what_loading_takes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _load(folder, monkeypatch, packed=True)
    memory_plan = plan(folder)
    layers: list[Any] = [
        layer for layer in engine.loaded.model.modules() if isinstance(layer, PackedLinear4bit)
    ]
    scales = sum(layer.weight.quant_state.absmax.nbytes for layer in layers)
    # transformers counts the weights alone
    footprint = engine.loaded.model.get_memory_footprint() + scales
    assert memory_plan.kernel == "packed"
    assert memory_plan.dtype == "bfloat16"
    assert memory_plan.weight_bytes == pytest.approx(footprint, rel=0.03)
    assert str(folder) not in Path("/proc/self/maps").read_text(), "the checkpoint's files are closed"


@needs_bfloat16
def test_the_logits_of_an_answers_tokens_are_not_rounded(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _load(checkpoint, monkeypatch, packed=True).loaded.model
    torch.manual_seed(0)
    hidden = torch.randn(2, model.config.get_text_config().hidden_size).bfloat16()
    logits = token_logits(model, hidden, [7, 300])
    expected = hidden.float() @ model.lm_head.weight[[7, 300]].float().T
    torch.testing.assert_close(logits[:, [7, 300]], expected)
    assert torch.isinf(logits[:, 8:300]).all()
    assert torch.isfinite(token_logits(model, hidden)).all()


@needs_bfloat16
def test_an_adapter_of_the_head_changes_the_logits_of_an_answers_tokens(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import LoraConfig, get_peft_model

    model = _load(checkpoint, monkeypatch, packed=True).loaded.model
    hidden = torch.randn(2, model.config.get_text_config().hidden_size).bfloat16()
    with torch.no_grad():
        before = token_logits(model, hidden, [7, 300])[:, [7, 300]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns of tied embeddings
            get_peft_model(model, LoraConfig(r=4, target_modules=["lm_head"]))
        model.lm_head.lora_B["default"].weight.normal_(std=0.5)
        after = token_logits(model, hidden, [7, 300])[:, [7, 300]]
        torch.testing.assert_close(after, model.lm_head(hidden)[:, [7, 300]].float())
    assert float((after - before).abs().max()) > 0.1


@needs_bfloat16
def test_an_adapter_is_trained_on_packed_layers(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempo_core.memory.EXACT_CPU_WEIGHTS", 0)
    result = train(checkpoint, tmp_path, four_bit=True)
    trained = weights(tmp_path)
    assert result is not None
    assert all(tensor.isfinite().all() for tensor in trained.values())
    assert any(tensor.abs().sum() > 0 for name, tensor in trained.items() if "lora_B" in name)
