"""A merged checkpoint, and an adapter in plain peft, are what base and adapter are together for us."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tempo_core.engine import load_engine
from tempo_core.errors import CheckpointError, InputError
from tempo_core.families import family_named
from tests.tempo_core.conftest import make_video
from tests.tempo_core.family_checkpoints import ALL, save_checkpoint
from train.__main__ import main
from train.config import SftConfig
from train.merging import merge_adapter
from train.trainer import adapt, save_trained


@pytest.fixture(scope="module", params=ALL)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Any:
    """(model_type, base folder, adapter folder)."""
    base = save_checkpoint(tmp_path_factory.mktemp("base"), request.param, tokenizer)
    loaded = load_engine(base, four_bit=False, device="cpu").loaded
    model = adapt(loaded.model, SftConfig(rank=4, alpha=8))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.5)
    adapter = tmp_path_factory.mktemp("adapter")
    save_trained(model, loaded.tokenizer, adapter, {"protocol": "tempo"})
    return request.param, base, adapter


def test_transformers_alone_computes_what_base_and_adapter_do(trained: Any, tmp_path: Path) -> None:
    model_type, base, adapter = trained
    merge_adapter(base, adapter, tmp_path / "merged")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = (
            family_named(model_type)
            .model_class.from_pretrained(tmp_path / "merged", dtype=torch.float32)
            .eval()
        )
    bare, both = (
        load_engine(base, adapter=which, four_bit=False, device="cpu").loaded.model
        for which in (None, adapter)
    )
    ids = torch.tensor([[300, 301, 302, 303]])
    with torch.no_grad():
        merged, together, without = (model(input_ids=ids).logits for model in (alone, both, bare))
    scale = float(together.abs().max())
    torch.testing.assert_close(merged / scale, together / scale, atol=1e-5, rtol=0)
    assert float((together - without).abs().max()) > 0.01 * scale


def test_plain_peft_computes_what_base_and_adapter_do(trained: Any) -> None:
    from peft import PeftModel

    model_type, base, adapter = trained
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bare = family_named(model_type).model_class.from_pretrained(base, dtype=torch.float32).eval()
        ids = torch.tensor([[300, 301, 302, 303]])
        with torch.no_grad():
            without = bare(input_ids=ids).logits
        plain = PeftModel.from_pretrained(bare, str(adapter)).eval()
    both = load_engine(base, adapter=adapter, four_bit=False, device="cpu").loaded.model
    with torch.no_grad():
        theirs, ours = (model(input_ids=ids).logits for model in (plain, both))
    scale = float(ours.abs().max())
    torch.testing.assert_close(theirs / scale, ours / scale, atol=1e-5, rtol=0)
    assert float((ours - without).abs().max()) > 0.01 * scale


def test_a_merged_checkpoint_is_asked_as_its_adapter_was(trained: Any, tmp_path: Path) -> None:
    _, base, adapter = trained
    merge_adapter(base, adapter, tmp_path / "merged")
    both = load_engine(base, adapter=adapter, four_bit=False, device="cpu")
    merged = load_engine(tmp_path / "merged", four_bit=False, device="cpu")
    assert (merged.protocol.name, merged.loaded.choice.is_known) == ("tempo", True)
    assert merged.defaults == both.defaults
    video = make_video(0)
    answers = [engine.ask(engine.encode(video), "a red circle") for engine in (both, merged)]
    assert answers[0].text == answers[1].text
    assert answers[0].relevance == pytest.approx(answers[1].relevance, abs=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["merged"], "nothing half-written stays"


def test_weights_keep_the_bases_type(trained: Any, tmp_path: Path) -> None:
    from safetensors import safe_open

    _, base, adapter = trained
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    try:
        merge_adapter(base, adapter, tmp_path / "merged")
    finally:
        (base / "config.json").write_text(json.dumps(config))
    with safe_open(tmp_path / "merged" / "model.safetensors", "pt") as tensors:
        types = {tensors.get_tensor(name).dtype for name in tensors.keys()}  # noqa: SIM118
    assert types == {torch.bfloat16}


def test_nothing_is_overwritten_and_quantised_bases_are_refused(trained: Any, tmp_path: Path) -> None:
    _, base, adapter = trained
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").touch()
    with pytest.raises(InputError, match="is there already"):
        merge_adapter(base, adapter, tmp_path / "full")
    config = json.loads((base / "config.json").read_text())
    quantised = {**config, "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    (base / "config.json").write_text(json.dumps(quantised))
    try:
        with pytest.raises(CheckpointError, match=r"quantised, so that an adapter cannot be added exactly"):
            merge_adapter(base, adapter, tmp_path / "merged")
    finally:
        (base / "config.json").write_text(json.dumps(config))
    assert not (tmp_path / "merged").exists()


def test_the_command_merges_a_folder(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, base, adapter = trained
    words = ["adapters", "merge", str(adapter), "--checkpoint", str(base), "--out", str(tmp_path / "merged")]
    assert main(words) == 0
    assert f"merged into {tmp_path / 'merged'}" in capsys.readouterr().out
    assert (tmp_path / "merged" / "tokenizer.json").is_file()
