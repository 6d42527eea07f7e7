"""A small byte-level tokenizer with Qwen2-VL's special tokens; every stamp is three tokens, `00|12|.0`."""

import functools
import itertools
from collections.abc import Iterable

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tempo_core.answers import CLOSING, NEXT, OPENING, REFUSAL, TO
from tempo_core.checkpoint import SHIPPED
from train.shapeworld.english import FreeEnglish
from train.shapeworld.queries import QueryMix, dress, sample_queries
from train.shapeworld.scene import RICH, sample_scene

_NAMES = "endoftext im_start im_end vision_start vision_end vision_pad image_pad video_pad"
SPECIAL_TOKENS = tuple(f"<|{name}|>" for name in _NAMES.split())
VOCABULARY, LARGE_VOCABULARY = 1024, 4096

_PIECES = r"(?<=\nQuery:) |\d{2}|\.\d| ?[^\s\d\w]+| ?[A-Za-z]+|\d|\s"
"""Two digits, point and digit, punctuation, words, blanks: a stamp always falls into the same three pieces. The blank
before the query is a piece of its own, because the query is tokenised by itself; a server tokenises the whole prompt as
one text, and gets the same tokens."""


def build_tokenizer(seed: int = 0, *, sentences: Iterable[str] | None = None) -> PreTrainedTokenizerFast:
    """Train the tokenizer on shapeworld's English; all 256 bytes are in it, so any text encodes.

    With `sentences` of another world it is made from these too, and is four times as large. Its chat template is that
    of the shipped checkpoint, so that servers take what is trained with it.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY if sentences is None else LARGE_VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(itertools.chain(_corpus(seed), sentences or ()), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        model_max_length=32768,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=[t for t in SPECIAL_TOKENS if t not in ("<|im_end|>", "<|endoftext|>")],
        chat_template=(SHIPPED / "chat_template.jinja").read_text(),
    )


def carry_over(embeddings: Tensor, before: PreTrainedTokenizerBase, after: PreTrainedTokenizerBase) -> Tensor:
    """Embeddings [V, D] of one tokenizer's tokens for another's: a token that both have keeps its own, a new one gets
    the mean of the pieces that it was before."""
    old_ids = before.get_vocab()
    carried = torch.empty(len(after), embeddings.shape[1], dtype=embeddings.dtype)
    for token, token_id in after.get_vocab().items():
        pieces = (
            [old_ids[token]]
            if token in old_ids
            else before.encode(after.decode([token_id]), add_special_tokens=False)
        )
        carried[token_id] = embeddings[pieces].mean(0) if pieces else embeddings.mean(0)
    return carried


@functools.lru_cache(maxsize=4)
def _corpus(seed: int) -> tuple[str, ...]:
    """Stamps often enough to become whole tokens, the answer grammar, and what people ask; 300 kB, made in a second."""
    rng = np.random.default_rng(seed)
    digits = [f"{a}{b}" for a, b in itertools.product(range(10), repeat=2)]
    texts: list[str] = []
    for _ in range(300):
        texts += digits
        texts += [f".{d}" for d in range(10)]
        texts += [REFUSAL, OPENING, TO, NEXT, CLOSING, "user\n", "assistant\n", "Query:"]
    english = FreeEnglish(held_out=False)
    scenes = [sample_scene(int(rng.integers(2**31)), RICH, motion=0.2) for _ in range(400)]
    mix = QueryMix(hard_share=0.3, hard_kinds=("order", "several", "motion"))
    for scene in scenes:
        texts += [query.text for query in sample_queries(rng, scene, 10, mix, scenes[:20])]
        texts += [dress(rng, english.sentence(rng)) for _ in range(6)]
    return tuple(texts)
