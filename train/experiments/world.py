"""Held-out shapeworld in memory: clips that training never draws, asked and scored without writing a video file."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from transformers import PreTrainedTokenizerBase, Qwen2VLForConditionalGeneration

from tempo_core.allocation import allocate
from tempo_core.context import VideoPrompt, encode_video
from tempo_core.engine import Engine
from tempo_core.loading import LoadedModel
from tempo_core.metrics.evaluation import compare, evaluate, number
from tempo_core.metrics.rows import PredictionRow, TruthRow
from tempo_core.positions import grid_sizes, mrope_positions
from tempo_core.protocols import Choice
from tempo_core.protocols.base import IMAGE_PAD, special_id
from tempo_core.protocols.tempo import PROTOCOL as TEMPO
from tempo_core.timestamps import format_stamps
from tempo_core.video import SampledVideo
from train.checkpoints import open_run, write_json
from train.scratch.architecture import NORMALISER
from train.scratch.checkpoint import DEFAULTS
from train.scratch.stamp_styles import styled_context, written
from train.shapeworld.clips import HELD_OUT_SEEDS
from train.shapeworld.queries import TEST_MIX, Query, QueryMix, matches, sample_queries
from train.shapeworld.render import render
from train.shapeworld.scene import SIZES, TIERS, Scene, other_scenes, sample_scene

MEASURES = ("miou", "recall@0.5", "recall@0.7", "refused_f1", "over_refusal", "missed_refusal")
"""What experiments compare, by the names of tempo_core.metrics."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldPlan:
    """Which clips, and which questions about them."""

    clips: int = 200
    queries: int = 5
    tier: str = "rich"
    seed: int = 7
    mix: QueryMix = TEST_MIX
    motion: float = 0.0
    ticks: tuple[int, int] | None = None
    """Beats of a clip, from and to; None: as the world has them."""
    beat_s: float | None = None
    shake: float = 0.0
    """A hand-held camera: each frame is shifted by up to this share of the picture, each way; 0: a still one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutClip:
    scene: Scene
    video: SampledVideo
    queries: list[Query]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingConfig:
    """How a model is shown the clips."""

    allocator: str = "saa"
    stamps: str = "interleaved"
    tokens_per_frame: float = 8.0
    min_tokens: int = 4
    max_tokens: int = 16


def held_out_clips(plan: WorldPlan) -> list[HeldOutClip]:
    """The plan's clips; the same plan gives the same."""
    clips: list[HeldOutClip] = []
    number = 0
    while len(clips) < plan.clips:
        seed = HELD_OUT_SEEDS + plan.seed * 100_000 + number
        scene = sample_scene(seed, TIERS[plan.tier], ticks=ticks_for(seed, plan.ticks), motion=plan.motion)
        number += 1
        rng = np.random.default_rng([seed, 3])
        queries = sample_queries(rng, scene, plan.queries, plan.mix, other_scenes(scene))
        if len(queries) == plan.queries or (queries and plan.mix.held_out_pairs == "only"):
            video = drawn_video(scene, plan.beat_s or scene.step_s, f"shapeworld-{scene.tier.name}-{seed}")
            video = replace(video, frames=shaken(video.frames, plan.shake, seed=seed))
            clips.append(HeldOutClip(scene=scene, video=video, queries=queries))
    return clips


def ticks_for(seed: int, ticks: tuple[int, int] | None) -> int | None:
    """Beats of the clip with that seed, between the two; None where nothing is asked."""
    return None if ticks is None else int(np.random.default_rng([seed, 4]).integers(ticks[0], ticks[1] + 1))


def drawn_video(scene: Scene, step_s: float, name: str) -> SampledVideo:
    """The scene's frames, one a beat, as the file's sampling would give them before compression."""
    frames = render(scene, short_side_px=112)
    times_s, end_s = np.arange(scene.ticks) * step_s, scene.ticks * step_s
    return SampledVideo(times_s=times_s, frames=frames, end_s=end_s, reader="pyav", notes=(), sha256=name)


