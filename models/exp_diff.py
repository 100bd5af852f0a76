"""ExpDiff's denoiser (section III-C): latents of position, albedo, specular, roughness and relief together.

The five latents of an expression are denoised at once. Each is concatenated with the latent of the neutral
map that it departs from (section III-C: z^T repeated for the textures, z^P for the geometry); joint attention
keeps the BRDF maps consistent, cross attention ties them to the geometry, and words come in by cross
attention. Expression stage and intensity are conditions too, so that a curve drives the skin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from .denoiser import TIME_FEATURES, time_features
from .diffusion import Prediction, prediction_of, training_schedule
from .skin.gaussian_prior import GaussianPrior
from .skin.latent_blocks import HEAD, WINDOW, ConditionedBlock, Down, MapAttention, MapConv, Up, side_by_side

POSITION, ALBEDO = "position", "albedo"
BRDF = (ALBEDO, "specular", "roughness", "relief")
MAPS = (POSITION, *BRDF)
NORMAL = "normal"
"""In place of the relief, as in the paper; its latents keep less of the wrinkles (`evaluate autoencoder`)."""


@dataclass(frozen=True)
class LatentDenoiserConfig:
    """Everything needed to build the network."""

    maps: tuple[str, ...] = MAPS
    latent_channels: int = 16
    latent_size: int = 32
    guide_channels: int = 0  # further known channels of each map: what is expected of it, and the strain
    units: int = 57
    text_dimension: int = 256
    channels: tuple[int, ...] = (32, 64, 128)
    condition: int = 192
    context: int = 128
    place_channels: int = 8  # learned, says where on the face a latent is
    text_tokens: int = 4
    stage_tokens: int = 4
    stage_in_condition: bool = True  # besides by cross attention, which is all that AnimateMe 4.2 has
    joint_attention: bool = True
    geometry_attention: bool = True
    prior_rank: int = 0  # directions along which every place is denoised in closed form
    prediction_type: Prediction = "v_prediction"  # or "epsilon" (the paper's), "sample"

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that do not fit together."""
        coarsest = self.latent_size // 2 ** (len(self.channels) - 1)
        if coarsest * 2 ** (len(self.channels) - 1) != self.latent_size:
            raise ValueError(f"latents of {self.latent_size} cannot be halved {len(self.channels) - 1} times")
        if any(width % min(width, HEAD) for width in self.channels):
            raise ValueError(f"channels {self.channels} must be multiples of {HEAD}, or fewer")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LatentDenoiserConfig:
        """Build from JSON or TOML values; lists become tuples."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fields)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one frame's latents: (S * C, h, w)."""
        return len(self.maps) * self.latent_channels, self.latent_size, self.latent_size


@dataclass(frozen=True)
class Condition:
    """What the denoiser is told about B frames besides their noisy latents."""

    neutral: Tensor  # (B, S * C, h, w) latents of the neutral maps, z^T repeated
    guide: Tensor  # (B, S * G, h, w) further known channels; G may be 0
    stage: Tensor  # (B, M)
    text: Tensor  # (B, D) embedding of the prompt
    told: Tensor  # (B,) 1: words and stage are told, 0: withheld, for classifier-free guidance
    moved: Tensor  # (B,) 1: the guide's strain is of the true motion, 0: of the expected one

    def __getitem__(self, which: Tensor) -> Condition:
        """The condition of some frames."""
        return Condition(*(part[which] for part in self.parts()))

    def withheld(self) -> Condition:
        """The same frames with words and stage withheld."""
        return replace(self, told=torch.zeros_like(self.told))

    def parts(self) -> tuple[Tensor, ...]:
        """Its tensors, in order."""
        return self.neutral, self.guide, self.stage, self.text, self.told, self.moved


