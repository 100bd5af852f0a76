"""Between two descriptions (ExpDiff section V-D, figure 10 a): is the way smooth, and does it arrive?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..appearance import Appearance
from .appearance_rows import on_tile, stacked
from .comparison import figure
from .ground_truth_appearance import SkinTruth
from .skin_stacks import face_texels

PAIRS = (
    ("open the jaw", "wrinkle the nose"),
    ("raise the brows", "smile"),
    ("squint the eyes", "pucker the lips"),
)
SHARES = np.linspace(0, 1, 5, dtype=np.float32)


def evaluate_prompts(
    model: Appearance, people: SkinTruth, pairs: Sequence[tuple[str, str]] = PAIRS, steps: int = 8
) -> list[dict[str, Any]]:
    """A row for each pair of descriptions, each on another person.

    ``arrives``: how far the ends are from what either description gives alone, over how far they are apart;
    0 at best. ``detour``: the length of the way over the distance of its ends, in texels of all maps; 1 is
    straight. ``largest_step``: of the four, over their mean; 1 is even.
    """
    mask = face_texels(people.layout, people.head)
    rows: list[dict[str, Any]] = []
    for person, pair in enumerate(pairs):
        request = people.request(person, "jawOpen")
        known = (on_tile(request, model.window).albedo, request.neutral, None)
        between = model.generate(*known, seed=person, prompt=pair, shares=SHARES, steps=steps)
        alone = [model.generate(*known, seed=person, prompt=prompt, steps=steps) for prompt in pair]
        way, start, end = (stacked(result).numpy()[:, :, mask] for result in (between, *alone))
        lengths = [_distance(a, b) for a, b in pairwise(way)]
        missed = max(_distance(way[0], start[0]), _distance(way[-1], end[0]))
        rows.append(
            {
                "from": pair[0],
                "to": pair[1],
                "arrives": figure(missed / _distance(start[0], end[0])),
                "detour": figure(sum(lengths) / _distance(way[0], way[-1])),
                "largest_step": figure(max(lengths) / np.mean(lengths)),
            }
        )
    return rows


def _distance(maps: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(maps - other))
