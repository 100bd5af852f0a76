"""Generating: a job in a real child process, and everything that can come between."""

import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from tests.blender import fake_worker


@pytest.fixture
def settings(dimple, head):
    dimple.settings.apply_when_done = False
    dimple.settings.frames = 8
    return dimple.settings


def behave(settings, behaviour):
    """Let the stand-in do something else than answer well."""
    settings.units.clear()
    settings.units.add().name = behaviour


def nothing_written(head):
    return head.data.shape_keys is None and not bpy.data.actions and not head.keys()


def test_generating_keeps_a_result_and_writes_nothing(dimple, head, settings):
    assert bpy.ops.dimple.generate() == {"FINISHED"}
    job = dimple.session.results[head.session_uid]
    assert job.array("deformations").shape == (8, len(head.data.vertices), 3)
    assert nothing_written(head)


def test_the_worker_gets_the_head_as_it_is(dimple, head, settings):
    bpy.ops.dimple.generate()
    folder = Path(dimple.session.results[head.session_uid].request.folder)
    vertices = np.load(folder / "neutral_vertices.npy")
    triangles = np.load(folder / "triangles.npy")
    assert vertices.dtype == np.float32
    np.testing.assert_array_equal(vertices, [tuple(v.co) for v in head.data.vertices])
    assert triangles.dtype == np.int32
    assert len(triangles) == 2 * (fake_worker.SIZE - 1) ** 2


def test_the_request_says_what_the_panel_says(dimple, head, settings):
    settings.label = "anger"
    unit = settings.units.add()
    unit.name, unit.weight = "jawOpen", 0.5
    settings.units.add().name = " mouthSmile=0.25 "
    settings.units.add().name = " "
    settings.intensity, settings.profile, settings.seed, settings.sampler = 0.8, "blink", 7, "full"
    bpy.ops.dimple.generate()
    request = dimple.session.results[head.session_uid].request
    assert request.expressions == ("anger", "jawOpen=0.500", "mouthSmile=0.25")
    assert (request.intensity, request.profile, request.frames) == (0.8, "blink", 8)
    assert (request.seed, request.sampler) == (7, "full")
    assert request.frame_rate == 24.0


@pytest.mark.parametrize(
    ("fps", "fps_base", "seconds", "frames"),
    [
        (24, 1.0, 2.0, 48),
        (24, 1.001, 10.01, 240),
        (30, 1.0, 1 / 3, 10),
        (60, 1.0, 0.05, 3),
        (25, 1.0, 1.5, 38),
    ],
)
def test_seconds_become_frames_at_the_scenes_rate(dimple, head, fps, fps_base, seconds, frames):
    render = bpy.context.scene.render
    render.fps, render.fps_base = fps, fps_base
    dimple.settings.length_in, dimple.settings.seconds = "SECONDS", seconds
    request = dimple.settings.request(bpy.context.scene, "")
    assert request.frames == frames
    assert request.frame_rate == pytest.approx(fps / fps_base)


def test_random_draws_a_new_seed_each_time(dimple, head, settings):
    settings.random_seed = True
    seeds = set()
    for _ in range(3):
        bpy.ops.dimple.generate()
        seeds.add(settings.seed)
        assert dimple.session.results[head.session_uid].done.seed == settings.seed
    assert len(seeds) == 3


def test_one_warm_worker_serves_all_jobs(dimple, head, settings):
    bpy.ops.dimple.generate()
    process = dimple.session.ready.device_name
    bpy.ops.dimple.generate()
    assert dimple.session.ready.device_name == process
    dimple.preferences.device = "cpu"
    bpy.ops.dimple.generate()
    assert dimple.session.ready.device_name != process


