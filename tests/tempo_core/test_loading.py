"""Loading: what fits is loaded as it stands on disk, what does not is named."""

import json
import logging
import platform
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tempo_core.checkpoint import find_adapter, find_checkpoint, fingerprint
from tempo_core.defaults import GroundingDefaults, read_defaults
from tempo_core.errors import CheckpointError, InputError
from tempo_core.loading import attach_adapter, load_model, read_normaliser, return_freed_memory
from tempo_core.memory import plan, quantisable_layers
from tests.tempo_core.conftest import make_video


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint folder to damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


def _load(folder: Path, **options: Any) -> Any:
    return load_model(folder, **{"four_bit": False, "device": "cpu", **options})


def _edit(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text())
    path.write_text(
        json.dumps({key: value for key, value in {**data, **changes}.items() if value is not ...})
    )


def test_a_folder_is_loaded_as_it_stands(checkpoint: Path) -> None:
    loaded = _load(checkpoint)
    assert loaded.model_id == f"{checkpoint.name}@{fingerprint(checkpoint)[:12]}/float32"
    assert loaded.defaults.max_frames == 40
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    stored = load_file(checkpoint / "model.safetensors")
    originals = {
        name.replace("model.language_model.", "model."): t for name, t in loaded.model.state_dict().items()
    }
    originals = {name.replace("model.visual.", "visual."): tensor for name, tensor in originals.items()}
    assert stored
    assert all(torch.equal(originals[name], tensor) for name, tensor in stored.items())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc keeps the heap's free pages")
def test_freed_memory_below_memory_in_use_goes_back_to_the_system() -> None:
    def own_bytes() -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("RssAnon:")[2].split()[0])

    blocks = [bytearray(100_000) for _ in range(600)]  # below glibc's limit for a mapping of its own
    last = bytearray(100_000)
    del blocks
    before = own_bytes()
    return_freed_memory()
    assert own_bytes() < before - 30_000_000
    assert len(last) == 100_000


def test_four_bits_take_the_language_models_layers_only(checkpoint: Path) -> None:
    import bitsandbytes

    loaded = _load(checkpoint, four_bit=True)
    originals = {
        name
        for name, module in loaded.model.named_modules()
        if isinstance(module, bitsandbytes.nn.Linear4bit)
    }
    assert originals == set(quantisable_layers(_load(checkpoint).model))
    assert len(originals) == 2 * 7
    layer = loaded.model.model.language_model.layers[0].mlp.up_proj
    assert layer.weight.quant_type == "nf4"
    assert layer.weight.quant_state.nested
    assert loaded.model_id.endswith("/nf4")
    assert loaded.model.get_memory_footprint() < 0.7 * _load(checkpoint).model.get_memory_footprint()


