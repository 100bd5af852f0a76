"""`dimple appearance`: maps of a head's skin in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

import bpy

from ..bridge.protocol import SKIN_SUBJECTS, AppearanceRequest
from .image_reader import Texture, read_texture
from .mesh_reader import HeadError
from .skin_job import SkinWork, material_texture, skin_job, texture_refusal
from .skin_properties import WRINKLES, skins
from .skin_reader import skin_slot

RESOLUTIONS = (512, 1024, 2048, 4096)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the maps are of."""
    parser.add_argument(
        "--expression",
        action="append",
        default=[],
        metavar="NAME[=WEIGHT]",
        help="happiness, jawOpen=0.5, “nose wrinkle”; may be repeated, the weights add up",
    )
    parser.add_argument("--intensity", type=float, default=1.0, help="how strong, 0 to 1.5")
    parser.add_argument(
        "--subject",
        choices=SKIN_SUBJECTS,
        default="expression",
        help="one expression; the shape keys that move the skin most; or every frame of the scene",
    )
    parser.add_argument("--sets", type=int, default=4, help="of the shape keys, how many get maps")
    parser.add_argument("--texture", type=Path, metavar="FILE", help="the neutral albedo, on the head's UVs")
    parser.add_argument("--skin", type=int, metavar="SEED", help="no texture, but authored skin of this seed")
    parser.add_argument(
        "--maps-by",
        default=next(iter(skins())),
        metavar="NAME",
        help=f"what makes the maps: {', '.join(skins())}, or the folder of a skin checkpoint",
    )
    parser.add_argument(
        "--personal",
        type=float,
        default=WRINKLES,
        metavar="SHARE",
        help=f"of generated maps: how far wrinkles are one person's own, 0 to 1; {WRINKLES} without it",
    )
    parser.add_argument("--seed", type=int, default=0, help="of generated maps: whose the wrinkles are")
    parser.add_argument("--resolution", type=int, choices=RESOLUTIONS, default=1024)


def check_output(out: Path) -> None:
    """Raises HeadError where the maps could not be written: better now than after the work."""
    if not out.absolute().parent.is_dir():
        raise HeadError(f"There is no folder “{out.parent}” to write to.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HeadError(f"There is something in “{out}” already: give --out a new folder.")


def skin_work(head: bpy.types.Object, options: argparse.Namespace, checkpoint: str) -> SkinWork:
    """What the worker is given. Raises HeadError."""
    if options.subject == "expression" and not options.expression:
        raise HeadError("Say with --expression what the face does, as in --expression happiness.")
    if not 0.0 <= options.personal <= 1.0:
        raise HeadError(f"--personal is a share from 0 to 1, not {options.personal}.")
    slot = skin_slot(head)
    request = AppearanceRequest(
        job="",
        folder="",
        checkpoint=checkpoint,
        skin=options.maps_by,
        subject=options.subject,
        expressions=tuple(options.expression) if options.subject == "expression" else (),
        intensity=options.intensity,
        key_names=(),
        sets=options.sets,
        texture="",
        skin_seed=options.skin or 0,
        resolution=options.resolution,
        out=str(options.out.absolute()),
        personal=options.personal,
        seed=options.seed,
    )
    return skin_job(bpy.context, head, request, slot, _texture(head, slot, options))


def _texture(head: bpy.types.Object, slot: int, options: argparse.Namespace) -> Texture | None:
    """The neutral: a file, the material's own, or None for authored skin. Raises HeadError."""
    if options.texture is not None and options.skin is not None:
        raise HeadError("Give either --texture or --skin: the one is the skin at rest, the other makes one.")
    if options.skin is not None:
        return None
    if options.texture is None:
        if texture_refusal(head, slot) is not None:
            raise HeadError("Give the neutral skin with --texture FILE, or let --skin SEED make one.")
        return material_texture(head, slot)
    path = options.texture.absolute()
    if not path.is_file():
        raise HeadError(f"There is no texture “{path}”.")
    try:
        return read_texture(bpy.data.images.load(str(path)))
    except RuntimeError as error:
        raise HeadError(f"Blender cannot read the texture “{path.name}”: save it as PNG.") from error
