"""Damaged and hostile model files raise one error that names the file, and take little memory."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import struct
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from helpers import SpacesOnly, insides, same_state, small_model
from tables import table

from fasttrpo import TRPO, FormatError
from fasttrpo.cli import main
from fasttrpo.settings.agent import resolve
from fasttrpo.settings.sizes import state_sizes
from fasttrpo.spaces import from_json

MUTATOR = Path(__file__).parent / "fuzz" / "model_files.py"


@pytest.fixture(scope="module")
def mutator():
    """tests/fuzz/model_files.py as a module."""
    spec = importlib.util.spec_from_file_location("model_files", MUTATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def members():
    """A checkpoint's members: name -> bytes."""
    file = io.BytesIO()
    small_model().learn(64).save(file, checkpoint=True)
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_header(members, **changes):
    """The members with changed entries in the JSON header, or in its settings by name."""
    header = json.loads(str(np.load(io.BytesIO(members["header.npy"]))))
    for name, value in changes.items():
        (header if name in header else header["settings"])[name] = value
    return {**members, "header.npy": npy(np.array(json.dumps(header)))}


def written(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    file.seek(0)
    return file


def load_error(file):
    """The message of FormatError; loading must take less than 64 MiB."""
    tracemalloc.start()
    try:
        with pytest.raises(FormatError) as error:
            TRPO.load(file)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
    return str(error.value)


# -- mutants ---------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has no alarm signal")
def test_mutated_files_load_or_are_rejected(mutator):
    assert set(mutator.run(200, seed=1)) == {"loads", "refused"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_mutant_is_reproducible_from_its_number(mutator, members):
    bases = [written(members).getvalue()]
    for number in range(8):  # archives and `.bin` files
        assert mutator.mutant(bases, 0, number) == mutator.mutant(bases, 0, number)


# -- the archive -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_compressed_files_are_rejected_without_unpacking(method, members):
    huge = members | {"theta.npy": npy(np.zeros(2**20))}
    assert "compressed or encrypted" in load_error(written(huge, method))


@table("name", ["more.npy", "run.more.npy", "theta", "../theta.npy", "policy"])
def test_unknown_members_are_rejected(name, members):
    assert "damaged" in load_error(written({**members, name: members["theta.npy"]}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_members_are_rejected(members):
    file = written(members)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("theta.npy", members["theta.npy"])
    file.seek(0)
    assert "the same name" in load_error(file)


def test_an_archive_with_too_many_members_is_rejected(members):
    many = {f"run.{n}.npy": b"" for n in range(2000)}
    assert "members, not 1..100" in load_error(written(members | many))


def test_overlapping_members_are_rejected(members):
    file = written(members)
    data = bytearray(file.getvalue())
    with zipfile.ZipFile(file) as archive:
        first, second = archive.infolist()[1:3]
    # Point the directory entry of the second member at the first one.
    at = data.rindex(second.filename.encode()) - 4
    data[at : at + 4] = first.header_offset.to_bytes(4, "little")
    assert "overlaps" in load_error(io.BytesIO(data))


def test_zip64_archives_load(members, monkeypatch):
    """As zipfile writes them beyond its limit, lowered here."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    file = written(members)
    monkeypatch.undo()
    assert b"PK\x06\x06" in file.getvalue()
    assert TRPO.load(file).num_timesteps == 64


def test_a_model_written_by_an_older_python_loads(model):
    """Before 3.11.4, local headers stored sizes in their fields and in the 64-bit extra field."""
    file = io.BytesIO()
    model.save(file)
    data = bytearray(file.getvalue())
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            struct.pack_into("<2L", data, info.header_offset + 18, info.file_size, info.file_size)
    assert same_state(TRPO.load(io.BytesIO(data)), model)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_model_written_through_a_pipe_loads(model):
    """In a stream without seek, sizes follow the data."""
    out, into = os.pipe()
    read = []
    with open(out, "rb") as source:
        reader = threading.Thread(target=lambda: read.append(source.read()))
        reader.start()
        with open(into, "wb") as sink:
            model.save(sink)
        reader.join()
    assert same_state(TRPO.load(io.BytesIO(read[0])), model)


# -- arrays ----------------------------------------------------------------------------------------


def header_of(members, old, new):
    """The members with `old` in theta's header replaced by `new`, padded to the same length."""
    content = members["theta.npy"]
    assert old in content
    return {**members, "theta.npy": content.replace(old, new.ljust(len(old)), 1)}


@table(
    ("old", "new"),
    [
        (b"'shape': (58,), }         ", b"'shape': (1099511627776,), }"),
        (b"'<f8'", b"'>f8'"),
        (b"'<f8'", b"'<i8'"),
        (b"False", b"True "),
        (b"'fortran_order': False", b"(" * 22),
        (b"\x93NUMPY\x01", b"\x93NUMPY\x03"),
    ],
)
def test_array_headers_are_checked_before_reading(old, new, members):
    assert "damaged: theta" in load_error(written(header_of(members, old, new)))


@pytest.mark.parametrize("array", [np.zeros(58, [("a", "<f8")]), np.zeros(58, "S8"), np.zeros(59)])
def test_arrays_of_wrong_type_or_size_are_rejected(array, members):
    assert "theta" in load_error(written({**members, "theta.npy": npy(array)}))


@table(
    "run",
    [
        {"episode_window": np.full((1, 4), np.nan)},
        {"episode_window": np.full((1, 4), np.inf)},
        {"episode_lengths": np.array([-1, 0, 0, 0])},
        {"episode_count": np.array([1, 2])},
        {"episode_totals": None},
    ],
)
def test_impossible_episode_statistics_are_rejected(run, members):
    for name, array in run.items():
        members.pop(f"run.{name}.npy")
        if array is not None:
            members[f"run.{name}.npy"] = npy(array)
    assert "episodes" in load_error(written(members))


# -- the header ------------------------------------------------------------------------------------

DEEP = "[" * 100_000
NESTED = {"kind": "dict", "parts": [["a", {"kind": "discrete", "n": 2, "start": 0}]]}
BOX = {"kind": "box", "shape": [4], "low": [0.0] * 4, "high": [1.0] * 4, "dtype": "float32"}


@table(
    "changes",
    [
        {"format": True},
        {"format": 2.0},
        {"format": "2"},
        {"num_timesteps": 10**30},
        {"n_updates": 1.0},
        {"functions": ["gamma"]},
        {"functions": [["target_kl"]]},
        {"n_envs": 2**24},
        {"policy_kwargs": {"net_arch": [2**24] * 3}},
        {"actions": {"kind": "multi_binary", "shape": [2**24, 2**24]}},
        {"actions": {"kind": "multi_binary", "shape": [2**24]}},
        {"actions": {**BOX, "dtype": "int64"}},
        {"observations": {**BOX, "dtype": None}},
        {"observations": {**BOX, "dtype": "f4,f4"}},
        {"observations": {**BOX, "low": "0000"}},
        {"observations": {**BOX, "low": [2.0] * 4}},
        {"observations": {**BOX, "high": [float("nan")] * 4}},
        {"observations": {**BOX, "dtype": "int8", "high": [300] * 4}},
        {"observations": {"kind": "dict", "parts": NESTED["parts"] * 2}},
    ],
)
def test_inconsistent_headers_are_rejected(changes, members):
    assert load_error(written(with_header(members, **changes))).startswith("the open file ")


@table(
    "text",
    [
        "[" * 100_000,
        '{"format": NaN}',
        '{"format": 1' + "0" * 9999,
    ],
)
def test_invalid_header_texts_are_rejected(text, members):
    load_error(written({**members, "header.npy": npy(np.array(text))}))


def test_a_header_with_a_duplicate_name_is_rejected(members):
    """Otherwise valid: JSON keeps the last of two."""
    text = str(np.load(io.BytesIO(members["header.npy"])))
    twice = npy(np.array(text[:-1] + ', "version": "9"}'))
    assert "a name twice" in load_error(written({**members, "header.npy": twice}))


@pytest.mark.parametrize("name", ["x" * 100_000, "\x1b[2J\nsaved"])
def test_error_messages_quote_little_of_the_file(name, members):
    settings = json.loads(str(np.load(io.BytesIO(members["header.npy"]))))["settings"]
    reason = load_error(written(with_header(members, settings={**settings, name: 1})))
    assert len(reason) < 400
    assert reason.isprintable()


def test_deeply_nested_spaces_are_rejected(members):
    text = str(np.load(io.BytesIO(members["header.npy"])))
    deep = '{"kind": "tuple", "parts": [' * 5000
    text = text.replace('"observations": ', f'"observations": {deep}', 1)
    load_error(written({**members, "header.npy": npy(np.array(text + "]}" * 5000))}))


def test_loading_allocates_no_rollout_memory(members):
    """No array's size depends on n_steps; the agent is created at its first use."""
    tracemalloc.start()
    loaded = TRPO.load(written(with_header(members, n_steps=2**24, backend="portable")))
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()
    assert loaded.settings.n_steps == 2**24


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss has other units")
def test_predict_allocates_no_rollout_memory(members):
    import resource

    loaded = TRPO.load(written(with_header(members, n_steps=2**21)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded.predict(np.zeros(loaded.observation_space.shape))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB


def test_threads_share_the_agent_of_a_loaded_model(members):
    loaded = TRPO.load(written(members))
    agents, barrier = [], threading.Barrier(4)

    def first_use():
        barrier.wait()
        agents.append(insides(loaded).agent)

    threads = [threading.Thread(target=first_use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, agents))) == 1


def agent_settings(model):
    trainer = insides(model)
    actions = trainer.actions
    return resolve(model.settings, trainer.observations.size, actions.distribution, actions.parts)


SPACES = [
    (Box(-np.inf, np.inf, (3,), np.float64), Box(-1, 1, (2, 2))),
    (Dict(a=Discrete(3, start=-1), b=MultiBinary((2, 2))), MultiDiscrete([2, 3], start=[1, -1])),
    (Box(0, 255, (2, 2), np.uint8), MultiBinary(3)),
    (Box(-128, 127, (2,), np.int8), Discrete(4)),
]


@pytest.mark.filterwarnings("ignore:observation is an image")
@table("backend", ["compiled", "portable"])
@table(("observations", "actions"), SPACES)
@table("critic", ["kfac", "adam", "ridge"])
def test_state_sizes_match_an_agent(backend, observations, actions, critic):
    model = small_model(
        SpacesOnly(observations, actions),
        backend=backend,
        critic=critic,
        policy_kwargs={"net_arch": [3, 2]},
    )
    sizes = {name: len(value) for name, value in model.snapshot().state.items()}
    assert state_sizes(agent_settings(model)) == sizes
    saved = json.loads(
        json.dumps([insides(model).observations.to_json(), insides(model).actions.to_json()])
    )
    assert from_json(*saved)[0] == insides(model).observations


@pytest.mark.parametrize(
    "features",
    [
        {"features": "fourier", "n_features": 5, "feature_bandwidth": 1.0},
        {"features": "rbf", "n_features": 5},
        {"features": "polynomial", "feature_degree": 3},
    ],
)
def test_state_sizes_match_an_agent_with_features(features):
    model = small_model(policy="LinearPolicy", policy_kwargs=features, normalize_observations=True)
    sizes = {name: len(value) for name, value in model.snapshot().state.items()}
    assert state_sizes(agent_settings(model)) == sizes


# -- the command line ------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run."""
    monkeypatch.chdir(tmp_path)
    line = "train CartPole-v1 --n-envs 2 --n-steps 16 --total-timesteps 64 --out run"
    assert main(line.split()) == 0
    return Path("run")


def bombs(members):
    return written(members, zipfile.ZIP_LZMA).getvalue()


@pytest.mark.parametrize("name", ["model.npz", "checkpoint.npz", "config.json", "evaluation.json"])
def test_damaged_run_files_are_reported_in_one_line(name, run, members, capsys):
    (run / name).write_bytes(bombs(members) if name.endswith("npz") else DEEP.encode())
    line = "eval run" if name == "model.npz" else "train --resume run"
    capsys.readouterr()
    code = main(line.split())
    err = capsys.readouterr().err
    if name == "evaluation.json":  # not read for a finished run
        assert (code, err) == (0, "")
    else:
        assert (code, err.count("\n")) == (2, 1)
        assert name in err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
def test_a_named_pipe_in_a_run_folder_does_not_block(run, capsys):
    (run / "config.json").unlink()
    os.mkfifo(run / "config.json")
    for line in ("eval run", "train --resume run"):
        assert main(line.split()) == 2
        assert "config.json" in capsys.readouterr().err


@table("total", [True, -1, 10**30, 1.5])
def test_an_invalid_total_timesteps_is_rejected_on_resume(total, run, capsys):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"total_timesteps": total}))
    assert main(["train", "--resume", "run"]) == 2
    assert "total_timesteps" in capsys.readouterr().err