def test_loading_is_quiet(
    checkpoint: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _load(checkpoint, four_bit=True)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_missing_folder_and_a_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        _load(tmp_path / "nothing" / "here")
    (tmp_path / "weights").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is a file"):
        _load(tmp_path / "weights")


def test_a_hub_name_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(*arguments: Any, **named: Any) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(CheckpointError, match="could not be fetched from the hub"):
        find_checkpoint("Qwen/Qwen2-VL-2B-Instruct")


def test_a_hub_name_is_fetched_without_pickles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    requests: list[Any] = []

    def fetch(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        requests.extend([name, *allow_patterns])
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert find_checkpoint("Qwen/Qwen2-VL-2B-Instruct") == tmp_path
    assert requests[0] == "Qwen/Qwen2-VL-2B-Instruct"
    assert not [pattern for pattern in requests if pattern.endswith((".bin", ".pt"))]


def test_a_folder_wins_over_a_hub_name(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Qwen").mkdir()
    (tmp_path / "Qwen" / "local").symlink_to(checkpoint)
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("Qwen/local") == Path("Qwen/local")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_files_are_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        _load(copy)


@pytest.mark.parametrize("name", ["config.json", "tempo.json", "tokenizer.json"])
def test_damaged_json_is_named(copy: Path, name: str) -> None:
    (copy / name).write_text('{"model_type": "qwen2_vl", ')
    with pytest.raises(CheckpointError, match=r"config\.json|tempo\.json|tokenizer"):
        _load(copy)


@pytest.mark.parametrize("n_bytes", [0, 5, 5_000, -1])
def test_truncated_weights_are_refused(copy: Path, n_bytes: int) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        _load(copy)


def test_pickles_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="is a pickle"):
        _load(copy)


@pytest.mark.parametrize("kind", ["qwen2_audio", "llama", None, 3])
def test_another_architecture_is_refused(copy: Path, kind: Any) -> None:
    _edit(copy / "config.json", model_type=kind)
    with pytest.raises(CheckpointError, match="families that run here: qwen2_vl"):
        _load(copy)


@pytest.mark.parametrize("four_bit", [False, True])
def test_missing_weights_are_named(copy: Path, four_bit: bool) -> None:
    tensors = load_file(copy / "model.safetensors")
    missing_name = next(name for name in tensors if "layers.1.mlp.up_proj" in name)
    save_file({name: t for name, t in tensors.items() if name != missing_name}, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks 1 weights.*up_proj"):
        _load(copy, four_bit=four_bit)


def test_weights_of_another_size_are_refused(copy: Path) -> None:
    data = json.loads((copy / "config.json").read_text())
    data["text_config"]["intermediate_size"] = 320
    (copy / "config.json").write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=r"could not be loaded|lacks"):
        _load(copy)


def test_a_missing_shard_is_named(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"lacks the weights model-00001-of-00002\.safetensors"):
        _load(copy)


def _in_shards(folder: Path) -> list[str]:
    """Write the folder's weights as two shards beside the whole file; the tensors' names, in order."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    shards: dict[str, str] = {}
    for number in (1, 2):
        shard = f"model-0000{number}-of-00002.safetensors"
        part = {name: tensors[name].clone() for name in names[number - 1 :: 2]}
        save_file(part, folder / shard, metadata={"format": "pt"})
        shards |= dict.fromkeys(part, shard)
    index = {"metadata": {}, "weight_map": shards}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return names


def test_a_shard_that_lacks_what_the_index_says_is_named(copy: Path) -> None:
    first = _in_shards(copy)[0]
    (copy / "model.safetensors").unlink()
    shard = copy / "model-00001-of-00002.safetensors"
    save_file({name: t for name, t in load_file(shard).items() if name != first}, shard)
    with pytest.raises(CheckpointError, match=r"lacks .* weights"):
        _load(copy)
    shard.unlink()
    with pytest.raises(CheckpointError, match=r"lacks the weights model-00001-of-00002\.safetensors"):
        _load(copy)


def test_old_shards_beside_the_whole_file_are_not_taken_for_it(checkpoint: Path, copy: Path) -> None:
    """The fingerprint is of the file that is loaded."""
    names = _in_shards(copy)
    shard = copy / "model-00001-of-00002.safetensors"
    save_file({name: t * 2 for name, t in load_file(shard).items()}, shard, metadata={"format": "pt"})
    loaded, whole = _load(copy), _load(checkpoint)
    assert loaded.fingerprint == fingerprint(checkpoint)
    ids = torch.tensor([[300, 301, 302]])
    with torch.no_grad():
        assert torch.equal(loaded.model(input_ids=ids).logits, whole.model(input_ids=ids).logits)
    (copy / "model.safetensors").unlink()
    assert len(names) > 10
    assert _load(copy).fingerprint != loaded.fingerprint


def test_shards_outside_the_folder_are_refused(copy: Path) -> None:
    index = {"weight_map": {"a": "../elsewhere.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="outside its folder"):
        _load(copy)


def test_a_device_that_is_not_there(checkpoint: Path) -> None:
    with pytest.raises(InputError, match=r"not available|Unknown device"):
        _load(checkpoint, device="tpu")


# --- pixels and defaults


def test_pixel_statistics_come_from_the_checkpoint(copy: Path) -> None:
    values = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "patch_size": 14}
    (copy / "preprocessor_config.json").write_text(json.dumps(values))
    assert read_normaliser(copy).mean == (0.5, 0.5, 0.5)
    assert read_normaliser(copy).std == (0.25, 0.25, 0.25)


def test_pixel_statistics_may_stand_where_transformers_5_writes_them(copy: Path) -> None:
    values = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "patch_size": 14}
    (copy / "processor_config.json").write_text(json.dumps({"image_processor": values}))
    assert read_normaliser(copy).mean == (0.5, 0.5, 0.5)
    (copy / "processor_config.json").write_text(json.dumps({"image_processor": {"patch_size": 16}}))
    with pytest.raises(CheckpointError, match=r"processor_config\.json has patch_size 16; Qwen2-VL has 14"):
        read_normaliser(copy)


@pytest.mark.parametrize("change", [{"patch_size": 16}, {"image_std": [0, 1, 1]}, {"image_mean": "grey"}])
def test_other_pixels_are_refused(copy: Path, change: dict[str, Any]) -> None:
    (copy / "preprocessor_config.json").write_text(json.dumps(change))
    with pytest.raises(CheckpointError, match="preprocessor_config"):
        read_normaliser(copy)


def test_without_tempo_json_the_big_models_defaults_hold(tmp_path: Path) -> None:
    defaults = read_defaults(tmp_path)
    assert (defaults.max_frames, defaults.token_budget, defaults.min_tokens, defaults.max_tokens) == (
        150,
        3584,
        4,
        256,
    )
    assert "No relevant moment." in defaults.instruction
    assert defaults.budget_for(10) == 3584


def test_a_budget_may_follow_the_number_of_frames() -> None:
    defaults = GroundingDefaults(token_budget=100, tokens_per_frame=4.0, min_tokens=1)
    assert (defaults.budget_for(10), defaults.budget_for(60)) == (40, 100)


@pytest.mark.parametrize(
    "change", [{"max_frames": 0}, {"token_budget": "many"}, {"min_tokens": 300}, {"finest_step_s": -1}]
)
def test_broken_defaults_are_named(copy: Path, change: dict[str, Any]) -> None:
    _edit(copy / "tempo.json", max_tokens=256, **change)
    with pytest.raises(CheckpointError, match=next(iter(change))):
        read_defaults(copy)


# --- adapters


@pytest.fixture(scope="module")
def adapter(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter with random weights for the test checkpoint."""
    from peft import LoraConfig, get_peft_model

    model = _load(checkpoint).model
    folder = tmp_path_factory.mktemp("adapters") / "random"
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        tuned = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "up_proj"]))
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_(std=0.5)
        tuned.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("four_bit", [False, True])
