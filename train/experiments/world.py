"""Held-out shapeworld in memory: clips that training never draws, asked and scored without writing a video file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from transformers import PreTrainedTokenizerBase, Qwen2VLForConditionalGeneration

from tempo_core.allocation import allocate
from tempo_core.context import VideoPrompt, encode_video
from tempo_core.defaults import GroundingDefaults
from tempo_core.engine import Engine
from tempo_core.loading import LoadedModel
from tempo_core.metrics.evaluation import Evaluation, compare, evaluate, number
from tempo_core.metrics.rows import PredictionRow, TruthRow
from tempo_core.prompt import IMAGE_PAD, grid_sizes, mrope_positions, special_id
from tempo_core.timestamps import format_stamps
from tempo_core.video import SampledVideo
from tempo_core.vision import Normaliser
from train.scratch.architecture import IMAGE_MEAN, IMAGE_STD
from train.scratch.stamp_styles import styled_context, written
from train.shapeworld.clips import HELD_OUT_SEEDS
from train.shapeworld.queries import Query, QueryMix, sample_queries
from train.shapeworld.render import render
from train.shapeworld.scene import TIERS, Scene, sample_scene

MEASURES = ("miou", "recall@0.5", "recall@0.7", "refused_f1", "over_refusal", "missed_refusal")
"""What experiments compare, by the names of tempo_core.metrics."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldPlan:
    """Which clips, and which questions about them."""

    clips: int = 200
    queries: int = 5
    tier: str = "rich"
    seed: int = 7
    mix: QueryMix = field(
        default_factory=lambda: QueryMix(hard_share=0.0, hard_kinds=(), held_out_words=True)
    )
    motion: float = 0.0
    ticks: tuple[int, int] | None = None
    """Beats of a clip, from and to; None: as the world has them."""
    beat_s: float | None = None
    shake: float = 0.0
    """A hand-held camera: each frame is shifted by up to this share of the picture, each way; 0: a still one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldClip:
    scene: Scene
    video: SampledVideo
    queries: list[Query]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a model is shown the clips."""

    allocator: str = "saa"
    stamps: str = "interleaved"
    tokens_per_frame: float = 8.0
    min_tokens: int = 4
    max_tokens: int = 16


def held_out(plan: WorldPlan) -> list[HeldClip]:
    """The plan's clips; the same plan gives the same."""
    out: list[HeldClip] = []
    number = 0
    while len(out) < plan.clips:
        seed = HELD_OUT_SEEDS + plan.seed * 100_000 + number
        scene = sample_scene(seed, TIERS[plan.tier], ticks=ticks_for(seed, plan.ticks), motion=plan.motion)
        number += 1
        rng = np.random.default_rng([scene.seed, 3])
        others = [sample_scene(scene.seed + 10**9 * i, scene.tier, ticks=scene.ticks) for i in (1, 2, 3)]
        queries = sample_queries(rng, scene, plan.queries, plan.mix, others)
        if len(queries) == plan.queries or (queries and plan.mix.held_out_pairs == "only"):
            out.append(HeldClip(scene=scene, video=_video(scene, plan.beat_s, plan.shake), queries=queries))
    return out


def ticks_for(seed: int, ticks: tuple[int, int] | None) -> int | None:
    """Beats of the clip with that seed, between the two; None where nothing is asked."""
    return None if ticks is None else int(np.random.default_rng([seed, 4]).integers(ticks[0], ticks[1] + 1))


def _video(scene: Scene, beat_s: float | None, shake: float) -> SampledVideo:
    step_s = beat_s or scene.step_s
    times_s = np.arange(scene.ticks) * step_s
    frames = shaken(render(scene, short_side_px=112), shake, seed=scene.seed)
    return SampledVideo(
        times_s=times_s, frames=frames, end_s=scene.ticks * step_s, reader="pyav",
        notes=(), sha256=f"shapeworld-{scene.tier.name}-{scene.seed}",
    )  # fmt: skip


def shaken(frames: np.ndarray, share: float, *, seed: int) -> np.ndarray:
    """The frames uint8[T, H, W, 3], each moved by up to `share` of its size; the border's pixels fill what appears."""
    if share == 0:
        return frames
    rng = np.random.default_rng([seed, 6])
    most_y, most_x = (max(1, round(share * size)) for size in frames.shape[1:3])
    wide = np.pad(frames, ((0, 0), (most_y, most_y), (most_x, most_x), (0, 0)), mode="edge")
    height, width = frames.shape[1:3]
    shifts = rng.integers((0, 0), (2 * most_y + 1, 2 * most_x + 1), size=(len(frames), 2))
    return np.stack([each[y : y + height, x : x + width] for each, (y, x) in zip(wide, shifts, strict=True)])


def truth_rows(clips: Sequence[HeldClip]) -> list[TruthRow]:
    """Ground truth; `kind`, `negative` and `size` (of the smallest thing that had to be seen) group it."""
    rows: list[TruthRow] = []
    for clip in clips:
        for query in clip.queries:
            fields = {"kind": query.kind, "negative": query.negative, "size": size_needed(clip.scene, query)}
            times = [*clip.video.times_s.tolist(), clip.video.end_s]
            rows.append(
                TruthRow(
                    line=len(rows) + 1, qid=len(rows), query=query.text, vid=clip.video.sha256,
                    duration_s=clip.video.end_s, windows=tuple((times[a], times[b]) for a, b in query.runs),
                    clip_ids=None, saliency=None, fields=fields,
                )
            )  # fmt: skip
    return rows


