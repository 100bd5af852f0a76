"""Training of Dimple's autoencoder: from the best linear code onwards, on crops of all kinds of map."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from ..autoencoder import MapAutoencoder
from ..corpus.skin_cache import SkinCache
from ..corpus.skin_images import random_crops, some_images
from ..errors import InputError
from ..head import Head
from .autoencoder_start import PatchComponents, linear_start
from .optimisation import LOG_NAME, Phase, optimise

ENOUGH = 1e-5
"""Mean squared error, of 4, that no kind of map has to get below: 56 dB."""
SAMPLE = 60
"""Records that the linear start and the scale of the losses are taken from."""


@dataclass(frozen=True)
class AutoencoderTraining:
    """A training run, read from TOML."""

    corpus: Path
    head: Path
    output: Path
    seed: int = 0
    kinds: tuple[str, ...] = ("offset", "position", "albedo", "specular", "roughness", "relief")
    latent_channels: int = 24
    channels: int = 64
    fold: int = 8
    groups: int = 8
    crop: int = 128
    slope_weight: float = 0.5  # of the error of the relief's slopes beside that of its height
    divergence_weight: float = 1e-6  # of the Kullback-Leibler divergence of the latents
    ema: float = 0.999
    save_every_minutes: float = 3.0
    phase: Phase = field(default_factory=lambda: Phase(20, batch=24, learning_rate=5e-4))
    notes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> AutoencoderTraining:
        """Parse a TOML file; paths are relative to it. Raises InputError naming what is wrong."""
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
            for name in ("corpus", "head", "output"):
                values[name] = (path.parent / values[name]).resolve()
            if "phase" in values:
                values["phase"] = Phase(**values["phase"])
            if "kinds" in values:
                values["kinds"] = tuple(values["kinds"])
            return cls(**values)
        except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"The training configuration {path} cannot be used: {error}") from error


def train_autoencoder(config: AutoencoderTraining, *, dry_run: bool = False) -> dict[str, Any]:
    """Train, or resume, and write the folder ``config.output``. Returns the plan or the result."""
    accelerator = Accelerator()
    set_seed(config.seed, device_specific=True)
    head = Head.load(config.head)
    cache = SkinCache.open(config.corpus, "train", head)
    model = MapAutoencoder.small(config.latent_channels, config.channels, config.fold, config.groups)
    plan = {
        "records": len(cache),
        "people": len(cache.seed),
        "parameters": sum(p.numel() for p in model.parameters()),
        "latent": [config.latent_channels, cache.layout.size // config.fold],
        "device": str(accelerator.device),
        "config": json.loads(json.dumps(asdict(config), default=str)),
    }
    if dry_run:
        return plan
    sample = some_images(cache, head, SAMPLE, config.kinds, np.random.default_rng(config.seed))
    components, scale = linear_code(sample, config.latent_channels, config.fold)
    linear_start(model, components)
    objective = Reconstruction(model.to(accelerator.device), scale, config)
    stream = _Crops(config, cache, head)

    def batch_loss(network: nn.Module) -> Tensor:
        kinds, images = stream.draw(config.phase.batch // accelerator.num_processes)
        return network(images.to(accelerator.device), kinds.to(accelerator.device))

    state = config.output.with_name(config.output.name + ".state")
    state.mkdir(parents=True, exist_ok=True)
    loss, steps = optimise(
        "autoencoder",
        config.phase,
        objective,
        batch_loss,
        state,
        ema_decay=config.ema,
        save_every_minutes=config.save_every_minutes,
        reseed=stream.reseed,
    )
    if accelerator.is_main_process:
        model.cpu().save(config.output)
        lines = (state / LOG_NAME).read_text(encoding="utf-8").splitlines()
        (config.output / LOG_NAME).write_text("\n".join(lines[-20:]) + "\n", encoding="utf-8")
        note = json.dumps(config.notes, indent=1) + "\n"
        (config.output / "notes.json").write_text(note, encoding="utf-8")
    return plan | {"loss": loss, "steps": steps}


def linear_code(
    sample: dict[str, Tensor], components: int, fold: int
) -> tuple[PatchComponents, dict[str, float]]:
    """Principal components that serve all kinds of image alike, and the error each has with them.

    Kinds weigh by the inverse of their error, which is found by going round a few times: otherwise the kind
    with the largest numbers would have most components.
    """
    images = torch.cat(list(sample.values()))
    error = {kind: float(values.var()) for kind, values in sample.items()}

    def best() -> PatchComponents:
        weights = torch.cat([torch.full((len(v),), 1 / error[kind]) for kind, v in sample.items()])
        return PatchComponents.of(images, weights, fold)

    found = best()
    for _ in range(3):
        for kind, values in sample.items():
            rest = found.reconstruct(values, components, fold) - values
            error[kind] = max(float(rest.square().mean()), ENOUGH)
        found = best()
    return found, error


class Reconstruction(nn.Module):
    """Error of crops against the linear code's: 1 at the start, every kind of map alike."""

    scale: Tensor

    def __init__(self, model: MapAutoencoder, scale: dict[str, float], config: AutoencoderTraining) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.register_buffer("scale", torch.tensor([scale[kind] for kind in config.kinds]))
        self.relief = config.kinds.index("relief") if "relief" in config.kinds else -1

    def forward(self, images: Tensor, kinds: Tensor) -> Tensor:
        """Loss of images (B, 3, H, W) of kinds (B,)."""
        mean, log_variance = self.model.moments(images)
        latents = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        rest = self.model.reconstruct(latents) - images
        error = (rest.square().mean((1, 2, 3)) / self.scale[kinds]).mean()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        relief = rest[kinds == self.relief]
        slope = torch.zeros((), device=images.device)
        if len(relief):
            steps = relief.diff(dim=2).square().mean() + relief.diff(dim=3).square().mean()
            slope = steps / self.scale[self.relief] / len(self.config.kinds)
        return error + self.config.slope_weight * slope + self.config.divergence_weight * divergence


class _Crops:
    """Endless random crops, as many of each kind."""

    def __init__(self, config: AutoencoderTraining, cache: SkinCache, head: Head) -> None:
        self.config, self.cache, self.head = config, cache, head
        self.random = np.random.default_rng([config.seed, 1])

    def draw(self, batch: int) -> tuple[Tensor, Tensor]:
        """Kinds (B,) and crops (B, 3, crop, crop)."""
        kinds = self.config.kinds
        each = max(1, batch // len(kinds))
        images = some_images(self.cache, self.head, each, kinds, self.random)
        crops = [random_crops(images[kind], self.config.crop, 8, self.random) for kind in kinds]
        return torch.arange(len(kinds)).repeat_interleave(each), torch.cat(crops)

    def reseed(self, steps: int) -> None:
        """A resumed run must not draw the crops of its beginning again."""
        self.random = np.random.default_rng([self.config.seed, 1, steps])
