"""Words -> expression stage: what an artist writes, as weights of expression units that can be edited.

A text encoder embeds the prompt; a head, trained so that prompts and stages meet in one space, decodes the
embedding to the closest mixture of units. As ExpDiff (section III-C) takes CLIP's text encoder so that
prompts never seen in training have a meaning, any encoder folder can stand in for the small one that comes
with Dimple: `training.text.train_head` trains a head on top of it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .errors import CheckpointError, InputError
from .expression import MAX_WEIGHT, UNIT_NAMES
from .language.codes_reading import read_codes
from .language.lexicon import EMPTY
from .language.prompts import words_of
from .language.reading import STRUCTURE, Clause, clauses_of, together
from .language.spelling import closest_word
from .text import TextEncoder, load_text_encoder
from .units import merged_pairs

EXAMPLE = "for example “a tired smile, left brow raised”"
LONGEST = 48
"""Words of a prompt: about as many as the longest that the head is trained on."""
REST = 0.06
"""Our choice: a unit that weighs less than this is at rest; what the head leaves there is no wish."""


@dataclass(frozen=True)
class Expressed:
    """What Dimple understood of a prompt.

    `stage` (57,); `closest` is the same in an artist's words, {unit or pair: weight}, strongest first;
    `unknown_words` are those it did not know, `read_as` those that it took for misspelt ones.
    """

    stage: NDArray[np.float32]
    unknown_words: tuple[str, ...]
    closest: Mapping[str, float]
    read_as: Mapping[str, str]


class Head(nn.Module):
    """Embeddings of a text encoder and stages in one space of directions, and back to stages.

    `dimension` of the text embeddings, `joint` of the common space. The contrastive side (`place_stage`) is
    there for training; `decode` is what prompts are expressed with.
    """

    def __init__(
        self, dimension: int, joint: int = 256, hidden: int = 512, *, projects: bool = False
    ) -> None:
        super().__init__()
        self.sizes = {"dimension": dimension, "joint": joint, "hidden": hidden, "projects": projects}
        units = len(UNIT_NAMES)
        self.project = (
            nn.Sequential(
                nn.LayerNorm(dimension), nn.Linear(dimension, hidden), nn.GELU(), nn.Linear(hidden, joint)
            )
            if projects
            else nn.Identity()
        )
        self.place = nn.Sequential(nn.Linear(units, hidden), nn.GELU(), nn.Linear(hidden, joint))
        self.read = nn.Sequential(
            nn.Linear(joint, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, units),
        )

    def place_text(self, embeddings: Tensor) -> Tensor:
        """Text embeddings (N, dimension) as directions (N, joint)."""
        return nn.functional.normalize(self.project(embeddings), dim=-1)

    def place_stage(self, stages: Tensor) -> Tensor:
        """Stages (N, 57) as directions (N, joint)."""
        return nn.functional.normalize(self.place(stages), dim=-1)

    def decode(self, directions: Tensor) -> Tensor:
        """Directions (N, joint) as unit weights (N, 57), which may be a little below 0."""
        return self.read(directions * directions.shape[-1] ** 0.5)

    def save(self, folder: Path, known: frozenset[str], encoder: str) -> None:
        """Write config.json, model.safetensors and words.txt; `encoder` is the encoder's folder as seen from
        the one that holds `folder`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        config = {**self.sizes, "encoder": encoder, "unit_names": UNIT_NAMES}
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        (folder / "words.txt").write_text("\n".join(sorted(known)) + "\n", encoding="utf-8")
        save_file(
            {n: w.half().contiguous() for n, w in self.state_dict().items()}, folder / "model.safetensors"
        )


