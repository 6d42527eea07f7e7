"""Made clips whose cuts are known to the frame, and what looks like a cut and is none.

Every scene is a textured wall with things that move before it, wider than the picture so that a camera can pan.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

HEIGHT, WIDTH, RATE = 144, 256, 25
FRAMES = 200
Picture = npt.NDArray[np.uint8]


@functools.cache
def _noise(number: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(number).normal(0, 3, (HEIGHT, WIDTH, 3))


class Scene:
    """A wall three pictures wide and discs that drift across it; the seed decides.

    `palette` moves all colours: scenes with near palettes are hard to tell apart by colour alone.
    """

    def __init__(self, seed: int, palette: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        wall = np.zeros((HEIGHT, 3 * WIDTH, 3))
        for cells, weight in ((4, 80), (12, 40), (30, 10)):
            coarse = rng.normal(0, weight, (cells, 5 * cells, 3)) * [1, palette, palette]
            layers = [
                np.asarray(
                    Image.fromarray(coarse[..., channel].astype(np.float32)).resize(
                        (3 * WIDTH, HEIGHT), Image.Resampling.BICUBIC
                    )
                )
                for channel in range(3)
            ]
            wall += np.stack(layers, axis=2)
        self.wall = wall + 127 + palette * rng.uniform(-50, 50, 3)
        self.discs = [
            (rng.uniform(0, WIDTH), rng.uniform(20, HEIGHT - 20), rng.uniform(-2, 2), rng.uniform(8, 20))
            for _ in range(3)
        ]
        self.disc_colours = rng.uniform(0, 255, (3, 3))

    def picture(
        self, frame_idx: int, *, left_px: float = WIDTH, top_px: float = 0.0, gain: float = 1.0
    ) -> Picture:
        """What a camera at `left_px` of the wall sees; `gain` is the light."""
        left, top = round(left_px) % (4 * WIDTH), round(top_px)
        left = min(left, 4 * WIDTH - left)  # at the wall's end the camera turns round
        view = np.roll(self.wall, -top, axis=0)[:, left : left + WIDTH].copy()
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        for (x_px, y_px, speed, radius), colour in zip(self.discs, self.disc_colours, strict=True):
            centre = (x_px + speed * frame_idx - (left_px - WIDTH)) % WIDTH
            view[(columns - centre) ** 2 + (rows - y_px) ** 2 < radius**2] = colour
        return np.clip(gain * view + _noise(frame_idx % 8), 0, 255).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class CutClip:
    """One made clip."""

    name: str
    pictures: Callable[[], Iterator[Picture]]
    cuts: tuple[int, ...] = ()
    """Frames that begin a new shot."""


def cut_clips(seed: int = 0) -> list[CutClip]:
    """The made clips of a seed: half of them have cuts."""
    rng = np.random.default_rng(seed)

    def places(count: int) -> tuple[int, ...]:
        """Frames at least 20 apart and away from the clip's ends."""
        return tuple(
            int(cell * FRAMES / count + rng.integers(20, FRAMES // count - 5)) for cell in range(count)
        )

    def scenes(palette: float = 1.0) -> list[Scene]:
        return [Scene(int(number), palette) for number in rng.integers(1, 2**31, 7)]

    def shot(cuts: tuple[int, ...], frame_idx: int) -> int:
        return sum(frame_idx >= cut for cut in cuts)

    def still(walls: list[Scene], cuts: tuple[int, ...]) -> Callable[[], Iterator[Picture]]:
        return lambda: (walls[shot(cuts, idx)].picture(idx) for idx in range(FRAMES))

    def jumped(wall: Scene, cuts: tuple[int, ...]) -> Callable[[], Iterator[Picture]]:
        """The same place some time later, nearer or farther."""

        def pictures() -> Iterator[Picture]:
            for idx in range(FRAMES):
                number = shot(cuts, idx)
                picture = wall.picture(idx + 37 * number)
                if number % 2:
                    part = Image.fromarray(picture).crop((30, 12, WIDTH - 26, HEIGHT - 20))
                    picture = np.asarray(part.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
                yield picture

        return pictures

    def panned(walls: list[Scene], cuts: tuple[int, ...], speed: float) -> Callable[[], Iterator[Picture]]:
        return lambda: (walls[shot(cuts, idx)].picture(idx, left_px=speed * idx) for idx in range(FRAMES))

    def mixed(walls: list[Scene], first: int, length: int) -> Callable[[], Iterator[Picture]]:
        def pictures() -> Iterator[Picture]:
            for idx in range(FRAMES):
                share = min(1.0, max(0.0, (idx - first) / length))
                both = (1 - share) * walls[0].picture(idx) + share * walls[1].picture(idx)
                yield both.astype(np.uint8)

        return pictures

    def lit(wall: Scene, gain: Callable[[int], float]) -> Callable[[], Iterator[Picture]]:
        return lambda: (wall.picture(idx, gain=gain(idx)) for idx in range(FRAMES))

    def shaken(wall: Scene, size_px: float) -> Callable[[], Iterator[Picture]]:
        jolts = rng.normal(0, size_px, (FRAMES, 2))
        jolts[rng.random(FRAMES) < 0.8] /= 8  # most of the time it is nearly still
        return lambda: (
            wall.picture(idx, left_px=WIDTH + jolts[idx, 0], top_px=jolts[idx, 1] / 3)
            for idx in range(FRAMES)
        )

    hard, near, quick, pan, busy = places(4), places(3), places(6), places(3), places(2)
    jumps = places(3)
    flash = places(3)
    flash_cut = places(2)
    whip = int(rng.integers(60, 120))
    lamp = int(rng.integers(60, 120))
    walls = [scenes() for _ in range(12)]

    def whipped(idx: int) -> float:
        return WIDTH * (0.2 + 1.5 / (1 + np.exp(-(idx - whip) / 1.2)))

    def flashes(idx: int) -> float:
        return 1.0 + 2.5 * any(0 <= idx - begin < 2 for begin in flash)

    def strobe(idx: int) -> float:
        return 1.0 if (idx // 3) % 2 or not 50 <= idx < 150 else 0.15

    def flash_at_cut(idx: int) -> float:
        return 1.0 + 2.5 * any(abs(idx - 12 - begin) < 1 for begin in flash_cut)

    first = walls[11][0]
    return [
        CutClip(name="hard cuts", pictures=still(walls[0], hard), cuts=hard),
        CutClip(name="cuts between like scenes", pictures=still(scenes(0.15), near), cuts=near),
        CutClip(name="quick cuts", pictures=still(walls[1], quick), cuts=quick),
        CutClip(name="jump cuts", pictures=jumped(walls[1][6], jumps), cuts=jumps),
        CutClip(name="cuts in a pan", pictures=panned(walls[2], pan, 6.0), cuts=pan),
        CutClip(name="cuts in a fast pan", pictures=panned(walls[3], busy, 14.0), cuts=busy),
        CutClip(
            name="cuts and flashes",
            pictures=lambda: (
                walls[4][shot(flash_cut, idx)].picture(idx, gain=flash_at_cut(idx)) for idx in range(FRAMES)
            ),
            cuts=flash_cut,
        ),
        CutClip(name="short dissolve", pictures=mixed(walls[5], 80, 8)),
        CutClip(name="long dissolve", pictures=mixed(walls[6], 70, 40)),
        CutClip(name="flashes", pictures=lit(walls[7][0], flashes)),
        CutClip(name="strobe", pictures=lit(walls[8][0], strobe)),
        CutClip(name="a lamp goes out", pictures=lit(walls[9][0], lambda idx: 1.0 if idx < lamp else 0.35)),
        CutClip(name="slow pan", pictures=panned(walls[10], (), 3.0)),
        CutClip(
            name="whip pan",
            pictures=lambda: (first.picture(idx, left_px=whipped(idx)) for idx in range(FRAMES)),
        ),
        CutClip(name="shaken camera", pictures=shaken(walls[11][1], 40.0)),
    ]


def write_cut_clip(clip: CutClip, path: Path) -> Path:
    """Encode the clip as H.264."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(
            "libx264", rate=RATE, options={"g": "12", "crf": "20", "preset": "veryfast"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in clip.pictures():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path
