"""Reading captured sequences: small ones are written to disk in each layout and read back."""

import numpy as np
import pytest
import trimesh

from models.corpus.sequences import SequenceCorpus, read_sequences, split_subjects
from models.errors import InputError
from models.expression import UNIT_INDEX, minimum_jerk

HEAD = trimesh.creation.icosphere(subdivisions=2, radius=0.1)  # metres, as CoMA's
BULGE = HEAD.vertices * np.maximum(HEAD.vertices[:, [1]] / 0.1, 0.0) ** 2


def rise(frames=60, rest=12, strength=0.1, held=8):
    """Vertices (frames, V, 3) in metres: rest, a smooth rise to `strength` times the bulge, the apex held."""
    way = minimum_jerk((np.arange(frames) - rest) / (frames - rest - held))
    return HEAD.vertices + strength * way[:, None, None] * BULGE


def apex_mm(strength):
    return 1000.0 * strength * np.linalg.norm(BULGE, axis=1).mean()


def write_frames(folder, vertices, *, first=1, encoding="binary", suffix=".ply", stem="", faces=HEAD.faces):
    folder.mkdir(parents=True)
    for number, frame in enumerate(vertices, start=first):
        mesh = trimesh.Trimesh(frame, faces, process=False)
        if suffix == ".ply":
            data = trimesh.exchange.ply.export_ply(mesh, encoding=encoding)
        else:
            data = trimesh.exchange.obj.export_obj(mesh, digits=9).encode()
        (folder / f"{stem}{number:06d}{suffix}").write_bytes(data)


@pytest.fixture(scope="module")
def coma(tmp_path_factory):
    """Four subjects in CoMA's layout: one expression in ascii files, one in binary files bearing its name."""
    root = tmp_path_factory.mktemp("coma")
    for index, subject in enumerate(["FaceTalk_1", "FaceTalk_2", "FaceTalk_3", "FaceTalk_4"]):
        strength = 0.05 * (index + 1)
        write_frames(root / subject / "mouth_open", rise(strength=strength), encoding="ascii")
        write_frames(root / subject / "bareteeth", rise(strength=0.1), first=37, stem="bareteeth.")
    return root


@pytest.fixture(scope="module")
def corpus(coma):
    return read_sequences(coma)


def only(corpus, subject, label):
    """Index of the one sequence of a subject and a label."""
    pairs = zip(corpus.subjects, corpus.sequence_labels, strict=True)
    (index,) = [i for i, pair in enumerate(pairs) if pair == (subject, label)]
    return index


def test_coma_folders_become_sequences_of_40_frames_in_millimetres(corpus):
    assert corpus.labels == ("bareteeth", "mouth_open")
    assert corpus.deformations.shape == (8, 40, len(HEAD.vertices), 3)
    assert corpus.neutral_vertices.shape == (8, len(HEAD.vertices), 3)
    assert corpus.signal.shape == (8, 40, 2)
    np.testing.assert_array_equal(corpus.triangles, HEAD.faces)
    assert {corpus.deformations.dtype, corpus.neutral_vertices.dtype, corpus.signal.dtype} == {np.dtype("f4")}
    np.testing.assert_allclose(corpus.neutral_vertices[0], 1000.0 * HEAD.vertices, atol=0.3)


def test_deformations_go_from_nothing_to_the_apex_along_the_captured_motion(corpus):
    deformations = corpus.deformations[only(corpus, "FaceTalk_4", "mouth_open")]
    assert not deformations[0].any()
    np.testing.assert_allclose(deformations[-1], 200.0 * BULGE, atol=0.5)
    length = np.linalg.norm(deformations, axis=2).mean(axis=1) / apex_mm(0.2)
    assert (np.diff(length) > -1e-3).all()
    # the rise is found without the rest before it and the hold after it: half way in the middle
    assert length[19:21].mean() == pytest.approx(0.5, abs=0.08)


