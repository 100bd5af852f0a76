"""Maps to latents and back: diffusers' AutoencoderKL, one for all kinds of map (ExpDiff III-B, eq. 5).

Every map is an image of three channels in [-1, 1]; grey maps repeat their channel. A Stable Diffusion VAE
takes them as they are. Dimple's own is small enough for a CPU because it first folds 8 x 8 texels into the
channels of one, as a vision transformer does, and works at that size alone.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Self

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from .errors import CheckpointError

SUBFOLDER = "vae"
AT_ONCE = 16
"""Maps encoded or decoded together: bounds the memory."""


class MapAutoencoder(nn.Module):
    """An AutoencoderKL whose input has 3 fold^2 channels: ``fold`` x ``fold`` texels a place."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae
        config: Any = vae.config
        self.fold = math.isqrt(config.in_channels // 3)
        if 3 * self.fold**2 != config.in_channels:
            raise CheckpointError(
                f"This autoencoder takes {config.in_channels} channels; Dimple's maps have three."
            )
        self.latent_channels = int(config.latent_channels)
        self.factor = self.fold * 2 ** (len(config.block_out_channels) - 1)
        self.scaling = float(config.scaling_factor)

    @classmethod
    def small(cls, latent_channels: int = 16, channels: int = 128, fold: int = 8, groups: int = 16) -> Self:
        """Dimple's own, untrained: one level at 1 / fold of the size."""
        return cls(
            AutoencoderKL(
                in_channels=3 * fold**2,
                out_channels=3 * fold**2,
                down_block_types=("DownEncoderBlock2D",),  # type: ignore[arg-type]
                up_block_types=("UpDecoderBlock2D",),  # type: ignore[arg-type]
                block_out_channels=(channels,),  # type: ignore[arg-type]
                latent_channels=latent_channels,
                norm_num_groups=groups,
                use_quant_conv=False,
                use_post_quant_conv=False,
                scaling_factor=1.0,
                mid_block_add_attention=False,
            )
        )

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Load the autoencoder of a diffusers folder: the folder itself, or its `vae`.

        So a Stable Diffusion checkpoint, or its VAE alone, stands in for the small one. Nothing is
        downloaded, no pickle is read. Raises CheckpointError where there is none or it is damaged.
        """
        home = folder / SUBFOLDER if (folder / SUBFOLDER).is_dir() else folder
        if not (home / "config.json").is_file():
            raise CheckpointError(f"There is no autoencoder in {folder}; choose a folder with a config.json.")
        try:
            vae: Any = AutoencoderKL.from_pretrained(
                str(home), local_files_only=True, use_safetensors=True, torch_dtype=torch.float32
            )
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"The autoencoder in {folder} cannot be loaded: {error}") from error
        return cls(vae.eval())

    def save(self, folder: Path) -> None:
        """Write ``folder`` in diffusers' layout, weights in float16."""
        vae: Any = self.vae
        vae.half().save_pretrained(str(folder))
        vae.float()

    def moments(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, C, h, w) of the latents of maps (B, 3, H, W), with gradients."""
        posterior = self.vae.encode(pixel_unshuffle(maps, self.fold)).latent_dist  # type: ignore[union-attr]
        return posterior.mean, posterior.logvar

    def reconstruct(self, latents: Tensor) -> Tensor:
        """Maps (B, 3, H, W) of unscaled latents (B, C, h, w), with gradients."""
        return pixel_shuffle(self.vae.decode(latents).sample, self.fold)  # type: ignore[union-attr]

    @torch.inference_mode()
    def encode(self, maps: Tensor) -> Tensor:
        """Scaled latents (B, C, H / factor, W / factor) of maps (B, 3, H, W) in [-1, 1]: their mode."""
        return torch.cat([self.moments(part)[0] * self.scaling for part in maps.split(AT_ONCE)])

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Maps (B, 3, H, W) of scaled latents (B, C, h, w); eq. 7."""
        return torch.cat([self.reconstruct(part / self.scaling) for part in latents.split(AT_ONCE)])
