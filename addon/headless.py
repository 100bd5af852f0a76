"""Jobs for programs without a window: the command line and the demo."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..bridge.protocol import (
    AnimateRequest,
    BindRequest,
    ExpressRequest,
    HeadRequest,
    LibraryRequest,
    Request,
    SavePresetRequest,
)
from .binding_command import HeadBinding
from .binding_record import record_of
from .companion_writer import Following, read_followers
from .exporters import Animation
from .head_builder import HEAD_RESULTS, HeadArrays, build_head
from .head_job import HeadJob, back, read_head_job
from .library_command import HeadLibrary
from .library_writer import library_of
from .session import Job, Session, Target, WorkerSettings
from .skin_job import SkinWork


class JobFailedError(RuntimeError):
    """The worker did not do the job. `kind` is one of the bridge's kinds of failure."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Headless:
    """A worker and one checkpoint, waited for, until `close`.

    All jobs raise JobFailedError when the worker fails, KeyboardInterrupt when Ctrl-C has cancelled the job,
    OSError when the job's folder cannot be written or read.
    """

    worker: WorkerSettings
    checkpoint: str
    on_progress: Callable[[Job], None] = lambda _job: None
    session: Session = field(default_factory=Session)

    def close(self) -> None:
        """End the worker."""
        self.session.close()

    def new_person(self, seed: int) -> bpy.types.Object:
        """The head of a new person, in no collection yet."""
        job = self._finished(HeadRequest(job="", folder="", checkpoint=self.checkpoint, seed=seed))
        arrays = HeadArrays(*_results(job, *HEAD_RESULTS), job.done.info["material_names"])
        self.session.discard(job)
        return build_head(arrays, f"Dimple Head {seed}", seed)

    def express(self, prompt: str) -> dict[str, Any]:
        """What the words mean: `units`, strongest first, `unknown_words`, `read_as`, `remarks`."""
        return self._finished(ExpressRequest(job="", prompt=prompt)).done.info

    def save_preset(self, request: SavePresetRequest) -> dict[str, Any]:
        """Where the preset was written: `file`; and `remarks`."""
        return self._finished(request).done.info

    def animate(
        self,
        head: bpy.types.Object,
        request: AnimateRequest,
        arrays: Mapping[str, NDArray[Any]] | None = None,
    ) -> tuple[Animation, float]:
        """The animation of a head and the millimetres in its unit; the head is not changed.

        `arrays` go with the request: curves, or an expression_signal.

        Raises mesh_reader.HeadError for a head that cannot be used.
        """
        work, job = self._head_job(head, request, arrays)
        mesh = work.mesh
        deformations, weights, drawn = _results(job, "deformations", "signal", "drawn_signal")
        deformations = back(deformations, work.linear)
        if deformations.shape[1:] != mesh.neutral_vertices.shape or not np.isfinite(deformations).all():
            raise JobFailedError("The worker's result does not fit the head: generate again.", "internal")
        animation = Animation(
            neutral_vertices=mesh.neutral_vertices,
            triangles=mesh.triangles,
            deformations=deformations,
            expression_signal=weights,
            unit_names=tuple(job.done.info["unit_names"]),
            frame_rate=request.frame_rate,
            followers=_followers(job, "deformations"),
            drawn_signal=drawn,
            remarks=tuple(job.done.info["remarks"]),
        )
        return animation, job.mm_per_unit

    def library(self, head: bpy.types.Object, request: LibraryRequest) -> HeadLibrary:
        """The library of a head; the head is not changed. Raises mesh_reader.HeadError."""
        work, job = self._head_job(head, request)
        try:
            shapes = library_of(job)
        except (OSError, ValueError) as error:
            raise JobFailedError(f"The worker's result cannot be read: {error}.", "internal") from error
        followers = _followers(job, "deformations", "correctives")
        self.session.discard(job)
        return HeadLibrary(work.mesh, shapes, job.mm_per_unit, followers)

    def bind(self, head: bpy.types.Object) -> HeadBinding:
        """How a head is bound; the head is not changed. Raises mesh_reader.HeadError."""
        work, job = self._head_job(head, BindRequest(job="", folder="", checkpoint=""))
        triangle, barycentric, confidence, rule, fitted = _results(
            job, "triangle", "barycentric", "confidence", "rule", "fitted_vertices"
        )
        record = record_of(job.request, job.target, job.done.info)
        self.session.discard(job)
        return HeadBinding(triangle, barycentric, confidence, rule, back(fitted, work.linear), record)

    def appearance(self, work: SkinWork) -> Job:
        """The finished job about a head's skin; its maps are where its request says."""
        return self._finished(work.request, work.arrays, work.target)

    def _head_job(
        self,
        head: bpy.types.Object,
        request: BindRequest | AnimateRequest | LibraryRequest,
        arrays: Mapping[str, NDArray[Any]] | None = None,
    ) -> tuple[HeadJob, Job]:
        """A finished job about a head, its landmarks and companions, with the arrays of the request."""
        work = read_head_job(head)
        asked = work.request(replace(request, checkpoint=self.checkpoint))
        return work, self._finished(asked, {**work.arrays, **(arrays or {})}, work.target)

    def _finished(
        self,
        request: Request,
        arrays: Mapping[str, NDArray[Any]] | None = None,
        target: Target | None = None,
    ) -> Job:
        with _interrupts() as interrupted:
            job = self.session.submit(self.worker, request, arrays, target)

            def on_step() -> None:
                if interrupted():
                    self.session.cancel(job)
                self.on_progress(job)

            self.session.wait(job, on_step)
        if job.state == "cancelled":
            raise KeyboardInterrupt
        if job.state == "failed":
            raise JobFailedError(job.message, job.kind)
        return job


def _results(job: Job, *names: str) -> list[NDArray[Any]]:
    """Arrays that a job left, in memory. Raises JobFailedError where one cannot be read."""
    try:
        return [np.array(job.array(name)) for name in names]
    except (OSError, ValueError) as error:
        raise JobFailedError(f"The worker's result cannot be read: {error}.", "internal") from error


def _followers(job: Job, *stems: str) -> list[Following]:
    try:
        return read_followers(job, *stems)
    except (OSError, ValueError) as error:
        raise JobFailedError(f"The worker's result cannot be read: {error}.", "internal") from error


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, instead of an exception in the middle of a message to the worker."""
    pressed: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield lambda: bool(pressed)
    finally:
        # None: Blender's own handler, which Python cannot put back
        signal.signal(signal.SIGINT, signal.SIG_DFL if previous is None else previous)
