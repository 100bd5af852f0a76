"""What binding and transfer cost: seconds and memory by the size of the mesh."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from ..binding import bind
from ..registration.surface import triangulated
from .binding_cases import Bench, Case, Part, Row
from .binding_meshes import subdivided

SIZES = (2_800, 27_000, 200_000)
"""Vertices, about, of the meshes that are bound, in this order: the peak of memory only grows."""
FRAMES = 40


def _cases(bench: Bench) -> Iterator[Case]:
    for size in SIZES:
        yield Case(f"{size} vertices", partial(_measured, bench, size))


def _measured(bench: Bench, size: int) -> Row:
    """Seconds to bind, milliseconds a frame to transfer, by the clock and by the processor."""
    if size == SIZES[1]:
        vertices, triangles = bench.laid("own", bench.person(0))
    else:
        vertices, triangles = bench.artist["neutral"], triangulated(bench.artist["faces"])
        while len(vertices) < 0.8 * size:
            vertices, triangles = subdivided(vertices.astype(np.float64), triangles)
    clock, processor = time.perf_counter(), time.process_time()
    binding = bind(bench.head, vertices.astype(np.float32), triangles)
    bound = time.perf_counter() - clock, time.process_time() - processor
    units = np.arange(FRAMES) % len(bench.head.expression_q)
    shapes = bench.head.expression_basis[units]
    signal = np.eye(len(bench.head.expression_q), dtype=np.float32)[units]
    binding.transfer(shapes, signal)  # factors what later calls share
    processor = time.process_time()
    binding.transfer(shapes, signal)
    per_frame = 1000 * (time.process_time() - processor) / FRAMES
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024**2 if sys.platform == "darwin" else 1024
    )
    return {
        "vertices": len(vertices),
        "bind_clock_s": bound[0],
        "bind_cpu_s": bound[1],
        "transfer_cpu_ms": per_frame,
        "peak_mb": peak,
    }


def _summary(rows: Sequence[Row]) -> list[Row]:
    return [{"name": "", "peak_mb": max(row["peak_mb"] for row in rows)}]


COST = Part(_cases, _summary)
