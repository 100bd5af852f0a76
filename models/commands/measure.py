"""Commands that train the upscaler and measure skin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import CHECKPOINT, CHECKPOINTS, DEFAULT_ICT, Ict, Json, progress_bar, report

UPSCALER = CHECKPOINTS / "upscaler"
HEAD = CHECKPOINT / "head"
HeadFolder = Annotated[Path, typer.Option(help="Folder of the Dimple head.")]


def attach(train: typer.Typer, evaluate: typer.Typer) -> None:
    """Add the commands to ``python -m models train`` and ``evaluate``."""
    train.command("upscaler")(train_upscaler)
    evaluate.command("upscaler")(evaluate_upscaler)
    evaluate.command("exp-diff")(evaluate_exp_diff)


def train_upscaler(
    config: Annotated[
        Path, typer.Argument(help="TOML file; see the training.toml of the shipped checkpoint.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done.")] = False,
) -> None:
    """Train the upscaler of maps, or go on where a run stopped."""
    from ..training.upscaler import UpscalerTraining
    from ..training.upscaler import train_upscaler as run

    report(run(UpscalerTraining.read(config), dry_run=dry_run), None)


def evaluate_upscaler(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the upscaler.")] = UPSCALER,
    other: Annotated[
        list[Path] | None, typer.Option(help="Further upscalers: folders, or files of Real-ESRGAN.")
    ] = None,
    skin: Annotated[
        Path, typer.Option(help="Painted skin in high resolution: python -m models corpus skin --size 512.")
    ] = Path("cache/skin-512"),
    head: HeadFolder = HEAD,
    people: Annotated[int, typer.Option(help="Test people.")] = 8,
    expressions: Annotated[int, typer.Option(help="Expressions of each.")] = 4,
    memory: Annotated[int, typer.Option(help="Size of the run whose memory is measured; 0: none.")] = 4096,
    json_path: Json = None,
) -> None:
    """Compare the upscaler with plain enlargement on people it has never seen, in one run."""
    from ..evaluation.upscaler import Plan
    from ..evaluation.upscaler import evaluate_upscaler as run

    checkpoints = {"ours": checkpoint} | {path.stem: path for path in other or ()}
    plan = Plan(people, expressions, memory_at=memory)
    with progress_bar("row") as show:
        report(run(checkpoints, skin, head, plan, on_request=show), json_path)


def evaluate_exp_diff(
    checkpoint: Annotated[Path, typer.Option(help="Folder of ExpDiff.")] = CHECKPOINTS / "exp-diff",
    no_attention: Annotated[
        Path, typer.Option(help="The same without attention between maps, where it is trained.")
    ] = CHECKPOINTS / "exp-diff-no-attention",
    one_hot: Annotated[
        Path, typer.Option(help="The same told the strongest unit in place of words, where it is trained.")
    ] = CHECKPOINTS / "exp-diff-one-hot",
    texture: Annotated[
        Path, typer.Option(help="AnimateMe's texture model, where it is trained.")
    ] = CHECKPOINTS / "animate-me-texture",
    skin: Annotated[Path, typer.Option(help="Painted skin on which the face models are fitted.")] = Path(
        "cache/skin"
    ),
    ict: Ict = DEFAULT_ICT,
    people: Annotated[int, typer.Option(help="Test people.")] = 8,
    units: Annotated[int, typer.Option(help="Units of each, taken evenly; 0: all that move skin.")] = 10,
    lpips: Annotated[Path | None, typer.Option(help="Folder with alexnet*.pth and alex.pth.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    sheet: Annotated[Path | None, typer.Option(help="Draw a contact sheet into this PNG file.")] = None,
    json_path: Json = None,
) -> None:
    """Compare ExpDiff with everything it has to beat, on people it has never seen, in one run."""
    from ..appearance import Appearance
    from ..corpus.face_model import FaceModel, Skin
    from ..corpus.ict import ICT
    from ..corpus.skin_cache import SkinCache
    from ..evaluation.appearance import SHOWN, Plan
    from ..evaluation.appearance import evaluate_exp_diff as run
    from ..evaluation.appearance_rows import all_rows
    from ..evaluation.ground_truth_appearance import PaintedPeople
    from ..evaluation.lpips import Lpips
    from ..evaluation.prompts import evaluate_prompts
    from ..evaluation.skin_sheet import draw_sheet
    from ..head import Head

    face = Head.load(HEAD)
    cache = SkinCache.open(skin, "train", face)
    truth = PaintedPeople(FaceModel(Skin.of_head(HEAD), ICT.load(ict)), face, cache.layout)
    folders = {"ours": checkpoint, "ours_no_attention": no_attention, "ours_one_hot": one_hot}
    folders["animate_me_texture"] = texture
    rows, notes = all_rows(cache, face, folders, device)
    if lpips is None:
        notes["lpips"] = "left out: its weights are not given"
    chosen = SHOWN[:: -(-len(SHOWN) // units)] if units else SHOWN
    with progress_bar("request") as show:
        looks = None if lpips is None else Lpips.load(lpips)
        result = run(rows, truth, Plan(people, chosen), looks, show)
    if "ours" in rows:
        result["between_prompts"] = evaluate_prompts(Appearance.from_checkpoint(checkpoint, device), truth)
    report(result | {"notes": notes}, json_path)
    if sheet is not None:
        draw_sheet(rows, truth, sheet)
