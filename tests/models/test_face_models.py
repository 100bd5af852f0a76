"""The face models that ExpDiff is compared with, on faces that they can and cannot explain."""

import math
from pathlib import Path

import pytest
import torch

from models.corpus.skin_cache import SkinCache
from models.evaluation.face_models import Faces, LinearFaceModel, SemanticFaceModel
from models.principal import Components
from tests.models.tiny_skin import FRAMES, SIZE, tiny_skin, unwrapped_head

SIDE, VERTICES, UNITS = 8, 10, 5
LENGTH = 8 * SIDE * SIDE


def made_up(people: int = 40, each: int = 6, bend: float = 0.0) -> Faces:
    """Faces linear in three traits and in the stage, but for a term that mixes both, ``bend``."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random)

    traits, person = draw(people, 3), torch.arange(people).repeat_interleave(each)
    stage = torch.rand((people * each, UNITS), generator=random)
    neutral = 0.5 + 0.1 * traits @ draw(3, LENGTH)
    gain = 1 + bend * torch.tanh(traits[person, :1])
    change = 0.05 * (gain * stage) @ draw(UNITS, LENGTH)
    deformation = 3 * (gain * stage) @ draw(UNITS, 3 * VERTICES)
    shape = 5 * traits @ draw(3, 3 * VERTICES)
    return Faces(neutral, shape, person, stage, change, deformation)


def errors(model: LinearFaceModel | SemanticFaceModel, faces: Faces, count: int = 20) -> tuple[float, float]:
    """Root mean squares of maps and deformation, relative to how much they change."""
    wrong, all_ = torch.zeros(2), torch.zeros(2)
    for index in range(0, len(faces.person), len(faces.person) // count):
        person = faces.person[index]
        albedo = faces.neutral[person].view(8, SIDE, SIDE)[:3]
        shape = faces.shape[person].view(VERTICES, 3)
        _, maps, deformation = model(albedo, shape, faces.stage[index : index + 1])
        true = faces.neutral[person] + faces.change[index]
        wrong += torch.stack(
            [
                (maps.flatten() - true).square().sum(),
                (deformation.flatten() - faces.deformation[index]).square().sum(),
            ]
        )
        all_ += torch.stack([faces.change[index].square().sum(), faces.deformation[index].square().sum()])
    return tuple((wrong / all_).sqrt().tolist())


def test_components_rebuild_what_they_were_fitted_on() -> None:
    samples = torch.randn(12, 4) @ torch.randn(4, 200) + torch.randn(200)
    found = Components.fit(samples.half(), 9)
    assert len(found.deviation) >= 4
    torch.testing.assert_close(found.basis @ found.basis.T, torch.eye(len(found.basis)), atol=1e-3, rtol=0)
    coordinates = found.coordinates_of(samples)
    torch.testing.assert_close(found.expand(coordinates), samples, atol=2e-2, rtol=0)
    assert coordinates[:, 0].std().item() == pytest.approx(1, abs=1e-2)
    exact = Components.fit(samples, 4)
    variance = torch.linalg.svdvals(samples - samples.mean(0)).square() / 11
    torch.testing.assert_close(exact.deviation.square(), variance[:4], rtol=1e-3, atol=1e-3)


def test_a_part_tells_the_rest_where_they_go_together() -> None:
    samples = torch.randn(60, 3) @ torch.randn(3, 200)
    found = Components.fit(samples, 3)
    rebuilt = found.expand(found.from_part(samples[0, :50], 50))
    assert (rebuilt - samples[0]).norm().item() < 0.1 * samples[0].norm().item()
    nothing_known = found.from_part(found.mean[:50], 50)
    torch.testing.assert_close(nothing_known, torch.zeros(3), atol=1e-4, rtol=0)


def test_the_linear_model_is_exact_where_faces_are_linear() -> None:
    faces = made_up()
    maps, shape = errors(LinearFaceModel.fit(faces, 3), faces)
    assert maps < 0.1
    assert shape < 0.02


def test_the_other_model_tells_people_apart_who_move_differently() -> None:
    faces = made_up(bend=0.8)
    linear = errors(LinearFaceModel.fit(faces, 3), faces)
    semantic = errors(SemanticFaceModel.train(faces, steps=300, components=6), faces)
    assert linear[1] > 0.2
    assert semantic[1] < 0.6 * linear[1]


def test_the_divergence_is_that_of_gaussians() -> None:
    torch.manual_seed(0)
    model = SemanticFaceModel.train(made_up(), steps=5, components=3)
    network = model.network
    for encoder in (network.identity, network.expression):
        torch.nn.init.zeros_(encoder[-1].weight)
        torch.nn.init.constant_(encoder[-1].bias, 0.0)
        encoder[-1].bias.data[:32] = 1.0
        encoder[-1].bias.data[32:] = math.log(2.0)
    _, divergence = network(torch.zeros(4, network.identity[0].in_features), torch.zeros(4, UNITS))
    assert divergence.item() == pytest.approx(2 * 32 * 0.5 * (1 + 2 - 1 - math.log(2)), rel=1e-5)
    assert network.training is False


def test_faces_are_read_from_a_cache(tmp_path: Path) -> None:
    head = unwrapped_head()
    tiny_skin(tmp_path, head, {"train": 3})
    cache = SkinCache.open(tmp_path, "train", head)
    faces = Faces.read(cache, 2, 2)
    assert faces.neutral.shape == (2, 8 * SIZE * SIZE)
    assert faces.person.tolist() == [0, 0, 1, 1]
    assert (faces.stage.abs().amax(dim=1) > 0).all()
    record = cache.frames[FRAMES]  # the first frame of the second person
    batch = cache.read(cache.frames[FRAMES : FRAMES + 1])
    rebuilt = (faces.neutral[1] + faces.change[2]).float().view(8, SIZE, SIZE)
    torch.testing.assert_close(rebuilt[5:], torch.from_numpy(batch.normal[0]), atol=2e-3, rtol=0)
    assert cache.person[record] == 1
    torch.testing.assert_close(
        faces.deformation[2],
        torch.from_numpy(cache.deformations(cache.frames[FRAMES : FRAMES + 1])).flatten(),
    )
