"""The search for settings: `fasttrpo.tuning.tune` and `fasttrpo tune`."""

from __future__ import annotations

import inspect
import json
import multiprocessing
import os
import shlex
import signal
import sqlite3
from dataclasses import asdict

import gymnasium
import numpy as np
import pytest

from fasttrpo import TRPO, UserError, cli
from fasttrpo.cli import tune as command
from fasttrpo.settings.tuned import OVERRIDES, settings_for

pytest.importorskip("optuna")

from fasttrpo.tuning import Candidate, Trial, Tuning, Watch, search, tune

FEW = {"jobs": 1, "final_seeds": 0, "total_timesteps": 1000, "settings": {"n_envs": 2}}


class Ones(gymnasium.Env):
    """Ten steps with a reward that the test sets."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)
    reward = 1.0
    fail: Exception | type[BaseException] | None = None

    def reset(self, *, seed=None, options=None):
        self.left = 10
        return np.zeros(1, np.float32), {}

    def step(self, action):
        if Ones.fail is not None:
            raise Ones.fail
        self.left -= 1
        return np.zeros(1, np.float32), Ones.reward, self.left == 0, False, {}


class Deadly(Ones):
    """Kills the process of a worker."""

    def step(self, action):
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


@pytest.fixture(autouse=True)
def usual_rewards_and_short_evaluations(monkeypatch):
    """Each test starts with the environment's usual reward, and evaluates over few episodes."""
    monkeypatch.setattr(search, "OF_TRIAL", (2, 0))
    monkeypatch.setattr(search, "OF_CANDIDATE", (2, 0))
    monkeypatch.setattr(Ones, "reward", 1.0)
    monkeypatch.setattr(Ones, "fail", None)


class Each(Watch):
    """Calls a function after each trial."""

    def __init__(self, call):
        self._call = call

    def tried(self, trial):
        self._call(trial)


# -- trials ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "policy"),
    [
        ("Pendulum-v1", "MlpPolicy"),  # has tuned settings
        *OVERRIDES,
        ("FrozenLake-v1", "LinearPolicy"),  # has none
    ],
)
def test_the_first_trial_has_the_settings_that_train_uses(env_id, policy):
    found = tune(env_id, 1, jobs=1, final_seeds=0, total_timesteps=64, settings={"policy": policy})
    usual = TRPO(env=env_id, policy=policy, seed=0, **settings_for(env_id, policy).settings)
    first = TRPO(env=env_id, seed=0, **found.trials[0].settings)
    filled = {"n_critic_updates": first.settings.n_critic_updates}  # its default, written out
    assert asdict(usual.settings) | filled == asdict(first.settings)


def test_a_search_is_repeatable_and_continues_as_if_it_had_not_stopped(tmp_path):
    whole = tune(Ones, 12, **FEW)
    tune(Ones, 11, folder=tmp_path, **FEW)
    continued = tune(Ones, 12, folder=tmp_path, **FEW)
    assert continued.trials == whole.trials
    assert len({str(trial.params) for trial in whole.trials}) > 10
    assert all(trial.settings["n_envs"] == 2 for trial in whole.trials)
    assert tune(Ones, 5, folder=tmp_path, **FEW).trials == whole.trials


def test_trials_below_the_median_are_pruned():
    def lower(trial):
        Ones.reward -= 1.0

    found = tune(Ones, 8, watch=Each(lower), **FEW)
    assert [trial.state for trial in found.trials] == ["complete"] * 5 + ["pruned"] * 3
    assert found.best.trial.number == 0
    assert found.best.mean == 10.0
    assert found.trials[7].curve == {5: -60.0}  # half of the training was enough


def test_a_failed_trial_is_recorded_and_the_search_goes_on():
    def once(trial):
        Ones.fail = RuntimeError("the motor\nis on fire") if trial.number == 0 else None

    found = tune(Ones, 3, watch=Each(once), **FEW)
    assert [trial.state for trial in found.trials] == ["complete", "failed", "complete"]
    assert found.trials[1].error == "RuntimeError: the motor is on fire"


def test_a_search_in_which_everything_fails_says_why():
    Ones.fail = RuntimeError("no power")
    with pytest.raises(UserError, match="all 5 trials failed; the first: RuntimeError: no power"):
        tune(Ones, 30, **FEW)


def test_an_interrupted_trial_is_repeated(tmp_path):
    def interrupt(trial):
        Ones.fail = KeyboardInterrupt if trial.number == 1 else None

    with pytest.raises(KeyboardInterrupt):
        tune(Ones, 4, folder=tmp_path, watch=Each(interrupt), **FEW)
    Ones.fail = None
    found = tune(Ones, 4, folder=tmp_path, **FEW)
    assert [trial.state for trial in found.trials] == ["complete"] * 4
    uninterrupted = tune(Ones, 4, **FEW)
    assert found.trials[0].params == uninterrupted.trials[0].params


def test_workers_measure_what_this_process_measures():
    here = tune("CartPole-v1", 2, **FEW)
    there = tune("CartPole-v1", 2, **FEW | {"jobs": 2})
    assert there.trials == here.trials


def test_a_dying_process_fails_its_trial_only():
    with pytest.raises(UserError, match="the first: the process of the trial was killed by signal"):
        tune(Deadly, 2, **FEW | {"jobs": 2})


# -- the choice -----------------------------------------------------------------------------------


def candidate(n, *returns):
    trial = Trial(n, "complete", 0.0, {}, {}, {"gamma": 0.9 + n / 100})
    return Candidate(trial, dict(enumerate(returns)))


