"""What Dimple remembers between two clicks: one worker, its jobs and their results, one timer.

`Session.step` is a plain function: modal operator, timer, test and command line call the same one.
No Blender data is kept here: an object is remembered by name and session_uid and looked up again.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import bpy
import bpy.utils.previews
import numpy as np
from numpy.typing import NDArray

from ..bridge.client import Client, worker_command
from ..bridge.protocol import (
    ARTIST_TEXT,
    AnimateRequest,
    Cancelled,
    Check,
    Done,
    ExpressRequest,
    Failed,
    Hello,
    Message,
    Progress,
    Ready,
    Request,
    SavePresetRequest,
)
from .binding_record import BindingRecord, read_binding, record_of
from .recognition import HeadState, Recognition

EXTENSION_ROOT = Path(__file__).resolve().parent.parent
INTERVAL = 0.1
"""Seconds between two steps while a job runs."""

PHASES = {
    "start": "Starting the worker",
    "load": "Loading the model",
    "read": "Reading the words",
    "bind": "Fitting the head",
    "paint": "Painting the skin at rest",
    "sample": "Generating",
    "carry": "Moving the mesh along",
    "write": "Writing the result",
}


@dataclass(frozen=True)
class WorkerSettings:
    """How to run the worker; a change of any of them starts a new one."""

    python: str
    device: str
    half: str
    ready_timeout: float  # seconds
    log_file: Path


@dataclass(frozen=True)
class Follower:
    """An object that follows the head of a job."""

    name: str
    session_uid: int
    fingerprint: str
    linear: NDArray[np.float32]  # (3, 3) displacements in its own space -> the job's


@dataclass(frozen=True)
class Target:
    """The object that a job is for, and those that follow it."""

    name: str
    session_uid: int
    fingerprint: str
    geometry: str = ""
    linear: NDArray[np.float32] | None = None  # (3, 3) as a follower's; None: the same space
    followers: tuple[Follower, ...] = ()


@dataclass
class Job:
    """A request on its way to the worker, and what has become of it."""

    request: Request
    target: Target | None = None
    state: Literal["running", "cancelling", "done", "failed", "cancelled"] = "running"
    phase: str = "start"
    step: int = 0
    steps: int = 0
    picture: str = ""  # file of a PNG: the first results
    done: Done | None = None
    kind: str = ""  # of a failure, as the protocol names them
    message: str = ""
    detail: str = ""

    @property
    def running(self) -> bool:
        """Whether an answer is still to come."""
        return self.state in ("running", "cancelling")

    @property
    def factor(self) -> float:
        """How much of the phase is done, 0 to 1."""
        return self.step / self.steps if self.steps else 0.0

    @property
    def progress_text(self) -> str:
        """What the worker is doing, in words."""
        if self.state == "cancelling":
            return "Cancelling"
        text = PHASES.get(self.phase, self.phase)
        return f"{text} {self.step} of {self.steps}" if self.steps > 1 else text

    @property
    def mm_per_unit(self) -> float:
        """Millimetres in a unit of the head, as the worker found when it fitted the head."""
        assert self.done is not None
        return float(self.done.info["mm_per_unit"])

    @property
    def neutral_vertices(self) -> NDArray[np.float32]:
        """(V, 3) what the worker was given. Raises OSError, ValueError where the file is unusable."""
        assert isinstance(self.request, AnimateRequest)
        return np.load(Path(self.request.folder) / "neutral_vertices.npy", allow_pickle=False)

    def array(self, name: str) -> NDArray[Any]:
        """A result of the job, mapped into memory. Raises OSError, ValueError where the file is unusable."""
        assert self.done is not None
        return np.load(self.done.paths[name], mmap_mode="r", allow_pickle=False)


@dataclass
class Session:
    """The add-on's only mutable state."""

    jobs: dict[str, Job] = field(default_factory=dict)
    results: dict[int, Job] = field(default_factory=dict)  # by session_uid of the head: its last animation
    bindings: dict[int, BindingRecord] = field(default_factory=dict)  # by session_uid: how it was bound last
    picking: str = ""  # the landmark that is being shown now
    latest: Job | None = None  # what the panel speaks of
    check: Job | None = None  # the last answer of Check Setup
    recognition: Recognition = field(default_factory=Recognition)
    registered: ExitStack = field(default_factory=ExitStack)  # what `unregister` has to undo
    _window_timer: bpy.types.Timer | None = None
    _pictures: bpy.utils.previews.ImagePreviewCollection | None = None
    _worker: WorkerSettings | None = None
    _client: Client | None = None
    _folder: tempfile.TemporaryDirectory[str] | None = None
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def ready(self) -> Ready | None:
        """What the worker said about itself; None when none is ready."""
        return self._client.ready if self._client is not None else None

    def icon_of(self, picture: str) -> int:
        """Blender's number for a PNG that a running job has made, for a panel to draw."""
        if self._pictures is None:
            self._pictures = bpy.utils.previews.new()
        if picture not in self._pictures:
            self._pictures.load(picture, picture, "IMAGE")
        return self._pictures[picture].icon_id

    def head_state(self, head: bpy.types.Object, checkpoint: Path) -> HeadState:
        """What can be said about a head, a mesh, for the panel and for a button's refusal."""
        bound = self.bindings.get(head.session_uid) or read_binding(head)
        return self.recognition.state(head, checkpoint, bound)

    @property
    def current(self) -> Job | None:
        """The job that runs now."""
        return next((job for job in self.jobs.values() if job.running), None)

    def submit(
        self,
        worker: WorkerSettings,
        request: Request,
        arrays: Mapping[str, NDArray[Any]] | None = None,
        target: Target | None = None,
    ) -> Job:
        """Hand a request to the worker, its `arrays` saved as .npy in a new job folder.

        Raises OSError when the job folder cannot be written; nothing was sent then.
        """
        name = f"job-{next(self._numbers)}"
        if not _has_folder(request):
            request = replace(request, job=name)
        else:
            folder = self._job_folder(name)
            request = replace(request, job=name, folder=str(folder))
            try:
                for array_name, array in (arrays or {}).items():
                    np.save(folder / f"{array_name}.npy", array, allow_pickle=False)
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        job = self.jobs[name] = self.latest = Job(request, target)
        self._client_for(worker).send(request)
        if not bpy.app.background and not bpy.app.timers.is_registered(_tick):
            bpy.app.timers.register(_tick, first_interval=INTERVAL, persistent=True)
        return job

    def step(self) -> None:
        """Take in what the worker has said since the last step; returns at once."""
        if self._client is None:
            return
        for message in self._client.poll():
            self._take(message)

    def wait(self, job: Job, on_step: Callable[[], None] = lambda: None) -> None:
        """Step until the job has ended: for background mode, where Blender's timers never fire."""
        while job.running:
            self.step()
            on_step()
            time.sleep(INTERVAL / 10)

    def watch(self, context: bpy.types.Context) -> None:
        """Let the window send TIMER events to the modal operator that waits for a job."""
        self.unwatch()
        self._window_timer = context.window_manager.event_timer_add(INTERVAL, window=context.window)

    def unwatch(self) -> None:
        """No more TIMER events; also when the add-on is disabled while an operator waits."""
        if self._window_timer is not None:
            bpy.context.window_manager.event_timer_remove(self._window_timer)
            self._window_timer = None

    def cancel(self, job: Job) -> None:
        """Ask for the end of a job; it is over when its state says so."""
        if job.state == "running" and self._client is not None:
            job.state = "cancelling"
            self._client.cancel(job.request.job)

    def discard(self, job: Job) -> None:
        """Remove the files of a job that nobody needs any more."""
        if _has_folder(job.request):
            shutil.rmtree(job.request.folder, ignore_errors=True)

    def forget(self) -> None:
        """Another file is being loaded: cancel what runs and drop the results of the old file."""
        for job in self.jobs.values():
            self.cancel(job)
            job.target = None
        for job in self.results.values():
            self.discard(job)
        self.results.clear()
        self.bindings.clear()
        self.latest = None
        self.recognition.clear()

    def close(self) -> None:
        """End the worker and remove everything that was kept."""
        if bpy.app.timers.is_registered(_tick):
            bpy.app.timers.unregister(_tick)
        self.unwatch()
        self._drop_pictures()
        if self._client is not None:
            self._client.close()
        if self._folder is not None:
            self._folder.cleanup()
        for job in self.jobs.values():
            job.state = "cancelled"
        self.jobs.clear()
        self.results.clear()
        self.bindings.clear()
        self.recognition.clear()
        self.latest = self.check = self._client = self._worker = self._folder = None

    def _client_for(self, worker: WorkerSettings) -> Client:
        if self._client is None or worker != self._worker:
            if self._client is not None:
                self._client.close()
            self._worker = worker
            self._client = Client(
                worker_command(worker.python, EXTENSION_ROOT),
                hello=Hello(device=worker.device, half=worker.half),
                log_file=worker.log_file,
                ready_timeout=worker.ready_timeout,
            )
        return self._client

    def _job_folder(self, name: str) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(
                prefix="dimple_", dir=bpy.app.tempdir, ignore_cleanup_errors=True
            )
        folder = Path(self._folder.name) / name
        folder.mkdir()
        return folder

    def _take(self, message: Message) -> None:
        job = self.jobs.get(getattr(message, "job", ""))
        if job is None:
            return
        match message:
            case Progress():
                job.phase, job.step, job.steps = message.phase, message.step, message.steps
                job.picture = message.picture or job.picture
                return
            case Done():
                job.state, job.done = "done", message
            case Failed():
                job.state, job.kind, job.detail = "failed", message.kind, message.detail
                of_no_head = message.kind == "input" and not _has_folder(job.request)
                job.message = (
                    message.message if of_no_head else f"{message.message} {ARTIST_TEXT[message.kind]}"
                )
            case Cancelled():
                job.state, job.message = "cancelled", "Cancelled; nothing was changed."
        del self.jobs[message.job]
        self._drop_pictures()
        if job.done is not None and job.target is not None and "score" in job.done.info:
            self.bindings[job.target.session_uid] = record_of(job.request, job.target, job.done.info)
        self._keep(job)

    def _drop_pictures(self) -> None:
        if self._pictures is not None:
            bpy.utils.previews.remove(self._pictures)
            self._pictures = None

    def _keep(self, job: Job) -> None:
        """Keep the result of a job that has ended for as long as it is of use."""
        if isinstance(job.request, Check):
            self.check = job
        elif job.state == "done" and isinstance(job.request, AnimateRequest) and job.target is not None:
            previous = self.results.get(job.target.session_uid)
            if previous is not None:
                self.discard(previous)
            self.results[job.target.session_uid] = job
        elif job.state != "done" or isinstance(job.request, AnimateRequest):
            self.discard(job)


def _has_folder(request: Request) -> bool:
    """Whether arrays go with the request or come back."""
    return not isinstance(request, Check | ExpressRequest | SavePresetRequest)


session = Session()


def _tick() -> float | None:
    session.step()
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in {"VIEW_3D", "PREFERENCES"}:
                area.tag_redraw()
    return INTERVAL if session.current is not None else None
