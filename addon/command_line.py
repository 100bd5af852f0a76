"""Dimple without a window: `python -m addon ...` and `blender --command dimple ...`.

Exit status: 0 done; 1 the worker failed or the result could not be written; 2 something asked for cannot be
done; 130 cancelled with Ctrl-C. Whatever went wrong is one sentence on stderr, where progress goes too.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import bpy

from ..bridge.protocol import DEVICES, AnimateRequest
from . import (
    binding_command,
    exporters,
    importers,
    library_command,
    preset_command,
    signal_command,
    skin_command,
)
from .animation_writer import Placement, write_animation
from .binding_properties import head_properties
from .exporters import Animation
from .headless import Headless, JobFailedError
from .importers import HeadFileError
from .mesh_reader import HeadError, read_head
from .preferences import SHIPPED_CHECKPOINT, SetupError, checkpoint, log_file, worker_settings
from .properties import LARGEST_SEED, frame_rate
from .recipe import RecipeError
from .session import Job, WorkerSettings
from .signal_record import is_described, store_signal

DONE, FAILED, BAD_INPUT, CANCELLED = 0, 1, 2, 130

NEW_PERSON = "dimple:"
"""A HEAD that begins so is no file: the number after it is the seed of a new person."""

IN_PYTHON = not bpy.app.binary_path
"""Whether Blender is a module of a Python, with no preferences and no program of its own."""

START_FRAME = 1
READY_TIMEOUT = 120.0  # seconds

ANIMATION_WRITERS: Mapping[str, Callable[[Path, Animation, bpy.types.Object], None]] = {
    ".blend": lambda path, _animation, head: exporters.write_blend(path, head),
    ".npz": lambda path, animation, _head: exporters.write_npz(path, animation),
    ".glb": lambda path, animation, head: exporters.write_glb(
        path, head, [following.companion for following in animation.followers]
    ),
    ".mdd": lambda path, animation, _head: exporters.write_mdd(path, animation),
}
BINDING_WRITERS = (".npz",)
HEAD_WRITERS: Mapping[str, Callable[[Path, bpy.types.Object], None]] = {
    ".blend": exporters.write_blend,
    ".obj": exporters.write_obj,
    ".glb": exporters.write_glb,
    ".npz": lambda path, head: exporters.write_head_npz(path, read_head(head)),
}


class InputError(ValueError):
    """Something asked for on the command line cannot be done. The message is one sentence that says why."""


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says and return the exit status."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as usage:  # argparse has said what is wrong, or printed the help
        return int(usage.code or DONE)
    try:
        _check_output(options)
        with (
            head_properties(),
            closing(Headless(_worker(options), _checkpoint(options), _Progress())) as headless,
        ):
            options.command(headless, options)
    except KeyboardInterrupt:
        return _ended(CANCELLED, "Cancelled; nothing was written.")
    except JobFailedError as error:
        return _ended(BAD_INPUT if error.kind == "input" else FAILED, str(error))
    except (InputError, HeadFileError, HeadError, RecipeError) as error:
        return _ended(BAD_INPUT, str(error))
    except SetupError as error:
        return _ended(FAILED, str(error))
    except OSError as error:
        return _ended(
            FAILED, f"Writing failed: {error.strerror or error} (“{error.filename or options.out}”)."
        )
    except RuntimeError as error:  # how Blender's operators report what they could not do
        return _ended(FAILED, f"Blender cannot write “{options.out}”: {' '.join(str(error).split())}")
    return DONE


def animate(headless: Headless, options: argparse.Namespace) -> None:
    """Give a head an expression and write the animation."""
    head = _open_head(headless, options)
    scene, artists_scene = bpy.context.scene, options.head.lower().endswith(".blend")
    if artists_scene and options.frame_rate is not None:
        raise InputError(f"“{options.head}” has a frame rate of its own: leave --frame-rate out.")
    if not artists_scene:
        _set_frame_rate(scene, options.frame_rate or 24.0)
    request = AnimateRequest(
        job="",
        folder="",
        checkpoint=headless.checkpoint,
        expressions=(),
        intensity=options.intensity,
        profile=options.profile,
        frames=1,
        frame_rate=frame_rate(scene),
        seed=options.seed,
        sampler=options.sampler,
    )
    request, arrays = signal_command.complete(request, options, headless, head, _say)
    animation, mm_per_unit = headless.animate(head, request, arrays)
    for remark in animation.remarks:
        _say(remark)
    start = scene.frame_start if artists_scene else START_FRAME
    last = start + len(animation.deformations) - 1
    if options.out.suffix.lower() in (".blend", ".glb"):
        recipe = write_animation(
            head,
            request,
            animation.deformations,
            mm_per_unit,
            placement=Placement(start_frame=start),
            followers=animation.followers,
        )
        if not is_described(request):
            store_signal(head, recipe.name, animation.drawn_signal)
        scene.frame_start, scene.frame_end = start, max(last, scene.frame_end) if artists_scene else last
    existed = options.out.exists()
    ANIMATION_WRITERS[options.out.suffix.lower()](options.out, animation, head)
    frames, vertices, _ = animation.deformations.shape
    _say(f"{'Replaced' if existed else 'Wrote'} {options.out}: {frames} frames of {vertices:,} vertices.")


def library(headless: Headless, options: argparse.Namespace) -> None:
    """Make a set of shapes for a head and write it."""
    if options.tolerance is not None and (options.out.suffix.lower() != ".npz" or not options.tolerance > 0):
        raise InputError("--tolerance writes components, which have no names: more than 0 mm, and to .npz.")
    head = _open_head(headless, options)
    request = library_command.library_request(options)
    made = headless.library(head, request)
    existed = options.out.exists()
    library_command.write(made, head, request, options)
    shapes = made.shapes
    _say(
        f"{'Replaced' if existed else 'Wrote'} {options.out}: {len(shapes.names)} shapes and "
        f"{len(shapes.pairs)} correctives of {len(made.mesh.neutral_vertices):,} vertices."
    )


def bind(headless: Headless, options: argparse.Namespace) -> None:
    """Tie a head to the Dimple head and write how."""
    binding = headless.bind(_open_head(headless, options))
    existed = options.out.exists()
    binding_command.write_npz(options.out, binding)
    _say(f"{'Replaced' if existed else 'Wrote'} {options.out}. {binding_command.summary(binding)}")


def appearance(headless: Headless, options: argparse.Namespace) -> None:
    """Make maps of a head's skin and write them to a new folder."""
    skin_command.check_output(options.out)
    head = _open_head(headless, options)
    job = headless.appearance(skin_command.skin_work(head, options, headless.checkpoint))
    count, side = len(job.done.info["sets"]), options.resolution
    _say(f"Wrote {options.out}: {count} sets of maps, {side} x {side}. {job.done.info['source']}.")


