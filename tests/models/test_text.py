"""Words: the trained encoder and head, foreign encoders, losses, and a small training."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
)

from models.errors import CheckpointError, InputError
from models.evaluation.words import evaluate, judge, read_phrasings, summary
from models.expression import MIRROR_UNITS, UNIT_INDEX, parse_expression
from models.presets import preset_stage
from models.text import load_text_encoder
from models.training.text import TextTraining, contrastive_loss, decoding_loss, train_head, train_text
from models.words import LONGEST, Words, express

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "models/checkpoints/text"
PHRASINGS = ROOT / "tests/data/phrasings.json"
CLAUSES = ROOT / "tests/data/phrasings_clauses.json"
TINY = TextTraining(steps=3, batch=8, width=16, layers=1, heads=2, joint=16, merges=300)


@pytest.fixture(scope="module")
def words() -> Words:
    return Words.load(SHIPPED)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


class TestShipped:
    def test_phrasings_it_was_not_trained_on_are_understood(self, words: Words):
        phrasings = read_phrasings(PHRASINGS)
        assert len(phrasings) >= 300
        figures = summary(judge(words, phrasings))
        assert figures["cosine"] >= 0.8
        assert figures["top_unit_right"] >= 0.85

    def test_clauses_read_apart_are_understood_better(self, words: Words):
        figures = evaluate(words, read_phrasings(CLAUSES))["several clauses"]
        assert figures["clauses"]["phrasings"] >= 50
        assert figures["clauses"]["cosine"] >= 0.95
        assert figures["clauses"]["cosine"] > figures["whole"]["cosine"] + 0.05

    def test_every_clause_keeps_its_side_and_its_degree(self, words: Words):
        stage = words.express("a tired smile, left brow raised").stage
        at = {name: stage[UNIT_INDEX[name]] for name in UNIT_INDEX}
        assert min(at["eyeBlinkLeft"], at["eyeBlinkRight"]) > 0.3
        assert min(at["mouthSmileLeft"], at["mouthSmileRight"]) > 0.4
        assert at["browOuterUpLeft"] > 0.8
        assert max(at["browOuterUpRight"], at["browInnerUpRight"]) == 0.0
        slight = words.express("slightly smiling, jaw open").stage
        assert slight[UNIT_INDEX["mouthSmileLeft"]] < 0.6 < slight[UNIT_INDEX["jawOpen"]]

    def test_what_is_denied_in_one_clause_stays_in_the_others(self, words: Words):
        stage = words.express("happy, not smiling, jaw open").stage
        assert stage[UNIT_INDEX["mouthSmileLeft"]] == 0.0
        assert min(stage[UNIT_INDEX["cheekSquintLeft"]], stage[UNIT_INDEX["jawOpen"]]) > 0.4
        surprised = words.express("surprised").stage
        both = words.express("surprised but not afraid").stage
        np.testing.assert_allclose(both, surprised, atol=1e-5)

    def test_codes_are_looked_up(self, words: Words):
        stage = words.express("AU1+2 and jawOpen=0.5").stage
        expected = preset_stage(["browInnerUp", "browOuterUp", "jawOpen=0.5"])
        np.testing.assert_array_equal(stage, expected)
        with pytest.raises(InputError, match="no action unit 99"):
            words.express("AU99")

    def test_it_is_small_and_holds_no_pickle(self):
        files = [path for path in SHIPPED.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) <= 20e6
        assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt"}

    @pytest.mark.parametrize("prompt", ["{} brow raised", "close the {} eye", "a smile on the {} side"])
    def test_sides_mirror(self, words: Words, prompt: str):
        left, right = (words.express(prompt.format(side)).stage for side in ("left", "right"))
        assert cosine(left, right[MIRROR_UNITS]) > 0.9
        assert cosine(left, right) < 0.5

    @pytest.mark.parametrize("thing", ["happy", "angry", "raised eyebrows", "pursed lips"])
    def test_degrees_are_ordered(self, words: Words, thing: str):
        slight, plain, strong = (
            np.linalg.norm(words.express(prompt).stage)
            for prompt in (f"slightly {thing}", thing, f"extremely {thing}")
        )
        assert slight < 0.7 * plain
        assert plain < strong

    def test_what_is_denied_is_not_shown(self, words: Words):
        assert words.express("not smiling").stage.max() < 0.2
        smile = UNIT_INDEX["mouthSmileLeft"]
        assert words.express("eyes closed, not smiling").stage[smile] < 0.2

    def test_the_closest_mixture_gives_the_stage_back(self, words: Words):
        expressed = words.express("a tired smile, left brow raised")
        again = np.sum([parse_expression(f"{name}={w}") for name, w in expressed.closest.items()], axis=0)
        np.testing.assert_allclose(again, expressed.stage, atol=0.031)
        assert list(expressed.closest.values()) == sorted(expressed.closest.values(), reverse=True)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("happy, left brow raised", "angry but jaw open"),
            ("happy", "angry"),
            ("jaw open", "pursed lips"),
            ("sad", "neutral"),
        ],
    )
    def test_the_way_between_two_prompts_is_smooth(self, words: Words, one: str, other: str):
        way = words.between(one, other, np.linspace(0.0, 1.0, 201, dtype=np.float32))
        np.testing.assert_allclose(way[0], words.express(one).stage, atol=1e-4)
        np.testing.assert_allclose(way[-1], words.express(other).stage, atol=1e-4)
        assert np.abs(np.diff(way, axis=0)).max() < 0.06

    def test_unknown_words_are_told_and_misspelt_ones_mended(self, words: Words):
        expressed = words.express("a quixotic smlie with zzyzx")
        assert set(expressed.unknown_words) == {"quixotic", "zzyzx"}
        assert expressed.read_as == {"smlie": "smile"}
        np.testing.assert_array_equal(expressed.stage, words.express("a smile with").stage)

    def test_case_and_punctuation_do_not_matter(self, words: Words):
        np.testing.assert_array_equal(words.express("SMILE!!!").stage, words.express("smile").stage)

    @pytest.mark.parametrize(
        ("prompt", "part"),
        [
            ("", "in words"),
            (" \n\t ", "in words"),
            ("?!...", "in words"),
            ("qwrtz zxcvb", "qwrtz"),
            ("улыбка", "улыбка"),
            ("微笑", "微笑"),
            ("the of a", "no facial expression"),
            ("smile " * 2000, f"keep it to {LONGEST}"),
            ("x" * 10_000, "xxx"),
        ],
    )
    def test_bad_prompts_are_refused_in_words(self, words: Words, prompt: str, part: str):
        with pytest.raises(InputError, match=part) as refusal:
            words.express(prompt)
        assert len(str(refusal.value)) < 200

    def test_one_function_does_it(self, words: Words):
        np.testing.assert_array_equal(express("smile", SHIPPED).stage, words.express("smile").stage)

    def test_padding_does_not_matter(self, words: Words):
        alone = words.encoder.embed(["smile"])
        beside = words.encoder.embed(["smile", "a smile , left brow raised and right eye closed"])
        torch.testing.assert_close(alone[0], beside[0], atol=1e-5, rtol=1e-4)


class TestEncoders:
    """Any encoder folder: made small here, loaded as one from elsewhere would be."""

    def text_config(self) -> CLIPTextConfig:
        tokenizer = load_text_encoder(SHIPPED).tokenizer
        return CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=32, projection_dim=12,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip

    def whole_clip(self, folder: Path) -> None:
        vision = CLIPVisionConfig(
            hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=8,
            patch_size=4,
        )  # fmt: skip
        CLIPModel(
            CLIPConfig(
                text_config=self.text_config().to_dict(), vision_config=vision.to_dict(), projection_dim=12
            )
        ).save_pretrained(folder)
        load_text_encoder(SHIPPED).tokenizer.save_pretrained(folder)

    def diffusion_text_encoder(self, folder: Path) -> None:
        CLIPTextModel(self.text_config()).save_pretrained(folder / "text_encoder")
        load_text_encoder(SHIPPED).tokenizer.save_pretrained(folder / "tokenizer")

    def sentence_encoder(self, folder: Path) -> None:
        vocab = [
            "[PAD]",
            "[UNK]",
            "[CLS]",
            "[SEP]",
            "[MASK]",
            "smile",
            "left",
            "brow",
            "raised",
            "jaw",
            "open",
        ]
        folder.mkdir()
        (folder / "vocab.txt").write_text("\n".join(vocab))
        BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=32).save_pretrained(folder)
        BertModel(
            BertConfig(vocab_size=len(vocab), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                       num_attention_heads=2, max_position_embeddings=32)
        ).save_pretrained(folder)  # fmt: skip
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')

    @pytest.mark.parametrize(
        ("kind", "pooling", "dimension"),
        [
            ("whole_clip", "projection", 12),
            ("diffusion_text_encoder", "eos", 16),
            ("sentence_encoder", "mean", 16),
        ],
    )
    def test_a_folder_embeds_and_carries_a_head(
        self, tmp_path: Path, kind: str, pooling: str, dimension: int
    ):
        folder = tmp_path / "encoder"
        getattr(self, kind)(folder)
        encoder = load_text_encoder(folder)
        assert (encoder.pooling, encoder.dimension) == (pooling, dimension)
        embeddings = encoder.embed(["smile", "left brow raised"])
        assert embeddings.shape == (2, dimension)
        torch.testing.assert_close(embeddings[:1], encoder.embed(["smile"]), atol=1e-5, rtol=1e-4)
        before = [weight.clone() for weight in encoder.model.parameters()]
        train_head(folder, TINY, tmp_path / "words")
        expressed = Words.load(tmp_path / "words").express("left brow raised")
        assert expressed.stage.shape == (57,)
        for old, new in zip(before, load_text_encoder(folder).model.parameters(), strict=True):
            torch.testing.assert_close(old, new)

    def test_a_folder_without_an_encoder_is_refused(self, tmp_path: Path):
        with pytest.raises(CheckpointError, match=r"config\.json"):
            load_text_encoder(tmp_path)
        with pytest.raises(CheckpointError, match="no head"):
            Words.load(tmp_path)

    def test_a_damaged_encoder_is_refused(self, tmp_path: Path):
        self.diffusion_text_encoder(tmp_path)
        (tmp_path / "text_encoder" / "model.safetensors").write_bytes(b"damaged")
        with pytest.raises(CheckpointError, match="cannot be loaded"):
            load_text_encoder(tmp_path)

    def test_pickled_weights_are_not_read(self, tmp_path: Path):
        self.diffusion_text_encoder(tmp_path)
        weights = CLIPTextModel(self.text_config()).state_dict()
        (tmp_path / "text_encoder" / "model.safetensors").unlink()
        torch.save(weights, tmp_path / "text_encoder" / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match="cannot be loaded"):
            load_text_encoder(tmp_path)


class TestTraining:
    def test_contrastive_loss_is_that_of_every_pair(self):
        torch.manual_seed(0)
        texts, places = (torch.nn.functional.normalize(torch.randn(4, 6), dim=-1) for _ in range(2))
        stages = torch.eye(57)[:4].clone()
        stages[1] = stages[0]  # the first two mean the same: no negatives of each other
        expected = 0.0
        for own in range(4):
            others = [i for i in range(4) if i == own or {i, own} != {0, 1}]
            for rows in (texts[own] @ places[others].T, places[own] @ texts[others].T):
                expected -= float(torch.log_softmax(7.0 * rows, dim=0)[others.index(own)]) / 8.0
        assert float(contrastive_loss(texts, places, stages, torch.tensor(7.0))) == pytest.approx(
            expected, rel=1e-5
        )

    def test_decoding_loss_is_nothing_for_the_right_stage(self):
        stages = torch.zeros(3, 57)
        stages[0, 5], stages[1, 7] = 1.0, 0.5
        assert float(decoding_loss(stages, stages)) == pytest.approx(0.0, abs=1e-3)
        assert float(decoding_loss(stages.roll(1, dims=1), stages)) > 1.0

    def test_a_small_training_learns_and_is_read_back(self, tmp_path: Path):
        seen: list[float] = []
        config = TextTraining(
            steps=60, batch=32, width=32, layers=1, heads=2, joint=32, merges=600, rate=4e-3
        )
        train_text(config, tmp_path, lambda step, losses: seen.append(losses["decoding"]))
        assert np.mean(seen[-10:]) < 0.9 * np.mean(seen[:10])
        words = Words.load(tmp_path)
        assert words.express("smile").stage.shape == (57,)
        tokens = words.encoder.tokens(["smile"])["input_ids"][0].tolist()
        tokenizer = words.encoder.tokenizer
        assert (tokens[0], tokens[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
        assert "unk" not in tokenizer.decode(tokenizer("ünknöwn 微笑")["input_ids"])

    def test_impossible_sizes_are_refused(self):
        with pytest.raises(InputError, match="multiple"):
            TextTraining(width=100, heads=3)
        with pytest.raises(InputError, match="at least 1"):
            TextTraining(steps=0)
