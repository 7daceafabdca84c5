"""Model files: loading restores what was saved, and refuses anything else."""

from __future__ import annotations

import json
import os
import warnings
import zipfile

import numpy as np
import pytest
from helpers import Pointer, replace_agent, same_state, small_model
from tables import table

from fasttrpo import TRPO, FormatError
from fasttrpo.files import checkpoint
from fasttrpo.settings.critics import CRITICS


@pytest.fixture
def saved(tmp_path):
    """A trained model and its file."""
    model = small_model(normalize_observations=True, normalize_rewards=True).learn(128)
    model.save(tmp_path / "model.npz")
    return model, tmp_path / "model.npz"


def rewrite(path, **changes):
    """Replace some header entries or arrays of a file."""
    with np.load(path) as archive:
        members = {name: archive[name] for name in archive.files}
    header = json.loads(str(members["header"]))
    arrays = {name: value for name, value in changes.items() if isinstance(value, np.ndarray)}
    header |= {name: value for name, value in changes.items() if name not in arrays}
    members |= arrays | {"header": np.array(json.dumps(header))}
    np.savez(path, **members)


def test_a_loaded_model_equals_the_saved_one(saved):
    model, path = saved
    loaded = TRPO.load(path)
    assert same_state(model, loaded)
    assert loaded.settings == model.settings
    assert (loaded.num_timesteps, loaded.n_updates) == (128, 2)
    assert loaded.observation_space == model.observation_space
    assert loaded.action_space == model.action_space
    obs = np.random.default_rng(0).normal(size=(20, 4))
    np.testing.assert_array_equal(loaded.predict(obs)[0], model.predict(obs)[0])


