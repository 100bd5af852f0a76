"""A child process as the host sees it: bytes in, bytes out, a log, an end. Only `end` waits."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .pipes import CHUNK, read_available, set_nonblocking, write_available

TAIL_LINES = 20
TAIL_BYTES = 1 << 14
LOG_LIMIT = 1 << 20  # a log that has grown longer is begun anew
KILL_SECONDS = 5.0  # a process that outlives its kill (a hung driver) is given up


class Child:
    """A running process with non-blocking pipes. Its stderr goes straight to `log_file`, so nobody drains it.

    Raises OSError when the command cannot be started or the log cannot be written.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None, log_file: Path) -> None:
        self._log_file = log_file
        self._outgoing = bytearray()
        log_file.parent.mkdir(parents=True, exist_ok=True)
        goes_on = log_file.exists() and log_file.stat().st_size < LOG_LIMIT
        with log_file.open("ab" if goes_on else "wb") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env=environment,
                start_new_session=True,  # Ctrl-C in the host's terminal is the host's to handle
                creationflags=subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        set_nonblocking(self._stdin.fileno())
        set_nonblocking(self._stdout.fileno())

    def write(self, data: bytes) -> None:
        """Queues bytes and gives the pipe what it takes now; call again, with b"", for the rest."""
        self._outgoing += data
        try:
            while self._outgoing:
                written = write_available(self._stdin.fileno(), bytes(self._outgoing[:CHUNK]))
                if not written:
                    return
                del self._outgoing[:written]
        except BrokenPipeError:
            self._outgoing.clear()  # nobody reads any more; the exit code will tell why

    def read(self) -> bytes | None:
        """What the process has written, b"" for nothing new, None when it has closed its output."""
        return read_available(self._stdout.fileno())

    def exit_code(self) -> int | None:
        """The exit code, None while the process runs."""
        return self._process.poll()

    def kill(self) -> None:
        """Ends the process by force; `exit_code` tells when it is gone."""
        self._process.kill()

    def close(self) -> None:
        """Closes the pipes, which tells the process that its host is gone."""
        self._stdin.close()
        self._stdout.close()

    def end(self, grace: float) -> None:
        """Closes the pipes, waits up to `grace` seconds for the exit, then kills."""
        self.close()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(KILL_SECONDS)

    def log_tail(self) -> str:
        """The last lines that this process wrote to its log."""
        try:
            with self._log_file.open("rb") as log:
                end = log.seek(0, 2)
                log.seek(max(self._log_start, end - TAIL_BYTES))
                return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-TAIL_LINES:])
        except OSError as error:
            return f"no log: {error}"


def describe_exit(code: int) -> str:
    """How a process ended, in a sentence."""
    if code >= 0:
        return f"The worker stopped unexpectedly with exit code {code if code < 256 else hex(code)}."
    name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
    hint = ", perhaps because memory ran out" if name == "SIGKILL" else ""
    return f"The worker was ended by the system ({name}{hint})."
