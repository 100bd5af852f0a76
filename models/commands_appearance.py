"""The commands of ``python -m models`` that train dynamic skin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .command_line import report

Config = Annotated[Path, typer.Argument(help="TOML file; see the training.toml of the shipped checkpoint.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done.")]


def attach(train: typer.Typer) -> None:
    """Add the commands to ``python -m models train``."""
    train.command("autoencoder")(autoencoder)
    train.command("exp-diff")(exp_diff)
    train.command("animate-me-texture")(animate_me_texture)


def autoencoder(config: Config, dry_run: DryRun = False) -> None:
    """Train the autoencoder of skin maps, or go on where a run stopped."""
    from .training_autoencoder import AutoencoderTraining, train_autoencoder

    report(train_autoencoder(AutoencoderTraining.read(config), dry_run=dry_run), None)


def exp_diff(config: Config, dry_run: DryRun = False) -> None:
    """Train ExpDiff on a skin cache, or go on where a run stopped."""
    from .training_latents import EXP_DIFF, LatentTraining, train_latents

    report(train_latents(LatentTraining.read(config, EXP_DIFF), dry_run=dry_run), None)


def animate_me_texture(config: Config, dry_run: DryRun = False) -> None:
    """Train AnimateMe's texture model on a skin cache, or go on where a run stopped."""
    from .training_latents import TEXTURE, LatentTraining, train_latents

    report(train_latents(LatentTraining.read(config, TEXTURE), dry_run=dry_run), None)
