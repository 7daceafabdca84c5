"""settings.json, which tells reports what a logger in Python logged."""

from __future__ import annotations

import ast
import json
import os

import gymnasium
import numpy as np
import pytest
from helpers import small_model
from run_folders import write_run

from fasttrpo import TRPO, configure
from fasttrpo.report.groups import group_runs
from fasttrpo.report.repeat import repeat
from fasttrpo.report.runs import load, read


def logged(folder, *formats, model=None, **keywords):
    """A model that logs to the folder."""
    model = model or small_model(**keywords)
    model.set_logger(configure(folder, formats or ["csv"]))
    return model


def described(folder):
    return json.loads((folder / "settings.json").read_text())


def test_a_logged_run_has_its_environment_and_settings(tmp_path):
    logged(tmp_path / "a", target_kl=0.02).learn(64)
    logged(tmp_path / "b", target_kl=0.05).learn(64)
    run = read(tmp_path / "a")
    assert (run.env_id, run.name, run.is_done) == ("CartPole-v1", "seed 3", True)
    assert run.settings["target_kl"] == 0.02
    assert run.config["versions"]["gymnasium"] == gymnasium.__version__
    groups = group_runs(load([tmp_path])[0])
    assert [group.label for group in groups] == ["target_kl=0.02", "target_kl=0.05"]


def test_the_call_repeats_the_run_bit_for_bit(tmp_path):
    model = logged(tmp_path, target_kl="linear_0.02", policy="LinearPolicy", normalize_rewards=True)
    model.learn(200)
    (line,) = repeat(read(tmp_path)).splitlines()
    again = eval(line, {"TRPO": TRPO})
    np.testing.assert_array_equal(model.theta, again.theta)


def test_the_call_that_repeats_a_strangers_run_runs_nothing_else(tmp_path):
    logged(tmp_path, env=gymnasium.make("CartPole-v1")).learn(32)
    run = described(tmp_path)
    run["env_id"] = "CartPole-v1\nimport evil"
    run["settings"] |= {"x=1); evil(": 1, "critic": "kfac')\nevil('", "env_kwargs": {"\n": "\nx"}}
    (tmp_path / "settings.json").write_text(json.dumps(run))
    (statement,) = ast.parse(repeat(read(tmp_path))).body
    learn = statement.value
    assert ast.unparse(learn.func.value.func) == "TRPO"
    calls = [each for each in ast.walk(statement) if isinstance(each, ast.Call)]
    assert calls == [learn, learn.func.value]


def test_environments_are_named_by_spec_or_class(tmp_path):
    class Own(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (2,))
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, **options):
            return self.observation_space.sample(), {}

        def step(self, action):
            return self.observation_space.sample(), 1.0, True, False, {}

    given = {
        "Own": Own(),
        "Pendulum-v1": gymnasium.make("Pendulum-v1", g=5.0),
        "CartPole-v1": gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync"),
    }
    for name, env in given.items():
        logged(tmp_path / name, env=env).learn(32)
        assert read(tmp_path / name).env_id == name
    assert described(tmp_path / "Pendulum-v1")["settings"]["env_kwargs"] == {"g": 5.0}
    line = repeat(read(tmp_path / "Pendulum-v1"))
    assert line.startswith("TRPO('MlpPolicy', env, n_steps=16, seed=3, policy_kwargs=")
    assert line.endswith("# env: Pendulum-v1 with {'g': 5.0}, as the script made it")


def test_what_changes_between_calls_of_learn_is_told(tmp_path):
    model = logged(tmp_path)
    model.learn(64)
    model.change(target_kl=0.05)
    model.learn(64, reset_num_timesteps=False)
    assert described(tmp_path)["settings"]["target_kl"] == "0.01, then 0.05"
    assert (described(tmp_path)["total_timesteps"], read(tmp_path).steps) == (128, 128)
    model.learn(64)  # counts from 0 again; the report counts on
    assert (described(tmp_path)["total_timesteps"], read(tmp_path).steps) == (192, 192)
    assert described(tmp_path)["settings"]["target_kl"] == "0.01, then 0.05"
    assert "target_kl changed during the run" in repeat(read(tmp_path))


def test_several_models_of_one_logger_are_told(tmp_path):
    logger = configure(tmp_path, ["csv"])
    for env_id, seed in (("CartPole-v1", 0), ("Acrobot-v1", 1)):
        model = small_model(env_id, seed=seed)
        model.set_logger(logger)
        model.learn(128 - 64 * seed)
    run = read(tmp_path)
    assert run.env_id == "CartPole-v1, then Acrobot-v1"
    assert run.settings["seed"] is None
    assert (run.config["total_timesteps"], run.steps) == (192, 192)


def test_a_new_logger_starts_a_new_description(tmp_path):
    logged(tmp_path, target_kl=0.02).learn(64)
    logged(tmp_path, target_kl=0.05).learn(64)
    assert described(tmp_path)["settings"]["target_kl"] == 0.05
    model = small_model(target_kl=0.05)
    model.learn(64)
    model.set_logger(configure(tmp_path, ["csv"], model.num_timesteps))
    model.change(target_kl=0.06)
    model.learn(64, reset_num_timesteps=False)
    assert described(tmp_path)["settings"]["target_kl"] == "0.05, then 0.06"


def test_why_learn_ended_early_is_told(tmp_path):
    logged(tmp_path).learn(6400, lambda record: False)
    run = read(tmp_path)
    assert (run.ended, run.steps, run.is_done) == ("callback", 64, False)


def test_the_folder_of_a_run_keeps_its_own_config(tmp_path):
    folder = write_run(tmp_path / "run", settings={"target_kl": 0.07})
    before = (folder / "config.json").read_bytes()
    logged(folder).learn(64)
    assert (folder / "config.json").read_bytes() == before
    assert not (folder / "settings.json").exists()


@pytest.mark.parametrize("formats", [["json"], ["stdout"]])
def test_only_progress_csv_makes_a_folder_a_run(formats, tmp_path):
    logged(tmp_path, *formats).learn(64)
    assert not (tmp_path / "settings.json").exists()


@pytest.mark.parametrize("text", ['{"theme": "dark"}', "// not JSON"])
def test_another_programs_file_stays_as_it_is(text, tmp_path):
    (tmp_path / "settings.json").write_text(text)
    with pytest.warns(UserWarning, match="not a logger's file and stays as it is"):
        logged(tmp_path).learn(64)
    assert (tmp_path / "settings.json").read_text() == text


@pytest.mark.skipif(os.name == "nt", reason="links need rights")
def test_a_link_in_the_folder_is_replaced_not_followed(tmp_path):
    (tmp_path / "own.txt").write_text("mine")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "settings.json").symlink_to(tmp_path / "own.txt")
    logged(tmp_path / "logs").learn(64)
    assert (tmp_path / "own.txt").read_text() == "mine"
    assert described(tmp_path / "logs")["env_id"] == "CartPole-v1"


def test_functions_are_told_by_name(tmp_path):
    def shrinking(remaining):
        return 0.01 * remaining + 0.001

    logged(tmp_path, target_kl=shrinking).learn(64)
    assert described(tmp_path)["settings"]["target_kl"] == "function shrinking"
    assert "target_kl: a function of the script" in repeat(read(tmp_path))
