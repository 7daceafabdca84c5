"""`EvalCallback` and its children: results, the best model, and stopping."""

from __future__ import annotations

import csv

import gymnasium
import numpy as np
import pytest
from helpers import Counter, Pointer, small_model

from fasttrpo import TRPO
from fasttrpo.callbacks import (
    EvalCallback,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)


def evaluated(tmp_path, **keywords):
    model = small_model(Pointer(), n_steps=8)
    callback = EvalCallback(
        Pointer(),
        n_eval_episodes=3,
        eval_freq=10,
        log_path=tmp_path / "log",
        best_model_save_path=tmp_path / "best",
        **keywords,
    )
    model.learn(32, callback=callback)
    return model, callback


def test_evaluations_are_logged_and_the_best_model_is_kept(tmp_path, capsys):
    model, callback = evaluated(tmp_path)
    with np.load(tmp_path / "log" / "evaluations.npz") as file:
        saved = dict(file)
    assert saved["timesteps"].tolist() == callback.evaluations_timesteps == [10, 20, 30]
    assert saved["results"].shape == saved["ep_lengths"].shape == (3, 3)
    means = saved["results"].mean(axis=1)
    assert callback.last_mean_reward == means[-1]
    assert callback.best_mean_reward == means.max()
    assert (saved["ep_lengths"] == 5).all()
    with open(tmp_path / "log" / "evaluations.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["num_timesteps"]) for row in rows] == [10, 20, 30]
    assert [float(row["mean_reward"]) for row in rows] == means.tolist()
    assert [float(row["std_reward"]) for row in rows] == saved["results"].std(axis=1).tolist()
    best = TRPO.load(tmp_path / "best" / "best_model.npz")
    assert best.num_timesteps == saved["timesteps"][means.argmax()]
    assert [r["eval/mean_reward"] for r in model.records if "eval/mean_reward" in r] == list(means)
    out = capsys.readouterr().out
    assert "Eval num_timesteps=10, episode_reward=" in out
    assert "Episode length: 5.00 +/- 0.00" in out
    assert "New best mean reward!" in out


def test_max_evaluations_limits_the_evaluations_kept(tmp_path):
    """In the lists and evaluations.npz. evaluations.csv has all, over several calls of `learn`."""
    callback = EvalCallback(
        Pointer(), eval_freq=8, log_path=tmp_path, max_evaluations=3, verbose=0, n_eval_episodes=2
    )
    (tmp_path / "evaluations.csv").write_text("of another run")
    model = small_model(Pointer(), n_steps=8).learn(32, callback)
    model.learn(16, callback, reset_num_timesteps=False)
    assert callback.evaluations_timesteps == [32, 40, 48]
    assert len(callback.evaluations_results) == len(callback.evaluations_length) == 3
    with np.load(tmp_path / "evaluations.npz") as file:
        assert file["timesteps"].tolist() == [32, 40, 48]
    with open(tmp_path / "evaluations.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["num_timesteps"]) for row in rows] == [8, 16, 24, 32, 40, 48]
    assert float(rows[-1]["mean_reward"]) == np.mean(callback.evaluations_results[-1])


def test_evaluations_change_no_bit_of_the_training(tmp_path):
    model, _ = evaluated(tmp_path, verbose=0, deterministic=False)
    twin = small_model(Pointer(), n_steps=8).learn(32)
    np.testing.assert_array_equal(model.theta, twin.theta)


def test_evaluations_in_environments_from_ids_are_repeatable():
    results = []
    for _ in range(2):
        callback = EvalCallback("CartPole-v1", n_eval_episodes=3, eval_freq=16, verbose=0)
        small_model().learn(256, callback=callback)
        results.append(callback.evaluations_results)
    assert results[0] == results[1]
    assert len(results[0]) == 4


def test_children_of_an_eval_callback_can_stop_the_run():
    stop = StopTrainingOnRewardThreshold(reward_threshold=-1e9)
    model = small_model(Pointer(), n_steps=8)
    model.learn(64, callback=EvalCallback(Pointer(), stop, eval_freq=10, verbose=0))
    assert model.num_timesteps == 10
    assert stop.n_calls == 1
    never = StopTrainingOnRewardThreshold(reward_threshold=1e9)
    model.learn(64, callback=EvalCallback(Pointer(), [never], eval_freq=10, verbose=0))
    assert model.num_timesteps == 64


@pytest.mark.parametrize(("min_evals", "evaluations"), [(0, 4), (1, 4), (3, 6)])
def test_no_improvement_stops_the_run(min_evals, evaluations, capsys):
    """A Counter's return does not depend on the policy: only the first evaluation is a new best."""
    stop = StopTrainingOnNoModelImprovement(2, min_evals, verbose=1)
    callback = EvalCallback(Counter(), callback_after_eval=stop, eval_freq=4, verbose=0)
    model = small_model(Counter(), n_steps=8)
    model.learn(1000, callback=callback)
    assert len(callback.evaluations_results) == evaluations
    assert model.num_timesteps == 4 * evaluations
    assert "no new best model in the last 3 evaluations" in capsys.readouterr().out


@pytest.mark.parametrize(
    "callback", [StopTrainingOnRewardThreshold(1.0), StopTrainingOnNoModelImprovement(1)]
)
def test_children_of_an_eval_callback_are_refused_elsewhere(callback, model):
    with pytest.raises(ValueError, match="an EvalCallback"):
        model.learn(64, callback=callback)


def test_evaluating_in_the_training_environment_is_refused():
    env = Pointer()
    model = small_model(env)
    with pytest.raises(ValueError, match="eval_env is the training environment"):
        model.learn(16, callback=EvalCallback(env))
    with pytest.raises(ValueError, match="eval_env is the training environment"):
        model.learn(16, callback=EvalCallback(model.get_env()))
    with pytest.raises(ValueError, match=r"Box\(.*\(4,\)"):
        model.learn(16, callback=EvalCallback(gymnasium.make("CartPole-v1")))
