"""Commands that train the upscaler and measure skin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .command_line import CHECKPOINT, CHECKPOINTS, Json, progress_bar, report

UPSCALER = CHECKPOINTS / "upscaler"
Head = Annotated[Path, typer.Option(help="Folder of the Dimple head.")]
HEAD = CHECKPOINT / "head"


def attach(train: typer.Typer, evaluate: typer.Typer) -> None:
    """Add the commands to ``python -m models train`` and ``evaluate``."""
    train.command("upscaler")(train_upscaler)
    evaluate.command("upscaler")(evaluate_upscaler)


def train_upscaler(
    config: Annotated[
        Path, typer.Argument(help="TOML file; see the training.toml of the shipped checkpoint.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done.")] = False,
) -> None:
    """Train the upscaler of maps, or go on where a run stopped."""
    from .training_upscaler import UpscalerTraining
    from .training_upscaler import train_upscaler as run

    report(run(UpscalerTraining.read(config), dry_run=dry_run), None)


def evaluate_upscaler(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the upscaler.")] = UPSCALER,
    other: Annotated[
        list[Path] | None, typer.Option(help="Further upscalers: folders, or files of Real-ESRGAN.")
    ] = None,
    skin: Annotated[
        Path, typer.Option(help="Painted skin in high resolution: python -m models corpus skin --size 512.")
    ] = Path("cache/skin-512"),
    head: Head = HEAD,
    people: Annotated[int, typer.Option(help="Test people.")] = 8,
    expressions: Annotated[int, typer.Option(help="Expressions of each.")] = 4,
    memory: Annotated[int, typer.Option(help="Size of the run whose memory is measured; 0: none.")] = 4096,
    json_path: Json = None,
) -> None:
    """Compare the upscaler with plain enlargement on people it has never seen, in one run."""
    from .evaluation_upscaler import Plan
    from .evaluation_upscaler import evaluate_upscaler as run

    checkpoints = {"ours": checkpoint} | {path.stem: path for path in other or ()}
    plan = Plan(people, expressions, memory_at=memory)
    with progress_bar("row") as show:
        report(run(checkpoints, skin, head, plan, on_request=show), json_path)
