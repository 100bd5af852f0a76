"""The commands of ``python -m models`` that train dynamic skin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import CHECKPOINT, CHECKPOINTS, Json, report

SKIN = Path("cache/skin")

Config = Annotated[Path, typer.Argument(help="TOML file; see the training.toml of the shipped checkpoint.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done.")]


def attach(train: typer.Typer, evaluate: typer.Typer) -> None:
    """Add the commands to ``python -m models train`` and ``evaluate``."""
    train.command("autoencoder")(autoencoder)
    train.command("exp-diff")(exp_diff)
    train.command("animate-me-texture")(animate_me_texture)
    evaluate.command("autoencoder")(evaluate_autoencoder)


def autoencoder(config: Config, dry_run: DryRun = False) -> None:
    """Train the autoencoder of skin maps, or go on where a run stopped."""
    from ..training.autoencoder import AutoencoderTraining, train_autoencoder

    report(train_autoencoder(AutoencoderTraining.read(config), dry_run=dry_run), None)


def exp_diff(config: Config, dry_run: DryRun = False) -> None:
    """Train ExpDiff on a skin cache, or go on where a run stopped."""
    from ..training.latents import EXP_DIFF, LatentTraining, train_latents

    report(train_latents(LatentTraining.read(config, EXP_DIFF), dry_run=dry_run), None)


def animate_me_texture(config: Config, dry_run: DryRun = False) -> None:
    """Train AnimateMe's texture model on a skin cache, or go on where a run stopped."""
    from ..training.latents import TEXTURE, LatentTraining, train_latents

    report(train_latents(LatentTraining.read(config, TEXTURE), dry_run=dry_run), None)


def evaluate_autoencoder(
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="Autoencoders, also others to compare.")
    ] = None,
    head: Annotated[Path, typer.Option(help="Folder of the Dimple head.")] = CHECKPOINT / "head",
    skin: Annotated[Path, typer.Option(help="The skin cache.")] = SKIN,
    records: Annotated[int, typer.Option(help="Faces to look at.")] = 60,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    json_path: Json = None,
) -> None:
    """What the autoencoder keeps of each kind of map and of wrinkles, beside linear codes."""
    from ..evaluation.autoencoder import evaluate_autoencoder as run

    report(run(checkpoint or [CHECKPOINTS / "autoencoder"], head, skin, records, split), json_path)
