"""``python -m models``: build the corpus, train, evaluate, measure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import CheckpointError, InputError

CHECKPOINT = Path(__file__).parent / "checkpoints" / "animate-me"
CACHE = Path("cache/corpus")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
corpus = typer.Typer(no_args_is_help=True, help="Make the head and the 4D corpus.")
train = typer.Typer(no_args_is_help=True, help="Train a model; start it with accelerate for several devices.")
evaluate = typer.Typer(no_args_is_help=True, help="Measure a checkpoint on people it has never seen.")
app.add_typer(corpus, name="corpus")
app.add_typer(train, name="train")
app.add_typer(evaluate, name="evaluate")

Ict = Annotated[Path, typer.Option(help="ICT-FaceKit: its arrays, or a clone of its repository.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result here; otherwise it is printed.")]
Checkpoint = Annotated[Path, typer.Option(help="Checkpoint folder.")]


def main() -> None:
    """Run the command line; what the user can mend is one sentence and exit status 2."""
    try:
        app()
    except (InputError, CheckpointError) as error:
        sys.exit(f"{error}" if sys.stderr is None else _complain(error))


def _complain(error: Exception) -> int:
    typer.echo(str(error), err=True)
    return 2


def _report(result: Any, path: Path | None) -> None:
    text = json.dumps(result, indent=1)
    if path is None:
        typer.echo(text)
    else:
        path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