def test_signal_is_progression_times_extremeness_among_the_sequences_of_a_label(corpus):
    for subject in range(1, 5):
        row = only(corpus, f"FaceTalk_{subject}", "mouth_open")
        intensity = corpus.signal[row, :, corpus.labels.index("mouth_open")]
        assert intensity[0] == 0.0
        assert intensity.max() == pytest.approx(subject / 4.0, abs=0.01)
        np.testing.assert_allclose(intensity, subject / 4.0 * local(corpus, row), atol=0.02)
        assert not corpus.signal[row, :, corpus.labels.index("bareteeth")].any()
    equal = [only(corpus, f"FaceTalk_{subject}", "bareteeth") for subject in range(1, 5)]
    np.testing.assert_allclose(corpus.signal[equal].max(axis=(1, 2)), 1.0, atol=1e-3)


def local(corpus, row):
    length = np.linalg.norm(corpus.deformations[row], axis=2).mean(axis=1)
    return length / length[-1]


def test_local_scaling_lets_every_sequence_reach_one(coma):
    corpus = read_sequences(coma, scaling="local", frames=12)
    assert corpus.deformations.shape[1] == 12
    np.testing.assert_allclose(corpus.signal.max(axis=(1, 2)), 1.0)


def test_subjects_are_split_whole(corpus):
    by_subject = {
        s: {t for u, t in zip(corpus.subjects, corpus.splits, strict=True) if u == s} for s in corpus.subjects
    }
    assert all(len(splits) == 1 for splits in by_subject.values())
    assert sorted(next(iter(s)) for s in by_subject.values()) == ["test", "train", "train", "validation"]


def test_split_holds_out_a_tenth_and_follows_the_seed():
    subjects = [f"s{i}" for i in range(40)]
    split = split_subjects(subjects, seed=1)
    assert [list(split.values()).count(name) for name in ("train", "validation", "test")] == [32, 4, 4]
    assert split == split_subjects(subjects[::-1], seed=1)
    assert split != split_subjects(subjects, seed=2)
    assert set(split_subjects(["a", "b"], seed=0).values()) == {"train"}


def test_labels_with_a_preset_give_signals_over_units(corpus, tmp_path):
    signals = corpus.expression_signals()
    assert signals.shape == (8, 40, 57)
    row = only(corpus, "FaceTalk_2", "mouth_open")
    np.testing.assert_allclose(signals[row, -1, UNIT_INDEX["jawOpen"]], 0.5 * 0.9, atol=0.01)
    write_frames(tmp_path / "anna" / "yodelling", rise())
    with pytest.raises(InputError, match="yodelling"):
        read_sequences(tmp_path).expression_signals()


def test_the_strongest_attempt_is_taken(tmp_path):
    """Two attempts with a return to neutral between them: the second is stronger."""
    first, second = rise(strength=0.08), rise(strength=0.12)
    write_frames(tmp_path / "anna" / "bareteeth", np.concatenate([first, first[::-1], second, second[::-1]]))
    corpus = read_sequences(tmp_path)
    np.testing.assert_allclose(corpus.deformations[0, -1], 120.0 * BULGE, atol=0.3)
    assert (np.diff(local(corpus, 0)) > -1e-3).all()


def test_noise_over_time_is_smoothed(tmp_path):
    noise = 0.0002 * np.random.default_rng(0).standard_normal((60, len(HEAD.vertices), 3))
    write_frames(tmp_path / "anna" / "bareteeth", rise(strength=0.2) + noise)
    smoothed = read_sequences(tmp_path, frames=41)
    steps = np.diff(smoothed.deformations[0], 2, axis=0)
    captured = np.diff(1000.0 * (rise(strength=0.2) + noise)[12:53], 2, axis=0)
    assert np.abs(steps).mean() < 0.4 * np.abs(captured).mean()


