"""`python -m addon ...`: Dimple's jobs without a window.

Inside Blender this folder is `bl_ext.<repository>.dimple.addon` and reaches the bridge with `from ..bridge`.
Started as `python -m addon` it would be a top-level package whose relative imports have nothing above them.
So the extension's root folder, whatever its name, is first given to Python as the package `dimple`; the
command line is then imported as `dimple.addon.command_line`, by the same relative imports as in Blender.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

PACKAGE = "dimple"


def extension_package(root: Path) -> ModuleSpec:
    """Make the folder `root` importable as the package `dimple`. Raises ImportError if it is no package."""
    spec = spec_from_file_location(PACKAGE, root / "__init__.py", submodule_search_locations=[str(root)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{root} is not the folder of the Dimple extension.")
    module = module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)
    return spec


if __name__ == "__main__":
    extension_package(Path(__file__).resolve().parent.parent)
    sys.exit(importlib.import_module(f"{PACKAGE}.addon.command_line").main(sys.argv[1:]))
