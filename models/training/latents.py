"""Training the latent diffusion models, ExpDiff (section III-C) and AnimateMe's texture model (4.2).

Both see one frame at a time, as latents that are computed once. What is expected of a frame is fitted in
closed form first; the network learns the rest.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from ..animate_me_texture import TEXTURE_MAPS, AnimateMeTexture
from ..appearance import Appearance
from ..autoencoder import MapAutoencoder
from ..corpus.latent_cache import LatentCache, build_latents
from ..corpus.skin_cache import SkinCache
from ..diffusion import TRAIN_TIMESTEPS, training_schedule
from ..errors import InputError
from ..exp_diff import MAPS, POSITION, Condition, LatentDenoiser, LatentDenoiserConfig, repeat_texture
from ..expected_maps import ExpectedLatents
from ..expected_motion import expected_motion
from ..head import Head
from ..prompts import PROMPTS, PromptEmbedder, name_of
from ..skin.surface_strain import FEATURES
from .expected_maps_fit import fit_directions, fit_expected, fit_standard
from .optimisation import LOG_NAME, Phase, optimise

EXP_DIFF, TEXTURE = "exp-diff", "animate-me-texture"
BIASED_FROM = 500
RESTING_SHARE = 0.08
"""Of a batch: skins at rest, which the model must leave alone."""
FOLDERS = ("corpus", "latents", "autoencoder", "head", "words", "output")


@dataclass(frozen=True)
class LatentTraining:
    """A training run, read from TOML."""

    corpus: Path
    latents: Path
    autoencoder: Path
    head: Path
    words: Path
    output: Path
    motion: Path | None = None  # an AnimateMe checkpoint, whose expectation the geometry departs from
    prompts: str = "text"  # or "one-hot": which unit is the strongest, and no words
    target: str = "residual"  # or "raw": the latents themselves, as in the papers
    guided: bool = True  # the expected departure and the strain are told to the network
    shards: int = 10**6  # of the corpus at most: so much is encoded and trained on
    seed: int = 0
    withheld_share: float = 0.1  # of frames whose words and stage are withheld, for guidance
    known_share: float = 0.4  # of frames whose true motion is told
    ema: float = 0.999
    save_every_minutes: float = 3.0
    phase: Phase = field(default_factory=lambda: Phase(25, batch=16, learning_rate=8e-4))
    network: LatentDenoiserConfig = field(default_factory=LatentDenoiserConfig)
    notes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, model: str) -> LatentTraining:
        """Parse a TOML file; paths are relative to it. Raises InputError naming what is wrong."""
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
            for name in (*FOLDERS, "motion"):
                if name in values or name in FOLDERS:
                    values[name] = (path.parent / values[name]).resolve()
            if "phase" in values:
                values["phase"] = Phase(**values["phase"])
            network: dict[str, Any] = {"maps": MAPS, **values.get("network", {})}
            if model == TEXTURE:
                network |= {"maps": TEXTURE_MAPS, "stage_in_condition": False}
                values |= {"guided": False, "known_share": 0.0}
            values["network"] = LatentDenoiserConfig.from_dict(network)
            config = cls(**values)
        except (OSError, KeyError, TypeError, ValueError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"The training configuration {path} cannot be used: {error}") from error
        if config.target not in ("residual", "raw"):
            raise InputError(f"The target is residual or raw, not {config.target}.")
        if config.prompts not in PROMPTS:
            raise InputError(f"Prompts are one of {', '.join(PROMPTS)}, not {config.prompts}.")
        return config


def train_latents(config: LatentTraining, *, dry_run: bool = False) -> dict[str, Any]:
    """Encode the corpus, fit what is expected, train or resume, write ``config.output``; give the result."""
    accelerator = Accelerator()
    set_seed(config.seed, device_specific=True)
    head = Head.load(config.head)
    skin = SkinCache.open(config.corpus, "train", head).limited(config.shards)
    autoencoder = MapAutoencoder.from_folder(config.autoencoder)
    features = FEATURES if config.guided else 0
    network = replace(
        config.network,
        latent_channels=autoencoder.latent_channels,
        latent_size=skin.layout.size // autoencoder.factor,
        guide_channels=autoencoder.latent_channels + features if config.guided else 0,
    )
    prompts = PROMPTS[config.prompts].load(config.words)
    denoiser = LatentDenoiser(replace(network, text_dimension=prompts.dimension))
    plan = {
        "records": len(skin),
        "people": len(skin.seed),
        "parameters": sum(p.numel() for p in denoiser.parameters()),
        "device": str(accelerator.device),
        "config": json.loads(json.dumps(asdict(config), default=str)),
    }
    if dry_run:
        return plan
    motion = expected_motion(head, config.motion)
    bar = tqdm(desc="latents", unit="record", disable=not accelerator.is_main_process)
    cached = config.network.maps if len(config.network.maps) > 1 else MAPS
    for done, total in build_latents(config.latents / "train", skin, autoencoder, head, motion, cached):
        bar.total = total
        bar.update(done - bar.n)
    bar.close()
    latents = LatentCache.open(config.latents / "train")
    state = config.output.with_name(config.output.name + ".state")
    state.mkdir(parents=True, exist_ok=True)
    expected = _expected(config, state, skin, latents, denoiser.config, features)
    if denoiser.prior is not None:
        fit_directions(denoiser.prior, expected, skin, latents, np.random.default_rng(config.seed))
    batches = LatentBatches(config, skin, latents, prompts, denoiser.config, expected, accelerator)
    objective = Denoising(denoiser.to(accelerator.device), expected.to(accelerator.device))
    loss, steps = optimise(
        config.output.name,
        config.phase,
        objective,
        lambda trained: trained(*batches.draw()),
        state,
        ema_decay=config.ema,
        save_every_minutes=config.save_every_minutes,
        reseed=batches.reseed,
    )
    if accelerator.is_main_process:
        kind = AnimateMeTexture if config.network.maps == TEXTURE_MAPS else Appearance
        model = kind(autoencoder, denoiser, expected, head, prompts, motion, skin.layout.window)
        model.save(config.output, config.notes, _elsewhere(config))
        lines = (state / LOG_NAME).read_text(encoding="utf-8").splitlines()
        (config.output / LOG_NAME).write_text("\n".join(lines[-20:]) + "\n", encoding="utf-8")
    return plan | {"loss": loss, "steps": steps}


def _expected(
    config: LatentTraining,
    state: Path,
    skin: SkinCache,
    latents: LatentCache,
    network: LatentDenoiserConfig,
    features: int,
) -> ExpectedLatents:
    """Fitted, or read when it has been."""
    path = state / "expected.safetensors"
    if path.is_file():
        sizes = network.latent_channels, network.latent_size
        expected = ExpectedLatents(network.maps, *sizes, features)
        expected.load_state_dict(load_file(path))
        return expected
    fit = fit_standard if config.target == "raw" else fit_expected
    expected = fit(skin, latents, network.maps, features)
    save_file({name: value.contiguous() for name, value in expected.state_dict().items()}, path)
    return expected


def _elsewhere(config: LatentTraining) -> Mapping[str, str]:
    """Folders of what is shared with other checkpoints, as seen from the output."""
    shared = {"head": config.head, "words": config.words, "vae": config.autoencoder, "motion": config.motion}
    return {
        name: Path(os.path.relpath(path, config.output)).as_posix()
        for name, path in shared.items()
        if path is not None
    }


class LatentBatches:
    """Endless random batches of frames, with what the network is told about them."""

    def __init__(
        self,
        config: LatentTraining,
        skin: SkinCache,
        latents: LatentCache,
        prompts: PromptEmbedder,
        network: LatentDenoiserConfig,
        expected: ExpectedLatents,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.skin, self.latents, self.network = config, skin, latents, network
        self.expected, self.accelerator = deepcopy(expected), accelerator  # it stays on the CPU
        self.alpha_bars = training_schedule(network.prediction_type).alphas_cumprod
        self.random = np.random.default_rng([config.seed, 2])
        self.frames = skin.frames
        self.neutrals = np.flatnonzero(skin.neutral == np.arange(len(skin)))
        # at rest a skin shows no expression; any may be the one it leads to
        stages = skin.stage.copy()
        stages[self.neutrals] = stages[self.random.choice(self.frames, len(self.neutrals))]
        self.directions = prompts.of_stages(stages)
        names = [name_of(stage) for stage in stages]
        unique, self.name = np.unique(names, return_inverse=True)
        self.named = torch.cat(
            [prompts.embed(list(part)) for part in np.array_split(unique, 64) if len(part)]
        )

    def draw(self) -> tuple[Any, ...]:
        """Clean latents, timesteps, alpha_bar, noise and the condition: the arguments of `Denoising`."""
        batch, random = self.config.phase.batch, self.random
        resting = random.random(batch) < RESTING_SHARE
        records = np.where(resting, random.choice(self.neutrals, batch), random.choice(self.frames, batch))
        known = random.random(batch) < self.config.known_share
        told = random.random(batch) >= self.config.withheld_share
        low = np.where(random.random(batch) < self.config.phase.biased_share, BIASED_FROM, 0)
        timestep = torch.from_numpy(random.integers(low, TRAIN_TIMESTEPS))
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        noise = torch.randn((batch, *self.network.shape), generator=generator)
        by_name = torch.from_numpy(random.random(batch) < 0.5)[:, None]
        share = self._share(batch)
        clean, condition = self._read(records[share], known[share])
        text = torch.where(by_name, self.named[self.name[records]], self.directions[records])[share]
        condition = replace(condition, text=text, told=torch.from_numpy(told[share]).float())
        timestep, noise = timestep[share], noise[share]
        parts = clean, timestep, self.alpha_bars[timestep], noise, *condition.parts()
        device = self.accelerator.device
        clean, timestep, alpha_bar, noise, *rest = (part.to(device) for part in parts)
        return clean, timestep, alpha_bar, noise, Condition(*rest)

    def reseed(self, steps: int) -> None:
        """A resumed run must not draw the batches of its beginning again."""
        self.random = np.random.default_rng([self.config.seed, 2, steps])

    def _read(self, records: NDArray[np.int64], known: NDArray[np.bool_]) -> tuple[Tensor, Condition]:
        person = self.skin.person[records]
        texture = torch.from_numpy(self.latents.texture[person]).float()
        offset = torch.from_numpy(self.latents.offset[person]).float()
        told = torch.from_numpy(known)
        strain = torch.where(
            told[:, None, None, None],
            self.latents.read("true_strain", records),
            self.latents.read("expected_strain", records),
        )[:, : self.expected.features]
        channels = self.network.latent_channels
        latents = self.latents.of_maps(self.network.maps, records)
        if self.network.maps[0] == POSITION:  # a motion that is known leaves nothing to depart from
            still = torch.from_numpy(self.latents.still).float()
            moved = latents[:, :channels]
            latents[:, :channels] = torch.where(told[:, None, None, None], still, moved)
        expected = self.expected(texture, strain)
        clean = expected.whiten(latents)
        guide = self.expected.guide(texture, expected, strain) if self.network.guide_channels else strain
        nothing = torch.zeros(len(records))
        neutral = repeat_texture(offset, texture, self.network.maps)
        stage = torch.from_numpy(self.skin.stage[records])
        return clean, Condition(neutral, guide, stage, nothing, nothing, told.float())

    def _share(self, batch: int) -> slice:
        """This process's part of a batch that all processes have drawn alike."""
        size = batch // self.accelerator.num_processes
        return slice(self.accelerator.process_index * size, (self.accelerator.process_index + 1) * size)


class Denoising(nn.Module):
    """Eq. 6 for noise, v or clean latents; places and channels weigh by their spread, maps alike."""

    weight: Tensor

    def __init__(self, denoiser: LatentDenoiser, expected: ExpectedLatents) -> None:
        super().__init__()
        self.denoiser = denoiser
        spread = expected.spread.unflatten(0, (len(expected.maps), -1))
        weight = spread / spread.mean((1, 2, 3), keepdim=True)
        self.register_buffer("weight", weight.flatten(0, 1))

    def forward(
        self, clean: Tensor, timestep: Tensor, alpha_bar: Tensor, noise: Tensor, known: Condition
    ) -> Tensor:
        """Loss of whitened clean latents (B, S * C, h, w)."""
        root, rest = alpha_bar.sqrt()[:, None, None, None], (1 - alpha_bar).sqrt()[:, None, None, None]
        prediction = self.denoiser(root * clean + rest * noise, timestep, known)
        wanted = {"sample": clean, "epsilon": noise, "v_prediction": root * noise - rest * clean}
        error = prediction - wanted[self.denoiser.config.prediction_type]
        return (self.weight * error.square()).mean()
