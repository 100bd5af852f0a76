"""From the maps that the diffusion model makes to 1K, 2K and 4K (ExpDiff section III-D).

Plain super-resolution smooths wrinkles away, so the network also sees the difference map of equation 8, which
says where the expression departs from the neutral. It predicts what is missing in

    expression = neutral in high resolution + enlarged (expression - neutral),

the texture's version of equation 9: pores and moles come from the neutral, whose high resolution is the
artist's own map where one is given, and the network's where none is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, pairwise, product
from types import MappingProxyType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from .errors import InputError

Floats = NDArray[np.float32]
Maps = Mapping[str, Floats]
"""BRDF maps by name, (H, W, 3) or (H, W), of 0..1: a normal n is stored as (n + 1) / 2."""

CHANNELS: Mapping[str, slice] = MappingProxyType(
    {"albedo": slice(0, 3), "specular": slice(3, 4), "roughness": slice(4, 5), "normal": slice(5, 8)}
)
"""Where each map lies in a stack (8, H, W)."""
STACK = 8
RESIDUAL = 0.05
"""How far the network's output, about 1 in size, moves a texel: what bicubic interpolation lacks is small."""
SLOPE = 0.2
"""Of the leaky rectifiers."""
TILE = 256
"""Side of a tile before enlargement, texels."""

OnStep = Callable[[int, int], None]
"""Called with (tiles done, tiles in all); may raise to cancel."""


class Enlarge(Protocol):
    """One enlargement of tiles: what a network for super-resolution does."""

    @property
    def scale(self) -> int:
        """How many times larger the result is."""
        ...

    @property
    def margin(self) -> int:
        """Texels round a tile that influence it."""
        ...

    def __call__(self, expression: Tensor, neutral: Tensor, neutral_high: Tensor | None) -> Tensor:
        """(B, 8, sH, sW) from two (B, 8, H, W), and the neutral (B, 8, sH, sW) where it is known.

        Where it is not, ``expression`` is itself a neutral to be enlarged.
        """
        ...


def difference_map(expression: Tensor, neutral: Tensor) -> Tensor:
    """Equation 8: W = 1 / (1 + exp(-D_n / (D_0 + 1e-8))); 0.731 where nothing changes.

    The paper prints 1^-8 for 1e-8.
    """
    return torch.sigmoid(expression / (neutral + 1e-8))


@dataclass(frozen=True)
class UpscalerConfig:
    """Size of the network; ``difference`` False leaves the difference map out, to see what it brings."""

    width: int = 48
    depth: int = 8
    difference: bool = True


class DifferenceUpscaler(nn.Module):
    """A compact convolutional network that doubles the resolution of all maps at once.

    The convolutions run before the enlargement, each beside a skip; there is no normalisation, so that a
    tile does not depend on the rest of the image.
    """

    scale = 2

    def __init__(self, config: UpscalerConfig) -> None:
        super().__init__()
        self.config = config
        inputs = STACK * (1 + config.difference + self.scale**2)
        self.first = nn.Conv2d(inputs, config.width, 3, padding=1)
        self.body = nn.ModuleList(
            nn.Conv2d(config.width, config.width, 3, padding=1) for _ in range(config.depth)
        )
        self.last = nn.Conv2d(config.width, STACK * self.scale**2, 3, padding=1)
        for parameter in self.last.parameters():  # an untrained network is bicubic interpolation
            nn.init.zeros_(parameter)

    @property
    def margin(self) -> int:
        """One texel a convolution, and two that bicubic interpolation looks at."""
        return self.config.depth + 2 + 2

    def forward(self, expression: Tensor, neutral: Tensor, neutral_high: Tensor | None) -> Tensor:
        """As ``Enlarge``."""
        enlarged = bicubic(expression, self.scale)
        if neutral_high is None:
            detail = torch.zeros_like(enlarged)
        else:
            detail = neutral_high - bicubic(neutral, self.scale)
        inputs = [2 * expression - 1, 4 * functional.pixel_unshuffle(detail, self.scale)]
        if self.config.difference:
            nothing = torch.sigmoid(torch.ones((), device=expression.device))
            inputs.append(8 * (difference_map(expression, neutral) - nothing))
        hidden = self.first(torch.cat(inputs, dim=1))
        for convolution in self.body:
            hidden = hidden + convolution(functional.leaky_relu(hidden, SLOPE))
        missing = functional.pixel_shuffle(self.last(functional.leaky_relu(hidden, SLOPE)), self.scale)
        return enlarged + detail + RESIDUAL * missing.float()


def bicubic(images: Tensor, scale: int) -> Tensor:
    """(B, C, H, W) -> (B, C, sH, sW)."""
    return functional.interpolate(images, scale_factor=scale, mode="bicubic", align_corners=False)


