"""The plain twin of `tempo_core.vision.encode_frames`."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tempo_core.families import family_of
from tempo_core.vision import Frames, Normaliser, image_inputs


def encode_frames_plain(
    model: Any,
    frames: Frames,
    sizes_px: npt.NDArray[np.int64],
    normaliser: Normaliser,
    *,
    frames_per_unit: int = 1,
) -> torch.Tensor:
    """Visual tokens [N, (1 + K) W] by one `get_image_features` or `get_video_features` call a unit."""
    family, tokens = family_of(model), []
    encode = model.model.get_image_features if frames_per_unit == 1 else model.model.get_video_features
    for idx, size in enumerate(sizes_px):
        unit = frames[idx * frames_per_unit : (idx + 1) * frames_per_unit]
        pixels, grids = image_inputs(model, unit, size[None], normaliser, frames_per_unit=frames_per_unit)
        tokens.append(family.features(encode(pixels, grids, return_dict=True)))
    return torch.cat(tokens)
