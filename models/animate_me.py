"""AnimateMe: from a neutral face and an expression signal to per-frame deformations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import parts
from .alignment import similarity_to
from .denoiser import SpiralDenoiser
from .diffusion import OnStep, Scheduler, make_scheduler, sample_consistent, training_schedule
from .errors import CheckpointError, InputError
from .head import Head
from .weights import load_denoiser, save_denoiser

Floats = NDArray[np.float32]

INDEX_NAME = "model_index.json"
DENOISER, SCHEDULER, HEAD = "denoiser", "scheduler", "head"


@dataclass(frozen=True)
class Sampler:
    """How to sample: a scheduler, its number of steps, and late_start (1000: none, the full chain)."""

    scheduler: str
    steps: int
    late_start: int
    first_frame: str = "neutral"  # which frame hands over at late_start: the first one, or the "peak"
    noise_scale: float = 1.0  # of the initial noise; below 1 animations differ less from the model's mean


NOISE_SCALE = 0.8
"""Of the initial noise. At 1 animations differ more than people of one face do and are further from the truth
(apexes of 18 validation people: diversity 1.21, 0.213 mm at 1; 0.76, 0.183 mm at 0.7); this lies between.
``python -m models evaluate noise-scale`` compares others."""

SAMPLERS: Mapping[str, Sampler] = {
    "default": Sampler("dpm", 10, 1000, noise_scale=NOISE_SCALE),
    "full": Sampler("dpm", 10, 1000),
    "late": Sampler("dpm", 10, 900, "peak", NOISE_SCALE),
    "ddim": Sampler("ddim", 10, 1000),
    "paper": Sampler("ddpm", 1000, 400),
}


class AnimateMe:
    """A trained denoiser with its head. Loaded once, then used for many animations."""

    def __init__(self, denoiser: SpiralDenoiser, head: Head, device: str = "cpu", half: bool = False) -> None:
        self.head = head
        self.device = torch.device(device)
        self.denoiser = denoiser.eval().to(self.device)
        if half:
            self.denoiser.half()
        self.schedule = training_schedule(denoiser.config.prediction_type)

    @classmethod
    def from_checkpoint(cls, folder: Path, device: str = "auto", half: str = "auto") -> Self:
        """Load a checkpoint folder (diffusers layout). Raises CheckpointError, InputError."""
        device = choose_device(device)
        try:
            found = json.loads((folder / INDEX_NAME).read_text(encoding="utf-8"))["_class_name"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"There is no readable Dimple checkpoint in {folder}. Choose its folder in the preferences."
            ) from error
        if found != cls.__name__:
            raise CheckpointError(f"{folder} holds a {found} checkpoint, not {cls.__name__}.")
        head = Head.load(folder / HEAD)
        denoiser = load_denoiser(folder / DENOISER)
        if len(denoiser.hierarchy[0].vertices) != head.skin_vertices:
            raise CheckpointError(f"The denoiser and the head in {folder} do not belong together.")
        return cls(denoiser, head, device, half == "on" or (half == "auto" and has_fast_half(device)))

    def save(self, folder: Path, notes: Mapping[str, Any] | None = None) -> None:
        """Write the checkpoint folder; ``notes`` (data, licence) go into model_index.json."""
        self.head.save(folder / HEAD)
        save_denoiser(self.denoiser, folder / DENOISER)
        self.schedule.save_pretrained(folder / SCHEDULER)
        index = {
            "_class_name": type(self).__name__,
            DENOISER: ["models.denoiser", "SpiralDenoiser"],
            SCHEDULER: ["diffusers", "DDPMScheduler"],
            HEAD: ["models.head", "Head"],
            "units": self.head.config["units"],
            **(notes or {}),
        }
        (folder / INDEX_NAME).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")

    @torch.inference_mode()
    def animate(
        self,
        neutral_vertices: Floats,
        expression_signal: Floats,
        seed: int,
        *,
        sampler: str = "default",
        late_start: int | None = None,
        steps: int | None = None,
        frames_per_chunk: int | None = None,
        on_step: OnStep | None = None,
    ) -> Floats:
        """Deformations (K, V, 3) of one head, in its own units and axes.

        neutral_vertices (V, 3): the whole head or its skin alone, however turned, moved and scaled.
        expression_signal (K, M): expression stage of every frame. Same seed, same result.
        Raises InputError when the vertices are not those of the head's topology.
        """
        neutral = self._checked(neutral_vertices)
        skin_count = self.head.skin_vertices
        similarity = similarity_to(self.head.neutral_vertices[:skin_count], neutral[:skin_count])
        aligned = similarity.apply(neutral)
        skin = self.animate_skin(
            aligned[:skin_count],
            expression_signal,
            seed,
            preset=self.sampler(sampler, late_start, steps),
            frames_per_chunk=frames_per_chunk,
            on_step=on_step,
        )
        whole = parts.follow(self.head, aligned, skin, np.asarray(expression_signal, np.float32))
        return similarity.invert_vectors(whole)

    @torch.inference_mode()
    def animate_skin(
        self,
        neutral_skin: Floats,
        expression_signal: Floats,
        seed: int,
        *,
        preset: Sampler,
        frames_per_chunk: int | None = None,
        on_step: OnStep | None = None,
    ) -> Floats:
        """Deformations (K, V, 3) mm of a skin given in model space; section 3.4."""
        signal = torch.from_numpy(np.array(expression_signal, np.float32)).to(self.device)
        offset, identity = self.encode_identity(neutral_skin)
        alpha_bars = self.schedule.alphas_cumprod.to(self.device)

        def predict(noisy: Tensor, timestep: int, which: Tensor) -> Tensor:
            batch = len(which)
            t = torch.full((batch,), timestep, device=self.device)
            stage = signal[which.to(self.device)]
            return self.denoiser(
                noisy, t, alpha_bars[t], stage, offset.expand(batch, -1, -1), identity.expand(batch, -1)
            )

        peak = int(signal.square().sum(1).argmax()) if preset.first_frame == "peak" else 0
        y = sample_consistent(
            predict,
            self._scheduler_factory(preset.scheduler),
            len(signal),
            neutral_skin.shape,
            steps=preset.steps,
            seed=seed,
            late_start=preset.late_start,
            noise_scale=preset.noise_scale,
            first_frame=peak,
            frames_per_chunk=frames_per_chunk or 64,
            device=self.device,
            on_step=on_step,
        )
        return self.denoiser.target.absolute(y, signal).float().cpu().numpy()

    def encode_identity(self, neutral_skin: Floats) -> tuple[Tensor, Tensor]:
        """Offset from the mean person (1, V, 3) mm and identity code (1, I + code)."""
        offset = neutral_skin - self.head.neutral_vertices[: self.head.skin_vertices]
        coefficients = torch.from_numpy(self.identity_solver(offset))[None].to(self.device)
        tensor = torch.from_numpy(np.ascontiguousarray(offset, np.float32))[None].to(self.device)
        return tensor, self.denoiser.identity_code(tensor, coefficients)

    @cached_property
    def identity_solver(self) -> Callable[[Floats], Floats]:
        """Skin offset (V, 3) mm -> coefficients (I,) of the linear identity model, in sigmas."""
        return identity_solver(self.head)

    def new_person(self, seed: int) -> Floats:
        """Neutral vertices (V, 3), mm, of a person who does not exist."""
        from .identity import sample_identity  # the prior is not needed to animate

        return sample_identity(self.head, seed)

    @staticmethod
    def sampler(name: str, late_start: int | None = None, steps: int | None = None) -> Sampler:
        """A preset with late_start or steps replaced. Raises InputError for an unknown name."""
        if name not in SAMPLERS:
            raise InputError(f"There is no sampler called {name}. Choose one of {', '.join(SAMPLERS)}.")
        preset = SAMPLERS[name]
        return Sampler(
            preset.scheduler,
            preset.steps if steps is None else steps,
            preset.late_start if late_start is None else late_start,
            preset.first_frame,
            preset.noise_scale,
        )

    def _scheduler_factory(self, name: str) -> Callable[[], Scheduler]:
        return lambda: make_scheduler(name, self.schedule)

    def _checked(self, neutral_vertices: Floats) -> Floats:
        vertices = np.asarray(neutral_vertices, np.float32)
        expected = (len(self.head.neutral_vertices), self.head.skin_vertices)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or len(vertices) not in expected:
            raise InputError(
                f"This mesh has {len(vertices)} vertices; a Dimple head has {expected[0]} "
                f"({expected[1]} without eyes and teeth)."
            )
        if not np.isfinite(vertices).all():
            raise InputError("Some vertices of the head are not finite numbers. Repair the mesh first.")
        return vertices


def identity_solver(head: Head, ridge: float = 1e-2) -> Callable[[Floats], Floats]:
    """Regularised least squares from a skin offset (..., V, 3) mm to identity coefficients (..., I)."""
    basis = head.identity_basis[:, : head.skin_vertices].reshape(len(head.identity_q), -1)
    gram = basis @ basis.T
    inverse = np.linalg.inv(gram + ridge * np.trace(gram) / len(gram) * np.eye(len(gram), dtype=np.float32))

    def solve(offset: Floats) -> Floats:
        flat = offset.reshape(*offset.shape[:-2], -1)
        return (flat @ basis.T @ inverse).astype(np.float32)

    return solve


def choose_device(name: str) -> str:
    """``auto`` -> the best device there is. Raises InputError when the wanted one is missing."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if available[device])
    if not available.get(name.split(":")[0], False):
        raise InputError(f"The device {name} is not available here. Choose auto or cpu in the preferences.")
    return name


def has_fast_half(device: str) -> bool:
    """Whether bfloat16 is worth it: always on CUDA, on CPUs that multiply it in hardware."""
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported())  # pyright: ignore[reportPrivateUsage]
    return device.startswith("cuda")
