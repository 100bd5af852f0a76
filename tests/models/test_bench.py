"""The bench: what it calls plain is the same function, and all its figures are there."""

import json

import pytest
import torch

from models.animate_me import SAMPLERS, AnimateMe, Sampler
from models.evaluation import bench
from models.head import Head
from models.spiral import SpiralConv
from tests.models.conftest import TinyRun
from tests.models.tiny_truth import LABELS, TinyTruth


def test_plain_spirals_compute_the_same(model: AnimateMe) -> None:
    batch = bench._batch(model.denoiser)
    ours = SpiralConv.forward
    with torch.inference_mode():
        expected = model.denoiser(**batch)
        with bench.plain_spirals():
            assert SpiralConv.forward is not ours
            found = model.denoiser(**batch)
    assert SpiralConv.forward is ours
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_plain_spirals_end_with_an_error_too() -> None:
    ours = SpiralConv.forward
    with pytest.raises(KeyError), bench.plain_spirals():
        raise KeyError
    assert SpiralConv.forward is ours


def test_turns_are_taken_and_the_first_does_not_count() -> None:
    done: list[str] = []

    def slow_at_first() -> None:
        done.append("first")
        if len(done) == 1:
            torch.randn(2000, 2000) @ torch.randn(2000, 2000)

    first, second = bench.take_turns(slow_at_first, lambda: done.append("second"), rounds=2)
    assert done == ["first", "second"] * 3
    assert 0 < first < 0.01
    assert 0 < second < 0.01


def test_all_figures_are_measured(trained: TinyRun, head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    samplers = SAMPLERS | {"paper": Sampler("ddpm", 50, 400)}
    monkeypatch.setattr(bench, "SAMPLERS", samplers)
    monkeypatch.setattr(bench, "LABELS", LABELS)
    figures = json.loads(json.dumps(bench.bench(trained.checkpoint, TinyTruth(head), requests=2)))
    for name in ("sampler_vs_paper", "spiral_forward_vs_plain", "spiral_training_vs_plain"):
        assert figures[name] > 0
    assert 0 < figures["gemm_fraction"] < 1
    sampler = figures["details"]["sampler_vs_paper"]
    assert figures["sampler_vs_paper"] == pytest.approx(
        sampler["paper_seconds"] / sampler["ours_seconds"], rel=0.05
    )
    assert "extrapolated: 50 steps" in sampler["paper_seconds_are"]
    assert sampler["ours_mm"] > 0
    assert sampler["paper_mm"] > 0