@dataclass(frozen=True)
class Words:
    """A text encoder, the head on it, and the words that it has learnt."""

    encoder: TextEncoder
    head: Head
    known: frozenset[str]

    @classmethod
    def load(cls, folder: Path) -> "Words":
        """Read `head/` and the encoder that it names. Raises CheckpointError where that fails."""
        home = folder / "head"
        if not (home / "config.json").is_file():
            raise CheckpointError(
                f"{folder} has no head that turns words into expressions; train one on it first."
            )
        try:
            config = json.loads((home / "config.json").read_text(encoding="utf-8"))
            if tuple(config["unit_names"]) != UNIT_NAMES:
                raise CheckpointError(f"{folder} was trained for other expression units; train it anew.")
            head = Head(config["dimension"], config["joint"], config["hidden"], projects=config["projects"])
            head.load_state_dict({n: w.float() for n, w in load_file(home / "model.safetensors").items()})
            known = frozenset((home / "words.txt").read_text(encoding="utf-8").split())
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"The words in {folder} are damaged; install them anew.") from error
        return cls(load_text_encoder(folder / config["encoder"]), head.eval(), known)

    def express(self, prompt: str, *, whole: bool = False) -> Expressed:
        """The closest mixture of units to `prompt`, read clause by clause, or else as a `whole`.

        Raises InputError for an empty prompt, for one of more than 48 words, and for one without a single
        known word that could describe a face, whatever its script.
        """
        kept, unknown, read_as = self._understood(prompt)
        stage = self.read((Clause(tuple(kept)),) if whole else clauses_of(kept))
        return Expressed(stage, unknown, merged_pairs(stage), read_as)

    def between(self, one: str, other: str, shares: NDArray[np.float32]) -> NDArray[np.float32]:
        """Stages (K, 57) on the way from one prompt to another, linear in the space of embeddings.

        `shares` (K,) run from 0, the one, to 1, the other. Raises InputError as express.
        """
        kept = [self._understood(prompt)[0] for prompt in (one, other)]
        ends = self.place([" ".join(words) for words in kept])
        share = torch.as_tensor(shares, dtype=torch.float32)[:, None]
        way = self.decode(nn.functional.normalize(ends[:1] * (1.0 - share) + ends[1:] * share, dim=-1))
        # what reading the ends clause by clause makes of them beyond their embeddings
        beyond = np.stack([self.read(clauses_of(words)) for words in kept]) - self.decode(ends)
        return np.maximum(way + (1.0 - share.numpy()) * beyond[:1] + share.numpy() * beyond[1:], 0.0)

    def read(self, clauses: Sequence[Clause]) -> NDArray[np.float32]:
        """The stage (57,) of the clauses of a prompt. Raises InputError for codes that there are not."""
        texts = [clause.text for clause in clauses]
        stages = self.decode(self.place(texts))
        for i, text in enumerate(texts):
            if (exact := read_codes(text)) is not None:
                stages[i] = exact
        return together(clauses, stages)

    def place(self, prompts: list[str]) -> Tensor:
        """Directions (N, joint) of prompts as `language.prompts.words_of` leaves them."""
        with torch.inference_mode():
            return self.head.place_text(self.encoder.embed(prompts))

    def decode(self, directions: Tensor) -> NDArray[np.float32]:
        """Stages (N, 57) of directions (N, joint), from 0 to 1.5 and exactly 0 for units at rest.

        The weight below which a unit is at rest fades in, so that the stage has no jumps between two prompts.
        """
        with torch.inference_mode():
            weights = self.head.decode(directions).numpy()
        faded = weights * np.clip((weights - REST) / REST, 0.0, 1.0)
        return np.clip(faded, 0.0, MAX_WEIGHT).astype(np.float32)

    def _understood(self, prompt: str) -> tuple[list[str], tuple[str, ...], dict[str, str]]:
        """The prompt in known words, the unknown ones, and the misspelt ones with what they were read as."""
        words = words_of(prompt)
        if not any(word != "," for word in words):
            raise InputError(f"Describe an expression in words, {EXAMPLE}.")
        if len(words) > LONGEST:
            raise InputError(f"This description has {len(words)} words; keep it to {LONGEST}.")
        kept: list[str] = []
        unknown: list[str] = []
        read_as: dict[str, str] = {}
        for word in words:
            if not word[0].isalpha() or word in self.known or word in STRUCTURE:
                kept.append(word)
            elif meant := closest_word(word, self.known):
                kept.append(meant)
                read_as[word] = meant
            else:
                unknown.append(word)
        if not any(word[0].isalpha() and word not in EMPTY for word in kept):
            listed = ", ".join(f"“{word[:20]}”" for word in unknown[:3]) or f"“{' '.join(kept)[:40]}”"
            raise InputError(f"Dimple finds no facial expression in {listed}; describe one, {EXAMPLE}.")
        return kept, tuple(dict.fromkeys(unknown)), read_as


def express(prompt: str, folder: Path) -> Expressed:
    """Express `prompt` with the checkpoint in `folder`, kept warm. Raises as Words.load and Words.express."""
    return _loaded(folder.resolve()).express(prompt)


_loaded = cache(Words.load)
