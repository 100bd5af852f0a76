"""Training the upscaler on authored skin: crops of what a person shows, in low and in high resolution.

As in Real-ESRGAN the low resolution is made worse than it is, blurred and with a little noise, because what
the diffusion model's decoder gives is blurred too.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.nn import functional

from ..animate_me import has_fast_half
from ..corpus.skin_cache import SkinCache
from ..errors import InputError
from ..evaluation.skin_stacks import records_by_person, stacks
from ..head import Head
from ..skin.upscaler_weights import save_network
from ..upscale import CHANNELS, STACK, DifferenceUpscaler, UpscalerConfig
from .optimisation import LOG_NAME, Phase, optimise

BLUR = (0.2, 1.0)
"""Range of the standard deviation, in texels of the low resolution."""
BLUR_REACH = 3
NOISE = 0.004
"""Largest standard deviation, in a map's units."""
KNOWN_SHARE = 0.5
"""Of crops for which each of the neutral's maps is given in high resolution."""
CHANGE_WEIGHT = 3.0
"""Of the loss of what changes, beside that of the neutral."""
ACTIVE_SHARE = 0.75
"""Of crops that lie where the skin changes, each place as often as it changes strongly."""


@dataclass(frozen=True)
class UpscalerTraining:
    """A training run, read from TOML."""

    skin: Path  # a skin cache, at the high resolution
    head: Path
    output: Path
    seed: int = 0
    people: int = 60
    expressions: int = 5  # of each person
    crop: int = 32  # side before enlargement
    ema: float = 0.999
    save_every_minutes: float = 5.0
    phase: Phase = field(default_factory=lambda: Phase(8, batch=16))
    network: UpscalerConfig = field(default_factory=UpscalerConfig)
    notes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> UpscalerTraining:
        """Parse a TOML file; paths are relative to it. Raises InputError naming what is wrong."""
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
            for name in ("skin", "head", "output"):
                values[name] = (path.parent / values[name]).resolve()
            if "phase" in values:
                values["phase"] = Phase(**values["phase"])
            if "network" in values:
                values["network"] = UpscalerConfig(**values["network"])
            return cls(**values)
        except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"The training configuration {path} cannot be used: {error}") from error