class LatentDenoiser(nn.Module):
    """epsilon_theta(z_t, t, c): a U-Net over the latents of S maps, mixed by attention; it adds to what a
    `GaussianPrior` knows, where there is one."""

    alpha_bars: Tensor

    def __init__(self, config: LatentDenoiserConfig) -> None:
        super().__init__()
        self.config = config
        maps, channels = len(config.maps), config.channels
        geometry = config.maps[0] == POSITION and maps > 1
        self.places = nn.Parameter(
            0.1 * torch.randn(maps * config.place_channels, config.latent_size, config.latent_size)
        )
        inputs = 2 * config.latent_channels + config.guide_channels + config.place_channels
        told = (config.units + 1) * config.stage_in_condition + 1
        self.condition = nn.Sequential(
            nn.Linear(TIME_FEATURES + told, 2 * config.condition),
            nn.SiLU(),
            nn.Linear(2 * config.condition, config.condition),
            nn.SiLU(),
        )
        self.text_tokens = nn.Linear(config.text_dimension, config.text_tokens * config.context)
        self.stage_tokens = nn.Linear(config.units, config.stage_tokens * config.context)
        self.intensity_token = nn.Linear(1, config.context)
        self.nothing = nn.Parameter(0.02 * torch.randn(1, 1, config.context))  # when all is withheld

        def block(channels_in: int, channels_out: int) -> ConditionedBlock:
            return ConditionedBlock(maps, channels_in, channels_out, config.condition)

        def attention(width: int) -> MapAttention:
            coarsest = width == channels[-1]
            return MapAttention(
                maps,
                width,
                config.context,
                config.latent_size if coarsest else WINDOW,
                joint=config.joint_attention,
                geometry=geometry,
                crossed=geometry and config.geometry_attention,
            )

        self.enter = MapConv(maps, inputs, channels[0])
        self.encoder = nn.ModuleList(block(width, width) for width in channels)
        self.encoder_attention = nn.ModuleList(attention(width) for width in channels)
        pairs = list(pairwise(channels))
        self.downs = nn.ModuleList(Down(maps, a, b) for a, b in pairs)
        self.middle = block(channels[-1], channels[-1])
        self.ups = nn.ModuleList(Up(maps, b, a) for a, b in pairs)
        self.decoder = nn.ModuleList(block(2 * width, width) for width in channels[:-1])
        self.decoder_attention = nn.ModuleList(attention(width) for width in channels[:-1])
        self.leave_norm = nn.GroupNorm(maps, maps * channels[0])
        self.leave = MapConv(maps, channels[0], config.latent_channels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        first = config.latent_channels * geometry
        textures = config.shape[0] - first
        self.prior = (
            GaussianPrior(min(config.prior_rank, textures), first, textures, config.latent_size)
            if config.prior_rank
            else None
        )
        alpha_bars = training_schedule(config.prediction_type).alphas_cumprod
        self.register_buffer("alpha_bars", alpha_bars, persistent=False)

    def forward(self, noisy: Tensor, timestep: Tensor, known: Condition) -> Tensor:
        """noisy (B, S * C, h, w), timestep (B,) -> prediction (B, S * C, h, w)."""
        maps = len(self.config.maps)
        told = known.told[:, None]
        stage = known.stage * told
        intensity = stage.amax(dim=1, keepdim=True)
        condition = [time_features(timestep), known.moved[:, None]]
        if self.config.stage_in_condition:
            condition += [stage, told]
        condition = self.condition(torch.cat(condition, dim=1))
        context = self._context(known.text, stage, intensity, told)
        parts = [noisy, known.neutral, self.places.expand(len(noisy), -1, -1, -1)]
        if self.config.guide_channels:
            parts.append(known.guide)
        x = self.enter(side_by_side(parts, maps))
        skips: list[Tensor] = []
        for level, (block, attention) in enumerate(zip(self.encoder, self.encoder_attention, strict=True)):
            if level:
                x = self.downs[level - 1](x)
            x = attention(block(x, condition), context)
            skips.append(x)
        x = self.middle(x, condition)
        for level in reversed(range(len(self.decoder))):
            x = side_by_side([self.ups[level](x), skips[level]], maps)
            x = self.decoder_attention[level](self.decoder[level](x, condition), context)
        prediction = self.leave(silu(self.leave_norm(x)))
        if self.prior is None:
            return prediction
        alpha_bar = self.alpha_bars[timestep]
        clean = self.prior.clean(noisy, alpha_bar)
        return prediction + prediction_of(self.config.prediction_type, clean, noisy, alpha_bar)

    def _context(self, text: Tensor, stage: Tensor, intensity: Tensor, told: Tensor) -> Tensor:
        """(B, K, D) tokens of words, stage and intensity; all the same token where they are withheld."""
        batch = len(text)
        tokens = torch.cat(
            [
                self.text_tokens(text).reshape(batch, self.config.text_tokens, -1),
                self.stage_tokens(stage).reshape(batch, self.config.stage_tokens, -1),
                self.intensity_token(intensity)[:, None],
            ],
            dim=1,
        )
        return torch.where(told[:, :, None] > 0.5, tokens, self.nothing)


def repeat_texture(position: Tensor, texture: Tensor, maps: Sequence[str]) -> Tensor:
    """Neutral latents (B, S * C, h, w) of ``maps``: z^P for the geometry, z^T for every texture."""
    return torch.cat([position if name == POSITION else texture for name in maps], dim=1)
