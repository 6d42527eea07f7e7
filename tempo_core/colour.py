"""What the numbers of a decoded picture mean as colours. Runs in the sandbox's child."""

from typing import Any

from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Without the two flags libswscale's shortcuts are off by up to 3 of 255 in one channel."""
UNSTATED = 2  # ITU-T H.273 for matrix, primaries and transfer alike
HD_WIDTH, SD_HEIGHT = 1280, 576
BT601 = (Colorspace.ITU601, 6)  # H.273 5 and 6 are the same matrix
PLAIN_TRANSFERS = (ColorTrc.BT709, ColorTrc.SMPTE170M)  # the same curve


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
    """Whether a frame states BT.709 colours in limited range (or BT.601's matrix for them), as a normal copy does."""
    return (
        frame.colorspace in (Colorspace.ITU709, *BT601)
        and frame.color_primaries == ColorPrimaries.BT709
        and frame.color_trc in PLAIN_TRANSFERS
        and frame.color_range == ColorRange.MPEG
    )


def to_rgb(scaler: Any, frame: Any, size: tuple[int, int]) -> Any:
    """uint8[height, width, 3] of a frame, scaled to `size` (height, width) by a `VideoReformatter`."""
    return scaler.reformat(
        frame,
        size[1],
        size[0],
        "rgb24",
        src_colorspace=None if frame.format.is_rgb else matrix_of(frame),
        interpolation=EXACT,
    ).to_ndarray()