def shaken(frames: np.ndarray, share: float, *, seed: int) -> np.ndarray:
    """The frames uint8[T, H, W, 3], each moved by up to `share` of its size; the border's pixels fill what appears."""
    if share == 0:
        return frames
    rng = np.random.default_rng([seed, 6])
    height, width = frames.shape[1:3]
    max_y, max_x = max(1, round(share * height)), max(1, round(share * width))
    padded = np.pad(frames, ((0, 0), (max_y, max_y), (max_x, max_x), (0, 0)), mode="edge")
    shifts = rng.integers((0, 0), (2 * max_y + 1, 2 * max_x + 1), size=(len(frames), 2))
    return np.stack(
        [frame[y : y + height, x : x + width] for frame, (y, x) in zip(padded, shifts, strict=True)]
    )


def truth_rows(clips: Sequence[HeldOutClip]) -> list[TruthRow]:
    """Ground truth; `kind`, `negative` and `size` (of the smallest thing that had to be seen) group it."""
    rows: list[TruthRow] = []
    for clip in clips:
        times_s = [*clip.video.times_s.tolist(), clip.video.end_s]
        for query in clip.queries:
            size = size_needed(clip.scene, query)
            row = TruthRow(
                line=len(rows) + 1,
                qid=len(rows),
                query=query.text,
                vid=clip.video.sha256,
                duration_s=clip.video.end_s,
                windows=tuple((times_s[start], times_s[end]) for start, end in query.runs),
                fields={"kind": query.kind, "negative": query.negative, "size": size},
            )
            rows.append(row)
    return rows


def size_needed(scene: Scene, query: Query) -> str:
    """How large the things are whose shape or size a relevant query asks for: tiny, small, large, or none asked."""
    kinds = ("existence", "shape", "size", "pair", "count")
    if query.predicate is None or not query.runs or query.kind not in kinds:
        return "none"
    looks = [part for part in query.predicate[1:] if isinstance(part, tuple) and (part[1] or part[2])]
    sizes = [
        SIZES.index(thing.size)
        for look in looks
        for thing in scene.things
        if matches(thing, look) and any(thing.start < end and thing.end > start for start, end in query.runs)
    ]
    return SIZES[min(sizes)] if sizes else "none"


def loaded(model: Qwen2VLForConditionalGeneration, tokenizer: PreTrainedTokenizerBase) -> LoadedModel:
    """A model in memory as the engine wants it."""
    return LoadedModel(
        model=model.eval(),
        tokenizer=tokenizer,
        normaliser=NORMALISER,
        defaults=DEFAULTS,
        model_id="in-memory",
        fingerprint="",
        folder=Path(),
        adapter=None,
        precision="float32",
        choice=Choice(TEMPO.with_instruction(DEFAULTS.instruction), "It is trained with it.", True),
        device="cpu",
        vocabulary=None,
    )


def predict(model: LoadedModel, clips: Sequence[HeldOutClip], reading: ReadingConfig) -> list[PredictionRow]:
    """Every query answered, greedily under the grammar, in the order of `truth_rows`."""
    engine = Engine(model)
    image_pad = special_id(model.tokenizer, IMAGE_PAD)
    defaults = replace(
        model.defaults, tokens_per_frame=reading.tokens_per_frame, min_tokens=reading.min_tokens
    )
    rows: list[PredictionRow] = []
    for clip in clips:
        video = clip.video
        stamps = format_stamps(video.times_s, video.end_s)
        allocation = allocate(
            video.frames,
            budget_tokens=defaults.budget_for(len(stamps) - 1),
            min_tokens=reading.min_tokens,
            max_tokens=reading.max_tokens,
            allocator=reading.allocator,
            seed=crc32(video.sha256.encode()),
        )
        ids = styled_context(model.tokenizer, stamps, allocation.tokens.tolist(), reading.stamps)
        ids = ids[:-1]  # the line feed comes with the question
        positions = mrope_positions(ids, grid_sizes(allocation.sizes_px), image_token_id=image_pad)
        stamps = written(stamps, reading.stamps)
        timeline = replace(
            TEMPO.timeline(video.times_s, video.end_s), mark_texts=[(stamp,) for stamp in stamps]
        )
        prompt = VideoPrompt(timeline=timeline, allocation=allocation, ids=ids, positions=positions)
        context = encode_video(model, video, prompt=prompt)
        for query in clip.queries:
            answer = engine.ask(context, query.text, n_best=0)
            moments = tuple((moment.start_s, moment.end_s) for moment in answer.moments)
            windows = tuple((*m, score or 0.0) for m, score in zip(moments, answer.confidences, strict=True))
            row = PredictionRow(
                line=len(rows) + 1,
                qid=len(rows),
                query=query.text,
                vid=video.sha256,
                windows=windows,
                moments=moments,
                relevance=answer.relevance,
                refused=answer.refused,
            )
            rows.append(row)
    return rows


