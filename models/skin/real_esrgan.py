"""Real-ESRGAN (Wang et al., ICCV 2021 workshops) as ExpDiff's upscaler, from a file that the user has.

The network is the RRDB one of ESRGAN (Wang et al., 2018), and its sizes are read off the file. A file for
three channels sees each map as an image; one for six channels sees the difference map of equation 8 beside
it, as the paper trains it.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import CheckpointError
from ..upscale import CHANNELS, difference_map
from .tensor_files import network_tensors

SLOPE, RESIDUAL = 0.2, 0.2
"""Of the leaky rectifier, and of every residual branch."""


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each of which sees all results before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for number in range(4):
            self.add_module(f"conv{number + 1}", nn.Conv2d(features + number * growth, growth, 3, 1, 1))
        self.conv5 = nn.Conv2d(features + 4 * growth, features, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, H, W) -> the same shape."""
        seen = [x]
        for number in range(4):
            seen.append(_rectified(self.get_submodule(f"conv{number + 1}")(torch.cat(seen, dim=1))))
        return x + RESIDUAL * self.conv5(torch.cat(seen, dim=1))


class ResidualInResidual(nn.Module):
    """Three dense blocks in a residual of their own."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (ResidualDenseBlock(features, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, features, H, W) -> the same shape."""
        return x + RESIDUAL * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDBNet(nn.Module):
    """The generator: four times as large, or twice where the image comes in folded to a quarter."""

    def __init__(self, inputs: int, outputs: int, features: int, growth: int, blocks: int) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(inputs, features, 3, 1, 1)
        self.body = nn.Sequential(*(ResidualInResidual(features, growth) for _ in range(blocks)))
        self.conv_body, self.conv_up1, self.conv_up2, self.conv_hr = (
            nn.Conv2d(features, features, 3, 1, 1) for _ in range(4)
        )
        self.conv_last = nn.Conv2d(features, outputs, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, 4H, 4W)."""
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        for convolution in (self.conv_up1, self.conv_up2):
            x = _rectified(convolution(functional.interpolate(x, scale_factor=2, mode="nearest")))
        return self.conv_last(_rectified(self.conv_hr(x)))


class RealESRGAN:
    """A loaded Real-ESRGAN as an ``upscale.Enlarge``."""

    margin = 32
    """Texels: the network reaches further, but hardly so."""

    def __init__(self, network: RRDBNet) -> None:
        self.network = network.eval().requires_grad_(False)
        inputs, images = network.conv_first.in_channels, network.conv_last.out_channels
        self.folded = inputs in (4 * images, 8 * images)
        self.takes_difference = inputs in (2 * images, 8 * images)
        self.scale = 2 if self.folded else 4

    def __call__(self, expression: Tensor, neutral: Tensor, neutral_high: Tensor | None) -> Tensor:
        """As ``upscale.Enlarge``: the neutral in high resolution, and the enlarged difference."""
        enlarged = self._all_maps(expression, neutral)
        if neutral_high is None:
            return enlarged
        return neutral_high + enlarged - self._all_maps(neutral, neutral)

    def _all_maps(self, stacked: Tensor, neutral: Tensor) -> Tensor:
        """(B, 8, H, W) -> (B, 8, sH, sW), map by map, scalar ones as grey images."""
        difference = difference_map(stacked, neutral)
        maps: list[Tensor] = []
        for channels in CHANNELS.values():
            layers = [stacked[:, channels], difference[:, channels]][: 1 + self.takes_difference]
            image = torch.cat([layer.expand(-1, 3, -1, -1) for layer in layers], dim=1)
            enlarged = self.network(functional.pixel_unshuffle(image, 2) if self.folded else image)
            count = channels.stop - channels.start
            maps.append(enlarged if count == 3 else enlarged.mean(dim=1, keepdim=True))
        return torch.cat(maps, dim=1).float()


def load_real_esrgan(path: Path, device: str = "cpu") -> RealESRGAN:
    """Read a .safetensors file, or a .pth file that holds nothing but tensors.

    Raises CheckpointError for a file that is missing, damaged, pickled code, or another network.
    """
    tensors = network_tensors(path)
    names = {"conv_first.weight", "conv_last.weight", "body.0.rdb1.conv1.weight"}
    if not names <= tensors.keys():
        raise CheckpointError(
            f"{path} is no Real-ESRGAN of the RRDB kind; choose RealESRGAN_x4plus or RealESRGAN_x2plus."
        )
    first, last = tensors["conv_first.weight"], tensors["conv_last.weight"]
    if len(last) != 3 or first.shape[1] not in (3, 6, 12, 24):
        raise CheckpointError(f"{path} does not enlarge images of three channels two or four times.")
    growth = len(tensors["body.0.rdb1.conv1.weight"])
    numbers = [int(found[1]) for name in tensors if (found := re.match(r"body\.(\d+)\.", name))]
    network = RRDBNet(first.shape[1], len(last), len(first), growth, 1 + max(numbers))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"The Real-ESRGAN file {path} is incomplete: {error}") from error
    return RealESRGAN(network.float().to(device))


def _rectified(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)
