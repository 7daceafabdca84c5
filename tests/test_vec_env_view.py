"""`get_env` returns a `VecEnv` view of environments passed as an id or singly."""

from __future__ import annotations

import sys
import types
from abc import ABC

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit, TransformReward
from helpers import Counter, counters, insides, same_state, small_model
from tables import table
from vec_env import VecCartPole

from fasttrpo import TRPO, evaluate_policy
from fasttrpo.callbacks import BaseCallback, EveryNTimesteps
from fasttrpo.sb3.view import VecEnvView

BACKENDS = ["gymnasium", "native"]


def cart_poles(n_envs=3, env_backend="gymnasium"):
    if env_backend == "native":
        pytest.importorskip("fasttrpo.core._envs")
    settings = {"n_envs": n_envs, "n_steps": 16, "env_backend": env_backend, "seed": 0}
    return TRPO("MlpPolicy", "CartPole-v1", **settings)


@pytest.mark.parametrize("env_backend", BACKENDS)
def test_a_vec_env_loop_steps_the_environments(env_backend):
    """Step by step against separate Gymnasium environments."""
    model = cart_poles(env_backend=env_backend)
    vec_env = model.get_env()
    assert vec_env.seed(5) == [5, 6, 7]
    obs = vec_env.reset()
    alone = [gymnasium.make("CartPole-v1") for _ in range(3)]
    ends, total, length = 0, np.zeros(3), np.zeros(3, int)
    for _ in range(200):
        for env, row in zip(alone, obs, strict=True):
            env.reset()
            env.unwrapped.state = row.astype(float)
        action, _ = model.predict(obs)
        obs, rewards, dones, infos = vec_env.step(action)
        answers = [env.step(a) for env, a in zip(alone, action, strict=True)]
        assert dones.tolist() == [answer[2] for answer in answers]
        total, length = total + rewards, length + 1
        for i in range(3):
            after = infos[i]["terminal_observation"] if dones[i] else obs[i]
            np.testing.assert_allclose(after, answers[i][0], rtol=1e-5, atol=1e-6)
            assert ("episode" in infos[i]) == dones[i]
            if dones[i]:
                assert infos[i]["TimeLimit.truncated"] is False
                assert infos[i]["episode"]["r"] == infos[i]["episode"]["l"] == length[i] == total[i]
                assert np.abs(obs[i]).max() <= 0.05
                total[i] = length[i] = 0
                ends += 1
    assert ends > 5


def test_a_truncated_episode_is_marked():
    vec_env = small_model(Counter(3, truncates=True)).get_env()
    vec_env.reset()
    *_, (info,) = [vec_env.step([0])[3] for _ in range(3)]
    assert (info["TimeLimit.truncated"], info["terminal_observation"].tolist()) == (True, [3])
    assert info["episode"] == {"r": 6.0, "l": 3}


def test_stepping_the_view_makes_learn_reset():
    model = cart_poles(env_backend="native").learn(48)
    model.get_env().reset()
    model.get_env().step([0, 0, 0])
    model.learn(48, reset_num_timesteps=False)
    assert all(each.length == each.total for each in insides(model).statistics.window)


def test_evaluation_may_use_the_training_environments():
    model, twin = (cart_poles(2).learn(32) for _ in range(2))
    assert evaluate_policy(model, model.get_env(), 4)[0] > 1
    assert isinstance(model.get_env(), VecEnvView)
    model.learn(32, reset_num_timesteps=False)
    assert not same_state(model, twin)


@pytest.mark.parametrize("env_backend", BACKENDS)
def test_the_view_continues_where_learn_stopped(env_backend):
    """Unfinished episodes continue too, also those collected in C."""
    model = cart_poles(1, env_backend).learn(16)
    begun = int(insides(model).statistics.unfinished()[1][0])
    assert begun > 0
    vec_env = model.get_env()
    for steps in range(1, 100):  # noqa: B007 - how many there were counts
        _, _, (done,), (info,) = vec_env.step([0])
        if done:
            break
    assert info["episode"]["l"] == begun + steps
    assert not model.is_amid_episodes


def test_moving_the_view_after_an_evaluation_is_noticed():
    model = cart_poles(2)
    vec_env = model.get_env()
    evaluate_policy(model.learn(32), vec_env, 2)
    assert model.get_env() is vec_env
    model.learn(32, reset_num_timesteps=False)
    assert model.is_amid_episodes
    vec_env.reset()
    assert not model.is_amid_episodes
    model.learn(32)
    model.set_env("CartPole-v1")
    model.learn(32)
    vec_env.reset()  # of environments that the model no longer uses
    assert model.is_amid_episodes


@table("env_backend", BACKENDS)
@table(
    "move",
    [
        lambda model: model.get_env().reset(),
        lambda model: model.get_env().step([0, 0]),
        lambda model: evaluate_policy(model, model.get_env(), 2),
        lambda model: model.set_random_seed(3),
    ],
    ids=["reset", "step", "evaluation", "seed"],
)
def test_a_callback_must_not_move_the_view_within_a_rollout(move, env_backend):
    class Moving(BaseCallback):
        def __init__(self, moment):
            super().__init__()
            setattr(self, moment, self.move)

        def move(self):
            move(self.model)
            return True

    model = cart_poles(2, env_backend)
    for callback in (Moving("_on_step"), EveryNTimesteps(10, Moving("_on_step"))):
        with pytest.raises(RuntimeError, match="during a rollout: "):
            model.learn(64, callback)
    for moment in ("_on_rollout_start", "_on_rollout_end"):
        assert model.learn(64, Moving(moment)).num_timesteps == 64