def test_a_new_result_replaces_the_files_of_the_old_one(dimple, head, settings):
    bpy.ops.dimple.generate()
    first = Path(dimple.session.results[head.session_uid].request.folder)
    bpy.ops.dimple.generate()
    second = Path(dimple.session.results[head.session_uid].request.folder)
    assert not first.exists()
    assert second.exists()


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        ("refuse", "There is no expression called “refuse”"),
        ("crash", "stopped unexpectedly with exit code 7"),
    ],
)
def test_a_failed_job_is_explained_and_the_next_one_works(dimple, head, settings, behaviour, sentence):
    behave(settings, behaviour)
    with pytest.raises(RuntimeError, match=sentence):
        bpy.ops.dimple.generate()
    assert sentence in dimple.session.latest.message
    assert not dimple.session.results
    assert nothing_written(head)
    settings.units.clear()
    assert bpy.ops.dimple.generate() == {"FINISHED"}


def test_a_crash_shows_the_workers_last_words(dimple, head, settings):
    behave(settings, "crash")
    with pytest.raises(RuntimeError):
        bpy.ops.dimple.generate()
    assert "the last words of the worker" in dimple.session.latest.detail


@pytest.mark.parametrize("behaviour", ["nonfinite", "wrong_shape", "pickle", "no_result"])
def test_an_unusable_result_is_refused_and_nothing_is_written(dimple, head, settings, behaviour):
    behave(settings, behaviour)
    bpy.ops.dimple.generate()
    with pytest.raises(RuntimeError, match="generate again"):
        bpy.ops.dimple.apply()
    assert nothing_written(head)


def started_in_a_window(dimple, behaviour):
    """A job as the modal operator holds it; Blender as a module has no window to run one in."""
    from dimple_under_test.addon.operators import AnimationOperator, submit_animation

    behave(dimple.settings, behaviour)
    operator = AnimationOperator()
    operator.report = lambda level, text: operator.reports.append(text)
    operator.reports = []
    request = dimple.settings.request(bpy.context.scene, dimple.preferences.checkpoint)
    operator._job = submit_animation(bpy.context, request)
    return operator


def run_modal(operator, event_type="TIMER"):
    return operator.modal(bpy.context, SimpleNamespace(type=event_type, value="PRESS"))


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def test_the_modal_operator_shows_progress_and_escape_cancels(dimple, head, settings):
    operator = started_in_a_window(dimple, "slow")
    until(lambda: run_modal(operator) == {"PASS_THROUGH"} and operator._job.step > 2)
    assert 0 < operator._job.factor < 0.1
    assert operator._job.progress_text == f"Generating {operator._job.step} of 10000"
    worker = dimple.session.ready.device_name
    assert run_modal(operator, "ESC") == {"RUNNING_MODAL"}
    assert operator._job.progress_text == "Cancelling"
    until(lambda: run_modal(operator) == {"CANCELLED"})
    assert operator.reports == ["Cancelled; nothing was changed."]
    assert nothing_written(head)
    assert dimple.session.ready.device_name == worker
    settings.units.clear()
    assert bpy.ops.dimple.generate() == {"FINISHED"}


def test_escape_while_the_worker_starts(dimple, head, settings):
    operator = started_in_a_window(dimple, "slow")
    assert operator._job.progress_text == "Starting the worker"
    assert run_modal(operator, "ESC") == {"RUNNING_MODAL"}
    until(lambda: run_modal(operator) == {"CANCELLED"})
    assert dimple.session.current is None


def test_the_modal_operator_never_waits(dimple, head, settings):
    operator = started_in_a_window(dimple, "slow")
    until(lambda: run_modal(operator) and operator._job.step > 0)
    start = time.perf_counter()
    for _ in range(100):
        run_modal(operator)
    assert (time.perf_counter() - start) / 100 < 0.01


def test_the_cancel_button(dimple, head, settings):
    assert not bpy.ops.dimple.cancel.poll()
    operator = started_in_a_window(dimple, "slow")
    assert not bpy.ops.dimple.generate.poll()
    assert bpy.ops.dimple.cancel() == {"FINISHED"}
    until(lambda: run_modal(operator) == {"CANCELLED"})
    assert bpy.ops.dimple.generate.poll()


