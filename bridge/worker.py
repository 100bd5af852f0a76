"""The worker's end of the bridge: a loop that answers requests, knowing nothing of what the jobs compute.

The jobs are given to `serve`. Only the standard library is imported here, so that a Python without torch can
still say what it lacks. A reader thread sees a cancel, and the end of the host, while a job runs.
"""

from __future__ import annotations

import faulthandler
import io
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import TracebackType
from typing import Any, BinaryIO, Protocol

from .protocol import (
    Cancel,
    Cancelled,
    Done,
    Failed,
    FailureKind,
    Hello,
    LineBuffer,
    Message,
    Progress,
    ProtocolError,
    Quit,
    Ready,
    Request,
    VersionMismatchError,
    decode,
    encode,
)

EXIT_HOST_GONE = 3
UNWIND_SECONDS = 1.0  # for a running job to leave by itself when the host is gone


class JobFailedError(Exception):
    """A job cannot go on: the reason in a sentence for the artist, and the technical detail."""

    def __init__(self, kind: FailureKind, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.message = message
        self.detail = detail


class JobCancelledError(Exception):
    """The host has asked for the end of the running job."""


@dataclass(frozen=True)
class Result:
    """What a job made: its files by array name, the seed it used and facts about it."""

    paths: dict[str, str] = field(default_factory=dict[str, str])
    seed: int = 0
    info: dict[str, Any] = field(default_factory=dict[str, Any])


class Report(Protocol):
    """Tells the host how far a job is."""

    def __call__(self, phase: str, step: int, steps: int, picture: str = "") -> None:
        """Call it after every step, with the file of a PNG where there is something to see by now.

        Raises JobCancelledError when the host wants the job to end.
        """
        ...


class Jobs(Protocol):
    """What a worker can do. Both methods raise JobFailedError for what the artist can put right."""

    def ready(self) -> Ready:
        """The answer to `hello`."""
        ...

    def run(self, request: Request, report: Report) -> Result:
        """Does the work of one request."""
        ...


def serve(open_jobs: Callable[[Hello], Jobs]) -> None:
    """Answers the host's requests, one after the other, until it says quit or is gone.

    `open_jobs` makes the jobs from the host's greeting. An exception that it or a job did not foresee is
    reported as an internal failure and ends the process: the next job deserves a worker in a known state.
    """
    host_input, host_output = claim_standard_streams()
    inbox = _Inbox(host_input)
    outbox = _Outbox(host_output)
    try:
        _converse(open_jobs, inbox, outbox)
    finally:
        inbox.finished.set()


def claim_standard_streams() -> tuple[int, BinaryIO]:
    """The host's pipes, for the protocol alone; other code prints to stderr and reads nothing."""
    host_input, host_output = os.dup(0), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    faulthandler.enable()
    return host_input, host_output


def _converse(open_jobs: Callable[[Hello], Jobs], inbox: _Inbox, outbox: _Outbox) -> None:
    hello = inbox.messages.get()
    if isinstance(hello, Quit):
        return
    if not isinstance(hello, Hello):
        outbox.send(_refusal(hello))
        return
    with outbox.last_words(""):
        try:
            jobs = open_jobs(hello)
            outbox.send(jobs.ready())
        except JobFailedError as error:
            outbox.send(Failed("", error.kind, error.message, error.detail))
            return
    while not isinstance(message := inbox.messages.get(), Quit):
        if isinstance(message, Request):
            with outbox.last_words(message.job):
                outbox.send(_answer(jobs, message, inbox, outbox))
        else:
            outbox.send(_refusal(message))


def _answer(jobs: Jobs, request: Request, inbox: _Inbox, outbox: _Outbox) -> Done | Failed | Cancelled:
    """Runs one job to its end."""
    job, started = request.job, time.perf_counter()

    def report(phase: str, step: int, steps: int, picture: str = "") -> None:
        inbox.check(job)
        outbox.send(Progress(job, phase, step, steps, picture))

    try:
        inbox.check(job)
        result = jobs.run(request, report)
    except JobCancelledError:
        return Cancelled(job)
    except JobFailedError as error:
        traceback.print_exc()
        return Failed(job, error.kind, error.message, error.detail)
    except MemoryError as error:
        traceback.print_exc()
        return Failed(job, "out_of_memory", "There is not enough memory for this job.", str(error))
    return Done(job, result.paths, time.perf_counter() - started, result.seed, result.info)


def _refusal(message: Message | ProtocolError) -> Failed:
    """The answer to what the worker cannot act on."""
    if isinstance(message, VersionMismatchError):
        return Failed("", "setup", "Add-on and worker are of different versions of Dimple.", str(message))
    if isinstance(message, ProtocolError):
        return Failed("", "internal", "The add-on said something the worker cannot read.", str(message))
    return Failed("", "internal", f"The add-on sent a {type(message).__name__} out of turn.")


class _Inbox:
    """The host's messages, read in a thread of their own."""

    def __init__(self, host_input: int) -> None:
        self.messages: SimpleQueue[Message | ProtocolError] = SimpleQueue()
        self.finished = threading.Event()
        self._host_input = host_input
        self._host_gone = threading.Event()
        self._cancelled: set[str] = set()
        threading.Thread(target=self._read, name="host reader", daemon=True).start()

    def check(self, job: str) -> None:
        """Raises JobCancelledError when the job is to end, SystemExit when its host is gone."""
        if self._host_gone.is_set():
            raise SystemExit(EXIT_HOST_GONE)
        if job in self._cancelled:
            raise JobCancelledError(job)

    def _read(self) -> None:
        for message in self._incoming():
            if isinstance(message, Cancel):
                self._cancelled.add(message.job)
                continue
            if isinstance(message, Request):
                self._cancelled.discard(message.job)  # left by a cancel that came after the answer
            self.messages.put(message)
        self._host_gone.set()
        self.messages.put(Quit())
        if not self.finished.wait(UNWIND_SECONDS):
            os._exit(EXIT_HOST_GONE)  # the main thread is deep in a computation that nobody wants any more

    def _incoming(self) -> Iterator[Message | ProtocolError]:
        """What the host says, until it says quit or is gone."""
        lines = LineBuffer()
        while data := os.read(self._host_input, 1 << 16):
            try:
                complete = lines.feed(data)
            except ProtocolError as error:
                yield error
                continue
            for line in complete:
                message = _decoded(line)
                if isinstance(message, Quit):
                    return
                yield message


def _decoded(line: bytes) -> Message | ProtocolError:
    try:
        return decode(line)
    except ProtocolError as error:
        return error


class _Outbox:
    """The way to the host."""

    def __init__(self, host_output: BinaryIO) -> None:
        self._host_output = host_output

    def send(self, message: Message) -> None:
        """Writes one line. Leaves the process when the host is gone."""
        line = encode(message)
        try:
            while line:
                line = line[self._host_output.write(line) :]
        except OSError:  # EPIPE on POSIX, EINVAL on Windows
            raise SystemExit(EXIT_HOST_GONE) from None

    def last_words(self, job: str) -> _LastWords:
        """A context that tells the host of an unforeseen exception before it ends the process."""
        return _LastWords(self, job)


class _LastWords:
    def __init__(self, outbox: _Outbox, job: str) -> None:
        self._outbox = outbox
        self._job = job

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            traceback.print_exception(error)
            reason = traceback.format_exception_only(error)[-1].strip()
            self._outbox.send(Failed(self._job, "internal", f"The worker met an unforeseen error: {reason}"))
            raise SystemExit(1) from error
