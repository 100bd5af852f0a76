"""The worker's end alone: what it answers to a host that writes raw lines."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from bridge.protocol import Cancelled, Done, Failed, Hello, Message, Quit, Ready, decode, encode

from .conftest import SCRIPTED_WORKER, job, scripted


def converse(*lines: bytes) -> tuple[list[Message], subprocess.CompletedProcess[bytes]]:
    """What a scripted worker answers to lines followed by the end of its input."""
    process = subprocess.run(scripted(), input=b"".join(lines), capture_output=True, timeout=20, check=False)
    return [decode(line) for line in process.stdout.splitlines()], process


def test_a_line_that_is_no_message_does_not_end_the_worker() -> None:
    answers, process = converse(encode(Hello()), b"rubbish\n", b"\xff\n", encode(Quit()))
    assert [type(answer) for answer in answers] == [Ready, Failed, Failed]
    assert all(isinstance(a, Failed) and a.kind == "internal" and a.job == "" for a in answers[1:])
    assert process.returncode == 0


def test_another_version_is_a_setup_failure() -> None:
    hello: dict[str, Any] = {"type": "hello", "protocol_version": 99, "gpu": "all"}
    answers, process = converse(json.dumps(hello).encode() + b"\n")
    assert len(answers) == 1
    assert isinstance(answers[0], Failed)
    assert answers[0].kind == "setup"
    assert "version 99" in answers[0].detail
    assert process.returncode == 0


@pytest.mark.parametrize("line", [b"rubbish\n", encode(job("1", "steps"))])
def test_the_conversation_begins_with_hello(line: bytes) -> None:
    answers, process = converse(line)
    assert [type(answer) for answer in answers] == [Failed]
    assert process.returncode == 0


def test_a_second_hello_is_out_of_turn() -> None:
    answers, _ = converse(encode(Hello()), encode(Hello()), encode(Quit()))
    assert [type(answer) for answer in answers] == [Ready, Failed]


@pytest.mark.parametrize("last", [b"", encode(Quit())])
def test_the_end_of_input_and_quit_end_an_idle_worker(last: bytes) -> None:
    answers, process = converse(encode(Hello()), last)
    assert len(answers) <= 1
    assert process.returncode == 0


def test_nothing_but_messages_is_written_to_standard_output() -> None:
    with subprocess.Popen(
        scripted(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(Hello()) + encode(job("1", "noise")))
        process.stdin.flush()
        answers = [decode(process.stdout.readline()) for _ in range(2)]
        process.stdin.close()
        assert process.stdout.read() == b""
    assert [type(answer) for answer in answers] == [Ready, Done]


def test_a_worker_whose_host_stops_listening_leaves() -> None:
    with subprocess.Popen(
        scripted(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(Hello()))
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(encode(job("1", "steps", seed=1000)))
        process.stdin.flush()
        assert process.wait(timeout=10) == 3
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_cancel_of_a_running_and_of_a_finished_job() -> None:
    cancel = b'{"type": "cancel", "job": "1"}\n'
    with subprocess.Popen(scripted(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(Hello()) + encode(job("1", "steps", seed=2000)))
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.readline()
        process.stdin.write(cancel)
        process.stdin.flush()
        while not isinstance(answer := decode(process.stdout.readline()), Cancelled | Done):
            pass
        assert answer == Cancelled("1")
        process.stdin.write(cancel + encode(job("1", "steps")))
        process.stdin.flush()
        assert isinstance(decode(process.stdout.readline()), Done)


def test_isolated_start_needs_no_package_beyond_python() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import bridge.worker, bridge.requirements"
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(SCRIPTED_WORKER.parents[2])], check=True, timeout=20
    )
