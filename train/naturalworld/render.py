"""Drawing a clip of naturalworld: every frame straight at the size that is asked for, a millisecond or two each.

A frame is made in the order in which a real one would be: the photograph through the camera, the things before it, the
cut, the look, rain or snow, the layout, texts, blank pictures, and at last grain and compression. Which of it happens
at a tick is the scene's word; only what no question can ask for (drift, trembling, grain) is drawn here at random.
"""

import io
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from train.naturalworld.assets import Assets
from train.naturalworld.scene import BLANKS, CAMERA, Event, NaturalScene, Shot, Thing
from train.shapeworld.render import canvas_size, unit_noise

_TINT_RGB = {
    "red": (230, 40, 40),
    "green": (50, 190, 70),
    "blue": (50, 90, 240),
    "yellow": (245, 220, 50),
    "purple": (165, 60, 210),
    "white": (250, 250, 250),
}
_CAST_RGB = {"sepia": (255, 214, 160), "blue cast": (150, 190, 255), "green cast": (160, 255, 170)}
_WORDS = (
    "the",
    "and",
    "light",
    "home",
    "river",
    "open",
    "sunday",
    "little",
    "garden",
    "music",
    "winter",
    "story",
    "road",
)
"""What titles and subtitles say: any words do."""
_PAN = 0.34
"""Distance of a whole pan or tilt, of the crop's side; a zoom changes the crop's side by as much."""
_LIGHTS = tuple((gamma, saturation) for gamma in (1.0, 0.75, 1.35) for saturation in (1.0, 0.55, 1.4))
"""Gamma and saturation of the variants of a photograph; the first leaves it as it is."""
VARIANTS = 2 * len(_LIGHTS)
"""Photograph `i + n * len(assets.photographs)` is variant n of photograph i: mirrored where n is odd, in its light."""
_DRIFT = 0.03
"""How far the camera always wanders, so that a frozen picture differs from a quiet one."""


Footage = Callable[[int, float], list[Image.Image]]
"""From what a shot looks at and a time in ticks to the picture and its halves, quarters, eighths."""


def render(
    scene: NaturalScene,
    assets: Assets,
    *,
    short_side_px: int,
    times: np.ndarray | None = None,
    compress: bool = True,
    footage: Footage | None = None,
) -> np.ndarray:
    """Frames uint8[N, H, W, 3] at `times` in ticks (default: every tick). Deterministic in scene, assets and arguments.

    Without `compress` no frame goes through JPEG: a video file compresses by itself. Shots look at the assets'
    photographs, or at other `footage`.
    """
    times = np.arange(scene.ticks, dtype=float) if times is None else times
    size = canvas_size(scene, short_side_px)
    painter = _Painter(scene, assets, size, footage or (lambda idx, time: _photograph(assets, idx)))
    freezes = [event for event in scene.events if event.kind == "frozen"]
    frames = np.empty((len(times), *size, 3), dtype=np.uint8)
    for i, time in enumerate(times):
        frame = np.asarray(painter.picture(float(time)), dtype=np.float32)
        # a frozen picture repeats its grain
        grain_time = next((freeze.start for freeze in freezes if freeze.start <= time < freeze.end), time)
        rng = np.random.default_rng([scene.seed, 17, round(1000 * grain_time)])
        frames[i] = np.clip(frame + scene.grain * unit_noise(rng, size) + 0.5, 0, 255).astype(np.uint8)
        if compress and scene.quality is not None:
            memory = io.BytesIO()
            Image.fromarray(frames[i]).save(memory, format="JPEG", quality=scene.quality)
            frames[i] = np.asarray(Image.open(memory))
    return frames


