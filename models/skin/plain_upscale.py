"""Enlargement without a network: what an expression changes, interpolated, over the neutral's own detail."""

from __future__ import annotations

from torch import Tensor

from ..upscale import Upscaler, bicubic


class PlainEnlarge:
    """As `upscale.Enlarge`: the first two terms of what the network corrects."""

    scale = 2
    margin = 4  # texels that bicubic interpolation looks at, and as many again

    def __call__(self, expression: Tensor, neutral: Tensor, neutral_high: Tensor | None) -> Tensor:
        """(B, 8, 2H, 2W) from two (B, 8, H, W), and the neutral (B, 8, 2H, 2W) where it is known."""
        enlarged = bicubic(expression, self.scale)
        return enlarged if neutral_high is None else enlarged + neutral_high - bicubic(neutral, self.scale)


def plain_upscaler(device: str) -> Upscaler:
    """An upscaler where no network is installed."""
    return Upscaler(PlainEnlarge(), device)
