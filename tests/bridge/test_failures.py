"""Whatever goes wrong in the worker: one clear message, and the next job works."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.client import Client
from bridge.protocol import Cancelled, Done, Failed, HeadRequest, Progress

from .conftest import is_alive, job, last_of, poll_until, run, scripted, wait_for_exit

MakeClient = Callable[..., Client]


@pytest.mark.parametrize(
    ("behaviour", "kind", "said", "survives"),
    [
        ("refused", "input", "8,000", True),
        ("too_much_memory", "out_of_memory", "not enough memory", True),
        ("unforeseen", "internal", "ZeroDivisionError", False),
        ("other_runtime_error", "internal", "sizes of the tensors", False),
        ("not_a_number", "internal", "ProtocolError", False),
        ("exits", "died", "exit code 0", False),
        ("talkative_refusal", "died", "exit code 7", False),
        ("segfault", "died", "SIGSEGV", False),
        ("shuts_up", "died", "closed its output", False),
    ],
)
def test_a_failed_job_is_explained_and_the_next_one_works(
    client: Client, behaviour: str, kind: str, said: str, survives: bool
) -> None:
    before = run(client, job("1", "steps"))
    assert isinstance(before, Done)
    failed = run(client, job("2", behaviour))
    assert isinstance(failed, Failed)
    assert (failed.kind, said in failed.message) == (kind, True), failed.message
    after = run(client, job("3", "steps"))
    assert isinstance(after, Done)
    assert (after.info["pid"] == before.info["pid"]) is survives


@pytest.mark.parametrize(
    ("mischief", "kind", "said"),
    [
        ("exit", "died", "exit code 1"),
        ("silence", "setup", "within 3 seconds"),
        ("garbage", "protocol", "Welcome to this Python!"),
        ("endless line", "protocol", "limit"),
        ("other version", "protocol", "version 99"),
        ("host's message", "protocol", "Quit out of turn"),
    ],
)
def test_a_worker_that_does_not_get_ready(
    tmp_path: Path, make_client: MakeClient, mischief: str, kind: str, said: str
) -> None:
    patience = {"ready_timeout": 3.0} if mischief == "silence" else {}
    client = make_client(scripted(str(tmp_path / "marker"), mischief), **patience)
    failed = run(client, job("1", "steps"))
    assert isinstance(failed, Failed)
    assert (failed.kind, said in failed.message) == (kind, True), failed.message
    assert client.state == "dead"
    assert client.poll() == []
    again = run(client, job("1", "steps"))
    assert isinstance(again, Done), again


def test_all_waiting_jobs_hear_of_the_end(client: Client) -> None:
    for name, behaviour in (("a", "segfault"), ("b", "steps"), ("c", "steps")):
        client.send(job(name, behaviour))
    messages = poll_until(client, lambda m: isinstance(m, Failed) and m.job == "c")
    assert [m.job for m in messages if isinstance(m, Failed) and m.kind == "died"] == ["a", "b", "c"]


def test_a_failure_carries_the_last_twenty_lines_of_the_log(tmp_path: Path, make_client: MakeClient) -> None:
    log_file = tmp_path / "logs" / "worker.log"
    client = make_client(log_file=log_file)
    failed = run(client, job("1", "talkative_refusal"))
    assert isinstance(failed, Failed)
    assert failed.detail.splitlines()[-20:] == [f"last line {number} ü" for number in range(80, 100)]
    assert "last line 79" not in failed.detail
    assert "line 0" in log_file.read_text(encoding="utf-8").splitlines()
    refused = run(client, job("2", "refused"))
    assert isinstance(refused, Failed)
    assert refused.detail.startswith("V = 3\n")
    assert "JobFailedError" in refused.detail
    assert "last line" not in refused.detail, "the log of an earlier worker is no part of the story"


def test_a_job_that_ignores_its_cancel_costs_the_worker(make_client: MakeClient) -> None:
    client = make_client(cancel_grace=0.3)
    before = run(client, job("1", "steps"))
    assert isinstance(before, Done)
    client.send(job("2", "deaf", seed=10_000))
    client.send(job("3", "steps"))
    poll_until(client, lambda m: isinstance(m, Progress))
    client.cancel("2")
    asked = time.monotonic()
    messages = poll_until(client, lambda m: isinstance(m, Failed))
    assert 0.3 <= time.monotonic() - asked < 10.0
    assert messages[0] == Cancelled("2")
    assert isinstance(messages[1], Failed)
    assert (messages[1].job, messages[1].kind) == ("3", "died")
    assert not is_alive(before.info["pid"])
    assert isinstance(run(client, job("4", "steps")), Done)


def test_a_worker_killed_in_mid_job(client: Client) -> None:
    before = run(client, job("1", "steps"))
    assert isinstance(before, Done)
    client.send(job("2", "steps", seed=2000))
    poll_until(client, lambda m: isinstance(m, Progress))
    os.kill(before.info["pid"], signal.SIGKILL)
    failed = last_of(client, "2")
    assert isinstance(failed, Failed)
    assert failed.kind == "died"
    assert "SIGKILL, perhaps because memory ran out" in failed.message
    assert isinstance(run(client, job("3", "steps")), Done)


@pytest.mark.parametrize("polled", [True, False])
def test_a_worker_killed_while_idle_is_replaced_without_a_word(client: Client, polled: bool) -> None:
    before = run(client, job("1", "steps"))
    assert isinstance(before, Done)
    os.kill(before.info["pid"], signal.SIGKILL)
    assert wait_for_exit(before.info["pid"], seconds=10.0)
    if polled:
        assert client.poll() == []
        assert client.state == "dead"
    after = run(client, job("2", "steps"))
    assert isinstance(after, Done)
    assert after.info["pid"] != before.info["pid"]


def test_memory_is_asked_for_again_in_smaller_chunks(client: Client) -> None:
    done = run(client, job("1", "chunks", seed=12))
    assert isinstance(done, Done)
    assert done.info["tried"] == [40, 20, 10]
    assert done.info["fitted"] == 10
    assert "out of memory with 40 frames at once" in client.log_file.read_text(encoding="utf-8")


def test_memory_that_does_not_do_for_one_frame_is_told_with_numbers(client: Client) -> None:
    failed = run(client, job("1", "chunks", seed=0))
    assert isinstance(failed, Failed)
    assert failed.kind == "out_of_memory"
    assert failed.message == "Memory ran out even for a single frame; 3 MB are free."
    assert "tried 40, 20, 10, 5, 2, 1 frames at once; CUDA out of memory. Tried to allocate" in failed.detail


def test_a_python_that_does_not_exist(tmp_path: Path, make_client: MakeClient) -> None:
    client = make_client([str(tmp_path / "no python"), "-I"])
    failed = run(client, job("1", "steps"))
    assert isinstance(failed, Failed)
    assert (failed.kind, "no python" in failed.message) == ("setup", True)
    client.start()
    idle = client.poll()
    assert [(m.job, m.kind) for m in idle if isinstance(m, Failed)] == [("", "setup")]


def test_a_log_that_cannot_be_written(tmp_path: Path, make_client: MakeClient) -> None:
    (tmp_path / "file").touch()
    failed = run(make_client(log_file=tmp_path / "file" / "worker.log"), job("1", "steps"))
    assert isinstance(failed, Failed)
    assert (failed.kind, "file" in failed.message) == ("setup", True)


def test_a_long_log_is_begun_anew(tmp_path: Path, make_client: MakeClient) -> None:
    log_file = tmp_path / "worker.log"
    log_file.write_bytes(b"old\n" * (1 << 18))
    client = make_client(log_file=log_file)
    assert isinstance(run(client, job("1", "noise")), Done)
    assert log_file.stat().st_size < 1000


def test_a_worker_that_does_not_read_never_blocks_the_host(make_client: MakeClient) -> None:
    client = make_client([sys.executable, "-I", "-c", "import time; time.sleep(60)"])
    started = time.monotonic()
    for number in range(20):
        client.send(HeadRequest(str(number), "x" * 100_000, "steps", 0))
        assert client.poll() == []
    assert time.monotonic() - started < 10.0  # the worker sleeps for sixty seconds
    assert client.state == "starting"


def test_long_lines_reach_a_worker_that_reads(client: Client) -> None:
    folder = "x" * 900_000
    for number in range(5):
        client.send(HeadRequest(str(number), folder, "steps", 0))
    assert isinstance(last_of(client, "4"), Done)
