"""What `dimple animate` is told to express: words, expressions, moments, keyframed units, a captured take."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..bridge.protocol import AnimateRequest
from .headless import Headless
from .mesh_reader import HeadError
from .signal_properties import (
    CAPTURED_BLINKS,
    LONGEST,
    named_presets,
    with_curves,
    with_moments,
    with_take,
)
from .words_panel import answer

SHORTEST = 40
"""Frames, where nothing else says how many."""


def add_options(parser: argparse.ArgumentParser, number: Callable[[str], float]) -> None:
    """The options that say what to express and how lively."""
    parser.add_argument(
        "--expression",
        action="append",
        default=[],
        metavar="NAME[=WEIGHT]",
        help="happiness, jawOpen=0.5, or a preset of your own; may be repeated, the weights add up",
    )
    parser.add_argument("--prompt", metavar="WORDS", help="a description: “a tired smile, left brow raised”")
    parser.add_argument(
        "--moment",
        action="append",
        default=[],
        metavar="SECONDS:NAME[=WEIGHT][,...][@TRANSITION]",
        help="an expression reached at a time, as in 0.5:happiness=0.8; may be repeated",
    )
    parser.add_argument(
        "--moments",
        type=Path,
        metavar="FILE",
        help="JSON list of moments: time, expression, and if need be intensity and transition",
    )
    parser.add_argument("--performance", type=Path, metavar="CSV", help="a take of Live Link Face")
    parser.add_argument("--performance-start", type=number, default=0.0, metavar="SECONDS")
    parser.add_argument(
        "--curves", action="store_true", help="the units keyframed on a head of a .blend file"
    )
    parser.add_argument("--left", type=number, default=1.0, help="share of the left half of the face, 0 to 1")
    parser.add_argument("--right", type=number, default=1.0, help="share of the right half")
    parser.add_argument(
        "--micro-motion", type=number, default=1.0, metavar="0..1", help="how much held muscles tremble"
    )
    parser.add_argument(
        "--blinks",
        type=number,
        nargs="?",
        default=0.0,
        const=CAPTURED_BLINKS,
        metavar="PER_MINUTE",
        help=f"blinks a minute; {CAPTURED_BLINKS:.0f}, as captured, without a number",
    )


def complete(
    request: AnimateRequest,
    options: argparse.Namespace,
    headless: Headless,
    head: bpy.types.Object,
    say: Callable[[str], None],
) -> tuple[AnimateRequest, dict[str, NDArray[np.float32]]]:
    """The request with everything that the options say, and its arrays.

    Raises HeadError for what cannot be read, JobFailedError for a description that says nothing.
    """
    expressions = tuple(options.expression)
    if options.prompt is not None:
        info = headless.express(options.prompt)
        units = [f"{name}={weight:g}" for name, weight in info["units"]]
        say(f"“{options.prompt[:60]}” is {', '.join(units) or 'a face at rest'}.")
        if sentence := answer(info):
            say(sentence)
        expressions += tuple(units) or ("jawOpen=0",)  # nothing to express is a face at rest, not a mistake
    moments = [*options.moment, *(_moments_in(options.moments) if options.moments is not None else ())]
    frames = options.frames or SHORTEST
    request = replace(
        request,
        expressions=expressions,
        presets=named_presets((*expressions, *moments)),
        frames=frames,
        left=options.left,
        right=options.right,
        micro_motion=options.micro_motion,
        blinks=options.blinks,
    )
    arrays: dict[str, NDArray[np.float32]] = {}
    if moments:
        request = with_moments(request, moments, options.frames or 1)
    if options.curves:
        request, arrays = with_curves(request, head, bpy.context.scene.frame_start)
    if options.performance is not None:
        longest = LONGEST if options.frames is None and not moments and not options.curves else request.frames
        request = with_take(request, options.performance.resolve(), options.performance_start, longest)
    return request, arrays


def _moments_in(path: Path) -> list[str]:
    """The moments of a JSON file, as texts. Raises HeadError."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [_text(row) for row in rows]
    except OSError as error:
        raise HeadError(f"“{path}” cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise HeadError(
            f'“{path}” is no list of moments: write [{{"time": 0.5, "expression": "happiness"}}].'
        ) from error


def _text(row: dict[str, Any]) -> str:
    names = row.get("expression", "neutral")
    intensity, transition = float(row.get("intensity", 1.0)), row.get("transition")
    scaled: list[str] = []
    for text in names.split(",") if isinstance(names, str) else names:
        name, _, weight = (part.strip() for part in text.partition("="))
        scaled.append(name if name == "neutral" else f"{name}={float(weight or 1.0) * intensity:g}")
    return f"{float(row['time']):g}:{','.join(scaled)}" + (
        f"@{float(transition):g}" if transition is not None else ""
    )