def size_needed(scene: Scene, query: Query) -> str:
    """How large the things are whose shape or size a relevant query asks for: tiny, small, large, or none asked."""
    if (
        query.predicate is None
        or not query.runs
        or query.kind not in ("existence", "shape", "size", "pair", "count")
    ):
        return "none"
    looks = [part for part in query.predicate[1:] if isinstance(part, tuple) and (part[1] or part[2])]
    seen = [
        ("tiny", "small", "large").index(thing.size)
        for look in looks
        for thing in scene.things
        if all(
            w is None or w == h for w, h in zip(look, (thing.colour, thing.shape, thing.size), strict=True)
        )
        and any(thing.start < end and thing.end > start for start, end in query.runs)
    ]
    return ("tiny", "small", "large")[min(seen)] if seen else "none"


def loaded(
    model: Qwen2VLForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, reading: Reading
) -> LoadedModel:
    """A model in memory as the engine wants it."""
    defaults = GroundingDefaults(
        max_frames=40, finest_step_s=1.0, token_budget=1024, tokens_per_frame=reading.tokens_per_frame,
        min_tokens=reading.min_tokens, max_tokens=reading.max_tokens, max_new_tokens=256, instruction="",
    )  # fmt: skip
    return LoadedModel(
        model=model.eval(), tokenizer=tokenizer, normaliser=Normaliser(mean=IMAGE_MEAN, std=IMAGE_STD),
        defaults=defaults, model_id="in-memory", fingerprint="", folder=Path(), adapter=None, four_bit=False,
        device="cpu",
    )  # fmt: skip


def predict(
    model: LoadedModel, clips: Sequence[HeldClip], reading: Reading, *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[PredictionRow]:  # fmt: skip
    """Every query answered, greedily under the grammar, in the order of `truth_rows`."""
    engine = Engine(model)
    rows: list[PredictionRow] = []
    for done, clip in enumerate(clips, start=1):
        prompt = _prompt(model, clip.video, reading)
        context = encode_video(model, clip.video, prompt=prompt)
        for query in clip.queries:
            answer = engine.ask(context, query.text, n_best=0)
            moments = tuple((m.start_s, m.end_s) for m in answer.moments)
            rows.append(
                PredictionRow(
                    line=len(rows) + 1, qid=len(rows), query=query.text, vid=clip.video.sha256,
                    windows=tuple((*m, c) for m, c in zip(moments, answer.confidences, strict=True)),
                    moments=moments, saliency=None, relevance=answer.relevance, refused=answer.refused,
                )
            )  # fmt: skip
        progress(done, len(clips))
    return rows


def _prompt(model: LoadedModel, video: SampledVideo, reading: Reading) -> VideoPrompt:
    stamps = format_stamps(video.times_s, video.end_s)
    read_as = replace(
        model.defaults, tokens_per_frame=reading.tokens_per_frame, min_tokens=reading.min_tokens
    )
    allocation = allocate(
        video.frames, budget_tokens=read_as.budget_for(len(stamps) - 1), min_tokens=reading.min_tokens,
        max_tokens=reading.max_tokens, allocator=reading.allocator, seed=crc32(video.sha256.encode()),
    )  # fmt: skip
    ids = styled_context(model.tokenizer, stamps, allocation.tokens.tolist(), reading.stamps)
    pad = special_id(model.tokenizer, IMAGE_PAD)
    positions = mrope_positions(ids, grid_sizes(allocation.sizes_px), image_token_id=pad)
    return VideoPrompt(
        stamps=written(stamps, reading.stamps), allocation=allocation, ids=ids, positions=positions
    )


def score(
    model: LoadedModel, clips: Sequence[HeldClip], reading: Reading
) -> tuple[list[PredictionRow], Evaluation]:
    """Predictions and their strict evaluation, by kind, kind of negative and size."""
    rows, truth = predict(model, clips, reading), truth_rows(clips)
    fields = ("kind", "negative", "size")
    return rows, evaluate(rows, truth, by=[name for name in fields if any(row.fields[name] for row in truth)])


def headline(evaluation: Evaluation) -> dict[str, Any]:
    """The figures that experiments compare, in all and by group."""
    report = evaluation.to_dict()
    groups = {
        field: {
            value: {name: table[name] for name in ("queries", *MEASURES)} for value, table in tables.items()
        }
        for field, tables in report["groups"].items()
    }
    measures = {name: report["measures"][name] for name in MEASURES}
    return {"measures": measures, "groups": groups, "auroc": report["auroc"]}


def spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """Mean and standard deviation over seeds; None where nothing was measured."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"mean": float(np.mean(known)), "sd": float(np.std(known, ddof=1)) if len(known) > 1 else 0.0}


def gains(
    before: Sequence[PredictionRow], after: Sequence[PredictionRow], truth: Sequence[TruthRow]
) -> dict[str, dict[str, float | None]]:
    """What `after` gains on `before` in each measure, with the interval and p of a paired bootstrap over clips.

    None where a measure means nothing on these rows, such as refusals where every query is relevant.
    """
    return {
        name: {
            "gain": number(gap.second - gap.first), "low": number(gap.low), "high": number(gap.high),
            "p": number(gap.p_value),
        }
        for name, gap in compare(before, after, truth).items()
        if name in MEASURES
    }  # fmt: skip