def test_a_run_of_a_version_with_other_rounding_continues_with_a_warning(tmp_path):
    """Old files have no number."""
    model, path = small_model().learn(128), tmp_path / "run.npz"
    model.save(path, checkpoint=True)
    for number in (1, checkpoint.NUMERICS + 1):
        rewrite(path, numerics=number)
        with pytest.warns(UserWarning, match=r"run.npz .* other rounding.* not those of an unint"):
            resumed = TRPO.load(path, env="CartPole-v1")
        assert same_state(model, resumed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TRPO.load(path)
        model.save(path, checkpoint=True)
        TRPO.load(path, env="CartPole-v1")


@table("critic", CRITICS)
def test_a_resumed_run_is_bit_identical(critic, tmp_path):
    keywords = {"critic": critic, "normalize_observations": True, "normalize_rewards": True}
    model = small_model(**keywords).learn(128)
    model.save(tmp_path / "half")
    model.set_env("CartPole-v1")
    model.learn(128, reset_num_timesteps=False)
    resumed = TRPO.load(tmp_path / "half", env="CartPole-v1")
    resumed.learn(128, reset_num_timesteps=False)
    assert same_state(model, resumed)
    assert resumed.num_timesteps == 256


def test_names_without_a_suffix_get_npz(model, tmp_path):
    model.save(tmp_path / "bare")
    assert [p.name for p in tmp_path.iterdir()] == ["bare.npz"]
    TRPO.load(tmp_path / "bare")
    TRPO.load(str(tmp_path / "bare.npz"))


@pytest.mark.parametrize(("written", "read"), [("float32", "float64"), ("float64", "float32")])
def test_either_precision_loads_as_the_other(written, read, tmp_path):
    model = small_model(dtype=written).learn(64)
    model.save(tmp_path / "model")
    loaded = TRPO.load(tmp_path / "model", dtype=read)
    assert loaded.settings.dtype == read
    assert same_state(model, loaded)


def test_load_takes_settings(saved):
    _, path = saved
    loaded = TRPO.load(path, env="CartPole-v1", n_envs=2, target_kl=0.02, cg_max_steps=3)
    assert (loaded.settings.target_kl, loaded.get_env().num_envs) == (0.02, 2)
    loaded.learn(32, reset_num_timesteps=False)
    assert loaded.num_timesteps == 160
    with pytest.raises(TypeError, match="did you mean 'gamma'"):
        TRPO.load(path, gama=0.9)
    with pytest.raises(TypeError, match="policy_kwargs and seed of a saved model cannot be chang"):
        TRPO.load(path, seed=3, policy_kwargs={})


def test_settings_at_load_are_checked_with_the_saved_critic(tmp_path):
    small_model(critic="adam").save(tmp_path / "new" / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = TRPO.load(tmp_path / "new" / "model", learning_rate=0.01)
    assert (loaded.settings.critic, loaded.settings.learning_rate) == ("adam", 0.01)


@pytest.mark.parametrize(("saved", "wanted"), [("ridge", "adam"), ("gauss_newton", "ridge")])
def test_loading_with_another_critic_names_the_setting(saved, wanted, tmp_path):
    small_model(critic=saved).save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"^critic must be .* for this saved model, got ") as error:
        TRPO.load(tmp_path / "model", critic=wanted)
    assert not isinstance(error.value, FormatError)
    assert TRPO.load(tmp_path / "model", critic=saved).settings.critic == saved


def test_an_environment_with_other_spaces_is_refused(saved):
    _, path = saved
    with pytest.raises(FormatError, match=r"model.npz: the environment has Box\(.*\(6,\)"):
        TRPO.load(path, env="Acrobot-v1")
    with pytest.raises(FormatError, match=r"model.npz: the environment has"):
        TRPO.load(path, env=Pointer())


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        TRPO.load(tmp_path / "nothing")


def test_a_folder_is_not_a_model(saved, monkeypatch):
    model, path = saved
    with pytest.raises(FileNotFoundError, match=r"is a folder; .*npz"):
        TRPO.load(path.parent)
    monkeypatch.chdir(path.parent)
    with pytest.raises(FileNotFoundError, match=r"^\. is a folder; .* model\.npz$"):
        TRPO.load("")
    with pytest.raises(ValueError, match=r"a model's file must have a name, got '\.'"):
        model.save("")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(saved, keep):
    _, path = saved
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(FormatError, match=r"model\.npz is not a fasttrpo model.*truncated"):
        TRPO.load(path)


def test_flipped_bits_are_refused(saved):
    _, path = saved
    data = bytearray(path.read_bytes())
    with np.load(path) as archive:
        theta = archive["theta"].tobytes()
    data[data.index(theta) + 5] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(FormatError, match=r"model\.npz is damaged"):
        TRPO.load(path)


def test_a_stable_baselines3_model_is_recognised(tmp_path):
    """By the names of its members."""
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for name in ("data", "pytorch_variables.pth", "policy.pth", "policy.optimizer.pth"):
            archive.writestr(name, b"\x80")
    with pytest.raises(FormatError, match=r"model\.zip is a Stable-Base.*set_parameters"):
        TRPO.load(tmp_path / "model")


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "foreign.npz"
    path.write_text("not an archive")
    with pytest.raises(FormatError, match=r"foreign\.npz is not a fasttrpo model"):
        TRPO.load(path)
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(FormatError, match=r"foreign\.npz is not a fasttrpo model: it has no"):
        TRPO.load(path)


def test_pickles_are_never_opened(tmp_path):
    path = tmp_path / "pickle.npz"
    np.savez(path, header=np.array([{"format": 1}], dtype=object))
    with pytest.raises(FormatError, match=r"pickle\.npz is damaged: .*allow_pickle"):
        TRPO.load(path)


def test_newer_files_are_refused(saved):
    _, path = saved
    rewrite(path, format=3, version="9.9.9")
    with pytest.raises(FormatError, match=r"has format 3, written by fasttrpo 9\.9\.9"):
        TRPO.load(path)


def test_older_files_load(saved, monkeypatch):
    """Of format 1. State it lacks is as in a new model."""
    model, path = saved
    rewrite(path, format=1)
    assert same_state(model, TRPO.load(path))
    monkeypatch.setattr(checkpoint, "_STATE_1", "theta value_theta counters")
    with np.load(path) as archive:
        members = {name: archive[name] for name in archive.files if name != "rew_count"}
    np.savez(path, **members)
    loaded = TRPO.load(path).snapshot().state
    assert loaded["rew_count"] == 0
    np.testing.assert_array_equal(loaded["theta"], model.snapshot().state["theta"])
    monkeypatch.undo()
    with pytest.raises(FormatError, match="the state lacks 'rew_count'"):
        TRPO.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"gama": 1}},
        {"settings": {"gamma": 7}},
        {"actions": {"kind": "tuple"}},
        {"settings": {"n_steps": 2**25}},
        {"num_timesteps": None},
        {"num_timesteps": -1},
        {"n_updates": -1},
        {"actions": {"kind": "discrete", "n": 2**40, "start": 0}},
        {"obs_count": np.array([-1.0])},
        {"rew_m2": np.array([-1.0])},
        {"observations": {"kind": "box", "shape": [4], "low": [], "high": [], "dtype": "f4"}},
        {"theta": np.zeros(3)},
        {"theta": np.full(40, np.nan)},
        {"obs_mean": np.full(4, np.nan)},
    ],
)
def test_damaged_contents_are_refused(saved, changes):
    _, path = saved
    rewrite(path, **changes)
    with pytest.raises(FormatError, match=r"model\.npz"):
        TRPO.load(path)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_while_saving_leaves_the_old_file_intact(saved, step, monkeypatch):
    model, path = saved
    before = path.read_bytes()

    def fail(*args):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, step, fail)
    model.learn(64)
    with pytest.raises(OSError, match="the disk is full"):
        model.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_leftovers_of_a_killed_save_are_overwritten(saved):
    model, path = saved
    (path.parent / ".model.npz.tmp").write_text("half of a model")
    model.save(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert same_state(model, TRPO.load(path))


def test_a_state_that_cannot_be_loaded_is_not_saved(saved):
    model, path = saved
    before, state = path.read_bytes(), model.snapshot().state

    class Broken:
        def state(self):
            return {**state, "theta": state["theta"] * np.nan}

    replace_agent(model, Broken())
    with pytest.raises(ValueError, match="theta is not finite"):
        model.save(path)
    assert path.read_bytes() == before