def test_an_adapter_changes_the_answers(checkpoint: Path, adapter: Path, four_bit: bool) -> None:
    from tempo_core.engine import load_engine

    plain = load_engine(checkpoint, four_bit=four_bit, device="cpu")
    tuned = load_engine(checkpoint, adapter=adapter, four_bit=four_bit, device="cpu")
    assert f"+random@{fingerprint(adapter)[:12]}" in tuned.model_id
    video = make_video(0)
    before, after = (engine.ask(engine.encode(video), "a red circle") for engine in (plain, tuned))
    assert before.relevance != after.relevance
    assert tuned.ask_plain(video, "a red circle").text == after.text


def test_an_adapter_for_another_base_is_refused(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    tensors = load_file(other / "adapter_model.safetensors")
    wide = {
        name: torch.zeros(t.shape[0], t.shape[1] * 2) if "lora_A" in name else t
        for name, t in tensors.items()
    }
    save_file(wide, other / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="made for another base"):
        _load(checkpoint, adapter=other)
    save_file(
        {f"base_model.model.deeper.{n}": t for n, t in tensors.items()}, other / "adapter_model.safetensors"
    )
    with pytest.raises(CheckpointError, match="has no layer for"):
        _load(checkpoint, adapter=other)


def test_an_adapters_lineage_is_held(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    (other / "tempo_adapter.json").write_text(json.dumps({"base_fingerprint": fingerprint(checkpoint)}))
    assert _load(checkpoint, adapter=other).adapter == other
    (other / "tempo_adapter.json").write_text(json.dumps({"base_fingerprint": "0" * 64}))
    with pytest.raises(CheckpointError, match="made for another base: 000000000000"):
        _load(checkpoint, adapter=other)


def test_broken_adapters_are_named(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no adapter folder"):
        _load(checkpoint, adapter=tmp_path / "none")
    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    (other / "adapter_model.safetensors").rename(other / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="is a pickle"):
        _load(checkpoint, adapter=other)
    (other / "adapter_model.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        _load(checkpoint, adapter=other)
    _edit(other / "adapter_config.json", peft_type="IA3")
    with pytest.raises(CheckpointError, match="only LoRA"):
        _load(checkpoint, adapter=other)


def test_the_fingerprint_is_of_the_weights(copy: Path) -> None:
    before = fingerprint(copy)
    (copy / "README.md").write_text("a card")
    assert fingerprint(copy) == before
    tensors = load_file(copy / "model.safetensors")
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name] + 1}, copy / "model.safetensors")
    assert fingerprint(copy) != before


# --- identity and what is stored otherwise


def _in_the_hubs_cache(checkpoint: Path, cache: Path) -> Path:
    """The checkpoint as huggingface_hub keeps a download."""
    snapshot = cache / "models--Qwen--Qwen2-VL-2B-Instruct" / "snapshots" / ("0123456789abcdef" * 2)
    snapshot.parent.mkdir(parents=True)
    return Path(shutil.copytree(checkpoint, snapshot))


def test_a_model_of_the_hubs_cache_has_its_repositorys_name(checkpoint: Path, tmp_path: Path) -> None:
    from tempo_core.engine import Engine

    loaded = _load(_in_the_hubs_cache(checkpoint, tmp_path))
    assert loaded.model_id == f"Qwen2-VL-2B-Instruct@{fingerprint(checkpoint)[:12]}/float32"
    assert Engine(loaded).describe()["checkpoint"] == "Qwen2-VL-2B-Instruct"


@pytest.mark.parametrize("find", [find_checkpoint, find_adapter])
@pytest.mark.parametrize(
    ("name", "request_"), [("owner/name", ("owner/name", None)), ("owner/name@v1.2", ("owner/name", "v1.2"))]
)
def test_a_revision_is_asked_of_the_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, find: Any, name: str, request_: tuple[str, Any]
) -> None:
    import huggingface_hub

    requests: list[tuple[str, Any]] = []

    def fetch(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        requests.append((name, revision))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert find(name) == tmp_path
    assert requests == [request_]


@pytest.mark.parametrize(
    ("options", "precision"), [({"load_in_4bit": True}, "nf4"), ({"load_in_8bit": True}, "int8")]
)
@pytest.mark.parametrize("four_bit", [False, True])
def test_weights_that_are_quantised_on_disk_stay_so_and_say_so(
    checkpoint: Path, tmp_path: Path, options: dict[str, bool], precision: str, four_bit: bool
) -> None:
    """Saved by transformers itself, as people share them."""
    from transformers import BitsAndBytesConfig, Qwen2VLForConditionalGeneration

    folder = Path(shutil.copytree(checkpoint, tmp_path / "small", ignore=shutil.ignore_patterns("model*")))
    quantisation = BitsAndBytesConfig(
        **options, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=["model.visual", "lm_head"]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Qwen2VLForConditionalGeneration.from_pretrained(
            checkpoint, quantization_config=quantisation, device_map={"": "cpu"}
        )
        model.save_pretrained(folder)
    loaded = _load(folder, four_bit=four_bit)
    assert loaded.model_id.endswith(f"/{precision}")
    assert loaded.precision == precision
    assert loaded.four_bit is (precision == "nf4")
    names = {name for name, module in loaded.model.named_modules() if isinstance(module, torch.nn.Linear)}
    whole = {name for name in names if type(loaded.model.get_submodule(name)) is torch.nn.Linear}
    assert names - whole == set(quantisable_layers(_load(checkpoint).model))
    memory_plan = plan(folder, four_bit=four_bit)
    dense = 4 * memory_plan.quantised_parameters if precision == "nf4" else 0  # a small model's, on a CPU
    footprint = loaded.model.get_memory_footprint() + dense
    assert memory_plan.weight_bytes == pytest.approx(footprint, rel=0.05)


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8"])
def test_other_quantisations_are_refused(copy: Path, method: str) -> None:
    _edit(copy / "config.json", quantization_config={"quant_method": method, "bits": 4})
    with pytest.raises(
        CheckpointError, match=f"quantised with '{method}'.*Name the checkpoint that it was made"
    ):
        _load(copy)


@pytest.mark.parametrize(
    ("quantisation", "message"),
    [
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True},
            "are four-bit, and the files hold plain ones",
        ),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "are int8, and the files hold plain ones"),
        ({"load_in_4bit": True}, "quantised with None"),
        ("awq", "'quantization_config' in config.json is 'awq'; it must be an object"),
        (["awq"], "it must be an object"),
    ],
)
def test_a_configuration_of_other_weights_is_refused(copy: Path, quantisation: Any, message: str) -> None:
    _edit(copy / "config.json", quantization_config=quantisation)
    with pytest.raises(CheckpointError, match=message):
        _load(copy)


