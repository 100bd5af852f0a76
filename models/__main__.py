"""``python -m models``: build the corpus, train, evaluate, measure."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .commands import appearance, binding, expressions, measure, skin, words
from .commands.options import (
    CACHE,
    CHECKPOINT,
    CHECKPOINTS,
    DEFAULT_ICT,
    Checkpoint,
    Corpus,
    Ict,
    Json,
    Seed,
    progress_bar,
    report,
    truth_of,
)
from .errors import CheckpointError, InputError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
corpus = typer.Typer(no_args_is_help=True, help="Make the head and the 4D corpus.")
train = typer.Typer(
    no_args_is_help=True, help="Train a model; `accelerate launch -m models` for several devices."
)
evaluate = typer.Typer(no_args_is_help=True, help="Measure a checkpoint on people it has never seen.")
app.add_typer(corpus, name="corpus")
app.add_typer(train, name="train")
app.add_typer(evaluate, name="evaluate")
expressions.attach(train, evaluate)
appearance.attach(train, evaluate)
binding.attach(evaluate)
measure.attach(train, evaluate)
skin.attach(corpus)
words.attach(evaluate)


@corpus.command("template")
def corpus_template(
    ict: Ict = DEFAULT_ICT,
    out: Annotated[Path, typer.Option(help="Where the head goes.")] = CHECKPOINT / "head",
    work: Annotated[Path, typer.Option(help="Where the skin template is kept.")] = Path("cache/template"),
) -> None:
    """Build the Dimple head: skin, eyes, teeth, UVs, linear models. Prints its figures."""
    from .corpus.assemble import build
    from .corpus.ict import ICT
    from .corpus.template import build_skin
    from .corpus.template_figures import figures

    source = ICT.load(ict)
    skin = build_skin(source)
    skin.save(work)
    build(work, ict, ict / "LICENSE", out)
    report(figures(skin, source), None)


@corpus.command("build")
def corpus_build(
    ict: Ict = DEFAULT_ICT,
    head: Annotated[Path, typer.Option(help="Folder of the Dimple head.")] = CHECKPOINT / "head",
    out: Annotated[Path, typer.Option(help="Where the frames go; 40 KB each.")] = CACHE,
    people: Annotated[int, typer.Option(help="People to train on.")] = 8400,
    held_out: Annotated[int, typer.Option(help="People to validate on, and as many to test on.")] = 60,
    frames: Annotated[int, typer.Option(help="Frames per person.")] = 16,
    take: Annotated[
        Path | None, typer.Option(help="A captured take (npz of ARKit weights) to mix in.")
    ] = None,
    processes: Annotated[int, typer.Option(help="Processes to build with.")] = 2,
    seed: Seed = 0,
) -> None:
    """Write random frames of people who move in their own way, split by person."""
    from tqdm import tqdm

    from .corpus.face_model import FaceModel, Skin
    from .corpus.frames import build_cache
    from .corpus.ict import ICT
    from .corpus.performance import take_windows

    captured = None if take is None else take_windows(take)
    splits = {"train": people, "validation": held_out, "test": held_out}
    for _ in tqdm(
        build_cache(
            out, FaceModel(Skin.of_head(head), ICT.load(ict)), splits, frames, seed, processes, captured
        ),
        unit="shard",
    ):
        pass


@corpus.command("check")
def corpus_check(
    ict: Ict = DEFAULT_ICT,
    head: Annotated[Path, typer.Option(help="Folder of the Dimple head.")] = CHECKPOINT / "head",
    people: Annotated[int, typer.Option(help="People to look at.")] = 20,
    frames: Annotated[int, typer.Option(help="Random frames to look at.")] = 1000,
    pictures: Annotated[Path | None, typer.Option(help="Draw sheets of faces into this folder.")] = None,
    json_path: Json = None,
) -> None:
    """Measure lids, lips, jaw and identity effect of the corpus, mm."""
    from .corpus.checks import check, draw_sheets
    from .corpus.face_model import FaceModel, Skin
    from .corpus.ict import ICT

    model = FaceModel(Skin.of_head(head), ICT.load(ict))
    report(check(model, people, frames), json_path)
    if pictures is not None:
        draw_sheets(model, pictures)


@corpus.command("read")
def corpus_read(
    folder: Annotated[Path, typer.Argument(help="subject/expression/NNNNNN.ply, or a folder of sequences.")],
    out: Annotated[Path, typer.Option(help="Where the corpus goes.")],
    frames: Annotated[int, typer.Option(help="Frames from neutral to apex.")] = 40,
    scaling: Annotated[
        str, typer.Option(help="global: intensities are compared; local: each reaches 1.")
    ] = "global",
    template: Annotated[
        Path | None, typer.Option(help="PLY or OBJ with the triangles, where the files have none.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Turn captured sequences (CoMA's layout, ply, obj, npz, npy) into a corpus."""
    from .corpus.sequences import read_sequences

    if scaling not in ("global", "local"):
        raise InputError("Scaling is either global or local.")
    with progress_bar("sequence") as show:
        found = read_sequences(
            folder, frames=frames, scaling=scaling, template=template, seed=seed, on_sequence=show
        )
    found.save(out)


