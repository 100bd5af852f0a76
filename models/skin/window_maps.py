"""An artist's map of the whole UV tile as the square window that a model sees."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from ..errors import InputError
from ..uv_maps import Window, crop

Floats = NDArray[np.float32]


def fitted(image: Floats, size: int, window: Window) -> Floats:
    """The window of a map (H, W[, 3]) of the tile, size x size texels.

    Raises InputError when it is no square map of numbers.
    """
    values = np.asarray(image, np.float32)
    if values.ndim not in (2, 3) or values.shape[0] != values.shape[1]:
        raise InputError("A texture must be square to lie on the head's UVs; crop or bake it first.")
    if not np.isfinite(values).all():
        raise InputError("The texture holds values that are no numbers. Save it anew from its program.")
    tensor = torch.from_numpy(np.ascontiguousarray(values.reshape(*values.shape[:2], -1)))
    tile = round(size / (window[2] - window[0]))
    sized = interpolate(tensor.permute(2, 0, 1)[None], (tile, tile), mode="bilinear", antialias=True)
    shown = crop(sized[0].permute(1, 2, 0).numpy(), window)
    return np.ascontiguousarray(shown).reshape(size, size, *values.shape[2:])
