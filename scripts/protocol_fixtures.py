"""What the authors' own code says to their models, as fixtures for `tests/tempo_core/protocols`.

    python scripts/protocol_fixtures.py REPOSITORIES [OUT.json]

REPOSITORIES holds bare clones as OWNER+NAME/repo, at any commit; the commit that was read is written beside each
text. Constants and pure functions are cut out of the authors' files and run here: nothing of them is imported,
installed or kept. Qwen3-VL's stamps come from the installed transformers, whose processor those models use.
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PIECES = Path(__file__).resolve().parents[1] / "tests" / "tempo_core" / "protocols" / "pieces.json"
OUT = Path(__file__).resolve().parents[1] / "tests" / "tempo_core" / "protocols" / "prompts.json"
QUERY = "A man in a blue-checked shirt opens the door, then waves."
PASSES = PIECES.with_name("passes.jsonl")
PADS = 3
"""Visual tokens of every unit."""
CASES: list[dict[str, Any]] = [
    {"fps": 30.0, "indices": [0, 15, 30, 45, 60, 75], "end_s": 3.1},
    {"fps": 30000 / 1001, "indices": [0, 7, 15, 22, 30, 299], "end_s": 10.01},
]


class Repository:
    """The newest commit of a bare clone."""

    def __init__(self, folder: Path, name: str) -> None:
        self.git_dir, self.name = folder / name.replace("/", "+") / "repo", name
        self.commit = self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.git_dir), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def read(self, path: str) -> str:
        return self._git("show", f"{self.commit}:{path}")

    def run(self, path: str, *names: str, **variables: Any) -> SimpleNamespace:
        """The named constants, functions and classes of a file, run with nothing but `given` around them."""
        nodes: list[ast.stmt] = []
        for node in ast.parse(self.read(path)).body:
            targets: list[ast.expr] = node.targets if isinstance(node, ast.Assign) else []
            named = {target.id for target in targets if isinstance(target, ast.Name)}
            if named & set(names) or getattr(node, "name", None) in names:
                nodes.append(node)
        future = ast.parse("from __future__ import annotations").body
        namespace: dict[str, Any] = dict(variables)
        code = compile(ast.Module([*future, *nodes], []), path, "exec", dont_inherit=True)
        exec(code, namespace)
        return SimpleNamespace(**namespace)


def chat(*turns: tuple[str, str], default_system: bool, generation: str = "<|im_start|>assistant\n") -> str:
    """The text of a chat template. Qwen2-VL's and Qwen2.5-VL's add a system turn where there is none."""
    if default_system and turns[0][0] != "system":
        turns = (("system", "You are a helpful assistant."), *turns)
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns) + generation


def qwen3_video(case: dict[str, Any]) -> str:
    """A video as Qwen3-VL's processor writes it."""
    from transformers import Qwen3VLProcessor

    processor: Any = SimpleNamespace(
        video_processor=SimpleNamespace(merge_size=2, temporal_patch_size=2),
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
        video_token="<|video_pad|>",
        _calculate_timestamps=lambda *arguments: Qwen3VLProcessor._calculate_timestamps(
            processor, *arguments
        ),
    )
    import numpy as np

    metadata = SimpleNamespace(fps=case["fps"], frames_indices=np.array(case["indices"]))
    grid = np.array([len(case["indices"]) // 2, 4, PADS])
    inputs = {"video_grid_thw": [grid], "video_metadata": [metadata]}
    return Qwen3VLProcessor.replace_video_token(processor, inputs, 0)


def one_block(case: dict[str, Any]) -> str:
    """A video as Qwen2.5-VL's processor writes it: one block."""
    return f"<|vision_start|>{'<|video_pad|>' * PADS * (len(case['indices']) // 2)}<|vision_end|>"


def unitime(repository: Repository, case: dict[str, Any]) -> str:
    """The first pass of UniTime's inference on a short video, without a tokenizer."""
    import torch

    frames = [round(index / case["fps"], 1) for index in case["indices"]]
    source = repository.run("inference.py", "construct_messages_mr_fps").construct_messages_mr_fps
    (message,) = source("clip.mp4", None, 2, [0, case["end_s"]], "mr", 32)
    # As in `run_inference`, between the messages and the processor.
    times = [[round((x + y) / 2, 1) for x, y in zip(frames[::2], frames[1::2], strict=True)]]
    stamps = [[f"timestamp: {time} seconds; feature: " for time in clip] for clip in times]
    parts = (message, {"content": [{"type": "text", "text": f"Query:{QUERY}\nAnswer: "}]})
    texts = [part["content"][-1]["text"] for part in parts]
    text = chat(
        ("user", f"<|vision_start|><|video_pad|><|vision_end|>{texts[0]}"),
        ("user", texts[1]),
        default_system=True,
        generation="",
    )
    prompts: list[str] = []
    processor = repository.run(
        "models/qwen2_vl.py",
        "Qwen2VLMRProcessor",
        Qwen2VLProcessor=object,
        Qwen2VLProcessorKwargs=None,
        BatchFeature=lambda data: data,
        torch=torch,
    ).Qwen2VLMRProcessor()
    kwargs: dict[str, Any] = {"images_kwargs": {}, "videos_kwargs": {}, "text_kwargs": {}}
    processor._merge_kwargs = lambda *_, **__: kwargs
    grid = torch.tensor([[len(times[0]), 4, PADS]])

    def write_down(texts: list[str], **_: Any) -> dict[str, Any]:
        prompts.extend(texts)
        return {}

    processor.image_processor = _Callable(lambda **_: {"video_grid_thw": grid}, merge_size=2)
    processor.tokenizer = _Callable(write_down, init_kwargs={})
    processor(text=[text], videos=[0], timestamps=stamps)
    return prompts[0]


CLIPS = [
    {"frames": 4200, "fps": 30.0, "height": 720, "width": 1280},
    {"frames": 15000, "fps": 25.0, "height": 360, "width": 640},
    {"frames": 8800, "fps": 8.0, "height": 480, "width": 640},
    {"frames": 107_892, "fps": 30000 / 1001, "height": 1080, "width": 1920},
    {"frames": 6000, "fps": 24.0, "height": 640, "width": 360},
]
"""Long clips: 140 s, 10 min, 18 min, 1 h, and 250 s upright."""


class _Shape:
    """A tensor of frames without its numbers."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def asnumpy(self) -> "_Shape":
        return self

    def permute(self, *order: int) -> "_Shape":
        return _Shape(*(self.shape[axis] for axis in order))

    def float(self) -> "_Shape":
        return self

    def type(self, _: Any) -> "_Shape":
        return self

    def to(self, _: Any) -> "_Shape":
        return self


def unitime_passes(repository: Repository, clip: dict[str, Any]) -> dict[str, Any]:
    """UniTime's first pass over a long clip: frames, sizes, segments and prompt. Decoding, resizing and the tower are
    stand-ins, so that what is left is which frames and how many features the authors' code takes."""
    import math
    import os

    import torch

    total, fps, height, width = (clip[name] for name in ("frames", "fps", "height", "width"))
    shapes: dict[str, Any] = {}

    class Reader:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __len__(self) -> int:
            return int(total)

        def get_avg_fps(self) -> float:
            return float(fps)

        def get_batch(self, indices: list[int]) -> _Shape:
            shapes["frame_idx"] = indices
            return _Shape(len(indices), height, width, 3)

    def resize(video: _Shape, size: list[int], **_: Any) -> _Shape:
        shapes["tower_px"] = size
        return _Shape(*video.shape[:2], *size)

    stored: dict[str, Any] = {}
    stand_in = SimpleNamespace(
        no_grad=torch.no_grad,
        linspace=torch.linspace,
        tensor=lambda given: given if isinstance(given, _Shape) else torch.tensor(given),
        save=lambda data, _: stored.update(data),
        load=lambda *_, **__: stored,
    )
    decord = SimpleNamespace(VideoReader=Reader, cpu=lambda _: None)
    transforms = SimpleNamespace(functional=SimpleNamespace(resize=resize))
    modes = SimpleNamespace(BICUBIC=None)
    sizes: tuple[str, ...] = ("IMAGE_FACTOR", "FRAME_FACTOR", "FPS", "MIN_PIXELS", "MAX_PIXELS", "MAX_RATIO")
    sizes = (*sizes, "VIDEO_MIN_PIXELS", "VIDEO_MAX_PIXELS", "VIDEO_TOTAL_PIXELS", "MAX_FRAMES")
    rounding = ("smart_resize", "round_by_factor", "floor_by_factor", "ceil_by_factor")
    reading = ("_read_video_decord", "VIDEO_READER_BACKENDS", "fetch_video")
    joining = ("generate_clip_lengths", "combine_timestamps")
    video = repository.run(
        "collators/qwen_vision_process.py",
        *(*sizes, *rounding, *reading, *joining),
        math=math,
        torch=stand_in,
        decord=decord,
        transforms=transforms,
        InterpolationMode=modes,
        get_video_reader_backend=lambda: "decord",
    )

    class Model:
        visual = SimpleNamespace(get_dtype=lambda: None)
        device = None

        def encode_video_chunk(self, _: Any, grid: Any, lengths: Any) -> Any:
            return torch.zeros(len(lengths[0]) * grid[0][1] // 2 * grid[0][2] // 2, 1)

    def processor(*, videos: list[_Shape], **_: Any) -> dict[str, Any]:
        frames, _channels, rows, columns = videos[0].shape
        return {
            "pixel_values_videos": videos[0],
            "video_grid_thw": torch.tensor([[frames // 2, rows // 14, columns // 14]]),
        }

    constants = {name: getattr(video, name) for name in (*sizes, *rounding, "generate_clip_lengths")}
    repository.run(
        "feature.py",
        "feature",
        "resize_feature",
        os=SimpleNamespace(makedirs=lambda *_, **__: None, path=os.path),
        torch=stand_in,
        decord=decord,
        transforms=transforms,
        InterpolationMode=modes,
        F=torch.nn.functional,
        **constants,
    ).feature(Model(), processor, "clip.mp4", "features-not-there")
    frame_idx = list(shapes["frame_idx"])

    end_s = total / fps
    source = repository.run("inference.py", "construct_messages_mr_fps").construct_messages_mr_fps
    (message,) = source("clip.mp4", "clip.pt", 2, [0, end_s], "mr_seg", 32)
    _, features, starts, lengths = video.fetch_video(message["content"][0])
    stamps = [[f"timestamp: {time} seconds; feature: " for time in starts]]
    texts = [message["content"][-1]["text"], f"Query:{QUERY}\nAnswer: "]
    text = chat(
        ("user", f"<|vision_start|><|video_pad|><|vision_end|>{texts[0]}"),
        ("user", texts[1]),
        default_system=True,
        generation="",
    )
    prompts: list[str] = []
    words = repository.run(
        "models/qwen2_vl.py",
        "Qwen2VLMRProcessor",
        Qwen2VLProcessor=object,
        Qwen2VLProcessorKwargs=None,
        BatchFeature=lambda data: data,
        torch=torch,
    ).Qwen2VLMRProcessor()
    kwargs: dict[str, Any] = {"images_kwargs": {}, "videos_kwargs": {}, "text_kwargs": {}}
    words._merge_kwargs = lambda *_, **__: kwargs

    def write_down(texts: list[str], **_: Any) -> dict[str, Any]:
        prompts.extend(texts)
        return {}

    words.image_processor = _Callable(lambda **_: {}, merge_size=2)
    words.tokenizer = _Callable(write_down, init_kwargs={})
    words(text=[text], videos=None, features=[features], timestamps=stamps, combine_t_list=[lengths])
    pads = re.compile(r"(?:<\|video_pad\|>)+")
    return {
        **clip,
        "repository": repository.name,
        "commit": repository.commit,
        "query": QUERY,
        "frame_idx": frame_idx,
        "tower_px": list(shapes["tower_px"]),
        "grid": list(features.shape[1:3]),
        "starts_s": starts,
        "lengths": lengths,
        "text": pads.sub(lambda run: f"<{run[0].count('<|video_pad|>')} pads>", prompts[0]),
    }


class _Callable:
    """A function with attributes."""

    def __init__(self, function: Callable[..., Any], **attributes: Any) -> None:
        self._function = function
        vars(self).update(attributes)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._function(*arguments, **named)


def omnivtg(repository: Repository, case: dict[str, Any]) -> str:
    """OmniVTG's demo, without its tokenizer; each block's one placeholder is widened as its server does."""
    tokens = ("DEFAULT_IM_START_TOKEN", "DEFAULT_IM_END_TOKEN", "DEFAULT_VIDEO_TOKEN", "VISION_START_TOKEN")
    functions = ("_calculate_timestamps", "_interleave_timestamps")
    demo = repository.run("demo.py", *tokens, "VISION_END_TOKEN", "SYSTEM_MESSAGE", "PROMPT", *functions)
    user = "<|vision_start|><|video_pad|><|vision_end|>" + demo.PROMPT.format(query=QUERY)
    metadata = [{"frames_indices": list(case["indices"]), "fps": case["fps"]}]
    text, _ = demo._interleave_timestamps(user, metadata, [[len(case["indices"]) // 2]])
    text = text.replace("<|video_pad|>", "<|video_pad|>" * PADS)
    return chat(("system", demo.SYSTEM_MESSAGE), ("user", text), default_system=True)


def prompts(folder: Path) -> list[dict[str, Any]]:
    """Every protocol's prompt for every case."""
    rows = []
    for case in CASES:
        for name, repository_name, build in _builders():
            repository = Repository(folder, repository_name)
            rows.append(
                {
                    "protocol": name,
                    "repository": repository.name,
                    "commit": repository.commit,
                    "query": QUERY,
                    "times_s": [index / case["fps"] for index in case["indices"]],
                    "end_s": case["end_s"],
                    "pads": PADS,
                    "text": build(repository, case),
                }
            )
    return rows


def pieces(folder: Path) -> dict[str, Any]:
    """How Marlin's command line cuts clips, and which of the pieces' moments it keeps."""
    import dataclasses
    import random

    repository = Repository(folder, "Nemo-Station/marlin-cli")
    constants = (
        "CHUNK_SECONDS",
        "OVERLAP_SECONDS",
        "DEDUP_TOLERANCE_SECONDS",
        "DEDUP_IOU_THRESHOLD",
        "MIN_CHUNK_SECONDS",
    )
    code = repository.run(
        "src/marlin/video_processor.py",
        *constants,
        *("VideoChunk", "GroundingHit", "generate_chunks", "dedup_hits", "VideoChunkingError"),
        dataclass=dataclasses.dataclass,
        Path=Path,
        __name__=__name__,
    )
    rng = random.Random(0)
    lengths = [12.0, 30.0, 30.01, 31.9, 32.0, 55.0, 55.5, 56.99, 57.0, 60.0, 80.0, 81.5, 300.0, 1801.25]
    lengths += [round(rng.uniform(30, 400), 2) for _ in range(20)]
    windows = {str(s): [[c.start, c.end] for c in code.generate_chunks(s)] for s in lengths}
    joins = []
    for _ in range(60):
        starts = sorted({round(rng.uniform(0, 90), 1) for _ in range(rng.randint(1, 8))})
        moments = [[start, round(start + rng.uniform(0.2, 25), 1)] for start in starts]
        hits = [code.GroundingHit(0, 0, 0, start, end, "", "") for start, end in moments]
        joins.append(
            {"given": moments, "kept": [[h.global_start, h.global_end] for h in code.dedup_hits(hits)]}
        )
    return {"repository": repository.name, "commit": repository.commit, "windows": windows, "joins": joins}


def _builders() -> list[tuple[str, str, Callable[[Repository, dict[str, Any]], str]]]:
    def timelens(repository: Repository, video: str, *, system: bool) -> str:
        words = repository.run("evaluation/utils.py", "GROUNDER_PROMPT").GROUNDER_PROMPT
        import re

        clean = repository.run("timelens/dataset/timelens_data.py", "parse_query", re=re).parse_query
        return chat(("user", video + words.format(clean(QUERY))), default_system=system)

    def timelens2(repository: Repository, case: dict[str, Any]) -> str:
        import re

        template = json.loads(repository.read("grpo/configs/data/timelens2.json"))["timelens2-93k"]
        source = repository.run("grpo/timelens/data/prompt.py", "parse_query", "apply_prompt", re=re)
        text = qwen3_video(case) + source.apply_prompt(QUERY, template["prompt_template"])
        return chat(("user", text), default_system=False)

    def tvg_r1(repository: Repository, case: dict[str, Any]) -> str:
        words = repository.run("VideoMind/videomind/constants.py", "GROUNDER_PROMPT").GROUNDER_PROMPT
        return chat(("user", one_block(case) + words.format(QUERY)), default_system=True)

    def time_r1(repository: Repository, case: dict[str, Any]) -> str:
        words = repository.run("demo.py", "PROMPT_TEMPLATE").PROMPT_TEMPLATE
        return chat(("user", one_block(case) + words.format(QUERY)), default_system=True)

    def ra_rft(repository: Repository, case: dict[str, Any]) -> str:
        source = repository.run("inference.py", "SYSTEM_PROMPT", "QUESTION_TEMPLATE")
        text = one_block(case) + source.QUESTION_TEMPLATE.replace("[EVENT]", QUERY)
        return chat(("system", source.SYSTEM_PROMPT), ("user", text), default_system=True)

    def marlin(repository: Repository, case: dict[str, Any]) -> str:
        words = repository.run("src/marlin/contract.py", "GROUND_PROMPT").GROUND_PROMPT
        text = chat(("user", qwen3_video(case) + words.format(query=QUERY)), default_system=False)
        return text + "<think>\n\n</think>\n\n"

    return [
        ("timelens_8b", "TencentARC/TimeLens", lambda r, c: timelens(r, qwen3_video(c), system=False)),
        ("qwen2_5_vl", "TencentARC/TimeLens", lambda r, c: timelens(r, one_block(c), system=True)),
        ("timelens2", "MCG-NJU/TimeLens2", timelens2),
        ("tvg_r1", "zjuruizhechen/TVG-R1", tvg_r1),
        ("time_r1", "xiaomi-research/time-r1", time_r1),
        ("ra_rft", "JINSUBY/RA-RFT", ra_rft),
        ("omnivtg", "oceanflowlab/OmniVTG", omnivtg),
        ("unitime", "Lzq5/UniTime", unitime),
        ("marlin", "Nemo-Station/marlin-cli", marlin),
    ]


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    out = Path(sys.argv[2]) if len(sys.argv) == 3 else OUT
    rows = prompts(Path(sys.argv[1]))
    out.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(rows)} prompts in {out}")
    PIECES.write_text(json.dumps(pieces(Path(sys.argv[1]))) + "\n", encoding="utf-8")
    repository = Repository(Path(sys.argv[1]), "Lzq5/UniTime")
    passes = [unitime_passes(repository, clip) for clip in CLIPS]
    PASSES.write_text("".join(json.dumps(row) + "\n" for row in passes), encoding="utf-8")
