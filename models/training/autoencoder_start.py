"""The linear start of Dimple's autoencoder: before any training it is the best linear code of patches.

A few minutes on a CPU do not teach a network to pass detail through, so it begins as principal component
analysis of fold x fold patches, exactly, and training only has to better that. The means: residual blocks
that add nothing yet; every component kept as a pair (x, -x), for silu(x) - silu(-x) = x; and two constant
channels a group that rule its variance, so that group normalisation is a fixed scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from ..autoencoder import MapAutoencoder

CONSTANT = 32.0
"""Of the constant channels, in standard deviations of a component: the larger, the more linear."""
QUIET = -18.0
"""Log variance of the latents at the start."""


@dataclass(frozen=True)
class PatchComponents:
    """Principal components of patches folded into D = 3 fold^2 channels."""

    mean: Tensor  # (D,)
    directions: Tensor  # (R, D) orthonormal, strongest first
    spread: Tensor  # (R,) standard deviations along them, every patch weighing the same

    @classmethod
    def of(cls, images: Tensor, weights: Tensor, fold: int) -> PatchComponents:
        """Of the patches of images (B, 3, H, W), each weighing as ``weights`` (B,) says."""
        patches = pixel_unshuffle(images.double(), fold).permute(0, 2, 3, 1)
        share = weights.double()[:, None, None, None].expand(*patches.shape[:3], 1)
        patches, share = patches.reshape(-1, patches.shape[3]), share.reshape(-1, 1)
        share = share / share.sum()
        mean = (share * patches).sum(0)
        centred = patches - mean
        _, directions = torch.linalg.eigh((share * centred).T @ centred)
        spread = (centred @ directions).square().mean(0).clamp_min(1e-8).sqrt().flip(0)
        return cls(mean.float(), directions.flip(1).T.contiguous().float(), spread.float())

    def reconstruct(self, images: Tensor, components: int, fold: int) -> Tensor:
        """Images coded with the strongest ``components``: what the untrained autoencoder does."""
        patches = pixel_unshuffle(images, fold).permute(0, 2, 3, 1)
        kept = self.directions[:components]
        coded = (patches - self.mean) @ kept.T @ kept + self.mean
        return nn.functional.pixel_shuffle(coded.permute(0, 3, 1, 2), fold)


def linear_start(autoencoder: MapAutoencoder, components: PatchComponents) -> None:
    """Set the weights so that encoding and decoding are the linear code, with latents of unit variance.

    Raises ValueError for an autoencoder of more than one level or with too few channels.
    """
    vae: Any = autoencoder.vae
    config = vae.config
    channels, groups = config.block_out_channels[0], config.norm_num_groups
    pairs = (channels // groups - 2) // 2 * groups
    latents = autoencoder.latent_channels
    if len(config.block_out_channels) != 1 or pairs < latents:
        raise ValueError(f"{channels} channels in {groups} groups cannot carry {latents} components")
    carried = min(pairs, len(components.spread))
    plus, minus, constants = _places(channels, groups)
    plus, minus = plus[:carried], minus[:carried]
    to_unit = components.directions[:carried] / components.spread[:carried, None]
    from_unit = components.directions[:carried] * components.spread[:carried, None]
    with torch.no_grad():
        encoder, decoder = vae.encoder, vae.decoder
        blocks = *encoder.down_blocks, encoder.mid_block, decoder.mid_block, *decoder.up_blocks
        for block in blocks:
            for resnet in block.resnets:
                _clear(resnet.conv2)
        for side in (encoder, decoder):
            _clear(side.conv_in)
            _clear(side.conv_out)
            side.conv_in.bias[constants[0]] = CONSTANT
            side.conv_in.bias[constants[1]] = -CONSTANT
            # the variance of a group is that of its constants: give the scale back
            side.conv_norm_out.weight.fill_(CONSTANT * (2 * groups / channels) ** 0.5)
            side.conv_norm_out.bias.zero_()
        enter, leave = encoder.conv_in, encoder.conv_out
        enter.weight[plus, :, 1, 1], enter.weight[minus, :, 1, 1] = to_unit, -to_unit
        shift = to_unit @ components.mean
        enter.bias[plus], enter.bias[minus] = -shift, shift
        index = torch.arange(latents)
        leave.weight[index, plus[:latents], 1, 1], leave.weight[index, minus[:latents], 1, 1] = 1.0, -1.0
        leave.bias[latents:] = QUIET
        enter, leave = decoder.conv_in, decoder.conv_out
        enter.weight[plus[:latents], index, 1, 1], enter.weight[minus[:latents], index, 1, 1] = 1.0, -1.0
        leave.weight[:, plus, 1, 1], leave.weight[:, minus, 1, 1] = from_unit.T, -from_unit.T
        leave.bias.copy_(components.mean)


def _places(channels: int, groups: int) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Channels of +x, of -x and of the constants; components are dealt out to the groups in turn."""
    grid = torch.arange(channels).reshape(groups, -1)
    pairs = (grid.shape[1] - 2) // 2
    plus = grid[:, 0 : 2 * pairs : 2].T.reshape(-1)
    minus = grid[:, 1 : 2 * pairs : 2].T.reshape(-1)
    return plus, minus, (grid[:, -2], grid[:, -1])


def _clear(convolution: nn.Conv2d) -> None:
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
