"""Who has which skin: the parameters of authored skin, and how they are drawn."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SkinTraits:
    """Everything about one person's skin that is not noise; ``seed`` decides the noise."""

    seed: int
    melanin: float  # volume fraction of melanosomes in the epidermis, 0.012 (fair) to 0.42 (dark)
    blood: float  # volume fraction of blood in the dermis
    age: float  # 0 (twenty) to 1 (eighty)
    oil: float  # 0.2 (dry) to 1
    freckles: float  # 0 (none) to 1.5
    redness: float  # 0.3 to 1.2, of cheeks, nose and ears
    moles: int
    pores: float  # 0.5 (fine) to 1.4 (coarse)
    stubble: float  # 0 (none) to 1
    scalp_hair: float  # 0 (none) to 0.6: the shadow of shaved hair
    brow_density: float  # about 1
    brow_thickness: float  # about 1
    hair_darkness: float  # 0 (blond) to 1 (black)
    hair_red: float  # 0 to 1
    grey: float  # 0 to 1, the share of hairs without pigment

    @staticmethod
    def names() -> tuple[str, ...]:
        """The parameters in the order of `vector`."""
        return tuple(field.name for field in fields(SkinTraits))

    def vector(self) -> NDArray[np.float32]:
        """(K,) the parameters as numbers."""
        return np.array(astuple(self), np.float32)


def draw_skin(seed: int) -> SkinTraits:
    """Draw somebody's skin; the same seed gives the same skin. Independent of the shape of the face."""
    rng = np.random.default_rng([seed, 4])
    melanin = float(np.exp(rng.uniform(np.log(0.012), np.log(0.42))))
    dark = float(np.clip(np.log(melanin / 0.03) / np.log(10.0), 0.0, 1.0))
    age = float(rng.beta(1.1, 1.3))
    hairy = rng.random() < 0.5
    hair_darkness = float(np.clip(rng.beta(1.6, 1.2) + 0.9 * dark, 0.0, 1.0))
    return SkinTraits(
        seed=seed,
        melanin=melanin,
        blood=float(rng.uniform(0.009, 0.021)),
        age=age,
        oil=float(rng.uniform(0.2, 1.0)),
        freckles=float(np.clip(rng.normal(-0.1, 0.6), 0.0, 1.5) * (1.0 - 0.7 * dark)),
        redness=float(rng.uniform(0.3, 1.2)),
        moles=int(rng.integers(1, 9)),
        pores=float(rng.uniform(0.5, 1.3) + 0.1 * age),
        stubble=float(rng.uniform(0.15, 0.95)) if hairy else 0.0,
        scalp_hair=float(rng.uniform(0.0, 0.6)) if rng.random() < 0.7 else 0.0,
        brow_density=float(rng.uniform(0.75, 1.2)),
        brow_thickness=float(rng.uniform(0.7, 1.05) + (0.25 if hairy else 0.0)),
        hair_darkness=hair_darkness,
        hair_red=float(rng.beta(0.6, 2.5) * (1.0 - dark)),
        grey=float(np.clip((age - 0.45) * 1.8 + 0.25 * rng.standard_normal(), 0.0, 0.95))
        if age > 0.45
        else 0.0,
    )