def test_a_part_that_is_quantised_by_another_method_is_refused(copy: Path) -> None:
    text_config = json.loads((copy / "config.json").read_text())["text_config"]
    _edit(
        copy / "config.json",
        text_config={**text_config, "quantization_config": {"quant_method": "gptq", "bits": 4}},
    )
    with pytest.raises(CheckpointError, match="quantised with 'gptq'"):
        _load(copy)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("weight.quant_state.bitsandbytes__nf4", "four-bit"),
        ("SCB", "int8"),
        ("qweight", "gptq or awq"),
        ("weight_scale_inv", "fp8"),
    ],
)
def test_quantised_weights_under_a_plain_configuration_are_refused(copy: Path, name: str, kind: str) -> None:
    tensors = load_file(copy / "model.safetensors")
    tensors[f"model.layers.0.mlp.up_proj.{name}"] = torch.zeros(4, dtype=torch.uint8)
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"are plain, and the files hold {kind} ones"):
        _load(copy)


def test_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model-q4.gguf").write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match=r"GGUF weights \(model-q4\.gguf\).*Name the checkpoint"):
        _load(tmp_path)


def test_custom_code_is_refused(copy: Path) -> None:
    _edit(copy / "config.json", auto_map={"AutoModel": "modeling_mine.Mine"})
    with pytest.raises(CheckpointError, match="code of its own"):
        _load(copy)


