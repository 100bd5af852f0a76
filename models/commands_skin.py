"""``python -m models corpus skin``: BRDF maps for training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .command_line import CACHE, CHECKPOINT, Seed, progress_bar

SKIN_CACHE = Path("cache/skin")


def attach(corpus: typer.Typer) -> None:
    """Add the command to ``python -m models corpus``."""
    corpus.command("skin")(corpus_skin)


def corpus_skin(
    head: Annotated[Path, typer.Option(help="Folder of the Dimple head.")] = CHECKPOINT / "head",
    corpus_folder: Annotated[Path, typer.Option("--corpus", help="The people and their frames.")] = CACHE,
    out: Annotated[Path, typer.Option(help="Where the maps go; 0.6 MB a record at 256.")] = SKIN_CACHE,
    people: Annotated[int, typer.Option(help="People to train on.")] = 2000,
    held_out: Annotated[int, typer.Option(help="People to validate on, and as many to test on.")] = 40,
    frames: Annotated[int, typer.Option(help="Frames per person, besides the neutral.")] = 6,
    size: Annotated[int, typer.Option(help="Texels along a side of the face window.")] = 256,
    seed: Seed = 0,
) -> None:
    """Paint authored skin for the people of the corpus: neutral and expressive BRDF maps."""
    from .corpus.skin_build import build_skin
    from .head import Head

    splits = {"train": people, "validation": held_out, "test": held_out}
    with progress_bar("person") as show:
        for done, total in build_skin(out, corpus_folder, Head.load(head), splits, frames, size, seed):
            show(done, total)
