"""Clips with four patches of known colours and a number in each picture, and what model, film strip and player show."""

import base64
import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from app.media.clips import draw_strip, prepare_clip
from tempo_core.video import sample
from tests.videos import constant, number_of, picture, write_clip

# No channel far below another: ten bits of PQ are too coarse to say 20 beside 180.
PATCHES = np.array([[60, 180, 90], [200, 70, 90], [70, 90, 220], [240, 200, 80]])
WEIGHTS = {
    "601": (0.299, 0.114),
    "709": (0.2126, 0.0722),
    "2020": (0.2627, 0.0593),
}  # of red and blue (ITU-R)
PQ, HLG = 16, 18  # ITU-T H.273 table 3
BT2020, DISPLAY_P3 = 9, 12  # table 2
OF_709 = {  # linear light in other primaries of linear BT.709 (ITU-R BT.2087 table 4; CSS Color 4)
    BT2020: np.array(
        [[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]]
    ),
    DISPLAY_P3: np.array(
        [[0.822462, 0.177538, 0.0], [0.033194, 0.966806, 0.0], [0.017083, 0.072397, 0.910520]]
    ),
}
LARGE, SMALL = (720, 1280), (192, 256)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """How a clip of the table is written; its frame k carries the number k below four patches."""

    matrix: str
    tags: tuple[int, int, int, int] = (2, 2, 2, 0)
    """Matrix, primaries, transfer (ITU-T H.273) and range as the file states them; 2, 2, 2, 0 states nothing."""
    size: tuple[int, int] = SMALL
    times_s: tuple[float, ...] = tuple(constant(12))
    bits: int = 8
    """Of each sample."""
    turned: bool = False
    """Whether the pictures lie on their side in the file, with a display matrix that says so."""
    audio_s: float | None = None
    suffix: str = ".mp4"
    codec: str = "libx264"

    @property
    def starts_s(self) -> list[float]:
        """When each picture begins on the clip's own axis: sound begins it, else the first picture."""
        return [time_s - (0 if self.audio_s else self.times_s[0]) for time_s in self.times_s]

    def write(self, folder: Path) -> Path:
        def tag(stream: Any) -> None:
            context = stream.codec_context
            context.colorspace, context.color_primaries, context.color_trc, context.color_range = self.tags
            if self.turned:
                stream.set_display_rotation(-90)

        return write_clip(
            folder / f"clip{self.suffix}",
            self.times_s,
            size=self.size,
            pixels={8: "yuv420p", 10: "yuv420p10le"}[self.bits],
            audio_s=self.audio_s,
            codec=self.codec,
            options={"crf": "1", "x265-params": "log-level=none"},
            draw=self.frame,
            prepare=tag,
        )

    def frame(self, number: int) -> av.VideoFrame:
        height, width = self.size[::-1] if self.turned else self.size
        patches = np.repeat(np.repeat(PATCHES[None], height // 2, 0), width // 4, 1)
        both = np.vstack([patches, picture(number, height // 2, width)])
        rgb = (np.rot90(both) if self.turned else both) / 255
        if self.tags[2] in (PQ, HLG):
            rgb = as_hdr(rgb, self.tags[2])
        elif self.tags[1] in OF_709:
            rgb = curve_of(light_of(rgb) @ OF_709[self.tags[1]].T)
        return coded_frame(rgb, self.matrix, full=self.tags[3] == 2, bits=self.bits)


def light_of(srgb: np.ndarray) -> np.ndarray:
    """Linear light of sRGB values, both in [0, 1] (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def curve_of(light: np.ndarray) -> np.ndarray:
    """sRGB values of linear light."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def as_hdr(srgb: np.ndarray, transfer: int) -> np.ndarray:
    """BT.2020 code values in [0, 1] that mean `srgb` in [0, 1] once they are tone-mapped: the way back, exactly.

    Reinhard's y = x (1 + x / w²) / (1 + x) is solved for x, the largest channel in units of 203 nits; w is 1000 nits.
    """
    light = light_of(srgb)
    y, w2 = np.maximum(light.max(axis=2, keepdims=True), 1e-6), (1000 / 203) ** 2
    x = w2 / 2 * (y - 1 + np.sqrt((1 - y) ** 2 + 4 * y / w2))
    nits = light * x / y * 203 @ OF_709[BT2020].T
    if transfer == PQ:
        root = (nits / 10_000) ** (2610 / 16384)
        return ((3424 / 4096 + 2413 / 128 * root) / (1 + 2392 / 128 * root)) ** (2523 / 32)
    luminance = np.maximum(nits @ np.array([0.2627, 0.6780, 0.0593]), 1e-6)[..., None]
    scene = nits / 1000 * (luminance / 1000) ** (1 / 1.2 - 1)
    curve = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), curve)


def coded_frame(rgb: np.ndarray, matrix: str, *, full: bool, bits: int) -> av.VideoFrame:
    """A 4:2:0 frame of rgb in [0, 1] by ITU-T H.273's own arithmetic, without a converter."""
    red, blue = WEIGHTS[matrix]
    y = rgb @ np.array([red, 1 - red - blue, blue])
    chroma = [(rgb[..., 2] - y) / (2 * (1 - blue)), (rgb[..., 0] - y) / (2 * (1 - red))]
    unit = 2 ** (bits - 8)
    y_scale, y_zero, chroma_scale = (255, 0, 255) if full else (219, 16, 224)
    planes = [(y * y_scale + y_zero) * unit]
    planes += [(plane[::2, ::2] * chroma_scale + 128) * unit for plane in chroma]
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], {8: "yuv420p", 10: "yuv420p10le"}[bits])
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros(
            (plane.height, plane.line_size // (2 if bits > 8 else 1)), "<u2" if bits > 8 else "u1"
        )
        rows[:, : plane.width] = np.round(values)
        plane.update(rows.tobytes())
    return frame


def patches_of(image: np.ndarray) -> np.ndarray:
    """float[4, 3]: the mean of each patch's middle."""
    height, width = image.shape[:2]
    y, half = height // 4, max(2, width // 32)
    middles = [width * (2 * k + 1) // 8 for k in range(4)]
    return np.stack([image[y - 3 : y + 3, x - half : x + half].mean(axis=(0, 1)) for x in middles])


BT709 = (1, 1, 1, 1)
TABLE = {
    "sd_601": Clip(matrix="601", tags=(6, 6, 6, 1)),
    "sd_709": Clip(matrix="709", tags=BT709),
    "sd_untagged": Clip(matrix="601"),
    "hd_709": Clip(matrix="709", tags=BT709, size=LARGE),
    "hd_601": Clip(matrix="601", tags=(6, 1, 1, 1), size=LARGE),
    "hd_untagged": Clip(matrix="709", size=LARGE),
    "hd_turned_709": Clip(matrix="709", tags=BT709, size=LARGE, turned=True),
    "hd_turned_untagged": Clip(matrix="709", size=LARGE, turned=True),
    "sd_turned_untagged": Clip(matrix="601", turned=True),
    "full_range": Clip(matrix="709", tags=(1, 1, 1, 2)),
    "full_range_untagged": Clip(matrix="601", tags=(2, 2, 2, 2)),
    "full_range_hevc_ten_bit": Clip(matrix="709", tags=(1, 1, 1, 2), bits=10, codec="libx265"),
    "hd_turned_untagged_matroska": Clip(matrix="709", size=LARGE, turned=True, suffix=".mkv"),
    "ten_bit": Clip(matrix="709", tags=BT709, bits=10),
    "hdr_pq": Clip(matrix="2020", tags=(9, 9, PQ, 1), bits=10),
    "hdr_hlg": Clip(matrix="2020", tags=(9, 9, HLG, 1), bits=10),
    "hdr_pq_turned": Clip(matrix="2020", tags=(9, 9, PQ, 1), bits=10, turned=True, size=LARGE),
    "wide_sdr": Clip(matrix="2020", tags=(9, BT2020, 14, 1), bits=10),
    "wide_sdr_turned": Clip(matrix="2020", tags=(9, BT2020, 1, 1), bits=10, turned=True),
    "display_p3": Clip(matrix="709", tags=(1, DISPLAY_P3, 1, 1), size=LARGE),
    "late_start": Clip(matrix="601", times_s=tuple(constant(12, start_s=0.48)), audio_s=0.9),
    "late_start_silent": Clip(matrix="601", times_s=tuple(constant(12, start_s=0.48))),
    "sparse": Clip(matrix="601", times_s=(0.0, 0.8, 1.6, 2.44)),
    "stream": Clip(matrix="601", suffix=".ts"),
}
MEASURED = (
    "hd_709",
    "hd_turned_709",
    "hd_turned_untagged",
    "sd_untagged",
    "hd_untagged",
    "full_range",
    "ten_bit",
    "hdr_pq",
    "hdr_hlg",
    "wide_sdr",
    "late_start",
    "sparse",
)
"""The clips of the table that `python -m benchmarks colours` prints."""
Pictures = list[tuple[float, np.ndarray]]
"""Times in seconds, and the picture that is shown there."""
FRAME_S = 0.04
SHOWN_BY_BROWSER = """async ([source, times]) => {
  const video = document.createElement("video");
  [video.muted, video.src] = [true, source];
  await new Promise((done, fail) => { video.onloadeddata = done; video.onerror = () => fail(video.error.message); });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pictures = [];
  for (const time of times) {
    // "seeked" may come while the picture before is still there: the first time there is none.
    const presented = new Promise((done) => video.requestVideoFrameCallback(done));
    await new Promise((done) => { video.onseeked = done; video.currentTime = time; });
    if (pictures.length > 0) await presented;
    do { // Chromium may say "seeked" before there is a picture to draw
      await new Promise((done) => setTimeout(done, 20));
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.drawImage(video, 0, 0);
    } while (context.getImageData(4, 4, 1, 1).data[3] === 0);
    pictures.push([video.currentTime, canvas.toDataURL("image/png")]);
  }
  return pictures;
}"""


def seen_by_model(path: Path, times_s: Sequence[float]) -> Pictures:
    frames = sample(path, at=times_s)
    return list(zip(frames.times_s.tolist(), frames.frames, strict=True))


def seen_in_strip(folder: Path, facts: Any) -> Pictures:
    strip = draw_strip(folder / "clip.mp4", folder / "strip.jpg", facts, cancel=threading.Event())
    sheet = np.asarray(Image.open(folder / "strip.jpg"))
    tiles = []
    for tile, time_s in enumerate(strip.times_s):
        row, column = divmod(tile, strip.columns)
        y, x = row * strip.tile_height, column * strip.tile_width
        tiles.append((time_s, sheet[y : y + strip.tile_height, x : x + strip.tile_width]))
    return tiles


def seen_in_player(page: Any, copy: Path, times_s: Sequence[float]) -> Pictures:
    """What Chromium shows in the middle of the frames that begin at these times."""
    encoded = base64.b64encode(copy.read_bytes()).decode()
    middles = [time_s + FRAME_S / 2 for time_s in times_s]
    addresses = page.evaluate(SHOWN_BY_BROWSER, [f"data:video/mp4;base64,{encoded}", middles])
    pictures = []
    for time_s, address in addresses:
        content = base64.b64decode(address.partition(",")[2])
        pictures.append((time_s, np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))))
    return pictures


def colour_error(pictures: Pictures) -> float:
    """The largest difference of a patch in a channel, of 255."""
    return max(float(np.abs(patches_of(image) - PATCHES).max()) for _, image in pictures)


def time_error_s(clip: Clip, pictures: Pictures) -> float:
    """How far the times of the pictures lie at most from the time for which the file shows each."""
    starts_s = clip.starts_s
    ends_s = [*starts_s[1:], starts_s[-1] + FRAME_S]
    errors_s = []
    for time_s, image in pictures:
        number = number_of(image[image.shape[0] // 2 :])
        start_s = starts_s[number] if number else 0.0  # the first picture stands in for the time before it
        errors_s.append(max(start_s - time_s, time_s - ends_s[number], 0.0))
    return max(errors_s)


def measure(name: str, folder: Path, page: Any) -> dict[str, tuple[float, float]]:
    """Surface → (colour error of 255, time error in frames) of a clip of the table."""
    clip = TABLE[name]
    path = clip.write(folder)
    library = folder / "library"
    library.mkdir()
    facts = prepare_clip(path, library, cancel=threading.Event(), on_progress=lambda _: None)
    surfaces = {
        "model": seen_by_model(path, clip.starts_s),
        "strip": seen_in_strip(library, facts),
        "player": seen_in_player(
            page, library / "clip.mp4", clip.starts_s[:: max(1, len(clip.starts_s) // 4)]
        ),
    }
    return {
        surface: (colour_error(pictures), time_error_s(clip, pictures) / FRAME_S)
        for surface, pictures in surfaces.items()
    }
