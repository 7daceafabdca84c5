"""Successful episodes, as environments report them in info["is_success"]."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from helpers import Counter, small_model
from tables import table
from vec_env import VecCartPole

from fasttrpo import TRPO, evaluate_policy
from fasttrpo.callbacks import EvalCallback
from fasttrpo.cli.eval import describe, evaluate
from fasttrpo.evaluate import play
from fasttrpo.logs.logger import configure
from fasttrpo.stream.step import info_of


class Trying(Counter):
    """Every second episode succeeds, starting with the second; resets report no success."""

    def reset(self, **keywords):
        return super().reset(**keywords)[0], {"is_success": False}

    def step(self, action):
        *answer, _ = super().step(action)
        return *answer, {"is_success": self.episode % 2 == 1}


class VecTrying(VecCartPole):
    """Episodes of 3 steps succeed."""

    def _step(self, env, action):
        obs, reward, done, info = super()._step(env, action)
        return obs, reward, done, info | {"is_success": done}


def trying(mode=AutoresetMode.SAME_STEP):
    return SyncVectorEnv([lambda: Trying(3), lambda: Trying(3)], autoreset_mode=mode)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_the_success_rate_covers_the_last_episodes(mode, tmp_path):
    model = small_model(trying(mode), n_steps=12, stats_window_size=4).learn(24)
    assert model.records[-1]["success_rate"] == 0.5
    assert list(model.ep_success_buffer) in ([False, False, True, True], [True, True, False, False])
    model.save(tmp_path / "model", checkpoint=True)
    again = TRPO.load(tmp_path / "model", trying(mode))
    assert list(again.ep_success_buffer) == list(model.ep_success_buffer)


def test_without_is_success_there_is_no_rate(model):
    model.learn(256)
    assert "success_rate" not in model.records[-1]
    assert not model.ep_success_buffer


def test_a_vec_env_reports_successes():
    model = small_model(VecTrying(2, limit=3), n_steps=8).learn(16)
    assert model.records[-1]["success_rate"] == 1.0


def test_the_log_uses_the_tags_of_stable_baselines3(tmp_path):
    model = small_model(trying(), n_steps=12)
    model.set_logger(configure(tmp_path, ["csv"]))
    callback = EvalCallback(Trying(3), n_eval_episodes=4, eval_freq=6, log_path=tmp_path, verbose=0)
    model.learn(24, callback=callback)
    heading = (tmp_path / "progress.csv").read_text().splitlines()[0].split(",")
    assert {"rollout/success_rate", "eval/success_rate"} <= {*heading}
    assert model.records[-1]["eval/success_rate"] == 0.5
    with np.load(tmp_path / "evaluations.npz") as file:
        assert file["successes"].tolist() == callback.evaluations_successes
        assert file["successes"].shape == file["results"].shape == (2, 4)


def test_an_evaluation_reports_the_success_rate():
    model = small_model(Trying(3))
    assert [episode.success for episode in play(model, Trying(3), 4)] == [0, 1, 0, 1]
    result = evaluate(model, Trying(3), 4, 0, True, False)
    assert result["success_rate"] == 0.5
    assert describe("Trying", result).endswith("over 4 deterministic episodes, success in 50%")
    assert evaluate_policy(model, Trying(3), 2) == (6.0, 0.0)


ODD = [
    {"episode": 3},
    {"episode": "none"},
    {"episode": [1, 2]},
    {"episode": np.array([1, 2])},
    {"episode": {"r": None, "l": np.nan}},
    {"episode": {"r": "much", "l": np.inf}},
    {"episode": {"r": np.ones(2), "l": {}}},
    {"is_success": np.ones(2)},
    {"is_success": "yes"},
    {"is_success": np.nan},
    {"raw_reward": None},
    {"raw_reward": 5.0},
    {"vec_env_infos": 3},
    {"final_info": 3},
    {1: 2},
    {"parts": [[1], [2, 3]]},
    {"seen": 1, "_seen": "often"},
]


class Odd(Counter):
    """Returns unexpected infos."""

    def __init__(self, info):
        super().__init__(3)
        self.info = info

    def step(self, action):
        *answer, info = super().step(action)
        return *answer, {**info, **self.info}


@table("info", ODD, ids=str)
@table("mode", list(AutoresetMode))
def test_learning_survives_odd_infos(mode, info):
    env = SyncVectorEnv([lambda: Odd(info), lambda: Odd(info)], autoreset_mode=mode)
    model = small_model(env, n_steps=12)
    model.learn(24, callback=lambda locals_, globals_: True)
    record, usual = model.records[-1], small_model(trying(mode), n_steps=12).learn(24).records[-1]
    assert "success_rate" not in record
    assert record["return_mean"] == usual["return_mean"]
    assert record["length_mean"] == usual["length_mean"] == 3


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_return_in_an_array_counts(shape):
    info = {"episode": {"r": np.full(shape, 7.0), "l": np.full(shape, 2)}}
    info["is_success"] = np.full(shape, True)
    (episode,) = play(small_model(Counter(3)), Odd(info), 1)
    assert (episode.total, episode.length, episode.success) == (7.0, 2, True)


def test_infos_of_a_vector_environment_may_be_ragged_lists():
    assert info_of({"parts": [[1], [2, 3]]}, 1) == {"parts": [2, 3]}
    assert info_of({"final_info": [None, {"a": 1}]}, 1, done=True) == {"a": 1}
    assert info_of([3, {"a": 1}], 0) == {}
