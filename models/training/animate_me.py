"""Training AnimateMe: one frame at a time, as a static diffusion model (section 3.2).

Two phases share one network. The modal path is trained first, alone, on frames projected once to the
principal directions: thousands of frames a second on two cores. Then the whole network is trained on
meshes, spirals and identity encoder included.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..additive import AdditiveModel
from ..animate_me import AnimateMe, identity_solver
from ..corpus.cache import FrameCache
from ..corpus.frames import Scaling
from ..denoiser import DenoiserConfig, SpiralDenoiser
from ..diffusion import TRAIN_TIMESTEPS, training_schedule
from ..errors import InputError
from ..head import Head
from ..topology import mesh_hierarchy
from .additive_fit import Mirror, fit_additive, fit_identity_motion, frame_weight
from .optimisation import LOG_NAME, Phase, optimise

LOCAL_SNR = 100.0
"""Noisier than 1 / this, spirals beside a modal path have nothing to find: such timesteps weigh less
(min-SNR weighting, Hang et al. 2023, with the many vertices that see one detail counted in)."""
BIASED_FROM = 500  # a phase's biased_share of timesteps comes from here up: there the broad shape is decided


@dataclass(frozen=True)
class TrainingConfig:
    """A training run, read from TOML."""

    corpus: Path
    head: Path
    output: Path
    seed: int = 0
    ema: float = 0.999
    save_every_minutes: float = 5.0
    scaling: Scaling = "global"  # "local": trained on labels and their progression only (section 4.1)
    frames_per_person: int = 4  # of a batch: the identity encoder runs once a person
    modal: Phase = field(default_factory=lambda: Phase(10, batch=1024))
    joint: Phase = field(default_factory=lambda: Phase(60))
    network: DenoiserConfig = field(default_factory=DenoiserConfig)
    notes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> TrainingConfig:
        """Parse a TOML file; paths are relative to it. Raises InputError naming what is wrong."""
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
            for name in ("corpus", "head", "output"):
                values[name] = (path.parent / values[name]).resolve()
            for name in ("modal", "joint"):
                if name in values:
                    values[name] = Phase(**values[name])
            if "network" in values:
                values["network"] = DenoiserConfig.from_dict(values["network"])
            return cls(**values)
        except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"The training configuration {path} cannot be used: {error}") from error


def train_animate_me(config: TrainingConfig, *, dry_run: bool = False) -> dict[str, Any]:
    """Train, or resume, and write the checkpoint folder ``config.output``. Returns the plan or result."""
    accelerator = Accelerator()
    set_seed(config.seed, device_specific=True)
    head = Head.load(config.head)
    skin = head.skin_vertices
    mean_skin = head.neutral_vertices[:skin]
    cache = FrameCache.open(config.corpus / "train", mean_skin, config.scaling)
    hierarchy = mesh_hierarchy(head.skin_triangles, mean_skin)
    model = SpiralDenoiser(config.network, hierarchy)
    plan = {
        "frames": len(cache),
        "people": len(cache.neutral_offsets),
        "levels": [len(level.vertices) for level in hierarchy],
        "parameters": sum(p.numel() for p in model.parameters()),
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
        "config": json.loads(json.dumps(asdict(config), default=str)),
    }
    if dry_run:
        return plan
    run = _Run(config, accelerator, head, cache, model)
    run.fit_target()
    run.train_modal()
    run.train_joint()
    run.save()
    return plan | {"loss": run.loss, "steps": run.steps_done}


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        config: TrainingConfig,
        accelerator: Accelerator,
        head: Head,
        cache: FrameCache,
        model: SpiralDenoiser,
    ) -> None:
        self.config, self.accelerator, self.head, self.cache = config, accelerator, head, cache
        self.device = accelerator.device
        self.model = model.to(self.device)
        self.mirror = Mirror.of(head.mirror[: head.skin_vertices])
        offsets = torch.from_numpy(cache.neutral_offsets)
        # Everybody and everybody's mirror image: the image of person p is p + P.
        self.neutral_offsets = torch.cat([offsets, self.mirror.vectors(offsets)])
        self.coefficients = torch.from_numpy(identity_solver(head)(self.neutral_offsets.numpy()))
        self.alpha_bars = training_schedule(config.network.prediction_type).alphas_cumprod.to(self.device)
        # One stream of random numbers for all processes: each takes its share of the same batch, so
        # that any number of processes trains the same model.
        self.random = np.random.default_rng(config.seed)
        self.projected: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
        self.loss = math.nan
        self.steps_done: dict[str, int] = {}
        self.state_folder = config.output.with_name(config.output.name + ".state")
        if accelerator.is_main_process:
            self.state_folder.mkdir(parents=True, exist_ok=True)
        accelerator.wait_for_everyone()

    def fit_target(self) -> None:
        """Fit what is known in closed form: the additive model, or one number that scales raw motion."""
        target, path = self.model.target, self.state_folder / "target.safetensors"
        known = path.exists()
        if known:
            target.load_state_dict(load_file(path))
        elif isinstance(target, AdditiveModel):
            network = self.config.network
            fitted = fit_additive(self.cache, self.mirror, network.modal_rank, network.known_modes)
            projected = self._project(fitted)
            stages, person, coordinates, weight = projected
            fit_identity_motion(fitted, stages, self.coefficients[person], coordinates, weight)
            target.load_state_dict(fitted.state_dict())
            self.projected = projected
        else:
            sample = self.random.choice(len(self.cache), min(512, len(self.cache)), replace=False)
            target.scale.fill_(float(np.sqrt(np.square(self.cache.deformations(sample)).mean())))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process and not known:
            save_file(target.state_dict(), path)

    def train_modal(self) -> None:
        """Train the modal path, alone, on projected frames."""
        target, modal, phase = self.model.target, self.model.modal, self.config.modal
        if modal is None or not isinstance(target, AdditiveModel) or phase.minutes <= 0:
            return
        stages, person, coordinates, weight = self.projected or self._project(target.cpu())
        self.projected = None
        target.to(self.device)

        def batch_loss(network: nn.Module) -> Tensor:
            index = self._share(torch.from_numpy(self.random.integers(len(stages), size=phase.batch)))
            timestep, alpha_bar, noise = self._diffusion_draw(phase, coordinates.shape[1:])
            clean, stage, coefficients, frame = self._to_device(
                coordinates[index], stages[index], self.coefficients[person[index]], weight[index]
            )
            noisy = alpha_bar.sqrt()[:, None] * clean + (1 - alpha_bar).sqrt()[:, None] * noise
            expected, std = target.expected(stage, coefficients), target.spread(stage)
            estimate = network(noisy, timestep, alpha_bar, stage, coefficients, expected, std)
            return modal_loss(estimate, clean, alpha_bar, std, frame)

        self._optimise("modal", phase, modal, batch_loss)

    def train_joint(self) -> None:
        """Train spirals and identity encoder on meshes (equation 2); a trained modal path stays as it is."""
        target, phase = self.model.target, self.config.joint
        if phase.minutes <= 0:
            return
        frames_of = _frames_by_person(self.cache.person)
        if self.model.modal is not None:
            self.model.modal.requires_grad_(False)
        people = len(self.cache.neutral_offsets)
        each = self.config.frames_per_person
        weights = self._frame_weights()

        def batch_loss(network: nn.Module) -> Tensor:
            who = self.random.integers(people, size=phase.batch // each)
            frames = np.stack([self.random.choice(frames_of[p], each) for p in who])
            reflect = self.random.random() < 0.5
            timestep, alpha_bar, noise = self._diffusion_draw(phase, self.neutral_offsets.shape[1:])
            person, index = torch.from_numpy(self._share(who)), self._share(frames).ravel()
            stage = torch.from_numpy(self.cache.stages[index])
            deformation = torch.from_numpy(self.cache.deformations(index))
            if reflect:
                stage, deformation, person = (
                    self.mirror.stages(stage),
                    self.mirror.vectors(deformation),
                    person + people,
                )
            stage, deformation, offsets, coefficients, frame = self._to_device(
                stage, deformation, self.neutral_offsets[person], self.coefficients[person], weights[index]
            )
            clean = target.relative(deformation, stage)
            root, rest = alpha_bar.sqrt()[:, None, None], (1 - alpha_bar).sqrt()[:, None, None]
            prediction = network(
                root * clean + rest * noise, timestep, alpha_bar, stage, offsets, coefficients
            )
            wanted = {"sample": clean, "epsilon": noise, "v_prediction": root * noise - rest * clean}
            error = (prediction - wanted[self.config.network.prediction_type]).square().mean((1, 2))
            if self.model.modal is not None:
                frame = frame * (LOCAL_SNR * alpha_bar / (1 - alpha_bar)).clamp_max(1)
            return (frame * error).mean()

        self._optimise("joint", phase, WholeNetwork(self.model), batch_loss)

    def save(self) -> None:
        """Write the checkpoint folder, with the configuration and the last lines of the log beside it."""
        if not self.accelerator.is_main_process:
            return
        AnimateMe(self.model, self.head).save(self.config.output, self.config.notes)
        log = (self.state_folder / LOG_NAME).read_text(encoding="utf-8").splitlines()
        (self.config.output / LOG_NAME).write_text("\n".join(log[-20:]) + "\n", encoding="utf-8")

    def _project(self, target: AdditiveModel) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of all frames and their mirror images: stages, people, coordinates of y, weights."""
        everything: list[tuple[Tensor, Tensor, Tensor]] = []
        people = len(self.cache.neutral_offsets)
        for start in range(0, len(self.cache), 512):
            frames = np.arange(start, min(start + 512, len(self.cache)))
            stage, who = (
                torch.from_numpy(self.cache.stages[frames]),
                torch.from_numpy(self.cache.person[frames]),
            )
            deformation = torch.from_numpy(self.cache.deformations(frames))
            image = self.mirror.stages(stage)
            everything.append((stage, who, target.project(target.relative(deformation, stage))))
            reflected = target.relative(self.mirror.vectors(deformation), image)
            everything.append((image, who + people, target.project(reflected)))
        stages, person, coordinates = (torch.cat(column) for column in zip(*everything, strict=True))
        weight = frame_weight(target.amplitude(stages).flatten())
        return stages, person, coordinates, weight / weight.mean()

    def _frame_weights(self) -> Tensor:
        target = self.model.target
        if not isinstance(target, AdditiveModel):
            return torch.ones(len(self.cache))
        weight = frame_weight(
            target.amplitude(torch.from_numpy(self.cache.stages).to(self.device)).flatten().cpu()
        )
        return weight / weight.mean()

    def _diffusion_draw(self, phase: Phase, shape: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
        """This process's share of timesteps (B,), their alpha_bar (B,) and noise (B, *shape)."""
        batch = phase.batch
        low = np.where(self.random.random(batch) < phase.biased_share, BIASED_FROM, 0)
        timestep = torch.from_numpy(self.random.integers(low, TRAIN_TIMESTEPS))
        generator = torch.Generator().manual_seed(int(self.random.integers(2**62)))
        noise = torch.randn((batch, *shape), generator=generator)
        timestep, noise = self._to_device(self._share(timestep), self._share(noise))
        return timestep, self.alpha_bars[timestep], noise

    def _share(self, batch: Any) -> Any:
        """This process's part of a batch (tensor or array) that all processes have drawn alike."""
        size = len(batch) // self.accelerator.num_processes
        return batch[self.accelerator.process_index * size :][:size]

    def _optimise(
        self, name: str, phase: Phase, network: nn.Module, loss: Callable[[nn.Module], Tensor]
    ) -> None:
        self.loss, self.steps_done[name] = optimise(
            name,
            phase,
            network,
            loss,
            self.state_folder,
            ema_decay=self.config.ema,
            save_every_minutes=self.config.save_every_minutes,
            reseed=self._reseed,
        )

    def _reseed(self, steps: int) -> None:
        """A resumed run must not draw the batches of its beginning again."""
        self.random = np.random.default_rng([self.config.seed, steps])

    def _to_device(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.to(self.device) for tensor in tensors)


class WholeNetwork(nn.Module):
    """Identity encoder and denoiser together; a batch holds several frames of each of its people."""

    def __init__(self, model: SpiralDenoiser) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        noisy: Tensor,
        timestep: Tensor,
        alpha_bar: Tensor,
        stage: Tensor,
        offsets: Tensor,
        coefficients: Tensor,
    ) -> Tensor:
        """Prediction (B, V, 3); offsets (P, V, 3) and coefficients (P, I) of the P people, in order."""
        each = len(noisy) // len(offsets)
        identity = self.model.identity_code(offsets, coefficients).repeat_interleave(each, dim=0)
        return self.model(noisy, timestep, alpha_bar, stage, offsets.repeat_interleave(each, dim=0), identity)


def modal_loss(estimate: Tensor, clean: Tensor, alpha_bar: Tensor, std: Tensor, weight: Tensor) -> Tensor:
    """Squared error in the preconditioned network's own units, directions weighted by their spread.

    estimate, clean, std (B, R); alpha_bar, weight (B,).
    """
    rest = 1 - alpha_bar[:, None]
    unit = std * (rest / (alpha_bar[:, None] * std**2 + rest)).sqrt()
    importance = weight[:, None] * std / std.mean(dim=1, keepdim=True)
    return (importance * ((estimate - clean) / unit).square()).mean()


def _frames_by_person(person: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(person, kind="stable")
    return np.split(order, np.searchsorted(person[order], np.arange(1, person.max() + 1)))
