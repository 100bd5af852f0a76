"""Clients of real child processes, and how to wait for them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.client import Client
from bridge.protocol import Cancelled, Done, Failed, HeadRequest, Message

SCRIPTED_WORKER = Path(__file__).parent / "scripted_worker.py"
PATIENCE = 400.0  # seconds until a test gives up; far above what anything here takes, even on a busy machine

Last = Done | Failed | Cancelled


def scripted(*arguments: str) -> list[str]:
    return [sys.executable, "-I", str(SCRIPTED_WORKER), *arguments]


def job(name: str, behaviour: str, seed: int = 0, folder: str = "") -> HeadRequest:
    return HeadRequest(name, folder, behaviour, seed)


def poll_until(client: Client, wanted: Callable[[Message], bool]) -> list[Message]:
    """Polls until a wanted message has come; all messages up to then. Fails the test when none comes."""
    messages: list[Message] = []
    deadline = time.monotonic() + PATIENCE
    while not any(map(wanted, messages)):
        assert time.monotonic() < deadline, f"only {messages[-5:]} came"
        messages += client.poll()
        time.sleep(0.002)
    return messages


def last_of(client: Client, name: str) -> Last:
    """The message that ends a job."""
    messages = poll_until(client, lambda m: isinstance(m, Last) and m.job == name)
    return next(m for m in messages if isinstance(m, Last) and m.job == name)


def run(client: Client, request: HeadRequest) -> Last:
    client.send(request)
    return last_of(client, request.job)


def is_alive(pid: int) -> bool:
    """Whether any thread of a process runs; one that is dead and waits for its parent does not."""
    try:
        threads = [thread.read_text() for thread in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):
        return is_alive(pid)  # a thread ended while we looked
    states = [text.rpartition(")")[2].split()[0] for text in threads]
    return len(states) > 1 or states not in ([], ["Z"], ["X"])


def wait_for_exit(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(pid)


@pytest.fixture
def make_client() -> Iterator[Callable[..., Client]]:
    """Makes clients that are closed after the test."""
    clients: list[Client] = []

    def make(command: list[str] | None = None, **options: Any) -> Client:
        clients.append(Client(command or scripted(), **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close(grace=0.5)


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    """A client of a well-behaved scripted worker."""
    return make_client()
