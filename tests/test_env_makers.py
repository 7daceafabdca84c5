"""Environments that are made: from ids, classes and functions, with keyword arguments."""

from __future__ import annotations

import functools
import gc
import math
import warnings

import gymnasium
import numpy as np
import pytest
from agents import needs_extension
from gymnasium import spaces
from gymnasium.envs.classic_control import PendulumEnv
from helpers import Counter, small_model
from tables import table

from fasttrpo import TRPO, callbacks, envs, evaluate_policy


def lengths(model, env):
    """The length of an episode in each environment, with the model's settings."""
    return evaluate_policy(model, env, 2, return_episode_rewards=True)[1]


class Recorded(Counter):
    """Records the instances that are open."""

    open: list = []  # noqa: RUF012

    def __init__(self, length=3, **options):
        super().__init__(length)
        self.options = options
        self.open.append(self)

    def close(self):
        self.open.remove(self)


@pytest.fixture
def recorded():
    """The class, without instances."""
    Recorded.open.clear()
    return Recorded


# -- classes and functions -------------------------------------------------------------------------


@table(
    "wrapped",
    [
        lambda kind: kind,
        lambda kind: lambda: kind(),
        lambda kind: functools.partial(kind, length=2),
        lambda kind: lambda: gymnasium.wrappers.TimeLimit(kind(), 2),
    ],
    ids=["class", "lambda", "partial", "wrapper"],
)
def test_makers_make_n_envs_environments_everywhere(recorded, wrapped, tmp_path):
    maker = wrapped(recorded)
    model = small_model(maker, n_envs=4).learn(64)
    assert model.num_timesteps == 64
    assert len(recorded.open) == 4
    evaluate_policy(model, maker, 3)
    assert len(recorded.open) == 4  # evaluations close theirs
    model.learn(64, callbacks.EvalCallback(maker, n_eval_episodes=2, eval_freq=8, verbose=0))
    model.set_env(maker)
    model.save(tmp_path / "model")
    assert TRPO.load(tmp_path / "model", maker).learn(64).settings.n_envs == 4
    del model
    gc.collect()
    assert not recorded.open


def test_a_class_trains_as_its_id_does():
    def make(**keywords):
        return gymnasium.wrappers.TimeLimit(PendulumEnv(**keywords), 200)

    same = {"n_envs": 2, "env_kwargs": {"g": 3.0}}
    by_id = small_model("Pendulum-v1", env_backend="gymnasium", **same).learn(400)
    by_function = small_model(make, **same).learn(400)
    assert np.array_equal(by_id.theta, by_function.theta)


def test_an_environment_cannot_be_made_twice():
    env = Counter()
    for maker in (lambda: env, lambda: gymnasium.wrappers.TimeLimit(env, 5)):
        with pytest.raises(ValueError, match="<lambda> returned the same environment twice"):
            small_model(maker, n_envs=2)


@table(
    ("env", "what"),
    [
        (Counter(), r"lambda: Counter\(\.\.\.\)"),
        (gymnasium.make("CartPole-v1"), '"CartPole-v1"'),
    ],
    ids=["class", "id"],
)
def test_one_environment_for_many_says_what_to_pass(env, what):
    with pytest.raises(ValueError, match=rf'TRPO\("MlpPolicy", {what}, n_envs=4\)'):
        small_model(env, n_envs=4)


# -- keyword arguments -----------------------------------------------------------------------------


def test_env_kwargs_reach_every_environment_that_is_made(tmp_path):
    model = small_model(Counter, env_kwargs={"length": 5}, n_envs=2)
    assert lengths(model, Counter) == [5, 5]
    model.learn(64)
    assert model.records[-1]["length_mean"] == 5
    check = callbacks.EvalCallback(Counter, n_eval_episodes=2, eval_freq=8, verbose=0)
    model.learn(64, check)
    assert check.evaluations_length[-1] == [5, 5]
    model.save(tmp_path / "model")
    loaded = TRPO.load(tmp_path / "model", Counter)
    assert loaded.learn(64).records[-1]["length_mean"] == 5
    loaded = TRPO.load(tmp_path / "model", Counter, env_kwargs={"length": 4})
    assert loaded.learn(64).records[-1]["length_mean"] == 4
    loaded.env_kwargs = None
    loaded.set_env(Counter)
    assert loaded.learn(64).episodes[-1].length == 3