def test_another_model_can_train_in_the_view():
    vec_env = cart_poles(2).get_env()
    model = TRPO("MlpPolicy", vec_env, n_steps=8).learn(16)
    assert model.get_env().vector_env is vec_env.vector_env


def test_vector_environments_are_returned_unchanged():
    from gymnasium.vector import AutoresetMode

    for env in (counters(AutoresetMode.SAME_STEP), VecCartPole(2)):
        assert TRPO("MlpPolicy", env, n_steps=8).get_env() is env


def test_attributes_and_methods_of_the_environments_are_accessible():
    env = TimeLimit(Counter(), 100)
    vec_env = small_model(env).get_env()
    assert vec_env.num_envs == 1
    assert vec_env.observation_space == env.observation_space
    assert vec_env.action_space == env.action_space
    assert vec_env.get_attr("length") == [3]
    vec_env.set_attr("length", 7)
    assert vec_env.get_attr("length", indices=0) == [7] == [env.unwrapped.length]
    assert vec_env.env_method("has_wrapper_attr", "length") == [True]
    assert (vec_env.has_attr("length"), vec_env.has_attr("width")) == (True, False)
    assert vec_env.env_is_wrapped(TimeLimit) == [True]
    assert vec_env.env_is_wrapped(TransformReward, indices=[0]) == [False]
    assert (vec_env.render_mode, vec_env.render("human"), vec_env.unwrapped) == (
        None,
        None,
        vec_env,
    )


def test_each_environment_is_wrapped_by_a_monitor(monkeypatch):
    """As infos have what it would report."""
    module = types.ModuleType("monitor")
    module.Monitor = type("Monitor", (), {})
    vec_env = small_model(Counter()).get_env()
    assert vec_env.env_is_wrapped(module.Monitor) == [False]
    monkeypatch.setitem(sys.modules, "stable_baselines3.common.monitor", module)
    assert vec_env.env_is_wrapped(module.Monitor) == [True]
    assert vec_env.env_is_wrapped(type("Monitor", (), {})) == [False]


def test_pictures_of_all_environments_are_tiled():
    class Painted(Counter):
        render_mode = "rgb_array"

        def __init__(self, color):
            super().__init__()
            self.color = color

        def render(self):
            return np.full((2, 4, 3), self.color, np.uint8)

    vec_env = small_model(Painted(7)).get_env()
    vec_env.reset()
    np.testing.assert_array_equal(vec_env.render("rgb_array"), np.full((2, 4, 3), 7))
    envs = gymnasium.vector.SyncVectorEnv([lambda c=c: Painted(c) for c in (1, 2, 3)])
    picture = VecEnvView(envs, lambda env: None).render()
    assert picture.shape == (4, 8, 3)
    assert picture[::2, ::4, 0].tolist() == [[1, 2], [3, 0]]


def test_options_may_be_a_list_of_equal_dicts():
    vec_env = cart_poles(2).get_env()
    vec_env.set_options([{"low": 0.01, "high": 0.01}] * 2)
    assert (vec_env.reset() == np.float32(0.01)).all()
    with pytest.raises(ValueError, match="set_options"):
        vec_env.set_options([{"low": 0.0}, {"low": 0.01}])


def test_compiled_environments_share_their_attributes():
    vec_env = cart_poles(2, "native").get_env()
    assert vec_env.get_attr("name") == [vec_env.name] * 2
    assert vec_env.env_is_wrapped(TimeLimit) == [False, False]
    with pytest.raises(AttributeError, match="env_backend='gymnasium'"):
        vec_env.env_method("render")


def test_reset_infos_are_those_of_the_new_episode():
    """Their masks are for the next episode, not for the one that ended."""

    class Masked(Counter):
        def reset(self, **keywords):
            return super().reset(**keywords)[0], {"action_mask": np.array([0, 1], bool)}

        def step(self, action):
            return *super().step(action)[:4], {"action_mask": np.array([1, 0], bool)}

    vec_env = small_model(Masked(2)).get_env()
    vec_env.reset()
    vec_env.reset_infos.clear()  # remove those of `reset`
    vec_env.reset_infos.append({})
    vec_env.step([0])
    assert vec_env.reset_infos == [{}]
    _, _, dones, infos = vec_env.step([0])
    assert dones.all()
    assert infos[0]["action_mask"].tolist() == [True, False]
    assert list(vec_env.reset_infos[0]) == ["action_mask"]
    assert vec_env.reset_infos[0]["action_mask"].tolist() == [False, True]


@pytest.mark.parametrize("imported", ["before", "after"])
def test_the_view_is_a_vec_env_if_stable_baselines3_is_imported(imported, monkeypatch):
    model = small_model(Counter()) if imported == "after" else None
    module = types.ModuleType("base_vec_env")
    module.VecEnv = type("VecEnv", (ABC,), {})
    monkeypatch.setitem(sys.modules, "stable_baselines3.common.vec_env.base_vec_env", module)
    model = small_model(Counter()) if model is None else model
    assert isinstance(model.get_env(), module.VecEnv)
