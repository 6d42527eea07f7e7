"""What the numbers of a decoded picture mean as colours. Runs in the sandbox's child."""

from functools import cache
from typing import Any

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
LUMINANCE_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
ZERO_YUV = np.array([16, 128, 128], np.float32)
RGB_OF_YUV_2020 = np.array(  # limited range to [0, 1] (BT.2020 tables 4 and 5)
    [[1 / 219, 0, 1.4746 / 224], [1 / 219, -0.16455 / 224, -0.57135 / 224], [1 / 219, 1.8814 / 224, 0]],
    np.float32,
)
TO_709 = np.array(  # linear BT.2020 to linear BT.709 (ITU-R BT.2087 annex 2)
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
    np.float32,
)
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


def to_rgb(scaler: Any, frame: Any, size: tuple[int, int]) -> Any:
    """uint8[height, width, 3] of a frame, scaled to `size` (height, width) by a `VideoReformatter`; HDR is
    tone-mapped."""
    height, width = size
    matrix = None if frame.format.is_rgb else matrix_of(frame)
    if frame.color_trc not in HDR:
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
    return tone_mapped((np.clip(rgb, 0, 1) * 65535 + 0.5).astype(np.uint16), frame.color_trc)


def tone_mapped(codes: np.ndarray, transfer: int) -> np.ndarray:
    """uint8[H, W, 3] in sRGB of uint16[H, W, 3] BT.2020 code values in PQ or HLG.

    The curve is Reinhard et al. 2002, equation 4, on the largest channel, so that hues stay: black and mid-tones keep
    their contrast, PEAK_NITS becomes white.
    """
    light = linear_table(transfer)[codes]  # float32[H, W, 3]
    if transfer == ColorTrc.ARIB_STD_B67:  # the OOTF of a display of 1000 nits (BT.2100 table 5)
        light *= (
            PEAK_NITS / WHITE_NITS * np.maximum(light @ LUMINANCE_2020, 1e-9)[..., None] ** np.float32(0.2)
        )
    light = np.maximum(light @ TO_709.T, 0)
    largest = light.max(axis=2, keepdims=True)
    light *= (1 + largest * (WHITE_NITS / PEAK_NITS) ** 2) / (1 + largest)
    return srgb_table()[(np.minimum(light, 1) * (SRGB_STEPS - 1) + 0.5).astype(np.uint16)]


@cache
def linear_table(transfer: int) -> np.ndarray:
    """float32[65536]: for PQ light where 1 is WHITE_NITS, for HLG the scene's light in [0, 1] (BT.2100 tables 4, 5)."""
    code = np.arange(65536) / 65535
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
