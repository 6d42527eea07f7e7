"""Real sizes on a CPU: first and next answer of a published size with random weights, against transformers' generate.

Every way runs in a process of its own, one after the other: ours, its plain twin (bitsandbytes' own layers in
float32), transformers' generate with the same NF4 weights, and transformers with the weights in bfloat16, for its
memory. All read the same frames, ids and question. transformers writes as many tokens as ours; what the grammar forces
costs ours nothing.
"""

import json
import math
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer

from tempo_core.video import SampledVideo

SPAWN = multiprocessing.get_context("spawn")
SHARD_BYTES = 1 << 30
WAYS = ("ours", "plain", "transformers", "bfloat16")
QUESTIONS = ["a red circle moves left behind the wall", "two blue squares fade"]
MEMORY = ("loaded_gb", "peak_gb", "load_own_gb", "load_peak_gb")
"""Resident memory once loaded, and its peak while it answers; while it loads, its own and that with mapped files."""
PROBE = (1024, 1536, 8960)
"""Rows, inputs and outputs of the matrix product that this machine is measured with."""


def run(
    size: Annotated[
        str, typer.Option(metavar="NAME", help="a published checkpoint's name")
    ] = "Qwen2-VL-2B-Instruct",
    layers: Annotated[
        int | None,
        typer.Option(help="layers of the language model and of the tower, at most; all by default"),
    ] = None,
    frames: Annotated[int, typer.Option(help="sampled frames")] = 32,
    tokens: Annotated[int, typer.Option(help="visual tokens, the same for every frame")] = 2048,
    ways: Annotated[str, typer.Option(help="which to run, and in which order")] = ",".join(WAYS),
    rounds: Annotated[int, typer.Option(help="processes a way, in turn")] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="where the random checkpoint is kept for the next run")
    ] = None,
) -> int:
    """First and next answer of a real size with random weights on this CPU, in wall and CPU seconds, with its memory.

    Prints JSON and a table. Exit code 1 where an answer is not the plain twin's.
    """
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in ways.split(",")}
    with TemporaryDirectory() as temporary:
        checkpoint = (folder or Path(temporary)) / f"{size}-{layers or 'all'}"
        if not (checkpoint / "config.json").is_file():
            with SPAWN.Pool(1) as pool:
                pool.apply(write_checkpoint, (checkpoint, size, layers))
        for _ in range(rounds):
            for way in results:
                n_new = results["ours"][-1]["tokens"] if results.get("ours") else [16] * len(QUESTIONS)
                with SPAWN.Pool(1) as pool:
                    results[way].append(pool.apply(measure, (way, checkpoint, frames, tokens, n_new)))
                print(json.dumps({"way": way, **results[way][-1]}), flush=True)
    print(table(results))
    texts = [rows[0]["texts"] for way, rows in results.items() if way in ("ours", "plain")]
    return int(any(text != texts[0] for text in texts))


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Medians of every way, and the share of ours."""
    columns = ("load_cpu_s", "first_s", "first_cpu_s", "next_s", "next_cpu_s", *MEMORY)
    medians = {
        way: {name: statistics.median(row[name] for row in rows) for name in columns}
        for way, rows in results.items()
    }
    lines = ["".join([f"{'':14}", *(f"{name:>14}" for name in columns)])]
    for way, row in medians.items():
        lines.append("".join([f"{way:14}", *(f"{row[name]:14.2f}" for name in columns)]))
        if way != "ours" and "ours" in medians:
            shares = [medians["ours"][name] / row[name] if row[name] else math.nan for name in columns]
            lines.append("".join([f"{'  ours / it':14}", *(f"{share:14.2f}" for share in shares)]))
    return "\n".join(lines)


# --- in a process of its own


def measure(way: str, folder: Path, frames: int, tokens: int, n_new: list[int]) -> dict[str, Any]:
    """Load a checkpoint, ask twice, and say what it took. `n_new` are the tokens that transformers writes."""
    speed = matmul_speed()
    with sampled_memory() as peaks:
        begin_s = time.process_time()
        encode, ask = ways_of(way, folder, frames, tokens, n_new)
        load_cpu_s = time.process_time() - begin_s
        # what a short stretch holds may pass between two looks
        loaded = resident_bytes()
        load_peaks = {name: max(n_bytes, peaks.get(name, 0)) for name, n_bytes in loaded.items()}
        peaks |= loaded
        laps, texts, n_tokens = [(time.perf_counter(), time.process_time())], list[str](), list[int]()
        encode()
        encoded = time.perf_counter() - laps[0][0], time.process_time() - laps[0][1]
        for number in range(len(QUESTIONS)):
            text, n_written = ask(number)
            texts.append(text)
            n_tokens.append(n_written)
            laps.append((time.perf_counter(), time.process_time()))
    first, second = (
        tuple(after - before for before, after in zip(*pair, strict=True)) for pair in (laps[0:2], laps[1:3])
    )
    work = first_answer_flops(folder, frames, tokens)
    return {
        "encode_s": round(encoded[0], 2),
        "encode_cpu_s": round(encoded[1], 2),
        "first_s": round(first[0], 2),
        "first_cpu_s": round(first[1], 2),
        "next_s": round(second[0], 3),
        "next_cpu_s": round(second[1], 3),
        "load_cpu_s": round(load_cpu_s, 1),
        "loaded_gb": round(loaded["VmRSS"] / 1e9, 3),
        "peak_gb": round(peaks["VmRSS"] / 1e9, 3),
        "load_own_gb": round(load_peaks["RssAnon"] / 1e9, 3),
        "load_peak_gb": round(load_peaks["VmRSS"] / 1e9, 3),
        "texts": texts,
        "tokens": n_tokens,
        "gflop": round(work / 1e9),
        "gflop_per_cpu_s": round(work / 1e9 / first[1], 1),
        "matmul_gflop_per_cpu_s": speed,
    }


def ways_of(
    way: str, folder: Path, frames: int, tokens: int, n_new: list[int]
) -> tuple[Callable[[], None], Callable[[int], tuple[str, int]]]:
    """How a way looks at the clip (transformers: not by itself), and how it answers question by number."""
    video = clip(frames, side_px=round((tokens // frames) ** 0.5) * token_px(folder))
    if way in ("ours", "plain"):
        from tempo_core import memory
        from tempo_core.engine import load_engine

        # also of a model that was cut down
        memory.EXACT_CPU_WEIGHTS = 0 if way == "ours" else 1 << 62
        memory.DENSE_CPU_WEIGHTS = 0
        engine = load_engine(folder, device="cpu", protocol="tempo")
        contexts: list[Any] = []

        def encode() -> None:
            contexts.append(engine.encode(video, token_budget=tokens, allocator="uniform"))

        def ask(number: int) -> tuple[str, int]:
            answer = engine.ask(contexts[0], QUESTIONS[number], n_best=0)
            return answer.text, len(engine.loaded.tokenizer(answer.text)["input_ids"]) + 1

        return encode, ask
    model, inputs = transformers_inputs(folder, video, tokens, four_bit=way == "transformers")

    def generate(number: int) -> tuple[str, int]:
        options = {"do_sample": False, "min_new_tokens": n_new[number], "max_new_tokens": n_new[number]}
        new = model.generate(**inputs(number), **options)[0, -n_new[number] :]
        return " ".join(map(str, new.tolist())), len(new)

    return lambda: None, generate


def transformers_inputs(
    folder: Path, video: SampledVideo, tokens: int, *, four_bit: bool
) -> tuple[Any, Callable[[int], dict[str, Any]]]:
    """transformers' own model in bfloat16, its fastest type here, and its inputs for a question by number."""
    import torch

    from tempo_core.checkpoint import read_config
    from tempo_core.context import build_prompt
    from tempo_core.defaults import read_defaults
    from tempo_core.families import family_named
    from tempo_core.loading import load_tokenizer, nf4_config, quiet, read_normaliser, serving_choice
    from tempo_core.protocols.base import IMAGE_PAD, prompt_ids, special_id
    from tempo_core.vision import image_inputs

    family = family_named(read_config(folder)["model_type"])
    options = {"quantization_config": nf4_config(torch.bfloat16, family)} if four_bit else {}
    with quiet():
        model = family.model_class.from_pretrained(
            folder, dtype=torch.bfloat16, device_map={"": "cpu"}, attn_implementation="sdpa", **options
        ).eval()
    tokenizer, normaliser = load_tokenizer(folder), read_normaliser(folder)
    protocol = serving_choice(folder, None, "tempo").protocol
    prompt = build_prompt(
        tokenizer,
        read_defaults(folder),
        video,
        token_budget=tokens,
        allocator="uniform",
        token_px=normaliser.token_px,
        protocol=protocol,
    )
    pixels, grids = image_inputs(model, video.frames, prompt.allocation.sizes_px, normaliser)

    def inputs(number: int) -> dict[str, Any]:
        ids = torch.tensor([[*prompt.ids, *prompt_ids(tokenizer, protocol.question(QUESTIONS[number]))]])
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == special_id(tokenizer, IMAGE_PAD)).int(),
            "pixel_values": pixels.to(torch.bfloat16),
            "image_grid_thw": grids,
        }

    return model, inputs