def test_a_mixture_of_experts_is_refused(copy: Path) -> None:
    _edit(copy / "config.json", model_type="qwen3_vl_moe")
    size = (copy / "model.safetensors").stat().st_size
    sizes = rf"mixture of experts of {size / 1e9:.1f} GB \("
    with pytest.raises(CheckpointError, match=rf"{sizes}.*Name a dense checkpoint"):
        _load(copy)
    index = copy / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 471_120_000_000}, "weight_map": {}}))
    with pytest.raises(CheckpointError, match=r"mixture of experts of 471\.1 GB \('qwen3_vl_moe'\)"):
        _load(copy)
    index.write_text(json.dumps({"metadata": {"total_size": "much"}}))
    with pytest.raises(CheckpointError, match=sizes):
        _load(copy)


def test_the_tokenizer_of_another_model_is_refused(copy: Path) -> None:
    _edit(copy / "config.json", image_token_id=77)
    with pytest.raises(CheckpointError, match=r"tokenizer of another model.*image_token_id is 77"):
        _load(copy)


@pytest.mark.parametrize(
    ("four_bit", "remedy"), [(False, "load it in four bits"), (True, "smaller checkpoint, or")]
)
def test_weights_that_do_not_fit_are_refused_before_they_are_read(
    copy: Path, monkeypatch: pytest.MonkeyPatch, four_bit: bool, remedy: str
) -> None:
    monkeypatch.setattr("tempo_core.loading.SMALL_BYTES", 0)
    monkeypatch.setattr("tempo_core.loading.free_bytes", lambda device: 1000)
    with pytest.raises(
        CheckpointError, match=rf"weights of model take .* GB, and 0\.0 GB are free on cpu.*{remedy}"
    ):
        _load(copy, four_bit=four_bit)


# --- adapters made elsewhere


