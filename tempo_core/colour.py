"""What the numbers of a decoded picture mean as colours. Runs in the sandbox's child."""

from functools import cache
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Without the two flags libswscale's shortcuts are off by up to 3 of 255 in one channel."""
UNSTATED = 2  # ITU-T H.273 for matrix, primaries and transfer alike
HD_WIDTH, SD_HEIGHT = 1280, 576
BT601 = (Colorspace.ITU601, 6)  # H.273 5 and 6 are the same matrix
PLAIN_TRANSFERS = (ColorTrc.BT709, ColorTrc.SMPTE170M)  # the same curve

HDR = {ColorTrc.SMPTE2084: "PQ", ColorTrc.ARIB_STD_B67: "HLG"}
WHITE_NITS, PEAK_NITS = 203, 1000  # reference white and nominal peak (ITU-R BT.2408 table 1, BT.2100 table 5)
ZERO_YUV = np.array([16, 128, 128], np.float32)
RGB_OF_YUV_2020 = np.array(  # limited range to [0, 1] (BT.2020 tables 4 and 5)
    [[1 / 219, 0, 1.4746 / 224], [1 / 219, -0.16455 / 224, -0.57135 / 224], [1 / 219, 1.8814 / 224, 0]],
    np.float32,
)
WHITE = (0.3127, 0.3290)  # D65
CHROMATICITIES = {  # of red, green and blue (ITU-R BT.709 table 1, BT.2020 table 3, SMPTE EG 432-1)
    ColorPrimaries.BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    ColorPrimaries.BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    ColorPrimaries.SMPTE432: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
WIDE = {ColorPrimaries.BT2020: "BT.2020", ColorPrimaries.SMPTE432: "Display P3"}
SRGB_STEPS = 1 << 14


def matrix_of(frame: Any) -> int:
    """The matrix of a frame's YUV as libswscale counts them: ITU709 or ITU601 for all but rare files.

    A file that does not state it means BT.709 from HD size on, else BT.601: mpv's rule, and Chromium's but for
    heights between 576 and 720. RGB counts as ITU709.
    """
    if frame.format.is_rgb:
        return Colorspace.ITU709
    if frame.colorspace == UNSTATED:
        is_hd = frame.width >= HD_WIDTH or frame.height > SD_HEIGHT
        return Colorspace.ITU709 if is_hd else Colorspace.ITU601
    return Colorspace.ITU601 if frame.colorspace in BT601 else int(frame.colorspace)


def is_plain(frame: Any) -> bool:
    """Whether a frame states BT.709 colours with BT.601's matrix in limited range, as a normal copy does."""
    return (
        frame.colorspace in BT601
        and frame.color_primaries == ColorPrimaries.BT709
        and frame.color_trc in PLAIN_TRANSFERS
        and frame.color_range == ColorRange.MPEG
    )


def is_beyond_709(frame: Any) -> bool:
    """Whether a frame is HDR or in wider primaries, so that its code values are not those of an ordinary screen."""
    return frame.color_trc in HDR or frame.color_primaries in WIDE


def transparent_rgba(frame: Any) -> np.ndarray | None:
    """uint8[H, W, 4] of a frame that has transparent parts; None for all others."""
    if not any(component.is_alpha for component in frame.format.components) or is_beyond_709(frame):
        return None
    matrix = None if frame.format.is_rgb else matrix_of(frame)
    rgba = frame.reformat(format="rgba", src_colorspace=matrix, interpolation=EXACT).to_ndarray()
    return rgba if rgba[..., 3].min() < 255 else None


def on_white(frame: Any) -> Any:
    """The frame; one with transparent parts as it looks on a browser's empty page. What colour such a part has in the
    file is not meant to be seen."""
    rgba = transparent_rgba(frame)
    if rgba is None:
        return frame
    alpha = rgba[..., 3:].astype(np.uint16)
    rgb = ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return av.VideoFrame.from_ndarray(rgb, format="rgb24")


def to_rgb(scaler: Any, frame: Any, size: tuple[int, int]) -> Any:
    """uint8[height, width, 3] of a frame in BT.709's colours, scaled to `size` (height, width) by a
    `VideoReformatter`; HDR is tone-mapped, wide colours are narrowed."""
    frame = on_white(frame)
    height, width = size
    matrix = None if frame.format.is_rgb else matrix_of(frame)
    if not is_beyond_709(frame):
        return scaler.reformat(
            frame, width, height, "rgb24", src_colorspace=matrix, interpolation=EXACT
        ).to_ndarray()
    # libswscale's 16-bit RGB is up to half a percent too dark, which PQ makes much of; so it only scales here.
    yuv = scaler.reformat(
        frame,
        width,
        height,
        "yuv444p16le",
        src_colorspace=matrix,
        dst_colorspace=Colorspace.BT2020,
        dst_color_range=ColorRange.MPEG,
        interpolation=EXACT,
    ).to_ndarray()
    rgb = (yuv.astype(np.float32) / 256 - ZERO_YUV) @ RGB_OF_YUV_2020.T
    codes = (np.clip(rgb, 0, 1) * 65535 + 0.5).astype(np.uint16)
    if frame.color_trc in HDR:
        return tone_mapped(codes, frame.color_trc, frame.color_primaries)
    return narrowed(codes, frame.color_primaries)


def tone_mapped(codes: np.ndarray, transfer: int, primaries: int = ColorPrimaries.BT2020) -> np.ndarray:
    """uint8[H, W, 3] in sRGB of uint16[H, W, 3] code values in PQ or HLG. Unknown primaries mean BT.2020's.

    The curve is Reinhard et al. 2002, equation 4, on the largest channel, so that hues stay: black and mid-tones keep
    their contrast, PEAK_NITS becomes white.
    """
    light = linear_table(transfer)[codes]  # float32[H, W, 3]
    if transfer == ColorTrc.ARIB_STD_B67:  # the OOTF of a display of 1000 nits (BT.2100 table 5)
        light *= (
            PEAK_NITS
            / WHITE_NITS
            * np.maximum(light @ xyz_of(primaries)[1], 1e-9)[..., None] ** np.float32(0.2)
        )
    light = np.maximum(light @ to_709(primaries).T, 0)
    largest = light.max(axis=2, keepdims=True)
    light *= (1 + largest * (WHITE_NITS / PEAK_NITS) ** 2) / (1 + largest)
    return srgb_table()[(np.minimum(light, 1) * (SRGB_STEPS - 1) + 0.5).astype(np.uint16)]


def narrowed(codes: np.ndarray, primaries: int) -> np.ndarray:
    """uint8[H, W, 3] in sRGB of uint16[H, W, 3] SDR code values in wider primaries. Grey stays as it is; what BT.709
    cannot show is cut in each channel (ITU-R BT.2407, annex 2)."""
    light = np.clip(linear_table(ColorTrc.IEC61966_2_1)[codes] @ to_709(primaries).T, 0, 1)
    return srgb_table()[(light * (SRGB_STEPS - 1) + 0.5).astype(np.uint16)]


@cache
def xyz_of(primaries: int) -> np.ndarray:
    """float32[3, 3]: CIE XYZ of linear red, green and blue; row 1 is their luminance. Unknown primaries: BT.2020."""
    corners = CHROMATICITIES.get(primaries, CHROMATICITIES[ColorPrimaries.BT2020])  # type: ignore[call-overload]
    red, green, blue, white = (np.array([x, y, 1 - x - y]) / y for x, y in (*corners, WHITE))
    columns = np.stack([red, green, blue], axis=1)
    return (columns * np.linalg.solve(columns, white)).astype(np.float32)


@cache
def to_709(primaries: int) -> np.ndarray:
    """float32[3, 3]: linear light in BT.709's primaries of linear light in others."""
    return np.linalg.solve(xyz_of(ColorPrimaries.BT709), xyz_of(primaries))


@cache
def linear_table(transfer: int) -> np.ndarray:
    """float32[65536]: for PQ light where 1 is WHITE_NITS, for HLG the scene's light in [0, 1] (BT.2100 tables 4, 5),
    else sRGB's light in [0, 1]."""
    code = np.arange(65536) / 65535
    if transfer not in HDR:
        return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)
    if transfer == ColorTrc.SMPTE2084:
        root = code ** (32 / 2523)
        light = (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305)
        return (light * 10_000 / WHITE_NITS).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)


@cache
def srgb_table() -> np.ndarray:
    """uint8[SRGB_STEPS]: the sRGB value of linear light from 0 to 1 (IEC 61966-2-1)."""
    light = np.arange(SRGB_STEPS) / (SRGB_STEPS - 1)
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * values).astype(np.uint8)