def write_checkpoint(folder: Path, name: str, layers: int | None) -> None:
    """A published configuration with random bfloat16 weights and tempo-tiny's tokenizer."""
    import torch
    from safetensors.torch import save_file

    from tempo_core.checkpoint import find_checkpoint
    from tempo_core.loading import load_tokenizer
    from tempo_core.memory import published
    from tempo_core.protocols.base import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START, special_id

    tokenizer = load_tokenizer(find_checkpoint(None))
    family = published()[name]
    config = family.published_config(name)
    for key, token in (
        ("image_token_id", IMAGE_PAD),
        ("video_token_id", VIDEO_PAD),
        ("vision_start_token_id", VISION_START),
        ("vision_end_token_id", VISION_END),
    ):
        setattr(config, key, special_id(tokenizer, token))
    config.text_config.bos_token_id, config.text_config.eos_token_id = None, tokenizer.eos_token_id
    if layers is not None:
        text, vision = config.text_config, config.vision_config
        text.num_hidden_layers = min(layers, text.num_hidden_layers)
        vision.depth = min(layers, vision.depth)
        if indexes := getattr(vision, "deepstack_visual_indexes", None):
            vision.deepstack_visual_indexes = [idx * vision.depth // (indexes[-1] + 1) for idx in indexes][
                -vision.depth :
            ]
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[: text.num_hidden_layers]
    config.dtype = "bfloat16"
    with torch.device("meta"):
        model: Any = family.model_class(config)
    model.tie_weights()
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    shard: dict[str, Any] = {}
    shards: list[list[str]] = []

    def close_shard() -> None:
        save_file(shard, folder / f"part-{len(shards)}.safetensors", metadata={"format": "pt"})
        shards.append(list(shard))
        shard.clear()

    total = 0
    for key, parameter in model.named_parameters():
        if parameter.dim() > 1:
            std = parameter[0].numel() ** -0.5  # what goes in comes out as large
            weight = torch.randn(parameter.shape, generator=generator, dtype=torch.float32) * std
        else:
            weight = torch.full(parameter.shape, float(key.endswith("weight")))
        shard[key] = weight.to(torch.bfloat16)
        total += shard[key].nbytes
        if sum(tensor.nbytes for tensor in shard.values()) > SHARD_BYTES:
            close_shard()
    close_shard()
    n_shards = len(shards)
    weight_map: dict[str, str] = {}
    for number, keys in enumerate(shards):
        part = f"model-{number + 1:05}-of-{n_shards:05}.safetensors"
        (folder / f"part-{number}.safetensors").rename(folder / part)
        weight_map |= dict.fromkeys(keys, part)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map})
    )
    tokenizer.save_pretrained(folder)
    patch_px = family.normaliser.patch_px
    pixels = {"patch_size": patch_px, "merge_size": 2, "temporal_patch_size": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    # without an instruction a question has 14 to 19 tokens; this tokenizer would make a hundred of the usual one
    settings = {"token_budget": 4096, "max_tokens": 256, "instruction": ""}
    (folder / "tempo.json").write_text(json.dumps(settings))
    config.architectures = [family.class_name]
    config.save_pretrained(folder)  # last: the sign that the folder is whole


def token_px(folder: Path) -> int:
    """Side of a visual token's square."""
    from tempo_core.loading import read_normaliser

    return read_normaliser(folder).token_px


def clip(frames: int, side_px: int) -> SampledVideo:
    """Noise in blocks, one square frame a second."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (frames, 8, 8, 3), dtype=np.uint8)
    pictures = blocks.repeat(side_px // 8, axis=1).repeat(side_px // 8, axis=2)
    return SampledVideo(
        times_s=np.arange(frames, dtype=np.float64),
        frames=pictures,
        end_s=float(frames),
        reader="pyav",
        notes=(),
        sha256="0" * 64,
    )


def matmul_speed() -> dict[str, float]:
    """This machine's dense product in 10^9 operations a CPU second of one core, best of three."""
    import torch

    rows, n_in, n_out = PROBE
    speeds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = torch.randn(rows, n_in).to(dtype), torch.randn(n_out, n_in).to(dtype)
        product = partial(torch.nn.functional.linear, x, weight)
        product()
        laps = []
        for _ in range(3):
            begin_s = time.process_time()
            product()
            laps.append(time.process_time() - begin_s)
        speeds[str(dtype).removeprefix("torch.")] = round(2e-9 * rows * n_in * n_out / min(laps), 1)
    return speeds


def first_answer_flops(folder: Path, frames: int, tokens: int) -> float:
    """Operations of the linear layers and of attention while a clip is encoded, each frame a still image."""
    import torch

    from tempo_core.families import family_named
    from tempo_core.memory import quantisable_layers, read_model_config

    config, _ = read_model_config(folder)
    with torch.device("meta"):
        model: Any = family_named(config.model_type).model_class(config)
    patches = 4 * tokens
    tower = 0.0
    for name, parameter in model.model.visual.named_parameters():
        if parameter.dim() > 1 and "pos_embed" not in name:
            tower += parameter.numel() * (tokens if "merger" in name else patches)
    width = config.vision_config.hidden_size if hasattr(config.vision_config, "out_hidden_size") else None
    width = width or config.vision_config.embed_dim
    context = tokens + 8 * frames
    text = config.get_text_config()
    heads_width = text.num_attention_heads * (
        getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    )
    return (
        2.0 * tower
        + 4.0 * patches * (patches // frames) * width * config.vision_config.depth
        + 2.0 * context * sum(layer.weight.numel() for layer in quantisable_layers(model).values())
        + 2.0 * context * context * heads_width * text.num_hidden_layers
    )


@contextmanager
def sampled_memory() -> Iterator[dict[str, int]]:
    """The peaks of `resident_bytes` since the block began, or since they were set anew."""
    over = threading.Event()
    peaks: dict[str, int] = {}

    def watch() -> None:
        while not over.wait(0.02):
            for name, n_bytes in resident_bytes().items():
                peaks[name] = max(peaks.get(name, 0), n_bytes)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def resident_bytes() -> dict[str, int]:
    """Bytes of this process that are in memory: its own (RssAnon), and with the files that it maps (VmRSS)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "VmRSS")}
