"""Who may import whom, read from the source of every file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("addon", "bridge", "models")
HOST_BRIDGE = {"protocol", "client", "child", "pipes"}  # what runs inside Blender
BLENDER = {
    "bpy",
    "bmesh",
    "mathutils",
    "gpu",
    "blf",
    "bl_math",
    "addon_utils",
    "bpy_extras",
    "gpu_extras",
    "bl_ui",
}
CONCURRENCY = {"threading", "multiprocessing", "concurrent", "asyncio", "_thread"}
TRAINING = {  # beyond what animating needs; `models` may use all of it
    "accelerate", "diffusers", "safetensors", "scipy", "torch", "tqdm", "tokenizers", "transformers", "typer",
    "embreex", "fast_simplification", "gmsh", "igl", "matplotlib", "PIL", "skimage", "trimesh",
}  # fmt: skip


def files_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports_of(source: str, path: Path) -> Iterator[str]:
    """Every module a file imports, wherever the import stands, `if TYPE_CHECKING` included.

    Relative imports come out as absolute names below the repository root ("bridge.protocol").
    """
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(source, str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            assert node.level <= len(package) + 1, f"{path} imports from above the extension"
            module = (*base, *(node.module.split(".") if node.module else ()))
            if node.module is None or module in {(name,) for name in PACKAGES}:
                yield from (".".join((*module, alias.name)) for alias in node.names)
            else:
                yield ".".join(module)


def imported_by_text(source: str, path: Path) -> Iterator[str]:
    """Names given as literals to __import__ or import_module, which would slip through the rest."""
    for node in ast.walk(ast.parse(source, str(path))):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"__import__", "import_module"}:
                yield str(node.args[0].value)


def allowed(path: Path, module: str) -> bool:
    """Whether the table of packages allows this import."""
    package, *below = path.relative_to(ROOT).with_suffix("").parts
    top, _, rest = module.partition(".")
    standard = top in sys.stdlib_module_names
    if package == "addon":
        if top == "bridge":
            return rest in {"client", "protocol"}
        return top in {"addon", "numpy"} | BLENDER or (standard and top not in CONCURRENCY)
    if package == "models":
        return top in {"models", "numpy"} | TRAINING or standard
    assert package == "bridge"
    if below[0] in HOST_BRIDGE:
        if top == "bridge":
            return rest in HOST_BRIDGE
        return standard and top not in CONCURRENCY
    if top == "models":
        return below == ["jobs"]
    return top in {"bridge", "numpy", "torch"} or standard


def breaches(source: str, path: Path) -> list[str]:
    modules = {*imports_of(source, path), *imported_by_text(source, path)}
    return sorted(module for module in modules if not allowed(path, module))


def every_file() -> list[Path]:
    return [path for package in PACKAGES for path in files_of(package)]


@pytest.mark.parametrize("path", every_file(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_package_may(path: Path) -> None:
    assert breaches(path.read_text(encoding="utf-8"), path) == []


@pytest.mark.parametrize("path", files_of("addon"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_addon_imports_its_own_extension_relatively(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        assert not {name.partition(".")[0] for name in names} & set(PACKAGES), f"line {node.lineno}"


@pytest.mark.parametrize("package", ["bridge", "models"])
def test_relative_imports_stay_inside_the_packages_that_are_top_level_in_the_worker(package: str) -> None:
    for path in files_of(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                depth = len(path.relative_to(ROOT).parts) - 1
                assert node.level <= depth, f"{path} line {node.lineno} leaves its package relatively"


@pytest.mark.parametrize("path", every_file(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_star_imports(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert [alias.name for alias in node.names] != ["*"], f"line {node.lineno}"


def test_what_the_worker_loads_is_in_the_extension() -> None:
    """`models/corpus` is for training and stays out of the zip, so no job may need it."""
    waiting, seen = ["bridge.jobs"], set[str]()
    while waiting:
        module = waiting.pop()
        path = (ROOT / module.replace(".", "/")).with_suffix(".py")
        if module in seen or not path.is_file():
            continue
        seen.add(module)
        waiting.extend(imports_of(path.read_text(encoding="utf-8"), path))
    assert {"models.animate_me", "models.library"} <= seen
    assert [module for module in seen if module.startswith("models.corpus")] == []


def test_the_extension_imports_nothing_before_it_is_registered() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    inside = {
        node for function in tree.body if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
    }
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports, "register() has to import the add-on"
    assert [node.lineno for node in imports if node not in inside] == []


@pytest.mark.parametrize(
    ("path", "source", "breach"),
    [
        ("addon/session.py", "import threading", "threading"),
        ("addon/session.py", "import concurrent.futures", "concurrent.futures"),
        ("addon/session.py", "from ..models import head", "models.head"),
        ("addon/session.py", "from ..bridge import worker", "bridge.worker"),
        ("addon/session.py", "from ..bridge.jobs import DimpleJobs", "bridge.jobs"),
        ("addon/session.py", "def late():\n    import torch", "torch"),
        (
            "addon/session.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
            "torch",
        ),
        ("addon/session.py", "import importlib\nimportlib.import_module('torch')", "torch"),
        ("addon/session.py", "import scipy.sparse", "scipy.sparse"),
        ("bridge/client.py", "import numpy as np", "numpy"),
        ("bridge/client.py", "from .worker import serve", "bridge.worker"),
        ("bridge/protocol.py", "import threading", "threading"),
        ("bridge/protocol.py", "import bpy", "bpy"),
        ("bridge/worker.py", "from models.head import Head", "models.head"),
        ("bridge/worker.py", "__import__('bpy')", "bpy"),
        ("bridge/jobs.py", "from ..addon import session", "addon.session"),
        ("bridge/jobs.py", "import bpy", "bpy"),
        ("models/head.py", "import bpy", "bpy"),
        ("models/head.py", "from bridge.protocol import fingerprint", "bridge.protocol"),
        ("models/corpus/people.py", "from ...bridge import protocol", "bridge.protocol"),
        ("models/head.py", "import requests", "requests"),
    ],
)
def test_a_breach_is_seen(path: str, source: str, breach: str) -> None:
    assert breaches(source, ROOT / path) == [breach]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("addon/session.py", "import bpy, numpy\nfrom ..bridge.client import Client\nfrom . import panels"),
        ("bridge/jobs.py", "import torch\nfrom models.head import Head\nfrom .worker import Result"),
        ("bridge/client.py", "import subprocess\nfrom .protocol import decode"),
        ("bridge/worker.py", "import threading"),
        ("models/corpus/people.py", "import torch\nfrom ..head import Head\nfrom .. import parts"),
    ],
)
def test_what_is_allowed_is_no_breach(path: str, source: str) -> None:
    assert breaches(source, ROOT / path) == []
