"""Dynamic skin: from a neutral skin and an expression signal to BRDF maps and geometry of every frame.

    model = Appearance.from_checkpoint(folder, device="auto")
    result = model.generate(albedo, neutral_vertices, signal)
    result.albedo, result.specular, result.roughness, result.normal, result.height, result.vertices

``albedo`` (H, W, 3) sRGB in 0..1, row 0 at v = 1, over the UV tile of the Dimple head, square, of any size;
``neutral_vertices`` (V, 3) of the whole head or its skin, in any units and axes; ``signal`` (K, 57) the
expression stage of every frame. Maps come back at the model's own size and show its window of the tile,
`uv_maps.FACE_WINDOW`, where all that moves lies; ``models.upscale`` enlarges them and `uv_maps.paste` puts
them into a tile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .alignment import similarity_to
from .animate_me import choose_device
from .autoencoder import MapAutoencoder
from .diffusion import (
    TRAIN_TIMESTEPS,
    OnStep,
    make_scheduler,
    sample_consistent,
    shared_noise,
    training_schedule,
)
from .errors import InputError
from .exp_diff import ALBEDO, NORMAL, POSITION, Condition, LatentDenoiser, repeat_texture
from .expected_maps import Expectation, ExpectedLatents
from .expected_motion import ExpectedMotion
from .guidance import guided
from .head import Head
from .prompts import PromptEmbedder
from .skin.brdf_maps import BrdfMaps, from_images, neutral_known, to_images
from .skin.checkpoint import load_appearance, save_appearance
from .skin.surface_strain import STRAIN_TEXELS, RestMetric, crease_features
from .skin.window_maps import fitted
from .uv_maps import FACE_WINDOW, UVLayout, Window

Floats = NDArray[np.float32]

STARTS: Mapping[str, int] = {"noise": TRAIN_TIMESTEPS, "neutral": 800}
"""Where the chain begins: from pure noise, or from the neutral latents noised to this timestep (III-C)."""
NOISE_SCALE = 1.0
"""Of the initial noise. Without noise a skin shows the mean over people, in which personal creases blur."""
STEPS = 8
"""Of the sampler; a mean without noise takes one."""


@dataclass(frozen=True)
class AppearanceResult:
    """Maps of K frames, H x W, row 0 on top, and the geometry that belongs to them."""

    albedo: Floats  # (K, H, W, 3) sRGB, 0..1
    specular: Floats  # (K, H, W) 0..1
    roughness: Floats  # (K, H, W) 0..1
    normal: Floats  # (K, H, W, 3) tangent space, unit vectors, +Y up; write 0.5 + 0.5 n
    height: Floats  # (K, H, W) mm of relief; nothing but zeros from a model that makes normals themselves
    vertices: Floats  # (K, V, 3) the skin, in the units and axes of the neutral vertices
    rest: BrdfMaps  # the same window of the skin at rest; what was not given is the model's
    window: Window  # u and v from, u and v to: what the maps show of the UV tile


class Appearance:
    """ExpDiff with its autoencoder, head and words. Loaded once, then used for many skins."""

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
        half: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.half = half
        self.autoencoder = autoencoder.eval().to(self.device)
        self.denoiser = denoiser.eval().to(self.device)
        self.expected = expected.eval().to(self.device)
        self.head, self.prompts, self.expected_motion, self.window = head, prompts, motion, window
        self.schedule = training_schedule(denoiser.config.prediction_type)
        self.size = denoiser.config.latent_size * autoencoder.factor

    @classmethod
    def from_checkpoint(cls, folder: Path, device: str = "auto", half: str = "off") -> Self:
        """Load a checkpoint folder (diffusers' layout). Raises CheckpointError, InputError.

        half: "on" computes the denoiser in bfloat16, "auto" does so on CUDA.
        """
        device = choose_device(device)
        networks = load_appearance(folder, cls.__name__)
        half_precision = half == "on" or (half == "auto" and device.startswith("cuda"))
        return cls(*networks, device, half_precision)

    def save(self, folder: Path, notes: Mapping[str, str], elsewhere: Mapping[str, str]) -> None:
        """Write the checkpoint folder. ``elsewhere``: the folders, seen from it, of head, words, motion (an
        AnimateMe checkpoint; may be left out) and of vae, which is written there if it is left out."""
        networks = type(self).__name__, self.autoencoder, self.denoiser, self.expected, self.prompts
        save_appearance(folder, *networks, self.schedule, self.window, notes, elsewhere)

    @cached_property
    def layout(self) -> UVLayout:
        """The head's UVs in the model's window, at its size."""
        return UVLayout.of_head(self.head, self.size, self.window)

    @cached_property
    def strain_layout(self) -> UVLayout:
        """The same window as coarse as the strain is looked at."""
        return UVLayout.of_head(self.head, STRAIN_TEXELS * self.denoiser.config.latent_size, self.window)

    @torch.inference_mode()
    def generate(
        self,
        neutral_maps: BrdfMaps | Floats,
        neutral_vertices: Floats,
        signal: Floats | None,
        *,
        seed: int = 0,
        prompt: str | tuple[str, str] | None = None,
        shares: Floats | None = None,
        deformation: Floats | None = None,
        guidance: float = 1.0,
        steps: int | None = None,
        scheduler: str = "dpm",
        noise_scale: float = NOISE_SCALE,
        start: str = "noise",
        frames_per_chunk: int = 8,
        on_step: OnStep | None = None,
    ) -> AppearanceResult:
        """BRDF maps and vertices of K frames; ExpDiff III-C. Same seed, same result.

        neutral_maps: the albedo alone (H, W, 3), or what else is known of the skin at rest. Known maps keep
            their own detail: what the model finds to change is added to them, as eq. 9 does with the mesh.
        signal (K, M): expression stages; None where ``prompt`` tells what to show, as one frame.
        prompt: the words to guide with, in place of the name of the stage; or two of them, and ``shares``
            (K,) from 0, the one, to 1, the other.
        deformation (K, V, 3): how the mesh really moves, in its own units, where that is known (AnimateMe's,
            say). Then ``vertices`` is that motion, and the skin is made to follow it.
        guidance: classifier-free guidance; 1 is the conditional model alone.
        steps: of the sampler; without it, 8, or 1 from no noise at all.
        noise_scale: of the initial noise; 0 shows the model's mean whatever the seed, 1 creases as one person
            has them, chosen by the seed.
        start: "noise", or "neutral" for noised neutral latents (III-C).

        Raises InputError for an image that is no square map, for vertices of another mesh, and for prompts
        that describe nothing.
        """
        given = neutral_known(neutral_maps if isinstance(neutral_maps, BrdfMaps) else BrdfMaps(neutral_maps))
        given = {name: fitted(values, self.size, self.window) for name, values in given.items()}
        stages, text = self.prompts.read(signal, prompt, shares)
        if start not in STARTS:
            raise InputError(f"A chain starts from one of {', '.join(STARTS)}, not from {start}.")
        skin = self.checked_skin(neutral_vertices)
        similarity = similarity_to(self.head.neutral_vertices[: self.head.skin_vertices], skin)
        neutral = similarity.apply(skin)
        if deformation is None:
            motion = self.expected_motion(stages, neutral)
        else:
            moved = np.asarray(deformation, np.float32)[:, : len(skin)]
            motion = (similarity.scale * moved @ similarity.rotation.T).astype(np.float32)
        # The skin at rest is one more frame: what differs from it is what the expression does (eq. 9).
        stages = np.concatenate([stages, np.zeros_like(stages[:1])])
        motion = np.concatenate([motion, np.zeros_like(motion[:1])])
        text = torch.cat([text, text[:1]])
        rest = RestMetric.of(self.layout, neutral)
        strain = self.strain_features(neutral, motion)
        known, expected = self.conditions(
            given[ALBEDO], neutral, stages, text, strain, moved=deformation is not None
        )

        def sampled(noise_scale: float, steps: int, start: str, on_step: OnStep | None) -> Tensor:
            return self._sample(
                known,
                expected,
                seed,
                guidance=guidance,
                steps=steps,
                scheduler=scheduler,
                noise_scale=noise_scale,
                start=start,
                frames_per_chunk=frames_per_chunk,
                on_step=on_step,
            )

        one_step = noise_scale == 0 and start == "noise"
        latents = sampled(noise_scale, steps or (1 if one_step else STEPS), start, on_step)
        # Geometry and skin at rest are the likeliest; what the expression changes is one person's own.
        likeliest = sampled(0.0, 1, "noise", None) if noise_scale else latents
        vertices = neutral + motion[:-1]
        if deformation is None:
            vertices = vertices + directional_difference(self.layout, self.decode(likeliest, POSITION))
        maps: dict[str, Floats] = {}
        at_rest = dict(given)
        for name in self.denoiser.config.maps[1:]:
            decoded = self.decode(latents, name)
            if name not in given:
                at_rest[name] = self.decode(likeliest[-1:], name)[0]
            maps[name] = at_rest[name] + decoded[:-1] - decoded[-1:]
        if NORMAL in maps:
            normal = maps[NORMAL] / np.linalg.norm(maps[NORMAL], axis=3, keepdims=True)
            height, resting_height = np.zeros(normal.shape[:3], np.float32), None
        else:
            height, resting_height = maps["relief"], at_rest["relief"]
            normal = np.stack([rest.normal_map(v, h) for v, h in zip(vertices, height, strict=True)])
        own = similarity.invert_vectors(vertices - neutral) + skin
        return AppearanceResult(
            np.clip(maps[ALBEDO], 0, 1),
            np.clip(maps["specular"], 0, 1),
            np.clip(maps["roughness"], 0, 1),
            normal,
            height,
            own.astype(np.float32),
            BrdfMaps(at_rest[ALBEDO], at_rest["specular"], at_rest["roughness"], resting_height),
            self.window,
        )

    def conditions(
        self,
        albedo: Floats,
        neutral: Floats,
        stages: Floats,
        text: Tensor,
        strain: Tensor,
        *,
        moved: bool = False,
    ) -> tuple[Condition, Expectation]:
        """What the denoiser is told of K frames of one person, and what is expected of their latents.

        albedo (H, W, 3) at the model's size; neutral (V, 3) mm in model space; stages (K, M); text (K, D);
        strain (K, F, h, w) crease features, of the true motion where ``moved``.
        """
        texture = self.autoencoder.encode(to_images(ALBEDO, albedo[None]).to(self.device))
        offset = self.layout.rasterise(neutral - self.head.neutral_vertices[: len(neutral)])
        position = self.autoencoder.encode(to_images("offset", offset[None]).to(self.device))
        count, strain = len(stages), strain.to(self.device)[:, : self.expected.features]
        textures = texture.expand(count, -1, -1, -1)
        expected = self.expected(textures, strain)
        known = Condition(
            repeat_texture(position, texture, self.denoiser.config.maps).expand(count, -1, -1, -1),
            self.expected.guide(textures, expected, strain)
            if self.denoiser.config.guide_channels
            else strain[:, :0],
            torch.from_numpy(np.asarray(stages, np.float32)).to(self.device),
            text.to(self.device),
            torch.ones(count, device=self.device),
            torch.full((count,), float(moved), device=self.device),
        )
        return known, expected

    def strain_features(self, neutral: Floats, motion: Floats) -> Tensor:
        """(K, F, h, w) crease features of motions (K, V, 3) of a neutral skin (V, 3), mm."""
        cells = self.denoiser.config.latent_size
        rest = RestMetric.of(self.strain_layout, neutral)
        return torch.from_numpy(
            np.stack([crease_features(rest.strain_map(neutral + m), cells) for m in motion])
        )

    def checked_skin(self, neutral_vertices: Floats) -> Floats:
        """(V, 3) the skin of neutral vertices. Raises InputError when they are not the head's."""
        vertices = np.asarray(neutral_vertices, np.float32)
        skin, whole = self.head.skin_vertices, len(self.head.neutral_vertices)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) not in (skin, whole):
            raise InputError(
                f"This mesh has {len(vertices)} vertices; a Dimple head has {whole} "
                f"({skin} without eyes and teeth)."
            )
        if not np.isfinite(vertices).all():
            raise InputError("Some vertices of the head are not finite numbers. Repair the mesh first.")
        return vertices[:skin]

    def _sample(
        self,
        known: Condition,
        expected: Expectation,
        seed: int,
        *,
        guidance: float,
        steps: int,
        scheduler: str,
        noise_scale: float,
        start: str,
        frames_per_chunk: int,
        on_step: OnStep | None,
    ) -> Tensor:
        """Latents (K, S * C, h, w), all frames with the same noises (AnimateMe 3.4)."""
        initial = None
        if start == "neutral":
            position = torch.zeros_like(expected.mean[:, : self.autoencoder.latent_channels])
            texture = known.neutral[:, -self.autoencoder.latent_channels :]
            resting = repeat_texture(position, texture, self.denoiser.config.maps)
            initial = expected.whiten(self.expected.neutral(resting, texture))
        shape = self.denoiser.config.shape
        resting, added = (shared_noise(seed, shape, stream).to(self.device) for stream in range(2))
        whitened = sample_consistent(
            guided(self.denoiser, known, guidance, half=self.half),
            lambda: make_scheduler(scheduler, self.schedule),
            len(expected.mean),
            shape,
            steps=steps,
            seed=seed,
            noise_scale=noise_scale,
            begin=STARTS[start],
            initial=initial,
            noise=expected.noise(resting, added),
            frames_per_chunk=frames_per_chunk,
            device=self.device,
            on_step=on_step,
        )
        return expected.restore(whitened)

    def decode(self, latents: Tensor, name: str) -> Floats:
        """One kind of map of K frames, of latents (K, S * C, h, w); eq. 7."""
        start = self.denoiser.config.maps.index(name) * self.autoencoder.latent_channels
        part = latents[:, start : start + self.autoencoder.latent_channels]
        return from_images(name, self.autoencoder.decode(part))


def directional_difference(layout: UVLayout, departure: Floats) -> Floats:
    """(K, V, 3) mm: f(P_n - P_Neutral | F) of eq. 9.

    departure (K + 1, H, W, 3) mm: the position maps P_n of K frames and, last, P_Neutral of the skin at rest
    as the same model generates it, so that what the model gets wrong at rest is taken out of every frame.
    """
    return np.stack([layout.read_back(frame - departure[-1]) for frame in departure[:-1]])
