"""Many methods answer the same requests: measuring every answer, and pooling them to one row a method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ground_truth import Request
from .metrics import FaceRegion, acceleration, motion, root_ratio, roughness, specificity_mm

Floats = NDArray[np.float32]
Row = dict[str, Any]
OnRequest = Callable[[int, int], None]
"""Called with (requests done, requests in all)."""

REFERENCE = "ours_full_chain"
"""The method whose generated residual counts as whole."""


@dataclass(frozen=True)
class Cost:
    """What one animation takes on this machine."""

    seconds: float = 0.0
    evaluations: int = 0  # of the network; one for every frame and step


@dataclass(frozen=True)
class Answer:
    """What one method's answer to one request measures; squares in mm^2, to be pooled over requests."""

    frames: NDArray[np.int64]  # (F,) the frames looked at
    error_mm: Floats  # (F,)
    residual: Floats  # (F,) mean squared distance to the additive model
    roughness: tuple[float, float]  # generated, true
    acceleration: tuple[float, float]
    cost: Cost


@dataclass
class Comparison:
    """All answers by method and request, and variances between seeds by method, generated and true."""

    region: FaceRegion
    answers: dict[str, dict[int, Answer]] = field(default_factory=dict)
    variances: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(
        self,
        name: str,
        number: int,
        request: Request,
        additive: Floats,
        generated: Floats,
        frames: Sequence[int],
        cost: Cost | None = None,
    ) -> None:
        """Measure ``generated`` (F, V, 3), which answers request ``number`` at the given frames.

        additive (K, V, 3): what the additive model alone answers, at all frames.
        """
        which = np.array(frames)
        shown, truth = self.region(generated), self.region(request.truth[which])
        self.answers.setdefault(name, {})[number] = Answer(
            which,
            specificity_mm(shown, truth),
            motion(shown - self.region(additive[which])),
            (roughness(shown, self.region.laplacian), roughness(truth, self.region.laplacian)),
            (acceleration(shown, which), acceleration(truth, which)),
            cost or Cost(),
        )

    def row(self, name: str, compared: Sequence[str] = ()) -> Row:
        """The figures of one method; where it answered in part only, the error of others on that part."""
        mine = self.answers[name]
        errors = np.stack([answer.error_mm for answer in mine.values()])
        row: Row = {
            "name": name,
            "requests": len(mine),
            "specificity_mm": figure(errors.mean()),
            "apex_mm": figure(errors[:, -1].mean()),
            "laplacian_ratio": pooled_ratio(answer.roughness for answer in mine.values()),
            "acceleration_ratio": pooled_ratio(answer.acceleration for answer in mine.values()),
            "residual_ratio": self._residual_ratio(mine),
            "seconds_per_40_frames": figure(np.mean([answer.cost.seconds for answer in mine.values()])),
            "network_evaluations": next(iter(mine.values())).cost.evaluations,
            "specificity_mm_per_frame": [figure(error) for error in errors.mean(axis=0)],
        }
        if name in self.variances:
            row["diversity_ratio"] = pooled_ratio(self.variances[name])
        if self._is_part(mine):
            row["frames"] = next(iter(mine.values())).frames.tolist()
            row["request_numbers"] = list(mine)
            row["same_part_mm"] = {
                other: figure(self._error_on(other, mine)) for other in compared if other in self.answers
            }
        return row

    def _is_part(self, mine: Mapping[int, Answer]) -> bool:
        asked = max(self.answers.values(), key=len)
        frames = max(len(answer.frames) for answer in asked.values())
        return len(mine) < len(asked) or any(len(answer.frames) < frames for answer in mine.values())

    def _residual_ratio(self, mine: Mapping[int, Answer]) -> float | None:
        """Generated residual over the reference's, on the same requests and frames."""
        reference = self.answers[REFERENCE]
        own = sum(float(answer.residual.sum()) for answer in mine.values())
        whole = sum(
            float(reference[number].residual[_common(reference[number], answer)].sum())
            for number, answer in mine.items()
        )
        return figure(root_ratio(own, whole))

    def _error_on(self, other: str, part: Mapping[int, Answer]) -> np.floating:
        theirs = self.answers[other]
        return np.mean([theirs[n].error_mm[_common(theirs[n], answer)].mean() for n, answer in part.items()])


def _common(answer: Answer, part: Answer) -> NDArray[np.bool_]:
    return np.isin(answer.frames, part.frames)


def pooled_ratio(pairs: Iterable[tuple[float, float]]) -> float | None:
    """Ratio of root mean squares over many (measured, true) mean squares."""
    measured, true = np.array(list(pairs)).mean(axis=0)
    return figure(root_ratio(float(measured), float(true)))


def figure(value: float | np.floating) -> float | None:
    """Rounded for a table: four decimals of a millimetre or a ratio are enough. None for no number."""
    return round(float(value), 4) if np.isfinite(value) else None
