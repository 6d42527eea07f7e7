"""A random two-layer Qwen2-VL with a small byte-level tokenizer, saved as a checkpoint folder like any
other."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL_TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
PAIRS_OF_DIGITS = r"\d{2}|\.\d| ?[^\s\d\w]+| ?[A-Za-z]+|\d|\s"
"""A stamp is always three tokens, 00|12|.0, as in the checkpoint that ships."""

DIGIT_BY_DIGIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 splits text: every digit alone, so that a stamp is six tokens."""

CORPUS = [
    "user\nassistant\nQuery: a red circle appears.",
    "From 0012.0 to 0034.5, from 0050.0 to 0060.0. No relevant moment.",
    *(f"{number:02d}.{number % 10}" for number in range(100)),
] * 3


def build_tokenizer(pattern: str = PAIRS_OF_DIGITS) -> Any:
    """A byte-level BPE tokenizer with Qwen2-VL's special tokens; any text encodes."""
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        show_progress=False,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    backend.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=SPECIAL_TOKENS[1:],
    )


def tiny_config(tokenizer: Any, *, layers: int = 2) -> Any:
    """A Qwen2-VL configuration of a few hundred thousand weights; every width is a multiple of 64 for NF4."""
    from transformers import Qwen2VLConfig

    token_ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{name}{suffix}|>")
        for name, suffix in [("vision_start", ""), ("vision_end", ""), ("image", "_pad"), ("video", "_pad")]
    }
    return Qwen2VLConfig(
        text_config={
            "hidden_size": 128,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 256,
            "vocab_size": 512,
            "max_position_embeddings": 32768,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]},
        },
        vision_config={"depth": 2, "embed_dim": 64, "num_heads": 2, "mlp_ratio": 2, "hidden_size": 128},
        tie_word_embeddings=True,
        **token_ids,
    )


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return build_tokenizer()


@pytest.fixture(
    scope="session", params=[PAIRS_OF_DIGITS, DIGIT_BY_DIGIT], ids=["pairs-of-digits", "digit-by-digit"]
)
def any_tokenizer(request: pytest.FixtureRequest) -> Any:
    return build_tokenizer(request.param)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A checkpoint folder with random weights. Read only: copy it before damaging it."""
    import torch
    from transformers import Qwen2VLForConditionalGeneration

    folder = tmp_path_factory.mktemp("checkpoint")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Qwen2VLForConditionalGeneration(tiny_config(tokenizer))
        for parameter in model.parameters():  # wide enough for answers that differ between prompts
            if parameter.dim() > 1:
                parameter.data.mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = {"max_frames": 40, "token_budget": 160, "min_tokens": 1, "max_tokens": 16, "instruction": ""}
    (folder / "tempo.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="session")
def rope_model(tokenizer: Any) -> Any:
    """A Qwen2VLModel without weights, for its own position arithmetic."""
    import torch
    from transformers import Qwen2VLModel

    with torch.device("meta"):
        return Qwen2VLModel(tiny_config(tokenizer))


def make_video(
    seed: int = 0, *, count: int = 8, height: int = 60, width: int = 80, step_s: float = 1.0
) -> Any:
    """A sampled video of moving colour blocks, without a file."""
    from tempo_core.video import SampledVideo

    rng = np.random.default_rng(seed)
    frames = np.empty((count, height, width, 3), dtype=np.uint8)
    for idx in range(count):
        if idx == 0 or rng.random() < 0.4:
            block = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        frames[idx] = np.kron(block, np.ones((height // 4, width // 4, 1), dtype=np.uint8))
    return SampledVideo(
        times_s=np.arange(count) * step_s,
        frames=frames,
        end_s=count * step_s,
        reader="pyav",
        notes=(),
        sha256=f"{seed:064d}",
    )


@pytest.fixture(scope="session")
def engine(checkpoint: Path) -> Any:
    """A random model in full precision."""
    from tempo_core.engine import load_engine

    return load_engine(checkpoint, four_bit=False, device="cpu")


@pytest.fixture(scope="session")
def engine_nf4(checkpoint: Path) -> Any:
    """The same model as the app loads it, in four bits."""
    from tempo_core.engine import load_engine

    return load_engine(checkpoint, four_bit=True, device="cpu")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of a square that jumps once, as H.264."""
    import av

    path = tmp_path_factory.mktemp("clips") / "jump.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 112, 84, "yuv420p"
        for idx in range(60):
            picture = np.full((84, 112, 3), (30, 90, 140), dtype=np.uint8)
            remaining = 10 if idx < 30 else 70
            picture[30:60, remaining : remaining + 30] = (240, 210, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
