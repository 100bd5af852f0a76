"""Chunks of frames: how large, and what happens when memory runs out."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import memory
from bridge.worker import JobFailedError

GIBIBYTE = 1 << 30


@given(st.integers(0, 1 << 42), st.integers(1, 1 << 34), st.integers(1, 5000))
def test_a_chunk_fits_into_half_of_the_free_memory(free: int, bytes_per_frame: int, frames: int) -> None:
    chunk = memory.frames_that_fit(free, bytes_per_frame, frames)
    assert 1 <= chunk <= min(frames, memory.LARGEST_CHUNK)
    assert chunk == 1 or 2 * chunk * bytes_per_frame <= free


def test_more_memory_means_larger_chunks() -> None:
    sizes = [memory.frames_that_fit(n * GIBIBYTE, 32 << 20, 40) for n in (0, 1, 2, 4)]
    assert sizes == [1, 16, 32, 40]


def test_free_ram_is_a_part_of_the_machine() -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory.free_ram() < machine


@pytest.mark.parametrize(
    ("room", "expected"),
    [(1, [40, 20, 10, 5, 2, 1]), (3, [40, 20, 10, 5, 2]), (19, [40, 20, 10]), (40, [40])],
)
def test_the_first_chunk_that_fits_gives_the_result(room: int, expected: list[int]) -> None:
    tried: list[int] = []

    def run(frames_per_chunk: int) -> str:
        tried.append(frames_per_chunk)
        if frames_per_chunk > room:
            raise MemoryError
        return f"in {frames_per_chunk}"

    assert memory.in_smaller_chunks(run, 40, free=lambda: 0) == f"in {tried[-1]}"
    assert tried == expected


def test_no_other_error_is_taken_for_a_lack_of_memory() -> None:
    def run(frames_per_chunk: int) -> str:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        memory.in_smaller_chunks(run, 40, free=lambda: 0)


def test_running_out_for_good_is_told_with_the_numbers() -> None:
    def run(frames_per_chunk: int) -> str:
        raise RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")

    with pytest.raises(JobFailedError, match="single frame; 512 MB are free") as caught:
        memory.in_smaller_chunks(run, 4, free=lambda: 512 << 20)
    assert caught.value.kind == "out_of_memory"
    assert (
        caught.value.detail == "tried 4, 2, 1 frames at once; MPS backend out of memory (MPS allocated: 9 GB)"
    )


def test_the_memory_errors_of_torch_and_numpy_are_known() -> None:
    torch = pytest.importorskip("torch")
    numpy = pytest.importorskip("numpy")
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(1 << 50)
    with pytest.raises(MemoryError) as of_numpy:
        numpy.zeros(1 << 50)
    assert memory.is_out_of_memory(of_torch.value)
    assert memory.is_out_of_memory(of_numpy.value)
    assert memory.is_out_of_memory(torch.OutOfMemoryError("CUDA"))
    assert memory.is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"))
    assert not memory.is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_what_a_failed_attempt_held_is_free_before_the_next() -> None:
    class Tensor:
        pass

    import weakref

    held: list[weakref.ref[Tensor]] = []

    def run(frames_per_chunk: int) -> bool:
        tensor = Tensor()
        if held:
            return held[0]() is None
        held.append(weakref.ref(tensor))
        raise MemoryError

    assert memory.in_smaller_chunks(run, 2, free=lambda: 0)
