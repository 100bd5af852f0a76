"""Arrays in and out of a job's folder, and what can be wrong with them or with the disk."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.job_folder import JobFolder
from bridge.worker import JobFailedError

ARRAY = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    folder = JobFolder(str(tmp_path))
    assert not folder.has("deformations")
    paths = folder.write({"deformations": ARRAY[None], "signal": ARRAY})
    assert folder.has("deformations")
    assert np.array_equal(np.load(paths["deformations"], mmap_mode="r"), ARRAY[None])
    assert np.array_equal(folder.read("signal", columns=3), ARRAY)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["deformations.npy", "signal.npy"]


@pytest.mark.parametrize(
    "array", [ARRAY[:, :2], ARRAY[0], ARRAY[None], ARRAY.astype(complex), np.array([["a", "b", "c"]])]
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, array: NDArray[Any]) -> None:
    np.save(tmp_path / "neutral_vertices.npy", array)
    with pytest.raises(JobFailedError, match="3 numbers in a row") as caught:
        JobFolder(str(tmp_path)).read("neutral_vertices", columns=3)
    assert caught.value.kind == "input"


class Trap:
    """What a pickle from a stranger may do."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (open, ("sprung", "w"))


@pytest.mark.parametrize(
    "content", [None, b"", b"\x93NUMPY", pickle.dumps(Trap()), b"\x93NUMPY" + 200 * b"\xff"]
)
def test_missing_damaged_and_pickled_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "triangles.npy").write_bytes(content)
    with pytest.raises(JobFailedError, match=r"triangles\.npy is missing or damaged") as caught:
        JobFolder(str(tmp_path)).read("triangles", columns=3)
    assert caught.value.kind == "input"
    assert not (tmp_path / "sprung").exists()


def test_an_object_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "triangles.npy", np.array([[Trap(), 1, 2]]), allow_pickle=True)
    with pytest.raises(JobFailedError, match="damaged"):
        JobFolder(str(tmp_path)).read("triangles", columns=3)


FULL_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from bridge.job_folder import JobFolder
from bridge.worker import JobFailedError
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    JobFolder(sys.argv[2]).write({"signal": np.zeros(100), "deformations": np.zeros(100_000)})
except JobFailedError as error:
    print(error.kind, error.message)
"""


def test_a_disk_that_fills_up_leaves_no_half_written_array(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    root = Path(__file__).resolve().parents[2]
    output = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(root), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=20,
    ).stdout
    assert output.startswith(
        f"setup The results cannot be written to {tmp_path}: its disk is full (0.8 MB needed"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["signal.npy"]


def test_a_folder_that_is_gone_is_a_setup_failure(tmp_path: Path) -> None:
    folder = JobFolder(str(tmp_path / "gone"))
    for attempt in (lambda: folder.require_room(1), lambda: folder.write({"signal": ARRAY})):
        with pytest.raises(JobFailedError, match="No such file") as caught:
            attempt()
        assert caught.value.kind == "setup"


def test_too_little_room_is_told_before_the_work(tmp_path: Path) -> None:
    folder = JobFolder(str(tmp_path))
    folder.require_room(1)
    with pytest.raises(JobFailedError, match=r"disk is full \(1,099,511,627,776\.0 MB needed") as caught:
        folder.require_room(1 << 60)
    assert caught.value.kind == "setup"


def test_a_write_protected_folder_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # as root every folder can be written
    with pytest.raises(JobFailedError, match="write-protected"):
        JobFolder(str(tmp_path)).require_room(1)
