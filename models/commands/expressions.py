"""Commands of ``python -m models`` that compare generated expressions with baselines and with captures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import CACHE, CHECKPOINT, DEFAULT_ICT, Checkpoint, Corpus, Ict, Json, progress_bar, report

if TYPE_CHECKING:
    from ..corpus.face_model import FaceModel
    from ..evaluation.ground_truth import SyntheticPeople
    from ..training.baselines import TrainedExpressions

WORK = Path("cache/expressions")
TAKE = Path("../shared/data/livelink-take-mit/take_live_link_face.csv")
DIVERSE = 6
"""People of one face whose spread the diversity is compared with."""

Work = Annotated[Path, typer.Option(help="Where the judge and the trained baselines are kept.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


def attach(train: typer.Typer, evaluate: typer.Typer) -> None:
    """Add the commands to their groups."""
    train.command("expression-baselines")(train_baselines)
    evaluate.command("expressions")(evaluate_expressions)
    evaluate.command("motion")(evaluate_motion)
    evaluate.command("noise-scale")(evaluate_noise_scale)


def train_baselines(
    checkpoint: Checkpoint = CHECKPOINT,
    ict: Ict = DEFAULT_ICT,
    corpus_folder: Corpus = CACHE,
    work: Work = WORK,
    device: Device = "auto",
) -> None:
    """Train the judge and the baselines of the expression table, or what is missing of them."""
    report(_trained(_face_model(checkpoint, ict), checkpoint, corpus_folder, work, device).report, None)


def evaluate_expressions(
    checkpoint: Checkpoint = CHECKPOINT,
    ict: Ict = DEFAULT_ICT,
    corpus_folder: Corpus = CACHE,
    work: Work = WORK,
    full: Annotated[
        bool, typer.Option("--full", help="As in the paper: 50 animations of every person and label.")
    ] = False,
    people_per_label: Annotated[int | None, typer.Option(help="Test people who perform each label.")] = None,
    animations: Annotated[int | None, typer.Option(help="Animations of each person and label.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the error per frame here (PNG).")] = None,
    device: Device = "auto",
    json_path: Json = None,
) -> None:
    """Compare expressions with the truth and with baselines, as AnimateMe's table 1 and figure 3 do."""
    from ..evaluation.expression_plot import plot_specificity
    from ..evaluation.expressions import FULL, Table
    from ..evaluation.expressions import evaluate_expressions as run

    table = FULL if full else Table()
    chosen = {"people_per_label": people_per_label, "animations": animations}
    table = replace(table, **{name: value for name, value in chosen.items() if value is not None})
    model = _face_model(checkpoint, ict)
    trained = _trained(model, checkpoint, corpus_folder, work, device)
    with progress_bar("request") as show:
        result = run(
            checkpoint,
            _people(model, corpus_folder, "test", DIVERSE),
            _people(model, corpus_folder, "test"),
            corpus_folder,
            trained,
            table,
            device=device,
            on_request=show,
        )
    if plot is not None:
        plot_specificity(result["rows"], plot)
    report(result, json_path)


def evaluate_motion(
    checkpoint: Checkpoint = CHECKPOINT,
    take: Annotated[Path, typer.Option(help="A real capture: the CSV of a Live Link Face take.")] = TAKE,
    people: Annotated[int, typer.Option(help="New people, each of whom shows two expressions.")] = 2,
    device: Device = "auto",
    json_path: Json = None,
) -> None:
    """Compare onsets, frequencies and symmetry of generated motion with a real capture."""
    from ..evaluation.motion import MotionPlan
    from ..evaluation.motion import evaluate_motion as run

    with progress_bar("clip") as show:
        result = run(checkpoint, take, MotionPlan(people), device=device, on_request=show)
    report(result, json_path)


def evaluate_noise_scale(
    checkpoint: Checkpoint = CHECKPOINT,
    ict: Ict = DEFAULT_ICT,
    corpus_folder: Corpus = CACHE,
    people: Annotated[int, typer.Option(help="Validation people, who take turns at the labels.")] = 18,
    seeds: Annotated[int, typer.Option(help="Animations of each.")] = 3,
    device: Device = "auto",
    json_path: Json = None,
) -> None:
    """Compare strengths of the initial noise: how various and how far from the truth animations become."""
    from ..evaluation.noise_scale import compare_noise_scales

    people_of = _people(_face_model(checkpoint, ict), corpus_folder, "validation", 2 * DIVERSE)
    with progress_bar("request") as show:
        result = compare_noise_scales(
            checkpoint, people_of, people=people, seeds=seeds, device=device, on_request=show
        )
    report(result, json_path)


def _face_model(checkpoint: Path, ict: Path) -> FaceModel:
    from ..corpus.face_model import FaceModel, Skin
    from ..corpus.ict import ICT

    return FaceModel(Skin.of_head(checkpoint / "head"), ICT.load(ict))


def _people(model: FaceModel, corpus: Path, split: str, lookalikes: int = 0) -> SyntheticPeople:
    from ..corpus.frames import IntensityScale
    from ..evaluation.ground_truth import SyntheticPeople

    return SyntheticPeople(model, IntensityScale.load(corpus), split, lookalikes)


def _trained(model: FaceModel, checkpoint: Path, corpus: Path, work: Path, device: str) -> TrainedExpressions:
    from ..training.baselines import ExpressionTraining, train_expressions

    return train_expressions(
        checkpoint / "head",
        corpus,
        _people(model, corpus, "train"),
        _people(model, corpus, "validation"),
        work,
        ExpressionTraining(),
        device=device,
        on_phase=lambda phase: typer.echo(f"Training: {phase}", err=True),
    )