def _renamed(adapter: Path, folder: Path, rename: Any, **config: Any) -> Path:
    """The adapter with other names for its tensors, and another configuration."""
    shutil.copytree(adapter, folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(
        {rename(name): tensor for name, tensor in tensors.items()}, folder / "adapter_model.safetensors"
    )
    _edit(folder / "adapter_config.json", **config)
    return folder


@pytest.mark.parametrize("four_bit", [False, True])
@pytest.mark.parametrize("targets", [["q_proj", "up_proj"], r"^(model)(?!.*visual).*\.(q_proj|up_proj)$"])
def test_names_from_before_transformers_4_52_have_the_same_effect(
    checkpoint: Path, adapter: Path, tmp_path: Path, four_bit: bool, targets: Any
) -> None:
    old = _renamed(
        adapter,
        tmp_path / "old",
        lambda name: name.replace("model.language_model.", "model."),
        target_modules=targets,
    )
    assert any(
        "base_model.model.model.layers.0" in name for name in load_file(old / "adapter_model.safetensors")
    )
    ids = torch.tensor([[300, 301, 302, 303]])
    with torch.no_grad():
        plain, today, before = (
            _load(checkpoint, adapter=which, four_bit=four_bit).model(input_ids=ids).logits
            for which in (None, adapter, old)
        )
    assert torch.equal(today, before)
    assert float((today - plain).abs().max()) > 0.1


def test_patterns_of_rank_and_alpha_hold_for_old_names(
    checkpoint: Path, adapter: Path, tmp_path: Path
) -> None:
    old = _renamed(
        adapter,
        tmp_path / "old",
        lambda name: name.replace("model.language_model.", "model."),
        alpha_pattern={r"model\.layers\.1\.self_attn\.q_proj": 64},
    )
    layers = _load(checkpoint, adapter=old).model.model.language_model.layers
    assert layers[1].self_attn.q_proj.scaling["default"] == 64 / 4
    assert layers[0].self_attn.q_proj.scaling["default"] == 8 / 4


@pytest.mark.parametrize(
    "change",
    [
        {"use_dora": True},
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"init_lora_weights": "pissa"},
        {"lora_bias": True},
        {"alora_invocation_tokens": [300, 301]},
        {"layer_replication": [[0, 2], [0, 2]]},
    ],
)
def test_more_than_plain_lora_is_refused(
    checkpoint: Path, adapter: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    other = _renamed(adapter, tmp_path / "other", str, **change)
    with pytest.raises(CheckpointError, match=f"more than plain LoRA: {next(iter(change))} is"):
        _load(checkpoint, adapter=other)


@pytest.mark.parametrize(
    "change",
    [
        {"base_model_name_or_path": ...},
        {"base_model_name_or_path": None},
        {"base_model_name_or_path": "somebody/else"},
        {"target_modules": ...},
        {"target_modules": None},
        {"layers_to_transform": [0], "layers_pattern": "layers"},
    ],
)
def test_what_a_configuration_says_beside_the_matrices_changes_nothing(
    checkpoint: Path, adapter: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    other = _renamed(adapter, tmp_path / "other", str, **change)
    assert torch.equal(_logits(checkpoint, other), _logits(checkpoint, adapter))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("base_model.model.", "base_model.model.base_model.model."),
        ("base_model.model.", "base_model.model.module."),
        ("base_model.model.", "base_model.model._orig_mod."),
        ("base_model.model.", ""),
        (".weight", ".default.weight"),
        ("base_model.model.model.language_model.", "base_model.model.base_model.model.model."),
    ],
)
def test_names_of_a_wrapped_model_have_the_same_effect(
    checkpoint: Path, adapter: Path, tmp_path: Path, old: str, new: str
) -> None:
    other = _renamed(adapter, tmp_path / "other", lambda name: name.replace(old, new))
    assert torch.equal(_logits(checkpoint, other), _logits(checkpoint, adapter))


