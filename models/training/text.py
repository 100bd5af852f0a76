"""Training of the text encoder and of its head, on prompts drawn from the grammar.

The loss is CLIP's (Radford et al., 2021, section 2.3) between prompts and the stages they mean, plus how far
the stage decoded from a prompt is from the one meant. The tokenizer is of CLIP's kind, with its own merges.
"""

# The stubs of transformers and tokenizers know less than they take.
# pyright: reportArgumentType=false

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from ..errors import InputError
from ..language.prompts import Grammar, vocabulary
from ..text import TextEncoder, load_text_encoder
from ..words import LONGEST, Head, Words

OnStep = Callable[[int, dict[str, float]], None]

_POOL = 16
"""Batches drawn at a time."""
SAME = 1e-3
"""Stages of a batch closer than this (mean square over units) are no negatives of each other."""
DECODING = 4.0
"""Our choice: weight of the decoding losses beside the contrastive one."""


@dataclass(frozen=True)
class TextTraining:
    """How to train. `steps` batches of `batch` prompts; `rate` is the peak learning rate.

    `width`, `layers` and `heads` are the encoder's, `joint` the dimension of its projection, `merges` how
    many pairs its tokenizer joins. `words_first` is the share of the steps before whole sentences come.
    """

    steps: int = 2600
    batch: int = 128
    rate: float = 2e-3
    width: int = 128
    layers: int = 4
    heads: int = 4
    joint: int = 256
    merges: int = 4000
    words_first: float = 1 / 3
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for a size that is not positive or a width that the heads do not divide."""
        if min(self.steps, self.batch, self.width, self.layers, self.heads, self.joint) < 1:
            raise InputError("Steps, batch, width, layers, heads and joint must be at least 1.")
        if not 0.0 <= self.words_first < 1.0:
            raise InputError(f"The share of words first must be from 0 to below 1, not {self.words_first}.")
        if self.width % self.heads:
            raise InputError(f"The width {self.width} must be a multiple of the {self.heads} heads.")


def train_text(
    config: TextTraining, out: Path, on_step: OnStep | None = None, start: Path | None = None
) -> dict[str, float]:
    """Train the small encoder with its tokenizer and head, write them into `out`, return the last losses.

    Training goes on from the checkpoint `start`, where there is one, whose sizes then count. Raises
    CheckpointError as Words.load.
    """
    torch.manual_seed(config.seed)
    if start is not None:
        words = Words.load(start)
        return _trained(words.encoder, words.head, words.known, config, out, on_step)
    sample = _sample(config)
    tokenizer = _train_tokenizer(sample, config.merges)
    model = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.width,
            intermediate_size=4 * config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=tokenizer.model_max_length,
            projection_dim=config.joint,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    encoder = TextEncoder(model, tokenizer, "projection", config.joint, tokenizer.model_max_length)
    head = Head(config.joint, config.joint)
    return _trained(encoder, head, vocabulary(sample), config, out, on_step)


def _trained(
    encoder: TextEncoder,
    head: Head,
    known: frozenset[str],
    config: TextTraining,
    out: Path,
    on_step: OnStep | None,
) -> dict[str, float]:
    """Train encoder and head together and write both into `out`."""
    losses = _fit(encoder, head, [*encoder.model.parameters(), *head.parameters()], config, on_step)
    model: Any = encoder.model.half()
    model.save_pretrained(out / "text_encoder")
    encoder.tokenizer.save_pretrained(out / "tokenizer")
    head.save(out / "head", known, ".")
    return losses


def train_head(
    encoder_folder: Path, config: TextTraining, out: Path, on_step: OnStep | None = None
) -> dict[str, float]:
    """Train a head on a frozen encoder, any that `text` loads, and write it into `out`.

    Returns the last losses. The encoder stays where it is: `out` names it. Raises CheckpointError as
    load_text_encoder.
    """
    torch.manual_seed(config.seed)
    encoder = load_text_encoder(encoder_folder)
    encoder.model.requires_grad_(False)
    head = Head(encoder.dimension, config.joint, projects=True)
    losses = _fit(encoder, head, list(head.parameters()), config, on_step)
    head.save(out / "head", vocabulary(_sample(config)), str(encoder_folder.resolve()))
    return losses


def _sample(config: TextTraining) -> list[str]:
    """Prompts enough to hold every word of the grammar."""
    grammar = Grammar(config.seed + 1)
    return [grammar.prompt()[0] for _ in range(60_000)]


def _train_tokenizer(prompts: list[str], merges: int) -> CLIPTokenizer:
    """CLIP's tokenizer with merges learnt from `prompts`: bytes, bytes that end a word, merges, marks."""
    learner: Any = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(letters) + merges,
        end_of_word_suffix="</w>",
        initial_alphabet=letters,
        show_progress=False,
    )
    learner.train_from_iterator(prompts, trainer)
    pairs: list[Any] = json.loads(learner.to_str())["model"]["merges"]
    marks = ("<|startoftext|>", "<|endoftext|>", "<|padding|>", "<|unknown|>")
    entries = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in pairs), *marks]
    vocab = {entry: i for i, entry in enumerate(dict.fromkeys(entries))}
    start, end, padding, unknown = marks
    return CLIPTokenizer(
        vocab,
        [(a, b) for a, b in pairs],
        unk_token=unknown,
        bos_token=start,
        eos_token=end,
        pad_token=padding,
        model_max_length=LONGEST + 16,
    )


