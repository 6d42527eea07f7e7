"""Render the app's example clips and their questions into app/examples, from fixed seeds; run it again to get the same.

The questions are such as the models that ship answer exactly, so that they show what they can do: how often they fail
is in docs/experiments.md. Each clip has one more, outside their worlds.

    python -m scripts.examples [--natural FILE]

`--natural` adds Blender's Big Buck Bunny (CC BY 3.0) from a copy that you have, to show what the small model refuses.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from tempo_core.checkpoint import FOOTAGE
from tempo_core.engine import load_engine, sample_for
from tempo_core.proxy import normalise
from train.naturalworld.assets import Assets
from train.naturalworld.edited import RealClip, footage_of, read_frames
from train.naturalworld.queries import WORDINGS
from train.naturalworld.render import render
from train.naturalworld.scene import Event, NaturalScene, Shot
from train.shapeworld.clips import CLIPS_RATE, HELD_OUT_SEEDS, write_clip, write_frames
from train.shapeworld.queries import QueryMix, Runs, sample_queries
from train.shapeworld.render import canvas_size
from train.shapeworld.scene import TIERS, sample_scene

FOLDER = Path(__file__).resolve().parents[1] / "app" / "examples"

CLIPS = (
    ("shapes-plain", "plain", 900_001, 40, (1, 1), "Plain shapes", 0.0, (140.5, 144.5)),
    ("shapes-moving", "plain", 900_058, 24, (9, 16), "Things that slide", 0.8, (34, 38)),
    ("shapes-wide", "rich", 900_009, 30, (9, 16), "Textured wall, wide picture", 0.0, (33, 37)),
    ("shapes-noise", "rich", 900_012, 24, (3, 4), "Noise and small things", 0.0, (1.5, 5.5)),
)
"""Name, tier, seed, beats, aspect, title, the share of things that slide (then the questions are hard ones), and the
seconds that the card shows moving."""

EVENTS = (
    ("title", 1, 4),
    ("black and white", 6, 9),
    ("cut", 10, 11),
    ("letterbox", 12, 16),
    ("fade through black", 17, 19),
    ("frozen", 21, 24),
)
"""What is cut into Big Buck Bunny, with first and last second; pictures of it are seen near and from afar."""

NUM_QUESTIONS = 4
UNKNOWN = ("a man flips a pancake", "the dog jumps over a fence")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--natural", type=Path, help="Big Buck Bunny, to be cut down")
    natural = parser.parse_args().natural
    FOLDER.mkdir(parents=True, exist_ok=True)
    manifest = FOLDER / "manifest.json"
    old_entries = json.loads(manifest.read_text()) if manifest.is_file() else []
    entries = [_shapeworld(*clip) for clip in CLIPS]
    if natural:
        entries.append(_bunny(natural))
    else:
        entries += [entry for entry in old_entries if entry["file"] == "bunny.mp4"]
    if (FOLDER / "bunny.mp4").is_file():
        entries.insert(len(CLIPS), _film())
    manifest.write_text(json.dumps(entries, indent=1) + "\n")


def _shapeworld(
    name: str,
    tier: str,
    seed: int,
    ticks: int,
    aspect: tuple[int, int],
    title: str,
    motion: float,
    loop_s: tuple[float, float],
) -> dict:
    scene = sample_scene(HELD_OUT_SEEDS + seed, TIERS[tier], ticks=ticks, aspect=aspect, motion=motion)
    write_clip(scene, FOLDER / f"{name}.mp4", short_side_px=240, crf=30)
    mix = QueryMix(
        irrelevant=0.0, hard_share=float(motion > 0), hard_kinds=("motion", "motion", "order", "several")
    )
    queries = sample_queries(np.random.default_rng(seed), scene, 20, mix, [])
    engine = load_engine()
    context = engine.encode(sample_for(engine.defaults, FOLDER / f"{name}.mp4", protocol=engine.protocol))
    texts: dict[Runs, tuple[float, str]] = {}
    for query in queries:
        truth = [(start * scene.step_s, end * scene.step_s) for start, end in query.runs]
        answer = engine.ask(context, query.text, n_best=0)
        if [(moment.start_s, moment.end_s) for moment in answer.moments] == truth:
            confidence = min(confidence or 0.0 for confidence in answer.confidences)
            texts[query.runs] = max(texts.get(query.runs, (0.0, "")), (confidence, query.text))
    surest_first = [text for _, text in sorted(texts.values(), reverse=True)]
    return {
        "file": f"{name}.mp4",
        "title": title,
        "questions": [*surest_first[:NUM_QUESTIONS], UNKNOWN[seed % len(UNKNOWN)]],
        "loop_s": loop_s,
        "licence": "MIT",
        "source": "rendered by train/shapeworld",
    }


def _film() -> dict:
    """Big Buck Bunny with EVENTS cut into it, and questions that tempo-tiny-footage answers exactly."""
    clip = RealClip("bunny", read_frames(FOLDER / "bunny.mp4"))
    height, width = clip.frames.shape[1:3]
    shots = [
        Shot(photograph=0, start=start, end=end, seed=start) for start, end in ((0, 10), (10, 18), (18, 26))
    ]
    scene = NaturalScene(
        seed=1,
        ticks=26,
        step_s=1.0,
        aspect=(height, width),
        shots=shots,
        events=[Event(kind=kind, start=start, end=end) for kind, start, end in EVENTS],
        grain=0.0,
        hand=0.0,
        drift=0.0,
        spread=0.3,
        zoom=(1.0, 2.2),
    )
    times = np.arange(scene.ticks * CLIPS_RATE) / CLIPS_RATE
    size = canvas_size(scene, 240)
    nothing = Assets(folder=FOLDER, photographs=(), pictures=(), pixels=np.empty(0), concepts={})
    frames = render(
        scene, nothing, short_side_px=240, times=times, compress=False, footage=footage_of(scene, [clip])
    )
    write_frames(frames, FOLDER / "film.mp4", size=size, crf=30)
    engine = load_engine(FOOTAGE)
    context = engine.encode(sample_for(engine.defaults, FOLDER / "film.mp4", protocol=engine.protocol))
    questions: list[str] = []
    for kind, start, end in EVENTS:
        surest = (0.0, "")
        for text in (
            *WORDINGS["clauses"][kind],
            *(f"when is there {phrase}" for phrase in WORDINGS["phrases"][kind]),
        ):
            answer = engine.ask(context, text, n_best=0)
            if [(moment.start_s, moment.end_s) for moment in answer.moments] == [(start, end)]:
                surest = max(surest, (answer.confidences[0] or 0.0, text))
        questions += [surest[1]] if surest[1] else []
    return {
        "file": "film.mp4",
        "title": "A film with a title, a fade and more",
        "questions": [*questions, UNKNOWN[1]],
        "loop_s": (6, 9),
        "licence": "CC BY 3.0",
        "source": "Big Buck Bunny, (c) copyright Blender Foundation, www.bigbuckbunny.org; scaled down, edited",
    }


def _bunny(path: Path) -> dict:
    normalise(path, FOLDER / "bunny.mp4", short_side_px=240)
    return {
        "file": "bunny.mp4",
        "title": "A real film: things that the small models do not know",
        "questions": [
            "a rabbit comes out of its burrow",
            "a butterfly lands on an apple",
            "somebody plays the piano",
        ],
        "loop_s": (0.5, 4.5),
        "licence": "CC BY 3.0",
        "source": "Big Buck Bunny, (c) copyright Blender Foundation, www.bigbuckbunny.org; scaled down",
    }


if __name__ == "__main__":
    main()
