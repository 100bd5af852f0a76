"""``python -m models corpus skin`` and ``captured-skin``: BRDF maps for training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import CACHE, CHECKPOINT, Json, Seed, progress_bar, report

SKIN_CACHE = Path("cache/skin")


def attach(corpus: typer.Typer) -> None:
    """Add the command to ``python -m models corpus``."""
    corpus.command("skin")(corpus_skin)
    corpus.command("check-skin")(corpus_check_skin)
    corpus.command("captured-skin")(corpus_captured_skin)


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
    from ..corpus.skin_build import build_skin
    from ..head import Head

    splits = {"train": people, "validation": held_out, "test": held_out}
    with progress_bar("person") as show:
        for done, total in build_skin(out, corpus_folder, Head.load(head), splits, frames, size, seed):
            show(done, total)


def corpus_check_skin(
    head: Annotated[Path, typer.Option(help="Folder of the Dimple head.")] = CHECKPOINT / "head",
    people: Annotated[int, typer.Option(help="People to measure.")] = 6,
    size: Annotated[int, typer.Option(help="Texels along a side of the face window.")] = 256,
    pictures: Annotated[Path | None, typer.Option(help="Draw sheets of skin into this folder.")] = None,
    json_path: Json = None,
) -> None:
    """Measure authored skin: colour, speed, and how the maps follow the stretch of the mesh."""
    from ..corpus.skin_checks import check_skin, draw_skin_sheets
    from ..head import Head

    ours = Head.load(head)
    report(check_skin(ours, people, size), json_path)
    if pictures is not None:
        draw_skin_sheets(ours, pictures)


def corpus_captured_skin(
    layout: Annotated[str, typer.Argument(help="j-reflectance, textured-sequences or ffhq-uv.")],
    folder: Annotated[Path, typer.Argument(help="The data, in the layout they are published in.")],
    template: Annotated[Path, typer.Option(help="OBJ of their topology with the UVs of their textures.")],
    out: Annotated[Path, typer.Option(help="Where the maps go.")],
    head: Annotated[Path, typer.Option(help="Folder of the Dimple head.")] = CHECKPOINT / "head",
    size: Annotated[int, typer.Option(help="Texels along a side of the face window.")] = 256,
    seed: Seed = 0,
) -> None:
    """Bring captured skin onto the Dimple head; what the data lack is authored, and the cache says so."""
    from ..authored.skin_regions import SkinAtlas
    from ..corpus.ffhq_uv import read_ffhq_uv
    from ..corpus.j_reflectance import read_j_reflectance
    from ..corpus.skin_subjects import write_subjects
    from ..corpus.textured_sequences import read_textured_sequences
    from ..corpus.topology_map import TopologyMap, UVMesh
    from ..errors import InputError
    from ..head import Head
    from ..uv_maps import FACE_WINDOW, UVLayout

    ours = Head.load(head)
    atlas = SkinAtlas.of(ours, UVLayout.of_head(ours, size, FACE_WINDOW))
    topology = TopologyMap.bound(ours, atlas.layout, UVMesh.read(template))
    if layout == "j-reflectance":
        subjects, authored = read_j_reflectance(folder, topology, atlas), "nothing"
    elif layout == "textured-sequences":
        subjects = read_textured_sequences(folder, topology, atlas, seed=seed)
        authored = "specular, roughness, normal, height"
    elif layout == "ffhq-uv":
        subjects = read_ffhq_uv(folder, ours, topology, atlas, seed=seed)
        authored = "specular, roughness, normal, height, expressions"
    else:
        raise InputError(f"There is no layout called {layout}: j-reflectance, textured-sequences or ffhq-uv.")
    for name in write_subjects(out, ours, topology, subjects, {"skin": layout, "authored": authored}):
        typer.echo(name)
