"""Shot changes against PySceneDetect's detectors: real clips labelled by eye, made clips whose cuts are known."""

import json
import subprocess
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cpu import cpu_s
from tempo_core.command_line import AsJson
from tempo_core.errors import InputError

PEER_VERSION = "0.7.2"
PEER_COMMANDS = (
    "python -m venv /tmp/scenedetect && "
    f"/tmp/scenedetect/bin/pip install 'scenedetect[opencv-headless]=={PEER_VERSION}'"
)
PEER_SCRIPT = """
import json, sys, time
import scenedetect
from scenedetect import AdaptiveDetector, ContentDetector, SceneManager, open_video
answer = {"version": scenedetect.__version__}
for path in sys.argv[1:]:
    answer[path] = {}
    for detector in (AdaptiveDetector, ContentDetector):
        begun_s = time.process_time()
        manager = SceneManager()
        manager.add_detector(detector())
        manager.detect_scenes(open_video(path))
        cuts = [scene[0].frame_num for scene in manager.get_scene_list()[1:]]
        answer[path][detector.__name__] = [cuts, time.process_time() - begun_s]
print(json.dumps(answer))
"""
"""Runs in an environment of its own: PySceneDetect brings an OpenCV."""
OURS, BAR = "ours", "AdaptiveDetector"
TOLERANCE_FRAMES = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledClip:
    """A clip as every detector reads it, with its true cuts."""

    name: str
    part: str
    """real or made."""
    path: Path
    """Its normal copy."""
    cuts: tuple[int, ...]
    """Frames that begin a new shot."""
    detected: dict[str, tuple[list[int], float]]
    """By detector: frames that it says begin a new shot, and CPU seconds."""


