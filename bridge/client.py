"""The host's end of the bridge: starts the worker, sends requests, collects answers.

No threads and no waiting: `poll` is one plain step that a modal operator, a timer, the command line and a
test can all call. Whatever happens to the worker comes out of `poll` as a message.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

from .child import KILL_SECONDS, Child, describe_exit
from .protocol import (
    Cancel,
    Cancelled,
    Done,
    Failed,
    Hello,
    LineBuffer,
    Message,
    Progress,
    ProtocolError,
    Quit,
    Ready,
    Request,
    decode,
    encode,
)

State: TypeAlias = Literal["stopped", "starting", "ready", "dead"]

READS_PER_POLL = 16  # a flood of messages is spread over several polls
LAST_WORDS_SECONDS = 1.0  # granted between the end of the worker's output and its exit
NEVER = float("inf")


def worker_command(worker_python: str, extension_root: Path) -> list[str]:
    """The command that starts the worker, isolated (-I) from the user's site and from PYTHON* variables."""
    return [worker_python, "-I", str(extension_root / "bridge" / "__main__.py")]


class Client:
    """One worker and the jobs it has not answered yet.

    `state` is "stopped" before the first start and after `close`, "starting" until the worker's `Ready`, then
    "ready", and "dead" when the worker is gone; from "stopped" and "dead" the next `send` starts a new one.
    `ready` is the worker's answer to `hello`, None until it has come. `log_file` gets the worker's stderr.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        hello: Hello | None = None,
        environment: Mapping[str, str] | None = None,
        log_file: Path | None = None,
        ready_timeout: float = 120.0,
        cancel_grace: float = 10.0,
    ) -> None:
        self.state: State = "stopped"
        self.ready: Ready | None = None
        self._command = list(command)
        self._hello = hello or Hello()
        self._environment = environment
        self._ready_timeout = ready_timeout
        self._cancel_grace = cancel_grace
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if log_file is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="dimple-", ignore_cleanup_errors=True)
            log_file = Path(self._scratch.name) / "worker.log"
        self.log_file = log_file
        self._child: Child | None = None
        self._lines = LineBuffer()
        self._jobs: dict[str, float] = {}  # job -> when an unheeded cancel becomes a kill
        self._messages: list[Message] = []
        self._ready_deadline = self._exit_deadline = NEVER
        self._verdict: Failed | None = None  # why the worker is being killed

    def start(self) -> None:
        """Starts the worker and greets it; does nothing while one runs. A failure comes out of `poll`."""
        self._leave_the_dead()
        if self._child is not None:
            return
        self._lines, self._verdict = LineBuffer(), None
        self._exit_deadline = NEVER
        self._ready_deadline = time.monotonic() + self._ready_timeout
        self.state = "starting"
        try:
            self._child = Child(self._command, self._environment, self.log_file)
        except OSError as error:
            self._bury(Failed("", "setup", f"The worker cannot be started: {error}."))
        else:
            self._child.write(encode(self._hello))

    def send(self, message: Message) -> None:
        """Sends a request, starting the worker when none runs.

        Raises ValueError for the name of a running job and for `Hello`, which `start` sends; ProtocolError
        when the message cannot be encoded.
        """
        line = encode(message)
        self._leave_the_dead()
        if isinstance(message, Hello):
            raise ValueError("the client says hello itself: give it to the constructor")
        if isinstance(message, Request):
            if message.job in self._jobs:
                raise ValueError(f"job {message.job!r} is already running")
            self._jobs[message.job] = NEVER
        self.start()
        if self._child is not None:
            self._child.write(line)

    def poll(self) -> list[Message]:
        """The messages that came since the last call, in order; returns at once.

        Every request ends in exactly one `Done`, `Failed` or `Cancelled`, whatever becomes of the worker. A
        failure while no job runs has an empty `job`.
        """
        if self._child is not None:
            self._step(self._child)
        messages, self._messages = self._messages, []
        return messages

    def cancel(self, job: str) -> None:
        """Asks for the end of a job; after `cancel_grace` seconds without an answer the worker is killed.

        The job then ends in `Cancelled`, even when its results were ready at that moment, or in `Failed`.
        Does nothing for a job that is not running.
        """
        if self._child is not None and self._jobs.get(job) == NEVER:
            self._jobs[job] = time.monotonic() + self._cancel_grace
            self._child.write(encode(Cancel(job)))

    def close(self, grace: float = 2.0) -> None:
        """Ends the worker: asks, waits up to `grace` seconds, then kills. Drops its jobs and messages."""
        if self._child is not None:
            self._child.write(encode(Quit()))
            self._child.end(grace)
            self._child = None
        self.state, self.ready = "stopped", None
        self._jobs.clear()
        self._messages.clear()

    def _step(self, child: Child) -> None:
        child.write(b"")
        exit_code = child.exit_code()  # asked before reading: what the worker said before it left counts
        if self._verdict is None and self._receive(child):
            return  # there is more to read, in the next poll
        now = time.monotonic()
        if exit_code is not None:
            self._bury(self._verdict or Failed("", "died", describe_exit(exit_code)))
        elif self._verdict is not None:
            if now > self._exit_deadline:
                self._bury(self._verdict)
        elif now > self._exit_deadline:
            self._kill(child, Failed("", "died", "The worker closed its output and went on running."))
        elif now > self._ready_deadline:
            seconds = f"{self._ready_timeout:g} seconds"
            self._kill(child, Failed("", "setup", f"The worker did not get ready within {seconds}."))
        elif any(now > deadline for deadline in self._jobs.values()):
            self._kill(
                child, Failed("", "died", "The worker was ended because a cancelled job did not stop.")
            )

    def _receive(self, child: Child) -> bool:
        """Takes in what the worker says; True when it may have said more."""
        try:
            for _ in range(READS_PER_POLL):
                data = child.read()
                if data is None:
                    self._exit_deadline = min(self._exit_deadline, time.monotonic() + LAST_WORDS_SECONDS)
                if not data:
                    return False
                for line in self._lines.feed(data):
                    self._take(child, decode(line))
        except ProtocolError as error:
            self._kill(child, Failed("", "protocol", f"The worker's answer is not understood: {error}."))
            return False
        return True

    def _take(self, child: Child, message: Message) -> None:
        """Books one message of the worker. Raises ProtocolError when it has no place in the conversation."""
        match message:
            case Ready() if self.state == "starting":
                self.state, self.ready = "ready", message
                self._ready_deadline = NEVER
                self._messages.append(message)
            case Failed(job="") | Failed(kind="internal"):
                self._kill(child, message)  # it is leaving: no further job may be sent to it
            case Progress() | Done() | Failed() | Cancelled() if message.job in self._jobs:
                self._answer(child, message)
            case _:
                raise ProtocolError(f"a {type(message).__name__} out of turn")

    def _answer(self, child: Child, message: Progress | Done | Failed | Cancelled) -> None:
        if not isinstance(message, Progress):
            cancelled = self._jobs.pop(message.job) != NEVER
            if isinstance(message, Done) and cancelled:
                message = Cancelled(message.job)
            elif isinstance(message, Failed):
                message = _with_log(message, child)
        self._messages.append(message)

    def _kill(self, child: Child, verdict: Failed) -> None:
        """Ends the worker by force; it is buried when the system has let it go."""
        if self._verdict is None:
            self._verdict = verdict
            self._exit_deadline = time.monotonic() + KILL_SECONDS
            child.kill()

    def _leave_the_dead(self) -> None:
        """Forgets a worker that ended while it had nothing to do, so that the next job gets a new one."""
        if self._child is not None and not self._jobs:
            exit_code = self._child.exit_code()
            if exit_code is not None:
                self._bury(self._verdict or Failed("", "died", describe_exit(exit_code)))

    def _bury(self, verdict: Failed) -> None:
        """Answers the jobs that the worker leaves behind and forgets it. A death while idle is no news."""
        if self._child is not None:
            verdict = _with_log(verdict, self._child)
            self._child.close()
            self._child = None
        for job, deadline in self._jobs.items():
            self._messages.append(Cancelled(job) if deadline != NEVER else replace(verdict, job=job))
        if not self._jobs and (self.state == "starting" or verdict.kind != "died"):
            self._messages.append(verdict)
        self._jobs.clear()
        self.state, self.ready = "dead", None


def _with_log(failed: Failed, child: Child) -> Failed:
    return replace(failed, detail="\n".join(filter(None, (failed.detail, child.log_tail()))))
