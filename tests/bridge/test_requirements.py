"""A worker's Python that lacks torch still speaks, and says what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.client import Client, worker_command
from bridge.protocol import AnimateRequest, Check, Done, Failed, Message, Ready
from bridge.requirements import REQUIRED_PACKAGES

from .conftest import Last, poll_until

ROOT = Path(__file__).resolve().parents[2]
ANIMATE = AnimateRequest("animate", "", "", ("happiness",), 1.0, "ease", 40, 24.0, 0)


def answers(client: Client) -> dict[str, Message]:
    """What the worker says to hello, a check and an animation, by job."""
    client.send(Check("check", ""))
    client.send(ANIMATE)
    messages = poll_until(client, lambda m: isinstance(m, Last) and m.job == "animate")
    return {getattr(message, "job", "ready"): message for message in messages}


def test_the_command_is_isolated() -> None:
    assert worker_command("/a b/python", Path("/ext")) == [
        "/a b/python",
        "-I",
        str(Path("/ext/bridge/__main__.py")),
    ]


def test_a_python_without_any_package(make_client: Callable[..., Client]) -> None:
    command = worker_command(sys.executable, ROOT)
    client = make_client([command[0], "-S", *command[1:]])  # -S: as if nothing were installed
    said = answers(client)
    assert isinstance(said["ready"], Ready)
    assert said["ready"].torch == ""
    assert said["ready"].memory_free_mb > 0
    assert isinstance(said["check"], Done)
    assert said["check"].info["missing"] == list(REQUIRED_PACKAGES)
    assert set(said["check"].info["versions"]) == {"python"}
    failed = said["animate"]
    assert isinstance(failed, Failed)
    assert failed.kind == "setup"
    assert f'"{sys.executable}" -m pip install' in failed.message
    assert all(name in failed.message for name in REQUIRED_PACKAGES)
    assert client.state == "ready"


@pytest.mark.parametrize(
    "error", ["OSError('[WinError 126] torch_cpu.dll was not found')", "ImportError('wrong ABI')"]
)
def test_a_torch_that_cannot_be_loaded(
    tmp_path: Path, make_client: Callable[..., Client], error: str
) -> None:
    for name in REQUIRED_PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "numpy" / "__init__.py").write_text(f"raise {error}")
    start = tmp_path / "start.py"
    start.write_text(
        f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"runpy.run_path({str(ROOT / 'bridge' / '__main__.py')!r}, run_name='__main__')"
    )
    said = answers(make_client([sys.executable, "-I", "-S", str(start)]))
    assert isinstance(said["check"], Done)
    assert said["check"].info["missing"] == []
    failed = said["animate"]
    assert isinstance(failed, Failed)
    assert failed.kind == "setup"
    assert error.split("'")[1] in failed.message
