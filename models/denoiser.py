"""The spiral U-Net that denoises meshes (AnimateMe figure 1), with its identity encoder.

Every layer's features are multiplied by a gate and shifted by a bias computed from the context:
timestep, expression stage and identity code. Besides the spirals the default has a modal path: a small
network that denoises the coordinates of the noisy mesh along the principal directions of motion. It
sees the whole face at once and settles the broad shape; the spirals see its estimate and add what is
local. It has a context of its own, so that training the one does not disturb the other.
``modal_width = 0`` leaves the paper's network alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from .additive import AdditiveModel, RawMotion
from .diffusion import Prediction
from .spiral import MeshTransform, SpiralConv
from .topology import Level


@dataclass(frozen=True)
class DenoiserConfig:
    """Everything needed to build the network besides the mesh hierarchy."""

    units: int = 57
    identity_coefficients: int = 100
    channels: tuple[int, ...] = (16, 48, 96, 128)
    identity_channels: tuple[int, ...] = (8, 16, 32, 64)
    context: int = 128
    modal_rank: int = 192
    identity_modes: int = 80  # of the coefficients, the leading ones: the expected residual depends on them
    modal_width: int = 512
    modal_blocks: int = 3
    modal_context: int = 192
    target: str = "residual"  # or "raw": the deformation itself
    prediction_type: Prediction = "sample"  # or "epsilon", "v_prediction"; the names of diffusers
    neutral_scale: float = 5.0  # mm, brings the neutral's offset from the mean to order one

    @property
    def known_modes(self) -> int:
        """Identity modes of the expected residual: no more than there are coefficients."""
        return min(self.identity_modes, self.identity_coefficients)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DenoiserConfig:
        """Build from JSON or TOML values; lists become tuples."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fields)