def _fit(
    encoder: TextEncoder,
    head: Head,
    parameters: list[nn.Parameter],
    config: TextTraining,
    on_step: OnStep | None,
) -> dict[str, float]:
    log_scale = nn.Parameter(torch.tensor(math.log(1.0 / 0.07)))
    optimiser = torch.optim.AdamW(
        [*parameters, log_scale], lr=config.rate, weight_decay=0.02, betas=(0.9, 0.98)
    )
    warm = max(1, config.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: (
            min(1.0, (step + 1) / warm)
            * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * step / config.steps)))
        ),
    )
    encoder.model.train()
    losses: dict[str, float] = {}
    for step, (prompts, stages) in zip(range(config.steps), _batches(config), strict=False):
        embeddings = encoder.pooled(encoder.tokens(prompts))
        texts, places = head.place_text(embeddings), head.place_stage(stages)
        parts = {
            "contrast": contrastive_loss(texts, places, stages, log_scale.clamp(max=math.log(100.0)).exp()),
            "decoding": DECODING * decoding_loss(head.decode(texts), stages),
            "places": DECODING * 0.25 * decoding_loss(head.decode(places), stages),
        }
        loss = torch.stack(list(parts.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        losses = {name: float(part.detach()) for name, part in parts.items()}
        if on_step:
            on_step(step, losses)
    encoder.model.eval()
    return losses


def contrastive_loss(texts: Tensor, places: Tensor, stages: Tensor, scale: Tensor) -> Tensor:
    """CLIP's symmetric cross entropy between directions (N, joint) of prompts and of their stages (N, 57).

    Other prompts of a batch that mean the same stage are left out: they are right answers, too.
    """
    similarity = scale * texts @ places.T
    same = torch.cdist(stages, stages).square() / stages.shape[1] < SAME
    same.fill_diagonal_(False)
    similarity = similarity.masked_fill(same, -torch.inf)
    answers = torch.arange(len(texts), device=texts.device)
    cross_entropy = nn.functional.cross_entropy
    return 0.5 * (cross_entropy(similarity, answers) + cross_entropy(similarity.T, answers))


def decoding_loss(decoded: Tensor, stages: Tensor) -> Tensor:
    """How far decoded stages (N, 57) are from those meant: squared error per unit at work, and direction.

    A stage in which nothing is to be seen has no direction.
    """
    squared = (decoded - stages).square().sum(dim=1).mean()
    seen = stages.square().sum(dim=1) > 1e-4
    cosine = nn.functional.cosine_similarity(decoded.clamp(min=0.0) + 1e-4, stages, dim=1)
    return squared / 4.0 + (1.0 - cosine)[seen].sum() / max(1, int(seen.sum()))


def _batches(config: TextTraining) -> Iterator[tuple[list[str], Tensor]]:
    """Batches without end, each of prompts about equally long, which spares padding.

    Words come before sentences: the first `words_first` is all single clauses, which then become fewer.
    """
    grammar = Grammar(config.seed + 2)
    for pooled in count():
        done = pooled * _POOL / config.steps
        simple = min(1.0, (1.0 - done) / (1.0 - config.words_first))
        drawn = [grammar.prompt(simple) for _ in range(_POOL * config.batch)]
        pool = sorted(drawn, key=lambda prompt: len(prompt[0]))
        starts = list(range(0, len(pool), config.batch))
        grammar.voice.rng.shuffle(starts)
        for start in starts:
            prompts, stages = zip(*pool[start : start + config.batch], strict=True)
            yield list(prompts), torch.from_numpy(np.stack(stages).astype(np.float32))
