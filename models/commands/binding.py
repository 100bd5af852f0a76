"""``python -m models evaluate binding``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError
from .options import CHECKPOINT, Checkpoint, Json, report

if TYPE_CHECKING:
    from ..evaluation.binding_cases import Row

SHARED = Path("../shared/data")


def attach(evaluate: typer.Typer) -> None:
    """Add the command to the group of evaluations."""
    evaluate.command("binding")(evaluate_binding)


def evaluate_binding(
    checkpoint: Checkpoint = CHECKPOINT,
    shared: Annotated[
        Path,
        typer.Option(help="Folder with ict-facekit, facecap-mannequin-head and face-topologies."),
    ] = SHARED,
    only: Annotated[
        str, typer.Option(help="Parts to measure, with commas: pose,diagnosis,truth,artist,exchange ...")
    ] = "",
    posed: Annotated[int, typer.Option(help="People whose pose is looked for.")] = 100,
    people: Annotated[int, typer.Option(help="People with known truth.")] = 20,
    units: Annotated[int, typer.Option(help="Expression units measured on them.")] = 30,
    strangers: Annotated[int, typer.Option(help="Meshes without a face, and as many heads.")] = 40,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the rows that the JSON file has, and measure the others.")
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw expressions on the shared heads into this file and stop.")
    ] = None,
    json_path: Json = None,
) -> None:
    """Bind heads of other topologies and measure it against known truth and an artist's own shapes.

    The JSON file is written after every row, so that a run that is cut off can be resumed.
    """
    from ..evaluation.binding import evaluate_binding as run
    from ..evaluation.binding_cases import Bench, Plan
    from ..evaluation.binding_sheet import draw_sheet

    if sheet is not None:
        draw_sheet(Bench(checkpoint, shared), sheet)
        return
    plan = Plan(posed=posed, people=people, units=units, strangers=strangers)
    settings = {"checkpoint": checkpoint.name, **asdict(plan)}

    def write(rows: list[Row]) -> None:
        if json_path is not None:
            beside = json_path.with_name(json_path.name + ".part")
            report({"settings": settings, "rows": rows}, beside)
            beside.replace(json_path)

    known = _known(json_path, settings) if resume and json_path is not None else []
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    rows = run(Bench(checkpoint, shared, plan), wanted, known, write)
    if json_path is None:
        report({"settings": settings, "rows": rows}, None)


def _known(path: Path, settings: dict[str, Any]) -> list[Row]:
    """Rows of a run that was cut off. Raises InputError when it measured something else."""
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows, other = list(found["rows"]), found["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no result that could be resumed: delete it, or choose another."
        ) from error
    if any(other.get(key) != settings[key] for key in ("checkpoint", "units")):
        raise InputError(f"{path} was measured with other settings: delete it, or choose another file.")
    return rows
