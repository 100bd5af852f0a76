"""Words, presets and signals as jobs of a real worker."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge.client import Client
from bridge.protocol import AnimateRequest, ExpressRequest, SavePresetRequest

from .test_jobs import checkpoint, client, done, failed, new_name, request_  # noqa: F401  # fixtures


def test_words_become_units_that_can_be_edited(client: Client) -> None:  # noqa: F811
    info = done(client, ExpressRequest(new_name(), "a tired smile, left brow raised, zzyzx")).info
    units = dict(info["units"])
    assert units["mouthSmile"] > 0.4
    assert units["browOuterUpLeft"] > 0.8
    assert "browOuterUpRight" not in units
    assert info["unknown_words"] == ["zzyzx"]
    assert info["remarks"] == []


@pytest.mark.parametrize("prompt", ["", "qwrtz zxcvb", "smile " * 2000, "微笑", "?!"])
def test_bad_prompts_are_one_sentence(client: Client, prompt: str) -> None:  # noqa: F811
    failure = failed(client, ExpressRequest(new_name(), prompt))
    assert failure.kind == "input"
    assert len(failure.message) < 200
    assert failure.message.endswith(".")


def test_a_preset_is_saved_and_not_lost(client: Client, tmp_path: Path) -> None:  # noqa: F811
    wanted = SavePresetRequest(
        new_name(), str(tmp_path / "presets"), "Grandma's smile", ("mouthSmile=0.8", "jawLeft=1.2"), "Ann"
    )
    info = done(client, wanted).info
    saved = json.loads(Path(info["file"]).read_text())
    assert saved["stage"] == {"jawLeft": pytest.approx(1.2), "mouthSmile": pytest.approx(0.8)}
    assert (saved["name"], saved["author"]) == ("Grandma's smile", "Ann")
    assert "jawLeft" in info["remarks"][0]
    again = failed(client, replace(wanted, job=new_name(), name="grandma's SMILE", expressions=("anger",)))
    assert "already" in again.message
    assert json.loads(Path(info["file"]).read_text()) == saved
    for name in ("happiness", "x" * 64, "a=b", ""):
        assert failed(client, replace(wanted, job=new_name(), name=name)).kind == "input"


def signal(client: Client, request: AnimateRequest, array: str = "signal", **changes: object) -> np.ndarray:  # noqa: F811
    return np.load(done(client, replace(request, job=new_name(), **changes)).paths[array])


def test_moments_curves_and_sides_reach_the_model(client: Client, request_: AnimateRequest) -> None:  # noqa: F811
    np.save(Path(request_.folder) / "curves.npy", np.linspace(0.0, 0.5, 6)[:, None])
    wanted = {"intensity": 1.0, "curves": ("jawOpen",), "moments": ("0:browDown=0.3@0",), "right": 0.0}
    found = signal(client, request_, **wanted)
    names = done(client, replace(request_, job=new_name())).info["unit_names"]
    np.testing.assert_allclose(found[:, names.index("jawOpen")], np.linspace(0.0, 0.5, 6), atol=1e-6)
    np.testing.assert_allclose(found[:, names.index("browDownLeft")], 0.3, atol=1e-6)
    assert found[:, names.index("mouthSmileRight")].max() == 0.0


def test_life_comes_on_top_of_what_was_drawn(client: Client, request_: AnimateRequest) -> None:  # noqa: F811
    plain = signal(client, request_, profile="hold")
    alive = signal(client, request_, profile="hold", micro_motion=1.0)
    drawn = signal(client, request_, "drawn_signal", profile="hold", micro_motion=1.0)
    np.testing.assert_array_equal(plain, drawn)
    assert 0.0 < np.abs(alive - plain).max() < 0.1
    np.save(Path(request_.folder) / "expression_signal.npy", drawn)
    np.testing.assert_array_equal(signal(client, request_, profile="hold", micro_motion=1.0), alive)


def test_remarks_are_told(client: Client, request_: AnimateRequest) -> None:  # noqa: F811
    clash = replace(request_, job=new_name(), expressions=("jawLeft", "jawRight"))
    assert "work against" in done(client, clash).info["remarks"][0]