def new_head(headless: Headless, options: argparse.Namespace) -> None:
    """Make a new person and write the neutral head."""
    head = _new_person(headless, options.seed)
    existed = options.out.exists()
    HEAD_WRITERS[options.out.suffix.lower()](options.out, head)
    _say(f"{'Replaced' if existed else 'Wrote'} {options.out}: {len(head.data.vertices):,} vertices.")


def _open_head(headless: Headless, options: argparse.Namespace) -> bpy.types.Object:
    if not options.head.startswith(NEW_PERSON):
        head = importers.read_head(Path(options.head), options.object)
        binding_command.prepare(head, options)
        return head
    if options.landmarks is not None or options.companion:
        raise InputError("A new person is known and alone: leave --landmarks and --companion out.")
    seed = options.head.removeprefix(NEW_PERSON)
    if not seed.isdecimal() or int(seed) > LARGEST_SEED:
        raise InputError(f"“{options.head}” is no seed of a new person: write for example {NEW_PERSON}3.")
    return _new_person(headless, int(seed))


def _new_person(headless: Headless, seed: int) -> bpy.types.Object:
    importers.empty_scene()
    head = headless.new_person(seed)
    bpy.context.scene.collection.objects.link(head)
    return head


def _set_frame_rate(scene: bpy.types.Scene, rate: float) -> None:
    """Blender's frame rate is a whole number over a base: 23.976 is 24 / 1.001."""
    scene.render.fps = math.ceil(rate)
    scene.render.fps_base = math.ceil(rate) / rate


def _check_output(options: argparse.Namespace) -> None:
    """Raises InputError where the result could not be written: better now than after the work."""
    out: Path = options.out
    if options.writers is None:  # a folder
        return
    if out.suffix.lower() not in options.writers:
        raise InputError(
            f"“{out.name}” is none of the files that can be written: {', '.join(options.writers)}."
        )
    if not out.parent.is_dir():
        raise InputError(f"There is no folder “{out.parent}” to write to.")
    if out.is_dir():
        raise InputError(f"“{out}” is a folder: give --out a file name.")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise InputError(f"The folder “{out.parent}” cannot be written to.")
    source = Path(getattr(options, "head", ""))
    if source.is_file() and out.exists() and out.samefile(source):
        raise InputError(f"--out would replace the head “{source}” itself: choose another name.")