@pytest.mark.parametrize(
    ("is_tuned", "other", "chosen"),
    [
        (True, (14.0, 15.0, 16.0), 1),
        (True, (10.0, 11.0, 12.5), 0),
        (False, (10.0, 11.0, 12.5), 1),
        (False, (9.0, 10.0, 10.5), 0),
        (False, (99.0, 99.0, None), 0),
    ],
)
def test_tuned_settings_are_only_replaced_by_clearly_better_ones(is_tuned, other, chosen):
    finalists = [candidate(0, 9.0, 10.0, 11.0), candidate(1, *other)]
    tuning = Tuning("CartPole-v1", 1000, is_tuned, [], [], finalists, {})
    assert tuning.best.trial.number == chosen
    assert tuning.config()["settings"] == {"gamma": 0.9 + chosen / 100}


def test_the_choice_uses_new_seeds_and_remembers_them(tmp_path):
    found = tune(Ones, 3, folder=tmp_path, **FEW | {"final_seeds": 2})
    assert found.finalists[0].trial.number == 0
    assert {*found.finalists[0].returns}.isdisjoint(found.shortlist[0].returns)
    again = tune(Ones, 3, folder=tmp_path, **FEW | {"final_seeds": 2})
    assert again == found


# -- files that cannot continue -------------------------------------------------------------------


def test_a_study_of_something_else_is_refused(tmp_path):
    tune("CartPole-v1", 1, folder=tmp_path, **FEW)
    for changed, words in (
        ({"total_timesteps": 2000}, "total_timesteps 1000, not 2000"),
        ({"seed": 1}, "the seed 0, not 1"),
        ({"settings": {"n_envs": 3}}, "'n_envs': 2.* not .*'n_envs': 3"),
    ):
        with pytest.raises(UserError, match=words):
            tune("CartPole-v1", 1, folder=tmp_path, **FEW | changed)
    with pytest.raises(UserError, match="environment 'CartPole-v1', not 'Acrobot-v1'"):
        tune("Acrobot-v1", 1, folder=tmp_path, **FEW)


def test_a_study_of_another_search_space_is_refused(tmp_path):
    tune("CartPole-v1", 1, folder=tmp_path, **FEW)
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute(
            "update study_user_attributes set value_json = replace(value_json, 'gae_lambda', 'x')"
        )
    with pytest.raises(UserError, match="it did not search 1 - gae_lambda"):
        tune("CartPole-v1", 1, folder=tmp_path, **FEW)


@pytest.mark.parametrize("content", [b"text", "tables"])
def test_other_files_are_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "study.db"
    if content == "tables":
        with sqlite3.connect(path) as database:
            database.execute("create table mine (x)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"study\.db is not a study"):
        tune("CartPole-v1", 1, folder=tmp_path, **FEW)
    assert path.read_bytes() == before


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


SHORT = ["--total-timesteps", "1000", "--jobs", "1", "--final-seeds", "2", "--no-progress"]


def test_the_command_has_the_defaults_of_the_function():
    parameters = inspect.signature(tune).parameters
    defaults = parameters["trials"].default, parameters["final_seeds"].default
    assert defaults == (command.TRIALS, command.FINAL_SEEDS)


def test_the_command_writes_a_study_a_configuration_and_a_picture(in_a_new_folder, capsys):
    arguments = ["tune", "Pendulum-v1", "--trials", "3", *SHORT]
    assert cli.main([*arguments, "--set", "n_envs=2"]) == 0
    folder = in_a_new_folder / "runs" / "tune-Pendulum-v1"
    assert {path.name for path in folder.iterdir()} == {"study.db", "best.json", "tuning.png"}
    assert (folder / "tuning.png").read_bytes().startswith(b"\x89PNG")
    config = json.loads((folder / "best.json").read_text())
    assert config["total_timesteps"] == 1000
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2] == "fasttrpo train --config runs/tune-Pendulum-v1/best.json"
    fast, *again = shlex.split(printed[-1])
    assert fast == "fasttrpo"
    assert cli.main([*again, "--out", "run", "--no-progress"]) == 0
    settings = json.loads((in_a_new_folder / "run" / "config.json").read_text())["settings"]
    network = config["settings"].pop("policy_kwargs")
    assert settings == {**settings, **config["settings"]}
    assert settings["policy_kwargs"] == {**settings["policy_kwargs"], **network}


def test_ctrl_c_says_how_far_the_search_came(in_a_new_folder, capsys, monkeypatch):
    monkeypatch.setattr(search, "_finals", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["tune", "CartPole-v1", "--trials", "1", *SHORT]) == 130
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("interrupted after 1 of 1 trial, best ")
    assert said.endswith("saved in runs/tune-CartPole-v1; the same command continues")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trials", "0"], "--trials must be an integer >= 1, got 0"),
        (["--total-timesteps", "1.5"], "--total-timesteps must be an integer >= 1, got 1.5"),
        (["--set", "gama=1"], "unknown setting 'gama'; did you mean 'gamma'?"),
        (["--set", "seed=1"], "--set seed: use the option --seed"),
        (["--set", "gamma"], "--set must be NAME=VALUE, got 'gamma'"),
        (["--out", "file"], "cannot write to 'file': File exists"),
    ],
)
def test_mistakes_end_in_one_line(in_a_new_folder, capsys, arguments, words):
    (in_a_new_folder / "file").write_text("")
    assert cli.main(["tune", "CartPole-v1", "--jobs", "1", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert [path.name for path in in_a_new_folder.iterdir()] == ["file"]


@pytest.mark.parametrize("package", ["optuna", "matplotlib"])
def test_a_missing_package_is_named_with_the_command(package, monkeypatch, capsys):
    for module in (package, f"{package}.figure"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    assert cli.main(["tune", "CartPole-v1"]) == 2
    error = capsys.readouterr().err
    assert package in error
    assert "pip install 'fasttrpo[tune]'" in error
