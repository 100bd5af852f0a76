"""`dimple preset`: the artist's own presets without a window."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from ..bridge.protocol import SavePresetRequest
from .headless import Headless
from .mesh_reader import HeadError
from .preset_files import presets_folder, read_presets
from .signal_properties import named_presets
from .words_panel import answer


def add_options(parser: argparse.ArgumentParser) -> None:
    """`list` and `save`, each with its options."""
    parser.set_defaults(writers=None, out=None, checkpoint=None, device=None)
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="name them, and what they are made of")
    listing.set_defaults(act=_list)
    saving = actions.add_parser("save", help="keep expressions under a name")
    saving.set_defaults(act=_save)
    saving.add_argument("name", metavar="NAME")
    saving.add_argument("--expression", action="append", default=[], metavar="NAME[=WEIGHT]")
    saving.add_argument("--prompt", metavar="WORDS", help="a description of the face")
    saving.add_argument("--author", default="")
    saving.add_argument("--licence", default="")
    saving.add_argument("--preview", type=Path, metavar="PICTURE", help="a PNG to keep with it")
    saving.add_argument("--replace", action="store_true", help="replace a preset of the same name")
    for action in (listing, saving):
        action.add_argument(
            "--worker-python", metavar="PYTHON", help="Python with PyTorch that runs the models"
        )


def run(headless: Headless, options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Do what the options say. Raises HeadError, JobFailedError, OSError."""
    options.act(headless, options, say)


def _list(_headless: Headless, _options: argparse.Namespace, say: Callable[[str], None]) -> None:
    presets = read_presets()
    for preset in presets.values():
        units = ", ".join(f"{unit}={weight:g}" for unit, weight in preset.stage.items())
        made = f" by {preset.author}" if preset.author else ""
        licence = f" ({preset.licence})" if preset.licence else ""
        say(f"{preset.name}{made}{licence}: {units}")
    if not presets:
        say(f"There are no presets in {presets_folder()} yet.")


def _save(headless: Headless, options: argparse.Namespace, say: Callable[[str], None]) -> None:
    expressions = tuple(options.expression)
    if options.prompt is not None:
        info = headless.express(options.prompt)
        expressions += tuple(f"{name}={weight:g}" for name, weight in info["units"])
        if sentence := answer(info):
            say(sentence)
    picture: Path | None = options.preview
    if picture is not None and not (picture.is_file() and picture.suffix.lower() == ".png"):
        raise HeadError(f"“{picture}” is no PNG picture: choose another preview.")
    info = headless.save_preset(
        SavePresetRequest(
            job="",
            presets_folder=str(presets_folder()),
            name=options.name,
            expressions=expressions,
            author=options.author,
            licence=options.licence,
            preview=f"{quote(options.name, safe=' ')}.png" if picture is not None else "",
            replace=options.replace,
            presets=named_presets(expressions),
        )
    )
    if picture is not None:
        shutil.copyfile(picture, Path(info["file"]).with_suffix(".png"))
    for remark in info["remarks"]:
        say(remark)
    say(f"Saved “{options.name}” to {info['file']}.")