class GatedSpiral(nn.Module):
    """h = silu((1 + gate(c)) * spiral(x) + bias(c)) (AnimateMe figure 1: gating and bias)."""

    def __init__(self, channels_in: int, channels_out: int, level: Level, context: int) -> None:
        super().__init__()
        self.conv = SpiralConv(channels_in, channels_out, torch.from_numpy(level.spirals))
        self.condition = nn.Linear(context, 2 * channels_out)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, V, C_in), context (B, C) -> (B, V, C_out)."""
        gate, bias = self.condition(context).chunk(2, dim=1)
        features = self.conv(x, 1 + gate, bias)
        return silu(features, inplace=not torch.is_grad_enabled())


class IdentityEncoder(nn.Module):
    """Spiral encoder of the neutral face, trained jointly with the denoiser (section 4.2)."""

    def __init__(self, hierarchy: Sequence[Level], channels: Sequence[int], code: int) -> None:
        super().__init__()
        widths = [3, *channels]
        self.convs = nn.ModuleList(
            SpiralConv(a, b, torch.from_numpy(level.spirals))
            for a, b, level in zip(widths, widths[1:], hierarchy, strict=False)
        )
        self.downs = nn.ModuleList(_down(level) for level in hierarchy[1:])
        self.code = nn.Linear(channels[-1] * len(hierarchy[-1].vertices), code)

    def forward(self, neutral_offset: Tensor) -> Tensor:
        """neutral_offset (B, V, 3), scaled offset from the mean person -> code (B, code)."""
        x = silu(self.convs[0](neutral_offset))
        for down, conv in zip(self.downs, self.convs[1:], strict=True):
            x = silu(conv(down(x)))
        return self.code(x.flatten(1))


class ModalDenoiser(nn.Module):
    """Denoises the R coordinates along the principal directions, preconditioned as in Karras et al. 2022.

    Each direction has its own spread at each stage, so each has its own signal-to-noise ratio at a timestep,
    and each person a bilinear expectation: the linear optimum given both is free, and the network only
    learns what departs from it.
    """

    def __init__(self, rank: int, width: int, blocks: int, inputs: int, context: int) -> None:
        super().__init__()
        self.context = _context_network(inputs, context)
        self.enter = nn.Linear(rank, width)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"condition": nn.Linear(context, 2 * width), "mix": nn.Linear(width, width)})
            for _ in range(blocks)
        )
        self.leave = nn.Linear(width, rank)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self,
        noisy: Tensor,
        timestep: Tensor,
        alpha_bar: Tensor,
        stage: Tensor,
        coefficients: Tensor,
        expected: Tensor,
        std: Tensor,
    ) -> Tensor:
        """Estimate of the clean coordinates (B, R), which spread by std (B, R) round ``expected`` (B, R).

        noisy (B, R); timestep, alpha_bar (B,); stage (B, M); coefficients (B, I) of the linear identity.
        """
        context = self.context(torch.cat([time_features(timestep), stage, coefficients], dim=1))
        alpha_bar = alpha_bar[:, None]
        variance = alpha_bar * std**2 + 1 - alpha_bar
        noisy = noisy - alpha_bar.sqrt() * expected
        hidden = self.enter(noisy / variance.sqrt())
        for block in self.blocks:
            gate, bias = block["condition"](context).chunk(2, dim=1)  # type: ignore[index]
            hidden = hidden + block["mix"](silu((1 + gate) * hidden + bias))  # type: ignore[index]
        linear_optimum = noisy * alpha_bar.sqrt() * std**2 / variance
        return (
            expected + linear_optimum + std * ((1 - alpha_bar) / variance).sqrt() * self.leave(silu(hidden))
        )


class SpiralDenoiser(nn.Module):
    """s_theta(x_t, t, c): spiral U-Net over four levels, modal path, identity encoder."""

    def __init__(self, config: DenoiserConfig, hierarchy: Sequence[Level]) -> None:
        super().__init__()
        if config.modal_width and (config.prediction_type, config.target) != ("sample", "residual"):
            raise ValueError(
                "the modal path predicts the clean residual: prediction_type sample, target residual"
            )
        self.config = config
        self.hierarchy = list(hierarchy)
        vertices, context, channels = len(hierarchy[0].vertices), config.context, config.channels
        self.target: AdditiveModel | RawMotion = (
            AdditiveModel(vertices, config.units, config.modal_rank, config.known_modes)
            if config.target == "residual"
            else RawMotion()
        )
        code = config.identity_channels[-1]
        self.identity_encoder = IdentityEncoder(hierarchy, config.identity_channels, code)
        inputs = TIME_FEATURES + config.units + config.identity_coefficients
        self.context = _context_network(inputs + code, context)
        self.modal = (
            ModalDenoiser(
                config.modal_rank, config.modal_width, config.modal_blocks, inputs, config.modal_context
            )
            if config.modal_width
            else None
        )
        self.encoder = nn.ModuleList(
            GatedSpiral(a, b, level, context)
            for a, b, level in zip([12 if self.modal else 6, *channels], channels, hierarchy, strict=False)
        )
        self.downs = nn.ModuleList(_down(level) for level in hierarchy[1:])
        self.places = nn.ParameterList(  # where on the face a coarse vertex is; noise alone cannot tell
            nn.Parameter(0.02 * torch.randn(len(level.vertices), width))
            for level, width in zip(hierarchy[1:], channels[1:], strict=True)
        )
        self.middle = GatedSpiral(channels[-1], channels[-1], hierarchy[-1], context)
        self.narrow = nn.ModuleList(nn.Linear(b, a) for a, b in pairwise(channels))
        self.ups = nn.ModuleList(_up(level) for level in hierarchy[1:])
        self.decoder = nn.ModuleList(
            GatedSpiral(width, width, level, context)
            for width, level in zip(channels, hierarchy[:-1], strict=False)
        )
        self.leave = SpiralConv(channels[0], 3, torch.from_numpy(hierarchy[0].spirals))
        nn.init.zeros_(self.leave.linear.weight)
        nn.init.zeros_(self.leave.linear.bias)

    def identity_code(self, neutral_offset: Tensor, coefficients: Tensor) -> Tensor:
        """Identity part of the context: linear coefficients (B, I) beside the spiral code.

        neutral_offset (B, V, 3): neutral skin minus the mean person, mm.
        """
        return torch.cat(
            [coefficients, self.identity_encoder(neutral_offset / self.config.neutral_scale)], dim=1
        )

    def forward(
        self,
        noisy: Tensor,
        timestep: Tensor,
        alpha_bar: Tensor,
        stage: Tensor,
        neutral_offset: Tensor,
        identity: Tensor,
    ) -> Tensor:
        """noisy (B, V, 3), timestep (B,), alpha_bar (B,), stage (B, M) -> prediction (B, V, 3)."""
        context = self.context(torch.cat([time_features(timestep), stage, identity], dim=1))
        channels = [noisy, neutral_offset / self.config.neutral_scale]
        estimate: Tensor | None = None
        if self.modal is not None and isinstance(self.target, AdditiveModel):
            coefficients = identity[:, : self.config.identity_coefficients]
            expected = self.target.expected(stage, coefficients)
            coordinates = self.modal(
                self.target.project(noisy),
                timestep,
                alpha_bar,
                stage,
                coefficients,
                expected,
                self.target.spread(stage),
            )
            estimate = self.target.expand(coordinates)
            channels += [estimate, self.target.mean_motion(stage)]
        body = next(self.leave.parameters()).dtype
        local = self._unet(torch.cat(channels, dim=2).to(body), context.to(body)).float()
        return local if estimate is None else estimate + local

    def _unet(self, x: Tensor, context: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for index, layer in enumerate(self.encoder):
            if index:
                x = self.downs[index - 1](x)
            x = layer(x, context)
            if index:
                x = x + self.places[index - 1]
            skips.append(x)
        x = self.middle(x, context) + x
        for index in reversed(range(len(self.decoder))):
            x = skips[index] + self.ups[index](self.narrow[index](x))
            x = self.decoder[index](x, context)
        return self.leave(x)

    def half(self) -> SpiralDenoiser:
        """Run the spirals in bfloat16; context and modal path stay in float32."""
        for module in (self.encoder, self.middle, self.narrow, self.decoder, self.leave, self.places):
            module.to(torch.bfloat16)
        return self


TIME_FEATURES = 64


def _context_network(inputs: int, context: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, 2 * context), nn.SiLU(), nn.Linear(2 * context, context), nn.SiLU()
    )


def time_features(timestep: Tensor) -> Tensor:
    """Sinusoidal embedding of the timestep (B,) -> (B, 64) (Ho et al. 2020)."""
    half = TIME_FEATURES // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, device=timestep.device) / half)
    angles = timestep.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _down(level: Level) -> MeshTransform:
    assert level.down_transform is not None
    return MeshTransform(level.down_transform)


def _up(level: Level) -> MeshTransform:
    assert level.up_transform is not None
    return MeshTransform(level.up_transform)