class _Painter:
    """Draws one scene at any time."""

    def __init__(self, scene: NaturalScene, assets: Assets, size: tuple[int, int], footage: Footage) -> None:
        self.scene, self.assets, self.footage = scene, assets, footage
        self.height, self.width = size
        rng = np.random.default_rng([scene.seed, 19])
        self.wander = rng.uniform(0, 2 * np.pi, 6)
        self.words = [str(word) for word in rng.choice(_WORDS, size=8)]
        self.corner = int(rng.integers(4))
        self.texture_seed = int(rng.integers(2**31))

    def picture(self, time: float) -> Image.Image:
        """RGB at a time in ticks, without grain."""
        scene = self.scene
        now = {event.kind: event for event in scene.events if event.start <= time < event.end}
        shot = next((shot for shot in scene.shots if shot.start <= time < shot.end), scene.shots[-1])
        source_time = self._source_time(time)
        frame = self._footage(shot, time, source_time)
        for transition in ("dissolve", "wipe"):
            if transition in now:
                frame = self._blend(now[transition], time, source_time)
        for thing in scene.things:
            if thing.start <= time < thing.end:
                self._draw_thing(frame, thing, time)
        frame = _look(frame, set(now))
        for weather in ("rain", "snow"):
            if weather in now:
                frame = self._fall(frame, weather, source_time)
        frame = self._layout(frame, set(now), source_time)
        for text in ("title", "subtitle"):
            if text in now:
                self._write(frame, text)
        return self._blank(frame, now, time)

    def _source_time(self, time: float) -> float:
        """How far the world before the camera has come: it stands still, crawls or races during a tempo event.

        Behind a frozen picture it goes on, so that the first picture afterwards is another one.
        """
        source_time = time
        for event in self.scene.events:
            if event.kind == "frozen" and event.start <= time < event.end:
                source_time -= time - event.start
            rate = {"slow motion": 0.25, "time lapse": 4.0}.get(event.kind)
            if rate is not None and time > event.start:
                source_time -= (1 - rate) * (min(time, event.end) - event.start)
        return source_time

    def _footage(self, shot: Shot, time: float, source_time: float) -> Image.Image:
        """The shot's photograph as its camera sees it."""
        rng = np.random.default_rng([shot.seed, 23])
        x, y = rng.uniform(0.5 - self.scene.spread, 0.5 + self.scene.spread, 2)
        zoom, roll = float(rng.uniform(*self.scene.zoom)), float(rng.uniform(-0.05, 0.05)) * self.scene.drift
        for event in self.scene.events:
            if event.kind in CAMERA and shot.start <= event.start < shot.end:
                # a move is halfway where the shot was framed, so that there is room for it on both sides
                share = float(np.clip((time - event.start + 1) / (event.end - event.start), 0, 1)) - 0.5
                if event.kind == "shake" and event.start <= time < event.end:
                    x, y = x + 0.05 * rng_at(shot.seed, time, 0), y + 0.05 * rng_at(shot.seed, time, 1)
                    roll += 0.06 * rng_at(shot.seed, time, 2)
                dx, dy, dz = _MOVES.get(event.kind, (0, 0, 0))
                x, y, zoom = (
                    x + dx * _PAN * share / zoom * 2,
                    y + dy * _PAN * share / zoom * 2,
                    zoom * 2 ** (dz * share),
                )
        phases, scale = self.wander, 2 * np.pi / 9
        x += self.scene.drift * _DRIFT * np.sin(scale * source_time + phases[0])
        y += self.scene.drift * 0.6 * _DRIFT * np.sin(0.7 * scale * source_time + phases[1])
        if self.scene.hand and source_time == time:
            x += self.scene.hand * rng_at(shot.seed, time, 3)
            y += self.scene.hand * rng_at(shot.seed, time, 4)
        levels = self.footage(shot.photograph, source_time)
        back = self._through_camera(levels, x, y, zoom, roll)
        if not self.scene.layered:
            return back
        # the nearer layer, the lower part of the picture, moves half as far again
        front = self._through_camera(levels, x + 0.5 * (x - 0.5), y + 0.1, zoom * 1.15, roll)
        return Image.composite(front, back, _lower_half((self.width, self.height)))

    def _through_camera(
        self, levels: Sequence[Image.Image], x: float, y: float, zoom: float, roll: float
    ) -> Image.Image:
        """The part of a picture around (x, y), shares of its sides, whose shorter side is `1 / zoom` of it."""
        crop = min(levels[0].size) / zoom
        step = crop / min(self.width, self.height)  # pixels of the largest level for one of the frame
        level = int(np.clip(np.floor(np.log2(max(step, 1.0))), 0, len(levels) - 1))
        image = levels[level]
        scale = image.width / levels[0].width
        # a long frame of a long photograph may want more than there is
        step = min(step * scale, 0.9 * image.width / self.width, 0.9 * image.height / self.height)
        cos, sin = np.cos(roll) * step, np.sin(roll) * step
        # stay inside: the centre keeps half a crop from each border
        margin_x = min(0.5, (self.width * step / 2 + 1) / image.width)
        margin_y = min(0.5, (self.height * step / 2 + 1) / image.height)
        centre_x = float(np.clip(x, margin_x, 1 - margin_x)) * image.width
        centre_y = float(np.clip(y, margin_y, 1 - margin_y)) * image.height
        offset_x = centre_x - cos * self.width / 2 + sin * self.height / 2
        offset_y = centre_y - sin * self.width / 2 - cos * self.height / 2
        return image.transform(
            (self.width, self.height),
            Image.Transform.AFFINE,
            (cos, -sin, offset_x, sin, cos, offset_y),
            resample=Image.Resampling.BILINEAR,
        )

    def _blend(self, event: Event, time: float, source_time: float) -> Image.Image:
        """Both shots of a dissolve or a wipe."""
        border = event.start + 1
        before = next(shot for shot in self.scene.shots if shot.end == border)
        after = next(shot for shot in self.scene.shots if shot.start == border)
        share = (time - event.start + 0.5) / (event.end - event.start + 0.5)
        first, second = (self._footage(shot, time, source_time) for shot in (before, after))
        if event.kind == "dissolve":
            return Image.blend(first, second, min(1.0, share))
        edge = round(share * self.width)
        first.paste(second.crop((0, 0, edge, self.height)), (0, 0))
        return first

    def _draw_thing(self, frame: Image.Image, thing: Thing, time: float) -> None:
        side = max(4, round(thing.size * min(self.width, self.height)))
        picture = _thing_picture(self.assets, thing.picture, thing.tint, side)
        x, y = thing.position(time)
        place = (round(x * self.width - side / 2), round(y * self.height - side / 2))
        frame.paste(picture, place, picture)

    def _fall(self, frame: Image.Image, kind: str, source_time: float) -> Image.Image:
        rng = np.random.default_rng(self.texture_seed)
        layer = Image.new("L", frame.size, 0)
        draw = ImageDraw.Draw(layer)
        count = 90 if kind == "rain" else 70
        unit = min(frame.size)
        for x, y, speed in rng.uniform(0, 1, (count, 3)):
            left = (x + 0.13 * source_time * (1 + speed)) % 1 * frame.width
            top = (y + (3.7 if kind == "rain" else 0.41) * source_time * (1 + speed)) % 1 * frame.height
            if kind == "rain":
                draw.line((left, top, left + 0.02 * unit, top + 0.12 * unit), fill=150, width=1)
            else:
                radius = (0.008 + 0.012 * speed) * unit
                draw.ellipse((left - radius, top - radius, left + radius, top + radius), fill=235)
        return Image.composite(Image.new("RGB", frame.size, (235, 240, 250)), frame, layer)

    def _layout(self, frame: Image.Image, now: set[str], source_time: float) -> Image.Image:
        width, height = frame.size
        if "letterbox" in now:
            draw, bar = ImageDraw.Draw(frame), round(0.15 * height)
            draw.rectangle((0, 0, width, bar), fill=0)
            draw.rectangle((0, height - bar - 1, width, height), fill=0)
        if "picture in picture" in now or "split screen" in now:
            drift = 0.03 * np.sin(source_time)
            other = self._through_camera(
                self.footage(self.scene.other, source_time), 0.5 + drift, 0.5, 1.5, 0.0
            )
            if "split screen" in now:
                frame.paste(other.crop((0, 0, width // 2, height)), (width - width // 2, 0))
                ImageDraw.Draw(frame).line((width // 2, 0, width // 2, height), fill=(240, 240, 240), width=2)
            else:
                small = other.resize((round(0.36 * width), round(0.36 * height)))
                left = 4 if self.corner % 2 else width - small.width - 4
                top = 4 if self.corner < 2 else height - small.height - 4
                frame.paste(
                    (240, 240, 240), (left - 2, top - 2, left + small.width + 2, top + small.height + 2)
                )
                frame.paste(small, (left, top))
        return frame

    def _write(self, frame: Image.Image, kind: str) -> None:
        """A large title in the middle, or a line at the bottom."""
        width, height = frame.size
        if kind == "title":
            text, size, y = self.words[0].capitalize(), 0.24, 0.42
        else:
            text, size, y = " ".join(self.words[1:5]), 0.11, 0.82
        font = ImageFont.load_default(max(8, size * min(width, height)))
        left = max(2, round((width - font.getlength(text)) / 2))
        draw = ImageDraw.Draw(frame)
        draw.text(
            (left, y * height),
            text,
            font=font,
            fill="white",
            stroke_width=max(1, height // 90),
            stroke_fill="black",
        )

    def _blank(self, frame: Image.Image, now: dict[str, Event], time: float) -> Image.Image:
        for kind in BLANKS:
            if kind in now:
                return Image.new("RGB", frame.size, kind)
        if "flash" in now:
            return Image.blend(frame, Image.new("RGB", frame.size, "white"), 0.85)
        for kind in ("fade through black", "fade through white"):
            if kind in now:
                event = now[kind]
                depth = 1 - abs(time - event.start - 0.75) / (event.end - event.start)
                return Image.blend(
                    frame, Image.new("RGB", frame.size, kind.split()[-1]), min(1.0, max(0.5, depth))
                )
        return frame


_MOVES: dict[str, tuple[int, int, int]] = {
    "pan left": (-1, 0, 0),
    "pan right": (1, 0, 0),
    "tilt up": (0, -1, 0),
    "tilt down": (0, 1, 0),
    "zoom in": (0, 0, 1),
    "zoom out": (0, 0, -1),
}
"""Where the camera looks (x, y) and how far in, by kind of camera event."""


def rng_at(seed: int, time: float, axis: int) -> float:
    """A number in [-1, 1] that differs from moment to moment, the same every time."""
    return float(np.random.default_rng([seed, round(1000 * time), axis]).uniform(-1, 1))


def pyramid(image: Image.Image) -> list[Image.Image]:
    """The picture and its halves, quarters, eighths, down to the size of a frame."""
    levels = [image]
    while min(levels[-1].size) >= 80:
        levels.append(levels[-1].reduce(2))
    return levels


@lru_cache(maxsize=256)
def _photograph(assets: Assets, idx: int) -> list[Image.Image]:
    """A photograph, or one of its VARIANTS, and its halves, quarters, eighths."""
    variant, photograph_idx = divmod(idx, len(assets.photographs))
    image = assets.open_photograph(photograph_idx)
    if variant % 2:
        image = ImageOps.mirror(image)
    gamma, saturation = _LIGHTS[variant // 2]
    if gamma != 1:
        image = image.point([round(255 * (level / 255) ** gamma) for level in range(256)] * 3)
    return pyramid(ImageEnhance.Color(image).enhance(saturation))


@lru_cache(maxsize=4096)
def _thing_picture(assets: Assets, idx: int, tint: str | None, side: int) -> Image.Image:
    """A thing's picture in RGBA at a size, tinted where it has a tint."""
    picture = Image.fromarray(assets.pixels[idx])
    if tint is not None:
        grey = np.asarray(picture.convert("L"), dtype=np.float32)[..., None] / 255
        colour = np.array(_TINT_RGB[tint], dtype=np.float32)
        # middle grey becomes the colour, white stays light, black stays dark
        shade = np.where(grey < 0.6, colour * (0.35 + grey), colour + (255 - colour) * (grey - 0.6))
        pixels = np.clip(shade, 0, 255).astype(np.uint8)
        picture = Image.merge("RGBA", (*Image.fromarray(pixels).split(), picture.getchannel("A")))
    return picture.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)


@lru_cache(maxsize=16)
def _lower_half(size: tuple[int, int]) -> Image.Image:
    """A mask that is white below a wavy line in the picture's lower half."""
    width, height = size
    x = np.arange(width) / max(1, width)
    line = (0.66 + 0.05 * np.sin(9 * x)) * height
    return Image.fromarray(np.where(np.arange(height)[:, None] > line[None], 255, 0).astype(np.uint8))


def _look(frame: Image.Image, now: set[str]) -> Image.Image:
    if "black and white" in now:
        return frame.convert("L").convert("RGB")
    for kind, colour in _CAST_RGB.items():
        if kind in now:
            grey = frame.convert("L").convert("RGB")
            return ImageChops.multiply(Image.blend(frame, grey, 0.55), Image.new("RGB", frame.size, colour))
    if "darker" in now:
        return ImageEnhance.Brightness(frame).enhance(0.35)
    if "brighter" in now:
        return ImageEnhance.Brightness(frame).enhance(2.0)
    if "blurred" in now:
        return frame.filter(ImageFilter.GaussianBlur(0.035 * min(frame.size)))
    return frame
