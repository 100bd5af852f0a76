"""Skin caches as the upscaler and the face models that it is compared with read them: stacks of maps."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..corpus.skin_cache import Integers, SkinCache
from ..errors import InputError
from ..head import Head
from ..upscale import CHANNELS
from ..uv_maps import UVLayout


def records_by_person(cache: SkinCache, people: int, expressions: int) -> tuple[Integers, Integers]:
    """Of the first people, the record of the neutral (P,) and those of some of their frames (P, E).

    Raises InputError when nobody shows anything.
    """
    frames = cache.frames
    who = np.unique(cache.person[frames])[:people]
    each = [frames[cache.person[frames] == person][:expressions] for person in who]
    if not each:
        raise InputError("This skin cache holds nobody with an expression. Build it again.")
    fewest = min(len(of_person) for of_person in each)
    shown = np.stack([of_person[:fewest] for of_person in each])
    return cache.neutral[shown[:, 0]], shown


def stacks(cache: SkinCache, records: Integers) -> Tensor:
    """(..., 8, S, S) float16: the maps of records (...)."""

    def read(record: int) -> Tensor:
        batch = cache.read(np.array([record]))
        images = [torch.from_numpy(getattr(batch, name)[0]) for name in CHANNELS]
        return torch.cat(images).half()

    return torch.stack([read(record) for record in records.ravel()]).unflatten(0, records.shape)


def face_texels(layout: UVLayout, head: Head) -> NDArray[np.bool_]:
    """(H, W) the texels that lie on the face region of the head."""
    face = layout.rasterise(head.face_mask[: head.skin_vertices, None])[..., 0] > 0.5
    return face & layout.mask
