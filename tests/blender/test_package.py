"""The extension's zip: built and validated by Blender's own tool, installed, run, taken out again."""

import subprocess
import sys
import zipfile
from pathlib import Path

import addon_utils
import bpy
import pytest

from tests.blender.extension import ROOT
from tests.blender.test_registration import traces

LARGEST_MB = 65  # the checkpoints of geometry, words and skin have 70, less in the zip
REPOSITORY = "dimple_test"
MODULE = f"bl_ext.{REPOSITORY}.dimple"


def blender_ext(*arguments):
    """Blender's tool for extensions, which runs under any Python."""
    tool = Path(bpy.utils.system_resource("SCRIPTS"), "addons_core", "bl_pkg", "cli", "blender_ext.py")
    result = subprocess.run([sys.executable, tool, *arguments], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "dimple.zip"
    blender_ext("build", "--source-dir", ROOT, "--output-filepath", path)
    return path


@pytest.fixture
def repository(empty_file, tmp_path):
    """An empty local repository of extensions."""
    added = bpy.context.preferences.extensions.repos.new(
        name=REPOSITORY, module=REPOSITORY, custom_directory=str(tmp_path / "repository"), remote_url=""
    )
    added.use_custom_directory = True
    yield Path(added.directory)
    addon_utils.disable(MODULE, default_set=True)
    bpy.context.preferences.extensions.repos.remove(added)


def install(package):
    """Install and enable."""
    done = bpy.ops.extensions.package_install_files(
        filepath=str(package), repo=REPOSITORY, enable_on_install=True
    )
    assert done == {"FINISHED"}
    assert addon_utils.check(MODULE) == (True, True)


def test_zip_is_valid_and_small(package):
    blender_ext("validate", package)
    assert package.stat().st_size < LARGEST_MB * 1e6


def test_zip_has_what_runs_and_nothing_else(package):
    names = zipfile.ZipFile(package).namelist()
    assert {"__init__.py", "blender_manifest.toml", "LICENSE", "addon/session.py"} <= set(names)
    assert {"bridge/__main__.py", "bridge/jobs.py", "models/animate_me.py"} <= set(names)
    shipped = (ROOT / "models" / "checkpoints").rglob("*")
    missing = {str(f.relative_to(ROOT)) for f in shipped if f.is_file() and f.name[0] != "."} - set(names)
    assert not missing
    tops = {name.partition("/")[0] for name in names}
    assert not tops & {"tests", "demo", "cache", "build", "runs", ".venv", ".git", ".ci"}
    assert not [name for name in names if "__pycache__" in name or name.startswith("models/corpus/")]


def test_installed_enabled_twice_and_removed_leaves_nothing(package, repository):
    before = traces()
    install(package)
    for _ in range(2):
        assert addon_utils.check(MODULE) == (True, True)
        assert bpy.context.scene.dimple.frames == 40
        addon_utils.disable(MODULE, default_set=True)
        assert traces() == before
        addon_utils.enable(MODULE, default_set=True)
    addon_utils.disable(MODULE, default_set=True)
    index = bpy.context.preferences.extensions.repos.find(REPOSITORY)
    assert bpy.ops.extensions.package_uninstall(repo_index=index, pkg_id="dimple") == {"FINISHED"}
    assert not (repository / "dimple").exists()
    assert traces() == before


def test_installed_extension_works(package, repository, worker_python):
    install(package)
    bpy.context.preferences.addons[MODULE].preferences.worker_python = str(worker_python)
    assert bpy.ops.dimple.add_head(seed=4) == {"FINISHED"}
    assert bpy.context.active_object.name == "Dimple Head 4"


def test_installed_command_line_works(package, repository, worker_python, tmp_path):
    install(package)
    out = tmp_path / "head.npz"
    result = subprocess.run(
        [sys.executable, "-m", "addon", "head", "--out", out, "--worker-python", worker_python],
        cwd=repository / "dimple",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.returncode, out.exists()) == (0, True), result.stderr