@pytest.mark.parametrize("kind", ["obj", "npz", "npy"])
def test_other_formats_give_the_same_corpus(kind, coma, tmp_path):
    vertices = rise(strength=0.1)
    subject = tmp_path / "FaceTalk_1"
    template = None
    if kind == "obj":
        write_frames(subject / "bareteeth", vertices, suffix=".obj")
    elif kind == "npz":
        subject.mkdir()
        np.savez(subject / "bareteeth.npz", vertices=vertices, triangles=HEAD.faces)
    else:
        subject.mkdir()
        np.save(subject / "bareteeth.npy", vertices)
        with pytest.raises(InputError, match="name a template"):
            read_sequences(tmp_path)
        template = tmp_path / "template.ply"
        template.write_bytes(trimesh.exchange.ply.export_ply(HEAD))
    corpus = read_sequences(tmp_path, template=template)
    original = read_sequences(coma)
    row = only(original, "FaceTalk_1", "bareteeth")
    np.testing.assert_allclose(corpus.deformations[0], original.deformations[row], atol=2e-3)
    np.testing.assert_array_equal(corpus.triangles, original.triangles)
    assert (corpus.subjects, corpus.sequence_labels) == (("FaceTalk_1",), ("bareteeth",))


def test_an_obj_with_uv_seams_keeps_its_vertices(tmp_path):
    """A vertex with two texture coordinates stays one vertex; a quad becomes two triangles."""
    (tmp_path / "anna" / "smile").mkdir(parents=True)
    for number in range(3):
        lines = [f"v {100 * x} {100 * y} {number * y}" for x in range(3) for y in range(2)]
        lines += [f"vt {i / 8} 0" for i in range(8)]
        lines += ["f 1/1 3/3 4/4 2/2", "f 3/5 5/7 6/8 4/6"]
        (tmp_path / "anna" / "smile" / f"{number}.obj").write_text("\n".join(lines))
    corpus = read_sequences(tmp_path, frames=3)
    assert corpus.neutral_vertices.shape == (1, 6, 3)
    np.testing.assert_allclose(
        corpus.neutral_vertices[0, :, :2], [[100 * x, 100 * y] for x in range(3) for y in range(2)]
    )
    assert corpus.triangles.shape == (4, 3)
    assert set(corpus.triangles[:2].ravel()) == {0, 1, 2, 3}


@pytest.mark.parametrize("unit", [1.0, 100.0, 1000.0])
def test_heads_are_brought_to_millimetres(unit, tmp_path):
    (tmp_path / "anna").mkdir()
    np.savez(tmp_path / "anna" / "bareteeth.npz", vertices=unit * rise(strength=0.2), triangles=HEAD.faces)
    corpus = read_sequences(tmp_path)
    assert np.linalg.norm(corpus.neutral_vertices[0], axis=1).mean() == pytest.approx(100.0, rel=0.01)
    np.testing.assert_allclose(corpus.deformations[0, -1], 200.0 * BULGE, atol=0.5)


def test_saving_and_loading_keeps_everything(corpus, tmp_path):
    corpus.save(tmp_path / "out")
    loaded = SequenceCorpus.load(tmp_path / "out")
    for name in ("triangles", "neutral_vertices", "deformations", "signal"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(corpus, name))
        assert getattr(loaded, name).dtype == getattr(corpus, name).dtype
    for name in ("labels", "subjects", "sequence_labels", "splits"):
        assert getattr(loaded, name) == getattr(corpus, name)


def test_loading_refuses_what_is_missing_or_damaged(corpus, tmp_path):
    with pytest.raises(InputError, match="no sequence corpus"):
        SequenceCorpus.load(tmp_path)
    corpus.save(tmp_path)
    arrays = tmp_path / "sequences.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-100])
    with pytest.raises(InputError, match="no sequence corpus"):
        SequenceCorpus.load(tmp_path)


def test_progress_is_reported(coma):
    seen = []
    read_sequences(coma, frames=5, on_sequence=lambda done, everything: seen.append((done, everything)))
    assert seen == [(i, 8) for i in range(1, 9)]


def test_few_missing_frames_are_bridged_and_many_refused(tmp_path):
    write_frames(tmp_path / "a" / "anna" / "bareteeth", rise())
    whole = read_sequences(tmp_path / "a")
    for number in (30, 31, 32):
        (tmp_path / "a" / "anna" / "bareteeth" / f"{number:06d}.ply").unlink()
    bridged = read_sequences(tmp_path / "a")
    np.testing.assert_allclose(bridged.deformations, whole.deformations, atol=0.6)
    (tmp_path / "a" / "anna" / "bareteeth" / "000033.ply").unlink()
    with pytest.raises(InputError, match="lacks the frames 30 to 33"):
        read_sequences(tmp_path / "a")


