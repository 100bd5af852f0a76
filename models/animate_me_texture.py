"""AnimateMe's texture model (section 4.2): latent diffusion of one texture, frame by frame.

The neutral latent comes in by channel concatenation, expression intensity and label by cross-attention.
Frames are trained one at a time and sampled with one noise, as the geometry is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from .animate_me import choose_device
from .autoencoder import MapAutoencoder
from .diffusion import TRAIN_TIMESTEPS, OnStep, make_scheduler, sample_consistent, training_schedule
from .exp_diff import ALBEDO, Condition, LatentDenoiser
from .expected_maps import ExpectedLatents
from .expected_motion import ExpectedMotion
from .guidance import guided
from .head import Head
from .prompts import PromptEmbedder
from .skin.brdf_maps import from_images, to_images
from .skin.checkpoint import load_appearance, save_appearance
from .skin.window_maps import fitted
from .uv_maps import FACE_WINDOW, Window

Floats = NDArray[np.float32]

TEXTURE_MAPS = (ALBEDO,)


class AnimateMeTexture:
    """A trained texture model. Loaded once, then used for many faces."""

    def __init__(
        self,
        autoencoder: MapAutoencoder,
        denoiser: LatentDenoiser,
        expected: ExpectedLatents,
        head: Head,
        prompts: PromptEmbedder,
        motion: ExpectedMotion,
        window: Window = FACE_WINDOW,
        device: str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.autoencoder = autoencoder.eval().to(self.device)
        self.denoiser = denoiser.eval().to(self.device)
        self.expected = expected.eval().to(self.device)
        self.head, self.prompts, self.expected_motion, self.window = head, prompts, motion, window
        self.schedule = training_schedule(denoiser.config.prediction_type)
        self.size = denoiser.config.latent_size * autoencoder.factor

    @classmethod
    def from_checkpoint(cls, folder: Path, device: str = "auto") -> Self:
        """Load a checkpoint folder (diffusers' layout). Raises CheckpointError, InputError."""
        device = choose_device(device)
        return cls(*load_appearance(folder, cls.__name__), device)

    def save(self, folder: Path, notes: Mapping[str, str], elsewhere: Mapping[str, str]) -> None:
        """Write the checkpoint folder; as `Appearance.save`."""
        networks = type(self).__name__, self.autoencoder, self.denoiser, self.expected, self.prompts
        save_appearance(folder, *networks, self.schedule, self.window, notes, elsewhere)

    @torch.inference_mode()
    def animate(
        self,
        texture: Floats,
        signal: Floats,
        seed: int,
        *,
        guidance: float = 1.0,
        steps: int = 1,
        scheduler: str = "dpm",
        noise_scale: float = 0.0,
        late_start: int = TRAIN_TIMESTEPS,
        frames_per_chunk: int = 16,
        on_step: OnStep | None = None,
    ) -> Floats:
        """The texture of every frame (K, H, W, 3), sRGB 0..1, in the model's window and size.

        texture (H, W, 3): the neutral one over the whole UV tile; signal (K, M): expression stages. What the
        model changes is added to the neutral texture, whose own detail stays. noise_scale 0 and one step show
        the model's mean, 1 and some 8 steps one of the ways in which people differ from it. Raises InputError
        for an image that is no square map and for a signal that is none.
        """
        neutral = fitted(texture, self.size, self.window)
        stages, text = self.prompts.read(signal, None, None)
        stages = np.concatenate(
            [stages, np.zeros_like(stages[:1])]
        )  # and the skin at rest, as one more frame
        count = len(stages)
        latent = self.autoencoder.encode(to_images(ALBEDO, neutral[None]).to(self.device))
        latents = latent.expand(count, -1, -1, -1)
        nothing = torch.zeros(count, 0, *latent.shape[2:], device=self.device)
        known = Condition(
            latents,
            nothing,
            torch.from_numpy(stages).to(self.device),
            torch.cat([text, text[:1]]).to(self.device),
            torch.ones(count, device=self.device),
            torch.zeros(count, device=self.device),
        )
        expected = self.expected(latents, nothing)
        whitened = sample_consistent(
            guided(self.denoiser, known, guidance),
            lambda: make_scheduler(scheduler, self.schedule),
            count,
            self.denoiser.config.shape,
            steps=steps,
            seed=seed,
            noise_scale=noise_scale,
            late_start=late_start,
            first_frame=count - 1,
            frames_per_chunk=frames_per_chunk,
            device=self.device,
            on_step=on_step,
        )
        images = from_images(ALBEDO, self.autoencoder.decode(expected.restore(whitened)))
        return np.clip(neutral + images[:-1] - images[-1:], 0, 1)
