"""What ``python -m models`` does with words: measure how well they are understood."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import CHECKPOINTS, Json, report


def attach(evaluate: typer.Typer) -> None:
    """Add the command to its group."""
    evaluate.command("words")(evaluate_words)


def evaluate_words(
    phrasings: Annotated[
        list[Path], typer.Argument(help="JSON files of prompts and the expressions they mean.")
    ],
    text: Annotated[Path, typer.Option(help="Folder of the text checkpoint.")] = CHECKPOINTS / "text",
    json_path: Json = None,
) -> None:
    """Compare the stages of prompts with those meant, read clause by clause and as a whole, by kind."""
    from ..evaluation.words import evaluate, read_phrasings
    from ..words import Words

    words = Words.load(text)
    report({str(path): evaluate(words, read_phrasings(path)) for path in phrasings}, json_path)
