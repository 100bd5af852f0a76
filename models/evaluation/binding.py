"""How well heads of other topologies are bound: every figure, part by part.

A part measures cases, each a row of numbers under a name of its own, and sums them up in rows named after the
part. Rows that are known already are not measured again, so a run that was cut off goes on where it was.
Lengths in mm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from ..errors import InputError
from . import binding_artist, binding_cost, binding_face, binding_truth
from .binding_cases import Bench, Part, Row

PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "pose": binding_face.POSE,
        "diagnosis": binding_face.DIAGNOSIS,
        "truth": binding_truth.TRUTH,
        "artist": binding_artist.ARTIST,
        "exchange": binding_artist.EXCHANGE,
        "resolution": binding_artist.RESOLUTION,
        "contact": binding_artist.CONTACT,
        "cost": binding_cost.COST,
    }
)


def evaluate_binding(
    bench: Bench,
    only: Iterable[str] = (),
    known: Iterable[Row] = (),
    on_row: Callable[[list[Row]], None] | None = None,
) -> list[Row]:
    """Rows of the parts ``only``, or of all; ``on_row`` gets all so far after each. Raises InputError."""
    wanted = list(only) or list(PARTS)
    if unknown := sorted(set(wanted) - PARTS.keys()):
        raise InputError(f"There is no part called {', '.join(unknown)}: the parts are {', '.join(PARTS)}.")
    rows = {str(row["name"]): row for row in known}
    for name in wanted:
        own: list[Row] = []
        for case in PARTS[name].cases(bench):
            key = f"{name}/{case.name}"
            if key not in rows:
                started = time.process_time()
                rows[key] = {"name": key, **case.measure(), "cpu_s": time.process_time() - started}
                if on_row is not None:
                    on_row(list(rows.values()))
            own.append(rows[key])
        for row in PARTS[name].summary(own):
            rows[f"{name}{row['name']}"] = {**row, "name": f"{name}{row['name']}"}
        if on_row is not None:
            on_row(list(rows.values()))
    return list(rows.values())