class Upscaler:
    """Enlarges the maps of a person's expressions; the neutral is enlarged once for all of them."""

    def __init__(self, enlarge: Enlarge, device: str = "cpu", half: bool = False, tile: int = TILE) -> None:
        self.enlarge, self.device, self.half, self.tile = enlarge, torch.device(device), half, tile

    def neutral_pyramid(
        self, neutral: Maps, size: int, given: Maps | None = None, on_step: OnStep | None = None
    ) -> list[Tensor]:
        """The neutral (8, S, S) at every resolution from that of ``neutral`` to ``size``.

        neutral: as the diffusion model made it. given: high-resolution maps that are known, such as the
        artist's own texture; they take the place of enlarged ones. Raises InputError for a size that
        cannot be reached, and for maps that are missing or not square.
        """
        known = {name: _image(name, image) for name, image in (given or {}).items()}
        pyramid = [stack(neutral)]
        on_tile = self._counter(pyramid[0].shape[-1], size, on_step)
        for side in self._sides(pyramid[0].shape[-1], size):
            if known.keys() == CHANNELS.keys():
                high = torch.empty(STACK, side, side)
            else:
                high = self._enlarged(pyramid[-1], pyramid[-1], None, side, on_tile)
            for name, image in known.items():
                high[CHANNELS[name]] = resized(image, side)
            pyramid.append(high)
        return pyramid

    def upscale(
        self, maps: Maps, pyramid: Sequence[Tensor], on_step: OnStep | None = None
    ) -> dict[str, Floats]:
        """The maps of an expression at the highest resolution of the neutral's pyramid, each (S, S, 3)."""
        state = stack(maps)
        if state.shape != pyramid[0].shape:
            raise InputError("The maps of an expression and of the neutral must be of the same size.")
        on_tile = self._counter(state.shape[-1], pyramid[-1].shape[-1], on_step)
        for low, high in pairwise(pyramid):
            state = self._enlarged(state, low, high, high.shape[-1], on_tile)
        return unstack(state)

    @torch.no_grad()
    def _enlarged(
        self,
        expression: Tensor,
        neutral: Tensor,
        neutral_high: Tensor | None,
        side: int,
        on_tile: Callable[[], None],
    ) -> Tensor:
        """(8, side, side) from (8, S, S), tile by tile; the margin makes the tiles fit."""
        scale, margin = self.enlarge.scale, self.enlarge.margin
        source = side // scale
        expression, neutral = resized(expression, source), resized(neutral, source)
        result = torch.empty(STACK, side, side)
        for rows, columns in product(self._cuts(source), repeat=2):
            y, x = (slice(max(cut.start - margin, 0), cut.stop + margin) for cut in (rows, columns))
            high = None
            if neutral_high is not None:
                high = neutral_high[None, :, _times(y, scale), _times(x, scale)].to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                tile = self.enlarge(
                    expression[None, :, y, x].to(self.device), neutral[None, :, y, x].to(self.device), high
                )
            top, left = scale * (rows.start - y.start), scale * (columns.start - x.start)
            target = result[:, _times(rows, scale), _times(columns, scale)]
            target[:] = tile[0, :, top : top + target.shape[1], left : left + target.shape[2]]
            on_tile()
        return _with_unit_normals(result.clamp_(0, 1))

    def _cuts(self, side: int) -> list[slice]:
        return [slice(start, min(start + self.tile, side)) for start in range(0, side, self.tile)]

    def _sides(self, low: int, size: int) -> list[int]:
        """The sides reached on the way; the last enlargement may start from less than there is."""
        if size < low or size % self.enlarge.scale:
            raise InputError(f"Maps of {low} texels cannot be enlarged to {size}; choose 1024, 2048 or 4096.")
        sides = [low]
        while sides[-1] < size:
            sides.append(min(sides[-1] * self.enlarge.scale, size))
        return sides[1:]

    def _counter(self, low: int, size: int, on_step: OnStep | None) -> Callable[[], None]:
        tiles = [len(self._cuts(side // self.enlarge.scale)) ** 2 for side in self._sides(low, size)]
        steps = count(1)

        def tile_done() -> None:
            if on_step is not None:
                on_step(next(steps), sum(tiles))

        return tile_done


def stack(maps: Maps) -> Tensor:
    """(8, S, S) from the four maps. Raises InputError when one is missing or they are not square."""
    if missing := sorted(CHANNELS.keys() - maps.keys()):
        raise InputError(f"The maps of the skin lack {', '.join(missing)}.")
    images = [_image(name, maps[name]) for name in CHANNELS]
    if len({image.shape[1:] for image in images}) > 1 or images[0].shape[1] != images[0].shape[2]:
        raise InputError("The maps of the skin must be square and of the same size.")
    return torch.cat(images)


def unstack(stacked: Tensor) -> dict[str, Floats]:
    """The inverse of ``stack``: every map (S, S, 3), as a view of the stack; grey ones repeat their layer."""
    images = {name: stacked[channels].expand(3, -1, -1) for name, channels in CHANNELS.items()}
    return {name: image.permute(1, 2, 0).numpy() for name, image in images.items()}


def resized(image: Tensor, side: int) -> Tensor:
    """(C, H, W) -> (C, side, side): averaged over areas where it shrinks, bicubic where it grows."""
    if image.shape[1:] == (side, side):
        return image
    if min(image.shape[1:]) >= side:
        enough = functional.interpolate(image[None], (side, side), mode="area")
    else:
        enough = functional.interpolate(image[None], (side, side), mode="bicubic", align_corners=False)
    return enough[0].clamp(0, 1)


def _image(name: str, pixels: Floats) -> Tensor:
    """(C, H, W) of a map (H, W, 3) or (H, W), with as many channels as it has in a stack."""
    if name not in CHANNELS:
        raise InputError(f"There is no map called {name}; the maps are {', '.join(CHANNELS)}.")
    channels = CHANNELS[name].stop - CHANNELS[name].start
    layers = pixels[..., None] if pixels.ndim == 2 else pixels[..., :channels]
    image = torch.from_numpy(np.ascontiguousarray(layers, np.float32)).permute(2, 0, 1)
    return image.expand(channels, -1, -1)


def _with_unit_normals(stacked: Tensor) -> Tensor:
    """In place: interpolated normals made unit vectors again."""
    normal = stacked[CHANNELS["normal"]]
    normal.mul_(2).sub_(1)
    normal.div_(normal.norm(dim=0, keepdim=True).clamp_min(1e-6)).add_(1).div_(2)
    return stacked


def _times(part: slice, scale: int) -> slice:
    return slice(scale * part.start, scale * part.stop)
