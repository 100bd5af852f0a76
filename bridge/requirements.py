"""What the worker's Python must have. One that lacks something still gets a worker, which says what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
from dataclasses import dataclass
from typing import Any

from .memory import MEBIBYTE, free_ram
from .protocol import PROTOCOL_VERSION, Check, Hello, Ready, Request
from .worker import JobFailedError, Jobs, Report, Result

REQUIRED_PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "safetensors",
    "diffusers",
    "fast_simplification",
    "embreex",
    "transformers",
    "PIL",
)
DISTRIBUTIONS = {"PIL": "pillow"}
"""What pip calls a package that Python imports under another name."""


def open_jobs(hello: Hello) -> Jobs:
    """The worker's jobs; `IncompleteSetup` where a required package is missing or cannot be loaded."""
    missing = missing_packages()
    if missing:
        wanted = " ".join(DISTRIBUTIONS.get(name, name) for name in missing)
        command = f'"{sys.executable}" -m pip install {wanted}'
        return IncompleteSetup(
            missing, f"The worker's Python lacks {', '.join(missing)}: install them with  {command}"
        )
    try:
        from .jobs import DimpleJobs  # imports torch, diffusers and the models
    except (ImportError, OSError) as error:  # OSError: a library of torch that the system cannot load
        return IncompleteSetup((), f"The worker's Python cannot load its packages: {error}")
    return DimpleJobs(hello)


def missing_packages() -> tuple[str, ...]:
    """The required packages that this Python does not have."""
    return tuple(name for name in REQUIRED_PACKAGES if importlib.util.find_spec(name) is None)


def versions() -> dict[str, str]:
    """The version of Python and of each required package that is there."""
    found = {"python": platform.python_version()}
    for name in REQUIRED_PACKAGES:
        if importlib.util.find_spec(name) is not None:
            try:
                found[name] = importlib.metadata.version(DISTRIBUTIONS.get(name, name))
            except importlib.metadata.PackageNotFoundError:  # put there by hand
                found[name] = "unknown"
    return found


@dataclass(frozen=True)
class IncompleteSetup:
    """The jobs of a Python that cannot run the models: it answers `Check` and explains itself to the rest."""

    missing: tuple[str, ...]
    problem: str

    def ready(self) -> Ready:
        """The answer to `hello`, without torch."""
        return Ready(
            protocol_version=PROTOCOL_VERSION,
            python=platform.python_version(),
            torch="",
            device="cpu",
            device_name=platform.processor() or platform.machine(),
            memory_free_mb=free_ram() // MEBIBYTE,
            checkpoints=(),
        )

    def run(self, request: Request, report: Report) -> Result:
        """Facts for `Check`; raises JobFailedError("setup") for everything else."""
        if not isinstance(request, Check):
            raise JobFailedError("setup", self.problem)
        facts: dict[str, Any] = {
            "missing": list(self.missing),
            "problems": [self.problem],
            "versions": versions(),
        }
        return Result(info=facts)
