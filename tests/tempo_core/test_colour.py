"""Tables and matrices of colour, held against numbers of the standards that they come from."""

import numpy as np
import pytest
from av.video.reformatter import ColorTrc

from tempo_core.colour import RGB_OF_YUV_2020, WHITE_NITS, ZERO_YUV, linear_table, srgb_table

KR, KB = 0.2627, 0.0593
"""Weights of red and blue in luma, BT.2020 table 4."""


@pytest.mark.parametrize("rgb", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (0.2, 0.5, 0.7)])
def test_bt_2020_is_turned_back(rgb: tuple[float, float, float]) -> None:
    red, green, blue = rgb
    luma = KR * red + (1 - KR - KB) * green + KB * blue
    coded = [
        16 + 219 * luma,
        128 + 224 * (blue - luma) / (2 - 2 * KB),
        128 + 224 * (red - luma) / (2 - 2 * KR),
    ]
    np.testing.assert_allclose(RGB_OF_YUV_2020 @ (np.array(coded) - ZERO_YUV), rgb, atol=1e-4)


def test_light_of_coded_values() -> None:
    """PQ and HLG signals of reference white: 58 % and 75 % (ITU-R BT.2408 table 1)."""
    pq, hlg = linear_table(ColorTrc.SMPTE2084), linear_table(ColorTrc.ARIB_STD_B67)
    assert pq[[0, 65535]].tolist() == pytest.approx([0, 10_000 / WHITE_NITS], rel=1e-4)
    assert float(pq[round(0.58069 * 65535)]) == pytest.approx(1.0, rel=1e-3)
    assert hlg[[0, 65535]].tolist() == pytest.approx([0, 1], abs=1e-4)
    assert float(hlg[round(0.75 * 65535)]) == pytest.approx(0.26496, rel=1e-3)


def test_srgb_values_of_light() -> None:
    table = srgb_table()
    light = np.array([0, 0.002, 0.0144, 0.21586, 1])
    codes = table[np.round(light * (len(table) - 1)).astype(int)]
    assert codes.tolist() == [0, 7, 32, 128, 255]