def test_ids_take_env_kwargs():
    model = small_model("FrozenLake-v1", env_kwargs={"is_slippery": False, "map_name": "8x8"})
    assert model.observation_space == spaces.Discrete(64)
    transitions = model.get_env().vector_env.envs[3].unwrapped.P[0][0]
    assert len(transitions) == 1  # not slippery


@needs_extension
def test_implementations_of_ours_take_the_keywords_they_know():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = small_model("Pendulum-v1", env_kwargs={"g": 3, "max_episode_steps": 7})
    ours = model.get_env().vector_env
    assert isinstance(ours, envs.CompiledVectorEnv)
    assert (ours.envs_in_c.options["g"], ours.max_episode_steps) == (3.0, 7)
    with pytest.warns(RuntimeWarning, match="Gymnasium's environments, because .*'render_mode'"):
        model = small_model("Pendulum-v1", env_kwargs={"render_mode": "rgb_array"})
    assert model.get_env().vector_env.envs[0].render_mode == "rgb_array"
    with pytest.raises(ValueError, match=r"env_backend='native': .* do not know .*'render_mode'"):
        small_model("Pendulum-v1", env_kwargs={"render_mode": "human"}, env_backend="native")


def test_mujoco_tasks_take_env_kwargs():
    pytest.importorskip("mujoco.batch")
    kwargs = {"healthy_z_range": (0.3, math.inf), "max_episode_steps": 9}
    env = small_model("Hopper-v5", env_kwargs=kwargs).get_env().vector_env
    assert env.task.healthy_z_range == [0.3, math.inf]
    assert env.max_episode_steps == 9


@needs_extension
def test_options_of_environments_in_python_are_env_kwargs():
    interpreted = envs.NumbaEnvironment(
        name="Constant",
        state_size=1,
        observation_space=spaces.Box(-9, 9, (1,)),
        action_space=spaces.Discrete(2),
        max_episode_steps=5,
        options={"reward": 1.0},
        reset=lambda state: None,
        step=lambda state, action, options: (options.reward, False),
        compiled=False,
    )
    model = small_model(interpreted, n_envs=2, env_kwargs={"reward": 3, "max_episode_steps": 2})
    assert evaluate_policy(model, interpreted, 2) == (6.0, 0.0)
    with pytest.raises(TypeError, match=r"Constant refuses env_kwargs=.* did you mean 'reward'"):
        small_model(interpreted, env_kwargs={"rewards": 3})


@table(
    ("env", "env_kwargs", "words"),
    [
        (
            "FrozenLake-v1",
            {"is_slipery": False},
            r"FrozenLake-v1 refuses env_kwargs=\{'is_slipery': False\}: .* unexpected keyword "
            "argument 'is_slipery'; did you mean 'is_slippery'",
        ),
        ("FrozenLake-v1", {"map_name": "9x9"}, "refuses .*: KeyError: '9x9'"),
        ("Pendulum-v1", {"g": "Moon"}, "refuses .*: .*g must be a number, got 'Moon'|TypeError"),
        (Counter, {"lenght": 4}, "Counter refuses env_kwargs=.*; did you mean 'length'"),
        (lambda: Counter(), {"length": 4}, "<lambda> refuses env_kwargs="),
        (Counter(), {"length": 4}, "env_kwargs are for environments that are made"),
        (Counter, {"length": max}, r"env_kwargs\['length'\] must be a JSON value .*partial"),
        (Counter, {"length": [math.nan]}, r"env_kwargs\['length'\]\[0\] must be .*, got NaN"),
        (Counter, {"length": {3: 4}}, r"env_kwargs\['length'\]: keys must be strings, got 3"),
        (Counter, {"length": "x" * 2**18}, "env_kwargs must have at most 262,144 characters"),
    ],
)
def test_env_kwargs_that_cannot_be_used_are_named(env, env_kwargs, words):
    with pytest.raises(ValueError, match=words):
        small_model(env, env_kwargs=env_kwargs)


def test_env_kwargs_are_a_copy_with_the_types_of_json():
    given = {"a": (1, [np.float32(0.5)]), "b": np.arange(2), "c": {"d": np.bool_(True)}}
    model = small_model(Recorded, env_kwargs=given)
    given["c"]["d"] = False
    assert model.env_kwargs == {"a": [1, [0.5]], "b": [0, 1], "c": {"d": True}}
    assert type(model.env_kwargs["a"][1][0]) is float
