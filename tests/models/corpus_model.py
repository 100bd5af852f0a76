"""The real face model, for tests that need it: ICT-FaceKit and the Dimple head's skin."""

import os
from functools import cache
from pathlib import Path

import pytest

from models.corpus.face_model import FaceModel, Skin
from models.corpus.ict import ICT

REPOSITORY = Path(__file__).parents[2]
ICT_FOLDER = Path(os.environ.get("DIMPLE_SHARED", REPOSITORY.parent / "shared")) / "data" / "ict-facekit"
HEAD_FOLDER = REPOSITORY / "models" / "checkpoints" / "animate-me" / "head"

needs_ict = pytest.mark.skipif(
    not (ICT_FOLDER.is_dir() and (HEAD_FOLDER / "transfer.safetensors").is_file()),
    reason="needs ICT-FaceKit and the head of the checkpoint",
)


@cache
def face_model() -> FaceModel:
    return FaceModel(Skin.of_head(HEAD_FOLDER), ICT.load(ICT_FOLDER))