def broken(folder, what):
    """Damage one thing in a copy of CoMA's layout."""
    sequence = folder / "anna" / "bareteeth"
    if what == "nan":
        vertices = rise(20, 4)
        vertices[7, 5] = np.nan
        write_frames(sequence, vertices)
        return
    write_frames(sequence, rise(20, 4))
    smaller = trimesh.creation.icosphere(subdivisions=1, radius=0.1)
    frame = sequence / "000010.ply"
    if what == "vertex count":
        frame.write_bytes(trimesh.exchange.ply.export_ply(smaller))
    elif what == "triangles":
        frame.write_bytes(
            trimesh.exchange.ply.export_ply(trimesh.Trimesh(HEAD.vertices, HEAD.faces[::-1], process=False))
        )
    elif what == "truncated":
        frame.write_bytes(frame.read_bytes()[:1000])
    elif what == "truncated ascii":
        frame.write_bytes(trimesh.exchange.ply.export_ply(HEAD, encoding="ascii")[:-400])
    elif what == "points only":
        frame.write_bytes(trimesh.PointCloud(HEAD.vertices).export(file_type="ply"))
    elif what == "no mesh":
        frame.write_bytes(b"\x00\x01 this is no mesh")
    elif what == "same number twice":
        (sequence / "smile.10.ply").write_bytes(frame.read_bytes())
    elif what == "no number":
        frame.rename(sequence / "neutral.ply")
    elif what == "one frame":
        for path in list(sequence.iterdir())[1:]:
            path.unlink()
    elif what == "other subject, other count":
        write_frames(folder / "bert" / "bareteeth", np.array([smaller.vertices] * 5), faces=smaller.faces)
    elif what == "other subject, other triangles":
        write_frames(folder / "bert" / "bareteeth", rise(20, 4), faces=HEAD.faces[::-1])
    elif what == "still":
        write_frames(folder / "bert" / "bareteeth", np.array([HEAD.vertices] * 5))
    elif what == "giant":
        write_frames(folder / "bert" / "bareteeth", 20.0 * rise(20, 4))
    elif what == "flat array":
        np.save(folder / "anna" / "smile.npy", HEAD.vertices)
    elif what == "npz without vertices":
        np.savez(folder / "anna" / "smile.npz", points=rise(5, 1))
    elif what == "damaged npz":
        (folder / "anna" / "smile.npz").write_bytes(b"PK\x03\x04 broken")
    elif what == "pickle":
        np.save(folder / "anna" / "smile.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nan", r"Frame 8 of .*bareteeth"),
        ("vertex count", r"000010\.ply has 42 vertices, the frames before it 162"),
        ("triangles", r"000010\.ply joins its vertices to other triangles"),
        ("truncated", r"000010\.ply cannot be read"),
        ("truncated ascii", r"000010\.ply"),
        ("points only", r"000010\.ply holds no complete mesh"),
        ("no mesh", r"000010\.ply cannot be read"),
        ("same number twice", "are the same frame"),
        ("no number", r"neutral\.ply has no frame number"),
        ("one frame", "fewer than 2 frames"),
        ("other subject, other count", "has 42 vertices, the sequences before it 162"),
        ("other subject, other triangles", "other triangles than those before it"),
        ("still", "Nothing moves in .*bert"),
        ("giant", "no head in millimetres"),
        ("flat array", "must hold numbers of shape"),
        ("npz without vertices", "no array “vertices”"),
        ("damaged npz", "cannot be read as an array"),
        ("pickle", "cannot be read as an array"),
    ],
)
def test_what_cannot_be_a_corpus_is_refused_by_name(what, message, tmp_path):
    broken(tmp_path, what)
    with pytest.raises(InputError, match=message):
        read_sequences(tmp_path)


def test_folders_without_sequences_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no sequences"):
        read_sequences(tmp_path)
    with pytest.raises(InputError, match="There is no folder"):
        read_sequences(tmp_path / "missing")
