"""The table of units, the named mixtures and the artist's own presets."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from models.expression import (
    ARKIT_UNITS,
    LABELS,
    MAX_WEIGHT,
    PAIRS,
    PRESETS,
    UNIT_INDEX,
    UNIT_NAMES,
    expression_stage,
    mirrored_name,
)
from models.presets import EXPRESSIONS, FACS, SETS, VISEMES, mixture_stage, preset_stage
from models.saved_presets import SavedPreset, as_mixtures, load_presets, save_preset
from models.units import SIDES, UNITS, contradictions, merged_pairs

SHARED = Path(os.environ.get("DIMPLE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
ICT = SHARED / "data/ict-facekit/ict_meta.json"
SMILE = SavedPreset("Grandma's smile", "Ada", "CC0-1.0", "", {"mouthSmile": 0.8, "jawOpen": 0.1})


class TestUnits:
    def test_there_is_a_row_for_every_unit_in_order(self):
        assert tuple(unit.name for unit in UNITS) == UNIT_NAMES

    @pytest.mark.skipif(not ICT.is_file(), reason="needs the shared ICT-FaceKit arrays")
    def test_ict_names_are_those_of_its_files(self):
        assert [unit.ict for unit in UNITS] == json.loads(ICT.read_text())["expression_names"]

    def test_arkit_names_are_the_51_and_empty_elsewhere(self):
        assert {unit.arkit for unit in UNITS} == {*ARKIT_UNITS, ""}
        assert [unit.name for unit in UNITS if not unit.arkit] == [
            "pupilDilateLeft", "pupilDilateRight", "cheekRaiserLeft", "cheekRaiserRight",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("unit", "facs"),
        [
            ("mouthSmileLeft", "L12"), ("browInnerUpRight", "R1"), ("jawLeft", "L30"), ("jawOpen", "27"),
            ("eyeLookOutLeft", "L61"), ("eyeLookInLeft", "L62"), ("eyeLookInRight", "R61"), ("mouthLeft", ""),
        ],
    )  # fmt: skip
    def test_facs_numbers(self, unit: str, facs: str):
        assert UNITS[UNIT_INDEX[unit]].facs == facs

    def test_mirrored_units_share_all_but_their_side(self):
        for unit in UNITS:
            twin = UNITS[UNIT_INDEX[mirrored_name(unit.name)]]
            assert (twin.region, twin.opposites) == (
                unit.region,
                tuple(mirrored_name(name) for name in unit.opposites),
            )
            assert {unit.side, twin.side} in ({"left", "right"}, {"middle"})

    def test_opposites_are_mutual(self):
        for unit in UNITS:
            for opposite in unit.opposites:
                assert unit.name in UNITS[UNIT_INDEX[opposite]].opposites

    def test_every_unit_lies_on_one_side(self):
        np.testing.assert_array_equal(sum(side.astype(int) for side in SIDES.values()), 1)

    def test_contradictions_are_found_once(self):
        assert contradictions(expression_stage(["jawLeft", "jawRight=0.5", "mouthSmile"])) == (
            ("jawLeft", "jawRight"),
        )
        assert contradictions(expression_stage(["jawLeft", "mouthRight"])) == ()

    def test_no_preset_contradicts_itself(self):
        for mixtures in SETS.values():
            for name, mixture in mixtures.items():
                assert contradictions(mixture_stage(mixture)) == (), name

    @given(st.lists(st.floats(0.0, 1.5, width=32), min_size=57, max_size=57))
    def test_merging_pairs_keeps_the_stage(self, weights: list[float]):
        stage = np.array(weights, np.float32)
        again = mixture_stage(merged_pairs(stage))
        np.testing.assert_allclose(again, stage, atol=0.025 + 0.0051)


class TestMixtures:
    def test_how_many_there_are(self):
        assert len(FACS) == 56
        assert len(VISEMES) == 15
        assert tuple(EXPRESSIONS)[:18] == LABELS

    def test_no_two_of_a_set_are_the_same(self):
        for mixtures in SETS.values():
            stages = np.array([mixture_stage(mixture) for mixture in mixtures.values()])
            assert len(np.unique(stages, axis=0)) == len(stages)

    def test_facs_units_move_all_57_but_the_pupils_alone(self):
        moved = np.max([mixture_stage(mixture) for mixture in FACS.values()], axis=0) > 0.0
        assert {name for name, moves in zip(UNIT_NAMES, moved, strict=True) if not moves} == {
            "pupilDilateLeft",
            "pupilDilateRight",
        }

    def test_every_weight_is_sound(self):
        for mixtures in SETS.values():
            for mixture in mixtures.values():
                assert set(mixture) <= {*PAIRS, *UNIT_NAMES}
                assert all(0.0 < weight <= 1.0 for weight in mixture.values())

    def test_presets_and_units_add_up(self):
        stage = preset_stage(["smirk=0.5", "jawOpen", "jawOpen"])
        assert stage[UNIT_INDEX["mouthSmileLeft"]] == pytest.approx(0.45)
        assert stage[UNIT_INDEX["mouthSmileRight"]] == 0.0
        assert stage[UNIT_INDEX["jawOpen"]] == MAX_WEIGHT

    @pytest.mark.parametrize("label", LABELS)
    def test_emotions_and_labels_are_the_same_as_elsewhere(self, label: str):
        np.testing.assert_array_equal(preset_stage([label.upper()]), expression_stage([label]))
        np.testing.assert_allclose(mixture_stage(PRESETS[label]), expression_stage([label]))

    def test_saved_presets_come_first(self):
        stage = preset_stage(["mine=0.5"], {"Mine": {"jawOpen": 0.5}})
        assert stage[UNIT_INDEX["jawOpen"]] == pytest.approx(0.25)

    @pytest.mark.parametrize(
        ("texts", "part"),
        [([], "at least one"), (["smrik"], "smirk"), (["qqqq"], "try"), (["smirk=2"], "0 to 1.5"),
         (["smirk="], "0 to 1.5"), (["jawOpen=x"], "0 to 1.5"), (["jawOpn"], "jawOpen")],
    )  # fmt: skip
    def test_bad_names_are_refused_in_words(self, texts: list[str], part: str):
        with pytest.raises(InputError, match=part):
            preset_stage(texts)


class TestSavedPresets:
    def test_what_is_saved_comes_back(self, tmp_path: Path):
        other = SavedPreset("Ärger ½", "", "", "anger.png", {"browDownLeft": 1.5})
        save_preset(tmp_path / "presets", SMILE)
        save_preset(tmp_path / "presets", other)
        assert load_presets(tmp_path / "presets") == (SMILE, other)
        stage = preset_stage(["grandma's smile=0.5"], as_mixtures((SMILE,)))
        assert stage[UNIT_INDEX["mouthSmileLeft"]] == pytest.approx(0.4)

    def test_a_name_that_is_taken_is_refused_and_nothing_lost(self, tmp_path: Path):
        save_preset(tmp_path, SMILE)
        shouted = SavedPreset("GRANDMA'S SMILE", "", "", "", {"jawOpen": 1.0})
        with pytest.raises(InputError, match="already"):
            save_preset(tmp_path, shouted)
        assert load_presets(tmp_path) == (SMILE,)
        changed = SavedPreset(SMILE.name, "Ada", "", "", {"mouthSmile": 0.5})
        save_preset(tmp_path, changed, replace=True)
        assert load_presets(tmp_path) == (changed,)

    @pytest.mark.parametrize(
        ("preset", "part"),
        [
            (SavedPreset("", "", "", "", {}), "needs a name"),
            (SavedPreset("a=b", "", "", "", {}), "needs a name"),
            (SavedPreset("line\nbreak", "", "", "", {}), "needs a name"),
            (SavedPreset("ß" * 32, "", "", "", {}), "63 bytes"),
            (SavedPreset("Smirk", "", "", "", {}), "Dimple has itself"),
            (SavedPreset("jawopen", "", "", "", {}), "Dimple has itself"),
            (SavedPreset("x", "", "", "../x.png", {}), "preview"),
            (SavedPreset("x", "", "", "", {"jaw": 1.0}), "“jaw”"),
            (SavedPreset("x", "", "", "", {"jawOpen": 1.6}), "jawOpen"),
            (SavedPreset("x", "", "", "", {"jawOpen": float("nan")}), "jawOpen"),
        ],
    )
    def test_bad_presets_are_not_written(self, tmp_path: Path, preset: SavedPreset, part: str):
        with pytest.raises(InputError, match=part):
            save_preset(tmp_path / "presets", preset)
        assert not (tmp_path / "presets").exists()

    @pytest.mark.parametrize(
        ("content", "part"),
        [
            ("{", "damaged"),
            ("[]", "not a preset"),
            ('{"format": 2, "name": "x", "stage": {}}', "not a preset"),
            ('{"format": 1, "name": 5, "stage": {}}', "lacks a name"),
            ('{"format": 1, "name": "x"}', "lacks a name"),
            ('{"format": 1, "name": "x", "stage": {"jawOpen": "much"}}', "jawOpen"),
        ],
    )
    def test_damaged_files_are_named(self, tmp_path: Path, content: str, part: str):
        (tmp_path / "broken.json").write_text(content)
        with pytest.raises(InputError, match=rf"broken\.json.*{part}"):
            load_presets(tmp_path)

    def test_two_files_of_one_name_are_told_apart(self, tmp_path: Path):
        path = save_preset(tmp_path, SMILE)
        (tmp_path / "copy.json").write_text(path.read_text())
        with pytest.raises(InputError, match=r"copy\.json"):
            load_presets(tmp_path)