@train.command("animate-me")
def train_animate_me(
    config: Annotated[
        Path, typer.Argument(help="TOML file; see the training.toml of the shipped checkpoint.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done.")] = False,
) -> None:
    """Train AnimateMe, or go on where a run stopped."""
    from .training.animate_me import TrainingConfig
    from .training.animate_me import train_animate_me as run

    report(run(TrainingConfig.read(config), dry_run=dry_run), None)


@evaluate.command("animate-me")
def evaluate_animate_me(
    checkpoint: Checkpoint = CHECKPOINT,
    ict: Ict = DEFAULT_ICT,
    corpus_folder: Corpus = CACHE,
    people: Annotated[int, typer.Option(help="Test people.")] = 12,
    people_per_label: Annotated[int, typer.Option(help="Of them, how many perform each label.")] = 2,
    label: Annotated[list[str] | None, typer.Option(help="Labels to show; all of them by default.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    late_starts: Annotated[
        bool, typer.Option("--late-starts", help="Compare ways to hand over instead.")
    ] = False,
    json_path: Json = None,
) -> None:
    """Compare AnimateMe with everything it has to beat, on people it has never seen, in one run."""
    from .evaluation.animate_me import Plan
    from .evaluation.animate_me import evaluate_animate_me as run
    from .evaluation.late_start import compare_late_starts
    from .expression import LABELS

    labels = LABELS if label is None else tuple(label)
    if unknown := [name for name in labels if name not in LABELS]:
        raise InputError(f"There is no label called {unknown[0]}; choose among {', '.join(LABELS)}.")
    truth = truth_of(checkpoint, ict, corpus_folder)
    with progress_bar("request") as show:
        if late_starts:
            result = compare_late_starts(
                checkpoint, truth, people=people, labels=labels, device=device, on_request=show
            )
        else:
            result = run(
                checkpoint,
                truth,
                corpus_folder,
                Plan(people, labels, people_per_label),
                device=device,
                on_request=show,
            )
    report(result, json_path)


@evaluate.command("identity")
def evaluate_identity(
    head: Annotated[Path, typer.Option(help="Folder of the Dimple head.")] = CHECKPOINT / "head",
    corpus_folder: Corpus = CACHE,
    people: Annotated[int, typer.Option(help="New people to draw.")] = 100,
    autoencoder_minutes: Annotated[float, typer.Option(help="Train a learned prior to compare with.")] = 0.0,
    json_path: Json = None,
) -> None:
    """How new and how various the new people are, beside the training people and true test people."""
    from .evaluation.identity import evaluate_identity as run

    report(run(head, corpus_folder, people=people, autoencoder_minutes=autoencoder_minutes), json_path)


@app.command("express")
def express(
    prompt: Annotated[str, typer.Argument(help="What the face should show, in your words.")],
    text: Annotated[Path, typer.Option(help="Folder of the text checkpoint.")] = CHECKPOINTS / "text",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which units a description means, and which of its words are unknown."""
    from .expression import UNIT_NAMES
    from .words import express as run

    found = run(prompt, text)
    stage = {
        name: round(float(weight), 4)
        for name, weight in zip(UNIT_NAMES, found.stage, strict=True)
        if weight > 0.005
    }
    if as_json:
        result = {"stage": stage, "unknown_words": found.unknown_words, "read_as": dict(found.read_as)}
        typer.echo(json.dumps(result))
        return
    for name, weight in found.closest.items():
        typer.echo(f"{name} {weight:.2f}")
    if found.unknown_words:
        typer.echo(f"Not known: {', '.join(found.unknown_words)}", err=True)


@app.command("bench")
def bench(
    checkpoint: Checkpoint = CHECKPOINT,
    ict: Ict = DEFAULT_ICT,
    corpus_folder: Annotated[
        Path, typer.Option("--corpus", help="With its settings, errors are measured too.")
    ] = CACHE,
    json_path: Json = None,
) -> None:
    """Measure speed, every figure a ratio of two things timed in this run."""
    from .evaluation.bench import bench as run

    known = (corpus_folder / "corpus.json").is_file()
    report(run(checkpoint, truth_of(checkpoint, ict, corpus_folder) if known else None), json_path)


def main() -> None:
    """Run the command line; what the user can mend is one sentence and exit status 2."""
    try:
        app()
    except (InputError, CheckpointError) as error:
        typer.echo(str(error), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