def _logits(checkpoint: Path, adapter: Path) -> torch.Tensor:
    with torch.no_grad():
        model = _load(checkpoint, adapter=adapter).model
        return model(input_ids=torch.tensor([[300, 301, 302, 303]])).logits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": 8}, "has rank 8 by adapter_config.json, and the matrices of .* have 4 and 4"),
        ({"r": ...}, "has rank 8 by adapter_config.json"),
        ({"rank_pattern": {"up_proj": 2}}, "has rank 2 by adapter_config.json"),
        ({"r": "4"}, "'r' is '4'; it must be a number"),
        ({"lora_alpha": "8"}, "'lora_alpha' is '8'; it must be a number"),
        ({"r": 0}, "has rank 0 by adapter_config.json"),
        ({"lora_alpha": 0}, "changes nothing: lora_alpha is 0 in adapter_config.json. Write the number"),
        ({"alpha_pattern": {"q_proj": 0, "up_proj": 0.0}}, "changes nothing: lora_alpha is 0"),
    ],
)
def test_a_rank_or_alpha_that_cannot_be_meant_is_named(
    checkpoint: Path, adapter: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    other = _renamed(adapter, tmp_path / "other", str, **change)
    with pytest.raises(CheckpointError, match=message):
        _load(checkpoint, adapter=other)


def _with_tensors(adapter: Path, folder: Path, change: Any) -> Path:
    """The adapter with other tensors."""
    shutil.copytree(adapter, folder)
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(change(tensors), folder / "adapter_model.safetensors")
    return folder


LANGUAGE = "base_model.model.model.language_model."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tensors: {
                **tensors,
                **{
                    name.replace(LANGUAGE, "base_model.model.model."): tensor * 0
                    for name, tensor in tensors.items()
                },
            },
            "holds model.language_model.layers.0.* twice",
        ),
        (
            lambda tensors: {
                **tensors,
                f"{LANGUAGE}embed_tokens.lora_embedding_A": torch.zeros(4, 512),
                f"{LANGUAGE}embed_tokens.lora_embedding_B": torch.zeros(128, 4),
            },
            "more than plain LoRA: .*lora_embedding_A' is no pair of matrices",
        ),
        (
            lambda tensors: {
                **tensors,
                "base_model.model.model.visual.patch_embed.proj.lora_A.weight": torch.zeros(4, 3, 2, 14, 14),
            },
            "more than plain LoRA: .*patch_embed.proj.lora_A",
        ),
        (
            lambda tensors: {**tensors, f"{LANGUAGE}norm.weight": torch.ones(128)},
            "more than plain LoRA: .*norm.weight",
        ),
        (
            lambda tensors: {
                name: tensor[:2].contiguous() if "lora_A" in name else tensor
                for name, tensor in tensors.items()
            },
            "the matrices of .* have 2 and 4",
        ),
        (
            lambda tensors: {name: tensor * float("nan") for name, tensor in tensors.items()},
            "not finite",
        ),
        (
            lambda tensors: {
                name: tensor * 0 if "lora_B" in name else tensor for name, tensor in tensors.items()
            },
            "changes nothing: of each layer one of its two matrices is zero.* Train it first",
        ),
        (
            lambda tensors: {
                name: tensor * 0 if "lora_A" in name else tensor for name, tensor in tensors.items()
            },
            "changes nothing",
        ),
    ],
    ids=["twice", "embedding", "convolution", "whole-weight", "unequal-ranks", "nan", "untrained", "no-a"],
)
def test_matrices_that_cannot_be_used_as_they_are_are_named(
    checkpoint: Path, adapter: Path, tmp_path: Path, change: Any, message: str
) -> None:
    other = _with_tensors(adapter, tmp_path / "other", change)
    with pytest.raises(CheckpointError, match=message):
        _load(checkpoint, adapter=other)


def test_training_goes_on_from_an_adapter_that_changes_nothing_yet(
    checkpoint: Path, adapter: Path, tmp_path: Path
) -> None:
    def untrained(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: tensor * 0 if "lora_B" in name else tensor for name, tensor in tensors.items()}

    other = _with_tensors(adapter, tmp_path / "other", untrained)
    model = attach_adapter(_load(checkpoint).model, other, trainable=True)
    assert any(parameter.requires_grad for parameter in model.parameters())


def test_an_adapter_that_changes_one_layer_alone_is_loaded(
    checkpoint: Path, adapter: Path, tmp_path: Path
) -> None:
    def mostly_untrained(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        trained = max(name for name in tensors if "lora_B" in name)
        return {
            name: tensor * 0 if "lora_B" in name and name != trained else tensor
            for name, tensor in tensors.items()
        }

    other = _with_tensors(adapter, tmp_path / "other", mostly_untrained)
    assert _load(checkpoint, adapter=other).adapter == other


def test_half_an_adapter_is_refused(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    tensors = load_file(other / "adapter_model.safetensors")
    save_file({n: t for n, t in tensors.items() if "lora_A" in n}, other / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="lacks a matrix of"):
        _load(checkpoint, adapter=other)