def score_worlds(
    model: LoadedModel, worlds: Mapping[str, Sequence[HeldOutClip]], reading: ReadingConfig
) -> dict[str, dict[str, Any]]:
    """By world: MEASURES in all and by kind, kind of negative and size, AUROC, and the predictions (JSON values)."""
    scores = {}
    for world, clips in worlds.items():
        rows, truth = predict(model, clips, reading), truth_rows(clips)
        fields = [name for name in ("kind", "negative", "size") if any(row.fields[name] for row in truth)]
        report = evaluate(rows, truth, by=fields).to_dict()
        groups = {
            field: {
                value: {name: table[name] for name in ("queries", *MEASURES)}
                for value, table in tables.items()
            }
            for field, tables in report["groups"].items()
        }
        scores[world] = {
            "measures": {name: report["measures"][name] for name in MEASURES},
            "groups": groups,
            "auroc": report["auroc"],
            "predictions": [asdict(row) for row in rows],
        }
    return scores


def run_once(folder: Path, decides: dict[str, Any], run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `run` returned (JSON), now or when it was run before: it is kept in `folder`/result.json.

    Raises InputError where the folder holds the result of something else.
    """
    open_run(folder, decides)
    path = folder / "result.json"
    if not path.exists():
        write_json(path, run())
    return json.loads(path.read_text())


def saved_predictions(score: Mapping[str, Any]) -> list[PredictionRow]:
    """The predictions of one of `score_worlds`' entries that was read from JSON."""
    return [
        PredictionRow(**row | {name: tuple(map(tuple, row[name])) for name in ("windows", "moments")})
        for row in score["predictions"]
    ]


def spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """Mean and standard deviation over seeds; None where nothing was measured."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return None
    deviation = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else 0.0
    return {"mean": float(np.mean(numbers)), "sd": deviation}


def gains(
    before: Mapping[Any, Sequence[PredictionRow]],
    after: Mapping[Any, Sequence[PredictionRow]],
    truth: Sequence[TruthRow],
    *,
    measures: Sequence[str] = MEASURES,
) -> dict[str, dict[str, float | None]]:
    """What `after` gains on `before` in each measure; both hold predictions by seed.

    With the interval and p of a paired bootstrap over clips, all seeds' answers together. None where a measure means
    nothing on these rows, such as refusals where every query is relevant.
    """
    qids = {row.qid for row in truth}

    def pooled(rows_by_seed: Mapping[Any, Sequence[PredictionRow]]) -> list[PredictionRow]:
        return [
            replace(row, qid=f"{seed}-{row.qid}")
            for seed, rows in rows_by_seed.items()
            for row in rows
            if row.qid in qids
        ]

    pooled_truth = [replace(row, qid=f"{seed}-{row.qid}") for seed in before for row in truth]
    return {
        name: {
            "gain": number(gap.second - gap.first),
            "low": number(gap.low),
            "high": number(gap.high),
            "p": number(gap.p_value),
        }
        for name, gap in compare(pooled(before), pooled(after), pooled_truth).items()
        if name in measures
    }