class Crops:
    """Random crops of skin: pairs of neutral and expression, in high resolution."""

    def __init__(self, neutral: Tensor, expressions: Tensor, side: int) -> None:
        """neutral (P, 8, S, S), expressions (P, E, 8, S, S), float16; side of a crop in texels."""
        self.neutral, self.expressions, self.side = neutral, expressions, side
        normal = CHANNELS["normal"]
        change = torch.stack(
            [
                functional.avg_pool2d((shown[:, normal] - rest[normal]).float().abs().mean(1), side // 2)
                for shown, rest in zip(expressions, neutral, strict=True)
            ]
        )
        self.activity = change.flatten(2)  # (P, E, blocks) of half a crop's side
        self.blocks = change.shape[-1]

    def draw(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Neutral and expression (count, 8, side, side), float32."""
        people, expressions, _ = self.activity.shape
        who = torch.randint(people, (count,), generator=random)
        what = torch.randint(expressions, (count,), generator=random)
        active = self.activity[who, what] + 1e-9
        likely = ACTIVE_SHARE * active / active.sum(1, keepdim=True) + (1 - ACTIVE_SHARE) / active.shape[1]
        block = torch.multinomial(likely, 1, generator=random)[:, 0]
        half = self.side // 2
        corner = half * torch.stack([block // self.blocks, block % self.blocks], dim=1)
        corner = corner - torch.randint(half + 1, (count, 2), generator=random)
        corner = corner.clamp(0, self.neutral.shape[-1] - self.side)
        windows = [
            (..., slice(top, top + self.side), slice(left, left + self.side)) for top, left in corner.tolist()
        ]
        neutral = torch.stack([self.neutral[p][w] for p, w in zip(who, windows, strict=True)])
        shown = [self.expressions[p, e][w] for p, e, w in zip(who, what, windows, strict=True)]
        return neutral.float(), torch.stack(shown).float()


class Objective:
    """The loss of a batch: how far the enlarged neutral and the enlarged expression are from the truth."""

    def __init__(self, crops: Crops, batch: int, accelerator: Accelerator, seed: int) -> None:
        self.crops, self.seed, self.random = crops, seed, torch.Generator()
        self.batch = batch // accelerator.num_processes
        self.process, self.device = accelerator.process_index, accelerator.device
        self.half = self.device.type in ("cpu", "cuda") and has_fast_half(self.device.type)
        self.reseed(0)

    def reseed(self, steps: int) -> None:
        """A resumed run must not draw the batches of its beginning again."""
        mixed = np.random.SeedSequence([self.seed, steps, self.process]).generate_state(1)
        self.random.manual_seed(int(mixed[0]))

    def __call__(self, network: nn.Module) -> Tensor:
        """Mean absolute error of a batch: of the neutral, and of what changes from it to the expression.

        The change has a loss of its own, because pores that nobody can know would drown it in another.
        """
        high = [maps.to(self.device) for maps in self.crops.draw(self.batch, self.random)]
        neutral, expression = degraded(high, self.random)
        known = torch.rand((self.batch, len(CHANNELS)), generator=self.random) < KNOWN_SHARE
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            own_neutral = network(neutral, neutral, None)
            guide = own_neutral.detach().clone()
            for number, channels in enumerate(CHANNELS.values()):
                given = known[:, number].to(self.device)
                guide[given, channels] = high[0][given, channels]
            own_expression = network(expression, neutral, guide)
        change = functional.l1_loss(own_expression - guide, high[1] - high[0])
        return functional.l1_loss(own_neutral, high[0]) + CHANGE_WEIGHT * change


def train_upscaler(config: UpscalerTraining, *, dry_run: bool = False) -> dict[str, Any]:
    """Train, or resume, and write the checkpoint folder ``config.output``. Returns the plan or result."""
    accelerator = Accelerator()
    set_seed(config.seed, device_specific=True)
    network = DifferenceUpscaler(config.network)
    cache = SkinCache.open(config.skin, "train", Head.load(config.head))
    rest, frames = records_by_person(cache, config.people, config.expressions)
    plan = {
        "people": len(rest),
        "expressions": frames.shape[1],
        "size": cache.layout.size,
        "parameters": sum(p.numel() for p in network.parameters()),
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
        "config": json.loads(json.dumps(asdict(config), default=str)),
    }
    if dry_run:
        return plan
    state = config.output.with_name(config.output.name + ".state")
    if accelerator.is_main_process:
        state.mkdir(parents=True, exist_ok=True)
    accelerator.wait_for_everyone()
    crops = Crops(stacks(cache, rest), stacks(cache, frames), 2 * config.crop)
    objective = Objective(crops, config.phase.batch, accelerator, config.seed)
    loss, steps = optimise(
        "upscaler",
        config.phase,
        network.to(accelerator.device),
        objective,
        state,
        ema_decay=config.ema,
        save_every_minutes=config.save_every_minutes,
        reseed=objective.reseed,
    )
    if accelerator.is_main_process:
        save_network(network, config.output, config.notes)
        log = (state / LOG_NAME).read_text(encoding="utf-8").splitlines()
        (config.output / LOG_NAME).write_text("\n".join(log[-20:]) + "\n", encoding="utf-8")
    return plan | {"loss": loss, "steps": steps}


def degraded(high: Sequence[Tensor], random: torch.Generator) -> list[Tensor]:
    """Several maps (B, 8, 2h, 2w) at half the size, each blurred as the others are, with noise of its own."""
    batch, device = len(high[0]), high[0].device
    offsets = torch.arange(-BLUR_REACH, BLUR_REACH + 1.0)
    width = BLUR[0] + (BLUR[1] - BLUR[0]) * torch.rand((batch, 1), generator=random)
    line = torch.softmax(-0.5 * (offsets / width).square(), dim=1)
    kernel = (line[:, :, None] * line[:, None, :]).repeat_interleave(STACK, dim=0)[:, None].to(device)
    level = NOISE * torch.rand((batch, 1, 1, 1), generator=random)
    found: list[Tensor] = []
    for maps in high:
        low = functional.pad(functional.avg_pool2d(maps, 2), (BLUR_REACH,) * 4, mode="replicate")
        blurred = functional.conv2d(low.flatten(0, 1)[None], kernel, groups=batch * STACK)[0]
        blurred = blurred.unflatten(0, (batch, STACK))
        noise = level * torch.randn(blurred.shape, generator=random)
        found.append((blurred + noise.to(device)).clamp(0, 1))
    return found