def _worker(options: argparse.Namespace) -> WorkerSettings:
    """The Python asked for, else the add-on's; the bpy module has neither, but runs in a Python."""
    python = options.worker_python or (sys.executable if IN_PYTHON else None)
    if python is None:
        settings = worker_settings(bpy.context)
    else:
        settings = WorkerSettings(python, "auto", "auto", READY_TIMEOUT, log_file())
    return replace(settings, device=options.device or settings.device)


def _checkpoint(options: argparse.Namespace) -> str:
    if options.checkpoint is not None:
        return options.checkpoint
    return SHIPPED_CHECKPOINT if IN_PYTHON else checkpoint(bpy.context)


class _Progress:
    """Tells on stderr what the worker does: in place on a terminal, else once a phase."""

    def __init__(self) -> None:
        self._told = ""

    def __call__(self, job: Job) -> None:
        text = job.progress_text
        if sys.stderr.isatty():
            end = "" if job.running else "\n"
            print(f"\r\x1b[K{text}", end=end, file=sys.stderr, flush=True)
        elif job.phase != self._told:
            self._told = job.phase
            _say(text)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _ended(status: int, sentence: str) -> int:
    _say(f"dimple: {' '.join(sentence.split())}")
    return status


# ------------------------------------------------------------------------------------------- the options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dimple", description="Facial expressions for a head, without a window."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    animating = commands.add_parser("animate", help="give a head an expression")
    animating.set_defaults(command=animate, writers=ANIMATION_WRITERS)
    _add_head(animating)
    signal_command.add_options(animating, _number)
    animating.add_argument("--intensity", type=_number, default=1.0, help="peak of the expression, 0 to 1.5")
    animating.add_argument("--profile", default="ease", help="ease, linear, hold, in_hold_out or blink")
    animating.add_argument(
        "--frames", type=_count, metavar="K", help="40, or as long as moments or a take are"
    )
    animating.add_argument("--frame-rate", type=_rate, metavar="FPS", help="frames a second, 24 unless given")
    animating.add_argument("--seed", type=_seed, default=0, help="another seed is another performance")
    animating.add_argument("--sampler", default="default", help="default, full or paper")
    _add_common(animating, ANIMATION_WRITERS)

    collecting = commands.add_parser("library", help="make the shape keys of a rig for a head")
    collecting.set_defaults(command=library, writers=library_command.OUTPUTS)
    _add_head(collecting)
    library_command.add_options(collecting)
    collecting.add_argument("--seed", type=_seed, help="one sample of this seed instead of the mean")
    _add_common(collecting, library_command.OUTPUTS)

    binding = commands.add_parser("bind", help="tie a head in any topology to the Dimple head")
    binding.set_defaults(command=bind, writers=BINDING_WRITERS)
    _add_head(binding)
    _add_common(binding, BINDING_WRITERS)

    dressing = commands.add_parser("appearance", help="make maps of the skin that move with the face")
    dressing.set_defaults(command=appearance, writers=None)
    _add_head(dressing)
    skin_command.add_options(dressing)
    _add_common(dressing, ("a new folder",))

    keeping = commands.add_parser("preset", help="keep expressions of your own")
    keeping.set_defaults(command=lambda headless, options: preset_command.run(headless, options, _say))
    preset_command.add_options(keeping)

    making = commands.add_parser("head", help="make a new person")
    making.set_defaults(command=new_head, writers=HEAD_WRITERS)
    making.add_argument("--seed", type=_seed, default=0, help="another seed is another person")
    _add_common(making, HEAD_WRITERS)
    return parser


def _add_head(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "head",
        metavar="HEAD",
        help=f"{', '.join(importers.READERS)} file, or {NEW_PERSON}SEED for a new person",
    )
    parser.add_argument("--object", metavar="NAME", help="which mesh of the file, where it has several")
    binding_command.add_options(parser)


def _add_common(parser: argparse.ArgumentParser, writers: Iterable[str]) -> None:
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help=f"what to write: {', '.join(writers)}"
    )
    parser.add_argument("--checkpoint", metavar="FOLDER", help="trained model, the shipped one unless given")
    parser.add_argument("--device", choices=DEVICES)
    parser.add_argument("--worker-python", metavar="PYTHON", help="Python with PyTorch that runs the models")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"“{text}” is not a finite number")
    return value


def _rate(text: str) -> float:
    value = _number(text)
    if not 1.0 <= value <= 1000.0:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 1000 frames a second")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 10000:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to 10000")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {LARGEST_SEED}")
    return value
