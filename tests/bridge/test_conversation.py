"""The ordinary conversation: handshake, progress, results, cancel, end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import bridge
from bridge.client import Client
from bridge.protocol import Cancelled, Done, Failed, Hello, Progress, Ready

from .conftest import SCRIPTED_WORKER, is_alive, job, last_of, poll_until, run, scripted, wait_for_exit


def test_the_worker_introduces_itself(client: Client) -> None:
    assert client.state == "stopped"
    client.start()
    assert client.state == "starting"
    messages = poll_until(client, lambda m: isinstance(m, Ready))
    assert len(messages) == 1
    assert client.state == "ready"
    assert client.ready == messages[0]


def test_every_step_is_reported_before_the_result(client: Client) -> None:
    client.send(job("1", "steps", seed=5))
    messages = poll_until(client, lambda m: isinstance(m, Done))
    assert [m for m in messages if isinstance(m, Progress)] == [
        Progress("1", "sample", i, 5) for i in range(1, 6)
    ]
    assert isinstance(messages[-1], Done)
    assert messages[-1].seconds >= 5 * 0.005


def test_the_worker_stays_warm_between_jobs(client: Client) -> None:
    first, second = run(client, job("1", "steps")), run(client, job("2", "steps"))
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert (second.info["pid"], second.info["runs"]) == (first.info["pid"], 2)


def test_jobs_sent_at_once_are_done_in_order(client: Client) -> None:
    for name in "abc":
        client.send(job(name, "steps", seed=2))
    messages = poll_until(client, lambda m: isinstance(m, Done) and m.job == "c")
    assert [m.job for m in messages if isinstance(m, Done)] == ["a", "b", "c"]


def test_cancel_is_seen_at_the_next_step_and_leaves_the_worker_warm(client: Client) -> None:
    first = run(client, job("1", "steps"))
    assert isinstance(first, Done)
    client.send(job("2", "steps", seed=2000))
    poll_until(client, lambda m: isinstance(m, Progress))
    client.cancel("2")
    asked = time.monotonic()
    assert isinstance(last_of(client, "2"), Cancelled)
    assert time.monotonic() - asked < 3.0  # the whole job would take ten seconds
    assert client.state == "ready"
    third = run(client, job("3", "steps"))
    assert isinstance(third, Done)
    assert third.info["pid"] == first.info["pid"]


def test_cancel_before_the_worker_is_ready(client: Client) -> None:
    client.send(job("1", "steps", seed=2000))
    client.cancel("1")
    assert isinstance(last_of(client, "1"), Cancelled)
    assert isinstance(run(client, job("2", "steps")), Done)


def test_cancel_of_a_waiting_job_spares_the_running_one(client: Client) -> None:
    client.send(job("runs", "steps", seed=40))
    client.send(job("waits", "unforeseen"))
    client.cancel("waits")
    messages = poll_until(client, lambda m: isinstance(m, Cancelled))
    assert [m.job for m in messages if isinstance(m, Done)] == ["runs"]
    assert messages[-1] == Cancelled("waits")


def test_a_result_that_crosses_its_cancel_is_dropped(client: Client) -> None:
    client.send(job("1", "deaf", seed=1))
    poll_until(client, lambda m: isinstance(m, Progress))
    client.cancel("1")
    assert isinstance(last_of(client, "1"), Cancelled)
    assert client.state == "ready"
    again = run(client, job("1", "steps", seed=3))
    assert isinstance(again, Done), "a late cancel must not touch a new job of the same name"


def test_cancel_of_unknown_jobs_does_nothing(client: Client) -> None:
    client.cancel("never sent")
    assert client.state == "stopped"
    assert isinstance(run(client, job("1", "steps")), Done)
    client.cancel("1")
    assert client.poll() == []


def test_noise_on_standard_output_goes_to_the_log(client: Client) -> None:
    done = run(client, job("1", "noise"))
    assert isinstance(done, Done)
    assert done.info["standard_input"] == ""
    log = client.log_file.read_text(encoding="utf-8")
    assert {"printed noise", "raw noise", "noise of a grandchild"} <= set(log.splitlines())


def test_paths_may_hold_spaces_and_any_script(tmp_path: Path, make_client: Callable[..., Client]) -> None:
    root = tmp_path / "Meine Köpfe ☺ 顔"
    shutil.copytree(
        Path(bridge.__file__).parent, root / "bridge", ignore=shutil.ignore_patterns("__pycache__")
    )
    script = root / "tests" / "bridge" / SCRIPTED_WORKER.name
    script.parent.mkdir(parents=True)
    shutil.copy(SCRIPTED_WORKER, script)
    client = make_client([sys.executable, "-I", str(script)], log_file=root / "le journal" / "log ü.txt")
    done = run(client, job("Stück 1", "writes", seed=7, folder=str(root)))
    assert isinstance(done, Done)
    assert done.seed == 7
    assert Path(done.paths["text"]).read_text(encoding="utf-8") == str(root)
    assert client.log_file.exists()


def test_the_worker_gets_the_environment_and_the_greeting(make_client: Callable[..., Client]) -> None:
    client = make_client(hello=Hello(device="cuda"))
    client.start()
    failed = poll_until(client, lambda m: isinstance(m, Failed))[-1]
    assert isinstance(failed, Failed)
    assert (failed.job, failed.kind) == ("", "setup")
    assert failed.message == "There is no CUDA here: choose CPU."
    assert client.state == "dead"


def test_the_client_refuses_what_it_cannot_mean(client: Client) -> None:
    with pytest.raises(ValueError, match="hello"):
        client.send(Hello())
    client.send(job("1", "steps", seed=100))
    with pytest.raises(ValueError, match="already running"):
        client.send(job("1", "steps"))


@pytest.mark.parametrize("behaviour", ["steps", "deaf"])
def test_a_worker_leaves_by_itself_in_the_middle_of_a_job(client: Client, behaviour: str) -> None:
    done = run(client, job("1", "steps"))
    assert isinstance(done, Done)
    client.send(job("2", behaviour, seed=10_000))
    poll_until(client, lambda m: isinstance(m, Progress))
    started = time.monotonic()
    client.close(grace=30.0)
    assert time.monotonic() - started < 10.0
    assert not is_alive(done.info["pid"])
    assert client.state == "stopped"
    assert client.poll() == []
    assert isinstance(run(client, job("3", "steps")), Done), "a closed client can be used again"


HOST = """
import sys, time
sys.path.insert(0, sys.argv[1])
from bridge.client import Client
from bridge.protocol import Done, HeadRequest, Progress
client = Client(sys.argv[3:])
client.send(HeadRequest("pid", "", "steps", 0))
sent = False
while True:
    for message in client.poll():
        if isinstance(message, Done):
            print(message.info["pid"], flush=True)
            if sys.argv[2]:
                client.send(HeadRequest("busy", "", sys.argv[2], 10_000))
        if isinstance(message, Progress):
            print("busy", flush=True)
    time.sleep(0.01)
"""


@pytest.mark.parametrize("behaviour", ["", "steps", "deaf"])
def test_the_worker_goes_when_its_host_is_killed(behaviour: str) -> None:
    root = str(Path(bridge.__file__).parents[1])
    command = [sys.executable, "-c", HOST, root, behaviour, *scripted()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        worker = int(host.stdout.readline())
        if behaviour:
            assert host.stdout.readline() == "busy\n"
        assert is_alive(worker)
        os.kill(host.pid, signal.SIGKILL)
    try:
        assert wait_for_exit(worker, seconds=5.0)
    finally:
        if is_alive(worker):
            os.kill(worker, signal.SIGKILL)