def test_a_result_is_applied_to_its_head_whatever_is_selected_then(dimple, head, settings):
    settings.apply_when_done = True
    operator = started_in_a_window(dimple, "jawOpen")
    light = bpy.data.objects.new("Light", bpy.data.lights.new("Light", "POINT"))
    bpy.context.collection.objects.link(light)
    bpy.context.view_layer.objects.active = light
    head.name = "Renamed"
    until(lambda: run_modal(operator) == {"FINISHED"})
    assert len(head.data.shape_keys.key_blocks) == 1 + 8
    assert bpy.context.view_layer.objects.active == light


def test_a_head_that_went_into_edit_mode_waits_for_its_result(dimple, head, settings):
    settings.apply_when_done = True
    operator = started_in_a_window(dimple, "jawOpen")
    bpy.ops.object.mode_set(mode="EDIT")
    until(lambda: run_modal(operator) == {"FINISHED"})
    assert "Edit Mode" in operator.reports[-1]
    bpy.ops.object.mode_set(mode="OBJECT")
    assert nothing_written(head)
    assert bpy.ops.dimple.apply() == {"FINISHED"}


def test_a_deleted_head_gets_nothing(dimple, head, settings):
    settings.apply_when_done = True
    operator = started_in_a_window(dimple, "jawOpen")
    bpy.data.objects.remove(head)
    until(lambda: run_modal(operator) == {"FINISHED"})
    assert not bpy.data.actions


def test_loading_a_file_cancels_and_forgets(dimple, head, settings):
    bpy.ops.dimple.generate()
    folder = Path(dimple.session.results[head.session_uid].request.folder)
    operator = started_in_a_window(dimple, "slow")
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    assert not dimple.session.results
    assert not folder.exists()
    until(lambda: dimple.session.step() or not operator._job.running)
    assert operator._job.state == "cancelled"
    assert dimple.session.latest is None


def test_a_full_disk_is_explained(dimple, head, settings, monkeypatch):
    def save(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(RuntimeError, match=r"No space left on device.*free some disk space"):
        bpy.ops.dimple.generate()
    monkeypatch.undo()
    assert dimple.session.current is None
    assert bpy.ops.dimple.generate() == {"FINISHED"}


def test_check_setup_lists_what_is_missing(dimple):
    assert bpy.ops.dimple.check_setup() == {"FINISHED"}
    assert dimple.session.check.done.info["problems"] == []
    dimple.preferences.checkpoint = "/nowhere"
    assert bpy.ops.dimple.check_setup() == {"FINISHED"}
    assert dimple.session.check.done.info["problems"] == ["There is no checkpoint."]


def test_a_python_that_is_no_worker_is_explained(dimple, head, tmp_path):
    dimple.preferences.worker_python = str(tmp_path / "missing")
    assert not bpy.ops.dimple.generate.poll()
    with pytest.raises(RuntimeError, match="No worker Python is at"):
        bpy.ops.dimple.check_setup()
    dimple.preferences.worker_python = "/bin/false"
    with pytest.raises(RuntimeError, match="exit code 1"):
        bpy.ops.dimple.check_setup()
    assert dimple.session.check.state == "failed"


def test_a_new_head_from_a_seed(dimple):
    bpy.context.scene.cursor.location = (1.0, 2.0, 3.0)
    assert bpy.ops.dimple.add_head(seed=3) == {"FINISHED"}
    head = bpy.context.view_layer.objects.active
    assert head.name == "Dimple Head 3"
    assert tuple(head.location) == (1.0, 2.0, 3.0)
    assert bpy.context.selected_objects == [head]
    assert bpy.ops.dimple.generate.poll()
    vertices = np.array([tuple(v.co) for v in head.data.vertices])
    x, y, z = fake_worker.head_arrays(3)["neutral_vertices"].T
    np.testing.assert_allclose(vertices, np.stack([x, -z, y], axis=1) / 1000, atol=1e-7)
    bpy.ops.dimple.add_head(seed=4)
    other = np.array([tuple(v.co) for v in bpy.context.view_layer.objects.active.data.vertices])
    assert not np.allclose(vertices, other)
