"""A table of colours and times: what the file says is what model, film strip and normal copy show."""

import base64
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from app.media.clips import draw_strip, prepare_clip
from tempo_core.colour import tone_mapped
from tempo_core.video import probe, sample
from tests.videos import constant, number_of, picture, write_clip

# No channel far below another: ten bits of PQ are too coarse to say 20 beside 180.
PATCHES = np.array([[60, 180, 90], [200, 70, 90], [70, 90, 220], [240, 200, 80]])
WEIGHTS = {
    "601": (0.299, 0.114),
    "709": (0.2126, 0.0722),
    "2020": (0.2627, 0.0593),
}  # of red and blue (ITU-R)
PQ, HLG = 16, 18  # ITU-T H.273 table 3
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
            options={"crf": "1"},
            draw=self.frame,
            prepare=tag,
        )

    def frame(self, number: int) -> av.VideoFrame:
        height, width = self.size[::-1] if self.turned else self.size
        patches = np.repeat(np.repeat(PATCHES[None], height // 2, 0), width // 4, 1)
        shown = np.vstack([patches, picture(number, height // 2, width)])
        rgb = (np.rot90(shown) if self.turned else shown) / 255
        if self.tags[2] in (PQ, HLG):
            rgb = as_hdr(rgb, self.tags[2])
        return coded_frame(rgb, self.matrix, full=self.tags[3] == 2, bits=self.bits)


def as_hdr(srgb: np.ndarray, transfer: int) -> np.ndarray:
    """BT.2020 code values in [0, 1] that mean `srgb` in [0, 1] once they are tone-mapped: the way back, exactly.

    Reinhard's y = x (1 + x / w²) / (1 + x) is solved for x, the largest channel in units of 203 nits; w is 1000 nits.
    """
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    y, w2 = np.maximum(light.max(axis=2, keepdims=True), 1e-6), (1000 / 203) ** 2
    x = w2 / 2 * (y - 1 + np.sqrt((1 - y) ** 2 + 4 * y / w2))
    to_2020 = np.array(
        [[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]]
    )
    nits = light * x / y * 203 @ to_2020.T
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
        plane.update(rows)
    return frame


def decoded_by_tags(path: Path) -> list[tuple[float, np.ndarray]]:
    """(time, rgb) of every frame of a copy, by the arithmetic of the tags that it must carry."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    red, blue = WEIGHTS["601"]
    pictures = []
    for frame in frames:
        assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (5, 1, 1, 1)
        y, cb, cr = (
            np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width].astype(float)
            for plane in frame.planes
        )
        y = (y - 16) / 219
        cb, cr = (
            (plane.repeat(2, 0).repeat(2, 1)[: y.shape[0], : y.shape[1]] - 128) / 224 for plane in (cb, cr)
        )
        r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
        g = (y - red * r - blue * b) / (1 - red - blue)
        pictures.append((float(frame.time or 0), np.clip(np.stack([r, g, b], 2), 0, 1) * 255))
    return pictures


def patches_of(image: np.ndarray) -> np.ndarray:
    """float[4, 3]: the mean of each patch's middle."""
    height, width = image.shape[:2]
    y, half = height // 4, max(2, width // 32)
    middles = [width * (2 * k + 1) // 8 for k in range(4)]
    return np.stack([image[y - 3 : y + 3, x - half : x + half].mean(axis=(0, 1)) for x in middles])


def assert_shown(image: np.ndarray, number: int, tolerance: int = 3) -> None:
    np.testing.assert_allclose(patches_of(image), PATCHES, atol=tolerance)
    assert number_of(image[image.shape[0] // 2 :]) == number


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
    "ten_bit": Clip(matrix="709", tags=BT709, bits=10),
    "hdr_pq": Clip(matrix="2020", tags=(9, 9, PQ, 1), bits=10),
    "hdr_hlg": Clip(matrix="2020", tags=(9, 9, HLG, 1), bits=10),
    "hdr_pq_turned": Clip(matrix="2020", tags=(9, 9, PQ, 1), bits=10, turned=True, size=LARGE),
    "late_start": Clip(matrix="601", times_s=tuple(constant(12, start_s=0.48)), audio_s=0.9),
    "late_start_silent": Clip(matrix="601", times_s=tuple(constant(12, start_s=0.48))),
    "sparse": Clip(matrix="601", times_s=(0.0, 0.8, 1.6, 2.44)),
    "stream": Clip(matrix="601", suffix=".ts"),
}


@pytest.mark.parametrize("name", TABLE)
def test_model_strip_and_copy_show_the_files_own_colours_and_times(tmp_path: Path, name: str) -> None:
    clip = TABLE[name]
    path = clip.write(tmp_path)
    times_s = np.array(clip.times_s) - (0 if clip.audio_s else clip.times_s[0])
    assert probe(path).end_s == pytest.approx(times_s[-1] + 0.04, abs=0.001)

    def shown_at(time_s: float) -> int:
        return max(0, int(np.searchsorted(times_s, time_s + 0.001, side="right")) - 1)

    model = sample(path, at=times_s.tolist())
    np.testing.assert_allclose(model.times_s, times_s, atol=0.001)
    for number, image in enumerate(model.frames):
        assert_shown(image, number)

    (folder := tmp_path / "library").mkdir()
    facts = prepare_clip(path, folder, cancel=threading.Event(), on_progress=lambda _: None)
    copy = decoded_by_tags(folder / "clip.mp4")
    assert facts.frame_rate is not None
    assert len(copy) == facts.frame_count == round((times_s[-1] + 0.04) * facts.frame_rate)
    for k, (time_s, image) in enumerate(copy):
        assert time_s == pytest.approx(k / facts.frame_rate, abs=1e-6)
        assert_shown(image, shown_at(time_s))
    # Decord's own conversion to RGB always rounds down, which adds to the copy's rounding.
    for reader, tolerance in (("pyav", 3), (None, 4)):
        in_copy = sample(folder / "clip.mp4", at=times_s.tolist(), force_reader=reader)
        for time_s, image in zip(in_copy.times_s, in_copy.frames, strict=True):
            assert_shown(image, shown_at(time_s), tolerance)

    strip = draw_strip(folder / "clip.mp4", folder / "strip.jpg", facts, cancel=threading.Event())
    sheet = np.asarray(Image.open(folder / "strip.jpg"))
    for tile, time_s in enumerate(strip.times_s):
        row, column = divmod(tile, strip.columns)
        y, x = row * strip.tile_height, column * strip.tile_width
        assert_shown(sheet[y : y + strip.tile_height, x : x + strip.tile_width], shown_at(time_s))


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_tone_mapping_keeps_black_and_hue_and_ends_at_white(transfer: int) -> None:
    grey = np.repeat(np.arange(0, 65536, 257, dtype=np.uint16)[:, None], 3, 1)[None]
    mapped = tone_mapped(grey, transfer)[0].astype(int)
    assert mapped[0].tolist() == [0, 0, 0]
    assert mapped[-1].tolist() == [255, 255, 255]
    assert np.ptp(mapped, axis=1).max() <= 1  # grey stays grey
    assert (np.diff(mapped[:, 1]) >= 0).all()


def test_reference_white_of_pq_becomes_a_light_grey() -> None:
    """203 nits are 58 % of PQ's code (ITU-R BT.2408 table 1); Reinhard's curve makes 0.521 of white of it: sRGB 191."""
    white = np.full((1, 1, 3), round(0.5807 * 65535), np.uint16)
    assert tone_mapped(white, PQ)[0, 0].tolist() == [191, 191, 191]


SHOWN_BY_BROWSER = """async (source) => {
  const video = document.createElement("video");
  [video.muted, video.src] = [true, source];
  await new Promise((done, fail) => { video.onloadeddata = done; video.onerror = () => fail(video.error.message); });
  await new Promise((done) => { video.onseeked = done; video.currentTime = 0.02; });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  return [canvas.height, canvas.width, Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data)];
}"""


@pytest.mark.browser
@pytest.mark.parametrize(
    "name", ["sd_untagged", "hd_untagged", "hd_turned_709", "full_range", "hdr_pq", "hdr_hlg"]
)
def test_the_player_shows_the_files_own_colours(page: Any, tmp_path: Path, name: str) -> None:
    path = TABLE[name].write(tmp_path)
    (folder := tmp_path / "library").mkdir()
    prepare_clip(path, folder, cancel=threading.Event(), on_progress=lambda _: None)
    encoded = base64.b64encode((folder / "clip.mp4").read_bytes()).decode()
    height, width, data = page.evaluate(SHOWN_BY_BROWSER, f"data:video/mp4;base64,{encoded}")
    assert_shown(np.array(data, np.uint8).reshape(height, width, 4)[..., :3], 0)
