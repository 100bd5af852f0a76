"""What the commands of ``python -m models`` have in common: options, progress, output."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..evaluation.ground_truth import SyntheticPeople

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
CHECKPOINT = CHECKPOINTS / "animate-me"
CACHE = Path("cache/corpus")
DEFAULT_ICT = Path("../shared/data/ict-facekit")

Ict = Annotated[Path, typer.Option(help="ICT-FaceKit: a folder of its arrays, or a clone of its repository.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result here; otherwise it is printed.")]
Checkpoint = Annotated[Path, typer.Option(help="Checkpoint folder.")]
Corpus = Annotated[Path, typer.Option("--corpus", help="The frames the model was trained on.")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.")]


def truth_of(checkpoint: Path, ict: Path, corpus_folder: Path) -> SyntheticPeople:
    """The test people of the corpus."""
    from ..corpus.face_model import FaceModel, Skin
    from ..corpus.frames import IntensityScale
    from ..corpus.ict import ICT
    from ..evaluation.ground_truth import SyntheticPeople

    model = FaceModel(Skin.of_head(checkpoint / "head"), ICT.load(ict))
    return SyntheticPeople(model, IntensityScale.load(corpus_folder))


@contextmanager
def progress_bar(unit: str) -> Generator[Callable[[int, int], None]]:
    """A progress bar as a callback of (done, all)."""
    from tqdm import tqdm

    with tqdm(unit=unit) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def report(result: Any, path: Path | None) -> None:
    """Write a result as JSON to a file, or print it."""
    text = json.dumps(result, indent=1, default=float)
    if path is None:
        typer.echo(text)
    else:
        path.write_text(text + "\n", encoding="utf-8")
