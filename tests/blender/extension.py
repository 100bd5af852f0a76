"""The extension as Blender sees it: a package of any name, in a Blender without anybody's settings."""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRATCH = Path(tempfile.mkdtemp(prefix="dimple_tests_"))

os.environ["BLENDER_USER_RESOURCES"] = str(SCRATCH / "blender")  # read when bpy is imported

PACKAGE = "dimple_under_test"
"""Not the extension's id: only relative imports work under another name."""

(SCRATCH / "packages").mkdir()
(SCRATCH / "packages" / PACKAGE).symlink_to(ROOT, target_is_directory=True)
sys.path.insert(0, str(SCRATCH / "packages"))


def raise_error(_error):
    """What addon_utils is to do with an exception in register() or unregister()."""
    raise