@dataclass
class Score:
    """What a detector said, against the labels."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    cpu_s: float = 0.0

    def add(self, true_cuts: tuple[int, ...], detected: list[int]) -> None:
        """Count one clip: a true cut is met by one frame at most, TOLERANCE_FRAMES away or less."""
        missed = list(true_cuts)
        for frame_idx in detected:
            near = [cut for cut in missed if abs(cut - frame_idx) <= TOLERANCE_FRAMES]
            if near:
                missed.remove(near[0])
        right = len(true_cuts) - len(missed)
        self.right += right
        self.wrong += len(detected) - right
        self.missed += len(missed)

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0

    @property
    def f1(self) -> float:
        both = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / both if both else 1.0


def run(
    videos: Annotated[
        Path | None, typer.Option(help="folder of the clips that train/naturalworld/real_clips.json labels")
    ] = None,
    scenedetect: Annotated[
        Path | None, typer.Option(help="a Python that has PySceneDetect; without it ours alone is measured")
    ] = None,
    seeds: Annotated[int, typer.Option(help="sets of fifteen made clips")] = 2,
    first_seed: Annotated[int, typer.Option(help="of the made clips; the rule was made on seeds 0 to 3")] = 4,
    as_json: AsJson = False,
) -> int:
    """Shot changes that are detected in real and made clips: precision, recall and F1 with a tolerance of one frame,
    beside PySceneDetect's AdaptiveDetector and ContentDetector on the same files.

    Exit code 1 where ours has a lower F1 than AdaptiveDetector.
    """
    with tempfile.TemporaryDirectory(prefix="shots-bench-") as name:
        clips = _clips(Path(name), videos, range(first_seed, first_seed + seeds))
        if scenedetect is not None:
            _ask_peers(clips, scenedetect)
    scores: dict[str, dict[str, Score]] = {}
    for clip in clips:
        for detector, (detected, detector_cpu_s) in clip.detected.items():
            score = scores.setdefault(clip.part, {}).setdefault(detector, Score())
            score.add(clip.cuts, detected)
            score.cpu_s += detector_cpu_s
    print(json.dumps(_figures(clips, scores)) if as_json else _text(clips, scores))
    return int(any(BAR in part and part[OURS].f1 < part[BAR].f1 for part in scores.values()))


def _clips(folder: Path, videos: Path | None, seeds: range) -> list[LabelledClip]:
    """All clips as normal copies in `folder`, and what ours says of them. Raises InputError."""
    from app.media.clips import prepare_clip
    from app.media.shots import find_shots
    from tests.app.media.cut_clips import RATE, cut_clips, write_cut_clip
    from train.naturalworld.edited import REAL_CLIPS

    sources: list[tuple[str, str, Path, list[float]]] = []
    if videos is not None:
        paths = sorted(path for path in videos.iterdir() if path.stem in REAL_CLIPS)
        if len(paths) < len(REAL_CLIPS):
            raise InputError(
                f"{videos} has {len(paths)} of the labelled clips; it must have {', '.join(REAL_CLIPS)}."
            )
        for path in paths:
            sources.append((path.stem, "real", path, REAL_CLIPS[path.stem]["cuts_s"]))
    for seed in seeds:
        for clip in cut_clips(seed):
            path = write_cut_clip(clip, folder / f"{clip.name} {seed}.mp4")
            sources.append((path.stem, "made", path, [cut / RATE for cut in clip.cuts]))
    clips = []
    for name, part, source, cuts_s in sources:
        copy = folder / f"copy of {name}"
        copy.mkdir()
        facts = prepare_clip(source, copy, cancel=threading.Event(), on_progress=lambda fraction: None)
        rate = facts.frame_rate or float(RATE)
        begun_s = cpu_s()
        shots_ms = find_shots(copy / facts.file_name, facts, cancel=threading.Event())
        clips.append(
            LabelledClip(
                name=name,
                part=part,
                path=copy / facts.file_name,
                cuts=tuple(round(cut_s * rate) for cut_s in cuts_s),
                detected={OURS: ([round(ms / 1000 * rate) for ms in shots_ms], cpu_s() - begun_s)},
            )
        )
    return clips


def _ask_peers(clips: list[LabelledClip], python: Path) -> None:
    """Add what PySceneDetect says. Raises InputError where that Python does not have it."""
    command = [str(python), "-c", PEER_SCRIPT, *(str(clip.path) for clip in clips)]
    try:
        answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(
            f"{python} does not run PySceneDetect: {error}. Make one with {PEER_COMMANDS}."
        ) from error
    if answer["version"] != PEER_VERSION:
        raise InputError(
            f"{python} has PySceneDetect {answer['version']}; what is compared is {PEER_VERSION}. Make one with "
            f"{PEER_COMMANDS}."
        )
    for clip in clips:
        clip.detected.update({name: (cuts, cpu_s) for name, (cuts, cpu_s) in answer[str(clip.path)].items()})


def _figures(clips: list[LabelledClip], scores: dict[str, dict[str, Score]]) -> dict[str, object]:
    return {
        "scores": {
            part: {
                detector: {
                    **asdict(score),
                    "precision": score.precision,
                    "recall": score.recall,
                    "f1": score.f1,
                }
                for detector, score in by_detector.items()
            }
            for part, by_detector in scores.items()
        },
        "clips": {
            clip.name: {
                "cuts": clip.cuts,
                "detected": {detector: frames for detector, (frames, _) in clip.detected.items()},
            }
            for clip in clips
        },
    }


def _text(clips: list[LabelledClip], scores: dict[str, dict[str, Score]]) -> str:
    detectors = list(clips[0].detected)
    lines = [f"{'right / wrong / missed':<38}" + "".join(f"{detector:>18}" for detector in detectors)]
    for clip in clips:
        cells = []
        for detected, _ in clip.detected.values():
            score = Score()
            score.add(clip.cuts, detected)
            cells.append(f"{f'{score.right} / {score.wrong} / {score.missed}':>18}")
        lines.append(f"{clip.name:<38}" + "".join(cells))
    for part, by_detector in scores.items():
        for word in ("precision", "recall", "f1", "cpu_s"):
            values = "".join(f"{getattr(score, word):>18.2f}" for score in by_detector.values())
            lines.append(f"{f'{part} clips: {word}':<38}{values}")
    return "\n".join(lines)
