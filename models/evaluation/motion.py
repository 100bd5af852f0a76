"""Does it move as people do? Temporal statistics of generated animations beside a real capture's.

A capture is weights of units, an animation is a moving mesh: the mesh is read back as the weights of the
generic units that explain it best (non-negative least squares on the face region), so one ruler measures
both. The capture is put through the model as well, which shows what the model and the reading back change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from ..animate_me import SAMPLERS, AnimateMe
from ..expression import LABELS
from ..head import Head
from ..live_link import read_live_link
from ..micro_motion import CAPTURED_BLINKS, bring_to_life
from ..signal import Moment, Signal, signal_of_moments
from .comparison import OnRequest, Row, figure
from .motion_statistics import band_shares, events, left_right

Floats = NDArray[np.float32]

VISIBLE_MM = 0.05
"""Largest displacement by which a unit can be seen on the face at all."""
RIDGE = 1e-3


@dataclass(frozen=True)
class MotionPlan:
    """How much is animated: so many new people, each a clip of two expressions as an artist would ask."""

    people: int = 2
    seconds: float = 5.5
    frame_rate: float = 60.0
    seed: int = 0


def evaluate_motion(
    checkpoint: Path,
    take: Path,
    plan: MotionPlan,
    *,
    device: str = "auto",
    half: str = "auto",
    on_request: OnRequest | None = None,
) -> dict[str, Any]:
    """{"settings", "rows"}. Raises CheckpointError, and InputError for a take that cannot be read."""
    model = AnimateMe.from_checkpoint(checkpoint, device, half)
    rate = plan.frame_rate
    capture = read_live_link(take, rate).expression_signal
    asked = [asked_signal(plan, person) for person in range(plan.people)]
    alive = [
        bring_to_life(signal, rate, plan.seed + person, micro_motion=1.0, blinks=CAPTURED_BLINKS)
        for person, signal in enumerate(asked)
    ]
    read = weights_reader(model.head)
    done = 0

    def animated(signals: Sequence[Signal]) -> list[Signal]:
        nonlocal done
        clips: list[Signal] = []
        for person, signal in enumerate(signals):
            skin = model.new_person(plan.seed + person)[: model.head.skin_vertices]
            preset = SAMPLERS["default"]
            clips.append(read(model.animate_skin(skin, signal, plan.seed + person, preset=preset)))
            done += 1
            if on_request is not None:
                on_request(done, 2 * plan.people + 1)
        return clips

    signals = {
        "capture": [capture],
        "ours_driven_by_the_capture": animated([capture]),
        "ours_without_micro_motion": animated(asked),
        "ours_with_micro_motion": animated(alive),
    }
    settings = {**asdict(plan), "checkpoint": str(checkpoint), "take": take.name}
    return {"settings": settings, "rows": [motion_row(name, clips, rate) for name, clips in signals.items()]}


def motion_row(name: str, clips: Sequence[Signal], frame_rate: float) -> Row:
    """The figures of some clips; medians over events, with their 10th and 90th percentiles."""
    found = events(clips, frame_rate)
    correlation, asymmetry = left_right(clips)
    row: Row = {"name": name, "clips": len(clips), "events": len(found)}
    for part in ("onset", "apex", "offset"):
        durations = [getattr(event, part) for event in found]
        marks = np.percentile(durations, [10, 50, 90]) if durations else [np.nan] * 3
        row[f"{part}_seconds"] = [figure(mark) for mark in marks]
    row["amplitude"] = figure(np.median([event.amplitude for event in found])) if found else None
    row["energy"] = {band: figure(share) for band, share in band_shares(clips, frame_rate).items()}
    row["left_right_correlation"] = figure(correlation)
    row["left_right_difference"] = figure(asymmetry)
    return row


def asked_signal(plan: MotionPlan, person: int) -> Signal:
    """Two expressions, one after the other and back to neutral, with the captured transitions."""
    random = np.random.default_rng([plan.seed, person])
    one, other = random.choice(LABELS, 2, replace=False)
    times = np.cumsum(random.uniform(0.8, 1.2, 6)) * plan.seconds / 6.6
    faces = [(one,), (one,), (), (other,), (other,), ()]
    moments = [Moment(float(t), face, 0.9) for t, face in zip(times, faces, strict=True)]
    return signal_of_moments(moments, round(plan.seconds * plan.frame_rate), plan.frame_rate)


def weights_reader(head: Head) -> Callable[[Floats], Signal]:
    """A function from skin deformations (K, V, 3) mm to the weights (K, 57) that explain them best.

    Units that move no skin, like the pupils, stay at 0.
    """
    inside = np.nonzero(head.face_mask[: head.skin_vertices] > 0.5)[0]
    units = head.expression_basis[:, inside].astype(np.float64)
    seen = np.linalg.norm(units, axis=2).max(axis=1) > VISIBLE_MM
    basis = units[seen].reshape(int(seen.sum()), -1)
    gram = basis @ basis.T
    factor = cholesky(gram + RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram)), lower=True)

    def read(deformations: Floats) -> Signal:
        moments = deformations[:, inside].reshape(len(deformations), -1) @ basis.T
        targets = solve_triangular(factor, moments.T, lower=True).T
        weights = np.zeros((len(deformations), len(units)), np.float32)
        # |A w - d|^2 and |R w - z|^2 differ by a constant, with R^T R = A^T A and R^T z = A^T d
        weights[:, seen] = [nnls(factor.T, target)[0] for target in targets]
        return weights

    return read
