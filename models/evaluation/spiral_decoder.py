"""From a code to a field on the mesh: the decoder of a spiral autoencoder (Bouritsas et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ..spiral import MeshTransform, SpiralConv
from ..topology import Level


class SpiralDecoder(nn.Module):
    """Code (B, C) -> (B, V, 3): a linear layer onto the coarsest mesh, then up-sampling and spirals."""

    def __init__(self, hierarchy: Sequence[Level], channels: Sequence[int], code: int) -> None:
        super().__init__()
        self.channels = tuple(channels)  # from the finest level to the coarsest
        self.enter = nn.Linear(code, len(hierarchy[-1].vertices) * self.channels[-1])
        ups = [level.up_transform for level in reversed(hierarchy[1:])]
        self.ups = nn.ModuleList(MeshTransform(up) for up in ups if up is not None)
        widths = list(reversed(self.channels))
        self.convs = nn.ModuleList(
            SpiralConv(a, b, torch.from_numpy(level.spirals))
            for a, b, level in zip(widths, widths[1:], reversed(hierarchy[:-1]), strict=False)
        )
        self.leave = SpiralConv(self.channels[0], 3, torch.from_numpy(hierarchy[0].spirals))

    def forward(self, code: Tensor) -> Tensor:
        """code (B, C) -> (B, V, 3)."""
        x = silu(self.enter(code).unflatten(1, (-1, self.channels[-1])))
        for up, conv in zip(self.ups, self.convs, strict=True):
            x = silu(conv(up(x)))
        return self.leave(x)
