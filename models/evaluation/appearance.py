"""ExpDiff's Tables II and III on people it has never seen, in one run (section V-C and V-D).

PSNR and SSIM are ExpDiff's; both are kind to skin that does not move, as most of it hardly does. So rows are
also measured on what moves: the error of the change, the wrinkles in place, and how well creases agree with
the compression of the row's own mesh, beside the truth's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..expression import UNIT_NAMES
from ..upscale import CHANNELS, STACK, unstack
from .appearance_rows import ALL_MAPS, Answer, Row, truth
from .comparison import OnRequest, figure
from .ground_truth_appearance import SkinRequest, SkinTruth
from .lpips import Lpips
from .metrics import FaceRegion, root_ratio
from .metrics_appearance import (
    WRINKLES,
    agreement,
    facial_vertex_distance,
    flicker,
    mean_of_known,
    pooled_psnr,
    pooled_wrinkles,
    principal_compression,
    psnr,
    ssim,
    wrinkle_moments,
)
from .skin_stacks import face_texels

SHOWN = tuple(name for name in UNIT_NAMES if not name.startswith(("pupil", "eyeLook")))
"""Units that move the skin of a face."""
WINDOW = 1 / 32
"""Side of a window in which creases and compression are compared, share of a map."""
WRINKLE_WIDTH = 1 / 32
"""What is finer than this share of a map is wrinkles."""
FLICKER_WEIGHTS = tuple(0.3 + 0.05 * frame for frame in range(8))
"""A steady rise, in which nothing should tremble."""


@dataclass(frozen=True)
class Plan:
    """How much is evaluated."""

    people: int = 8
    units: Sequence[str] = SHOWN
    flicker_people: int = 3


@dataclass
class Measurements:
    """Figures of one row over all requests."""

    columns: dict[str, list[float]]

    def add(self, figures: Mapping[str, float]) -> None:
        """Those of one more request."""
        for name, value in figures.items():
            self.columns.setdefault(name, []).append(value)

    def row(self) -> dict[str, float | None]:
        """Means; of PSNR, that of the pooled error; ``psnr``, ``ssim`` and ``lpips`` over all maps."""
        columns = dict(self.columns)
        for kind in ("psnr", "ssim", "lpips"):
            if all(f"{kind}_{name}" in columns for name in CHANNELS):
                columns[kind] = [value for name in CHANNELS for value in columns[f"{kind}_{name}"]]
        wrinkles = pooled_wrinkles(columns) if WRINKLES[0] in columns else {}
        pooled = {
            name: pooled_psnr(values) if name.startswith("psnr") else mean_of_known(values)
            for name, values in columns.items()
            if name not in WRINKLES
        }
        return {name: figure(value) for name, value in sorted((pooled | wrinkles).items())}


def evaluate_exp_diff(
    rows: Mapping[str, Row],
    people: SkinTruth,
    plan: Plan,
    lpips: Lpips | None = None,
    on_request: OnRequest | None = None,
) -> dict[str, Any]:
    """{"settings", "rows", "best"}: figures of every row, the truth among them, and which row wins a column.

    Without the weights of ``lpips`` its columns are left out.
    """
    measure = Measure(people, lpips)
    pairs = [(person, unit) for person in range(plan.people) for unit in plan.units]
    trembling = [(person, plan.units[person % len(plan.units)]) for person in range(plan.flicker_people)]
    found = {name: Measurements({}) for name in ("ground_truth", *rows)}
    for number, (person, unit) in enumerate(pairs):
        request = people.request(person, unit)
        for name, row in (("ground_truth", truth), *rows.items()):
            found[name].add(measure(request, row(request)))
        if on_request is not None:
            on_request(number + 1, len(pairs) + len(trembling))
    for number, (person, unit) in enumerate(trembling):
        request = people.request(person, unit, FLICKER_WEIGHTS)
        for name, row in rows.items():
            found[name].add({"flicker": measure.flicker(request, row(request))})
        if on_request is not None:
            on_request(len(pairs) + number + 1, len(pairs) + len(trembling))
    table = [{"name": name, "requests": len(pairs)} | measured.row() for name, measured in found.items()]
    best = {
        given: best_in_each_column([row for row in table if str(row["name"]).endswith(ALL_MAPS) == every])
        for given, every in (("albedo_given", False), ("all_maps_given", True))
    }
    return {"settings": {**asdict(plan), "size": people.layout.size}, "rows": table, "best": best}


class Measure:
    """Figures of one answer, over the face region."""

    def __init__(self, people: SkinTruth, lpips: Lpips | None) -> None:
        self.lpips = lpips
        self.layout = people.layout
        self.region = FaceRegion.of(people.head)
        self.mask = face_texels(people.layout, people.head)

    def __call__(self, request: SkinRequest, answer: Answer) -> dict[str, float]:
        """Of the first frame; of what the method knows of."""
        made, true = unstack(answer.maps[0]), unstack(request.maps[0])
        rest, true_rest = unstack(answer.neutral), unstack(request.neutral_maps)
        figures = {"seconds": answer.seconds}
        for name in answer.shown:
            figures[f"psnr_{name}"] = psnr(made[name], true[name], self.mask)
            figures[f"ssim_{name}"] = ssim(made[name], true[name], self.mask)
            if self.lpips is not None:
                figures[f"lpips_{name}"] = self.lpips.of_maps(made[name], true[name], self.mask)
        if answer.deformation is None:
            return figures
        deformation = answer.deformation[0]
        figures["facial_vertex_distance_mm"] = facial_vertex_distance(
            self.region(deformation), self.region(request.deformation[0])
        )
        figures["change_error"] = self._change_error(answer, request)
        change, true_change = made["normal"] - rest["normal"], true["normal"] - true_rest["normal"]
        width = WRINKLE_WIDTH * self.layout.size
        figures |= wrinkle_moments(change, true_change, self.mask, width)
        figures["agreement"] = agreement(
            change, self._compression(request, deformation), self.mask, round(WINDOW * self.layout.size)
        )
        return figures

    def flicker(self, request: SkinRequest, answer: Answer) -> float:
        """Over all maps that the method knows of."""
        shown = [layer for name in answer.shown for layer in range(STACK)[CHANNELS[name]]]
        own, true = (maps[:, shown].permute(0, 2, 3, 1).numpy() for maps in (answer.maps, request.maps))
        return flicker(own, true, self.mask)

    def _change_error(self, answer: Answer, request: SkinRequest) -> float:
        """Root mean square of how the change of all maps differs, over the true change: 1 for static skin."""
        own, true = answer.maps[0] - answer.neutral, request.maps[0] - request.neutral_maps
        squares = [float(np.square(change.numpy()[:, self.mask]).mean()) for change in (own - true, true)]
        return root_ratio(*squares)

    def _compression(
        self, request: SkinRequest, deformation: NDArray[np.float32]
    ) -> NDArray[np.floating[Any]]:
        neutral = request.neutral.astype(np.float64)
        shrunk = principal_compression(neutral, neutral + deformation, self.layout.triangles)
        return self.layout.rasterise(shrunk[:, None])[..., 0]


def best_in_each_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Who wins: the row with the best figure in each column, the truth left out."""
    wanted: Mapping[str, Callable[[float], float]] = {
        "facial_vertex_distance_mm": lambda value: -value,
        "psnr": lambda value: value,
        "ssim": lambda value: value,
        "lpips": lambda value: -value,
        "change_error": lambda value: -value,
        "wrinkles_kept": lambda value: -abs(value - 1),
        "flicker": lambda value: -abs(value - 1),
    }
    best: dict[str, str] = {}
    for column, worth in wanted.items():
        known = [row for row in rows if row["name"] != "ground_truth" and row.get(column) is not None]
        if known:
            best[column] = max(known, key=lambda row: worth(row[column]))["name"]
    return best
