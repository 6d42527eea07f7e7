"""Events cut into real clips, with exact truth: what a model that learned on photographs makes of real footage.

Each edited clip is one real clip, or two of them behind each other, re-timed to whole beats, with camera moves, looks,
layouts, texts, blank pictures and transitions of naturalworld laid over it. What a clip shows anyway
(`real_clips.json`) is neither added nor asked for.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tempo_core.errors import InputError
from tempo_core.video import probe, sample
from train.naturalworld.assets import Assets
from train.naturalworld.clips import rows_of
from train.naturalworld.queries import EVENT_MIX, NaturalMix, sample_queries
from train.naturalworld.render import pyramid, render
from train.naturalworld.scene import CAMERA, GROUPS, NaturalScene, Shot, add_events, join_shots
from train.shapeworld.clips import CLIPS_RATE, write_frames
from train.shapeworld.render import canvas_size

REAL_CLIPS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("real_clips.json").read_text())[
    "clips"
]
"""By file name without suffix: `cuts_s`, the hand-made times of its cuts, and `shows`, the events in it anyway."""
LONGEST_S = 40


def everyday_questions() -> list[str]:
    """Ten questions of everyday life about each of the real clips: people, animals, household."""
    questions = json.loads(Path(__file__).with_name("everyday.json").read_text())
    return [text for texts in questions.values() for text in texts]


@dataclass(frozen=True, slots=True)
class RealClip:
    """A real clip at CLIPS_RATE pictures a second."""

    name: str
    frames: np.ndarray
    """uint8[N, H, W, 3]."""

    @property
    def seconds(self) -> int:
        """Whole seconds that it lasts."""
        return len(self.frames) // CLIPS_RATE


def read_real_clips(folder: Path) -> list[RealClip]:
    """The clips of `real_clips.json` that lie in a folder. Raises InputError where there is none."""
    clips = []
    for path in sorted(folder.iterdir()):
        if path.stem in REAL_CLIPS:
            clips.append(RealClip(path.stem, read_frames(path)))
    if not clips:
        raise InputError(f"{folder} holds none of the real clips {', '.join(sorted(REAL_CLIPS))}.")
    return clips


def read_frames(path: Path) -> np.ndarray:
    """uint8[N, H, W, 3]: the first LONGEST_S seconds of a clip at CLIPS_RATE, small."""
    info = probe(path)
    duration_s = min(info.end_s - info.start_s, LONGEST_S)
    times_s = (np.arange(int(duration_s * CLIPS_RATE)) / CLIPS_RATE).tolist()
    return sample(path, at=times_s, max_pixels=320 * 320).frames


def edited_scene(seed: int, clips: Sequence[RealClip]) -> NaturalScene:
    """A random edit: deterministic in seed and clips. `Shot.photograph` is the index of a clip."""
    rng = np.random.default_rng([seed, 37])
    first, second, other = (int(idx) for idx in rng.choice(len(clips), size=3, replace=len(clips) < 3))
    height, width = clips[first].frames.shape[1:3]
    shots = [Shot(photograph=first, start=0, end=clips[first].seconds, seed=seed)]
    if rng.random() < 0.5:
        border = int(rng.integers(3, max(4, clips[first].seconds)))
        end = min(LONGEST_S, border + clips[second].seconds)
        shots = [
            replace(shots[0], end=border),
            Shot(photograph=second, start=border, end=max(border + 3, end), seed=seed + 1),
        ]
    scene = NaturalScene(
        seed=seed,
        ticks=shots[-1].end,
        step_s=1.0,
        aspect=(height, width),
        shots=shots,
        grain=0.0,
        hand=0.0,
        drift=0.0,
        zoom=(1.0, 1.0),
        other=other,
    )
    footage_events = {kind for shot in shots for kind in REAL_CLIPS[clips[shot.photograph].name]["shows"]}
    join_shots(scene, rng)
    add_events(scene, rng)
    scene.events = [event for event in scene.events if event.kind not in footage_events]
    if any(event.kind in (*CAMERA, "shake") for event in scene.events):
        scene.zoom = (1.6, 1.6)  # room to move
    return scene


def footage_of(scene: NaturalScene, clips: Sequence[RealClip]) -> Callable[[int, float], list[Image.Image]]:
    """The frames of the real clips, each from its own beginning; a clip that is over begins again."""
    starts = {shot.photograph: shot.start for shot in scene.shots}

    def footage(idx: int, time: float) -> list[Image.Image]:
        frames = clips[idx].frames
        frame = frames[int((time - starts.get(idx, 0)) * CLIPS_RATE + 1e-6) % len(frames)]
        return pyramid(Image.fromarray(frame))

    return footage


def make_edited_set(
    folder: Path,
    clips: Sequence[RealClip],
    assets: Assets,
    *,
    count: int,
    queries: int = 4,
    mix: NaturalMix = EVENT_MIX,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """`count` edited clips in `folder/videos` and their rows in `folder/rows.jsonl`; returns the rows' path."""
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    clip_count = 0
    for number in range(20 * count):
        scene = edited_scene(1000 * seed + number, clips)
        footage_events = {
            kind for shot in scene.shots for kind in REAL_CLIPS[clips[shot.photograph].name]["shows"]
        }
        rng = np.random.default_rng([seed, number, 41])
        scene_queries = [
            query
            for query in sample_queries(rng, scene, assets, 3 * queries, mix)
            if query.predicate is not None and not _is_shown(query.predicate[1], footage_events)
        ][:queries]
        if len(scene_queries) < queries:
            continue
        name = f"edited-{1000 * seed + number:06d}"
        path = folder / "videos" / f"{name}.mp4"
        if not path.exists():
            times = np.arange(scene.ticks * CLIPS_RATE) / CLIPS_RATE
            frames = render(
                scene,
                assets,
                short_side_px=224,
                times=times,
                compress=False,
                footage=footage_of(scene, clips),
            )
            write_frames(frames, path, size=canvas_size(scene, 224))
        rows += rows_of(scene_queries, name, scene, first_qid=len(rows))
        clip_count += 1
        on_progress(clip_count, count)
        if clip_count == count:
            break
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def _is_shown(event: str, footage_events: set[str]) -> bool:
    """Whether real footage shows the event anyway; darker and brighter are only seen beside each other."""
    related = next((kinds for kinds in GROUPS.values() if event in kinds), (event,))
    return event in footage_events or (
        event in ("text", "subtitle", "title") and bool(footage_events.intersection(related))
    )


def score_cuts(
    truth: Mapping[str, Sequence[float]], predicted_cuts: Mapping[str, Sequence[float]], *, tolerance_s: float
) -> dict[str, float]:
    """Precision, recall and F1 of cuts, each used once, that lie within a tolerance of a hand-made one."""
    hits = 0
    for name, cuts in truth.items():
        free = sorted(predicted_cuts.get(name, ()))
        for cut in sorted(cuts):
            near = [time for time in free if abs(time - cut) <= tolerance_s]
            if near:
                free.remove(min(near, key=lambda time: abs(time - cut)))
                hits += 1
    predicted, true = sum(map(len, predicted_cuts.values())), sum(map(len, truth.values()))
    precision, recall = hits / predicted if predicted else 0.0, hits / true if true else 0.0
    f1 = 2 * hits / (predicted + true) if predicted + true else 0.0
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "found": float(predicted),
        "true": float(true),
    }
