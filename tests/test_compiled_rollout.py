"""`learn` collects in C from compiled environments, with the same rows, records and bootstraps as
stepping them from Python. Interruptions: `test_compiled_rollout_turns`.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from gymnasium.vector import VectorWrapper
from helpers import CC, INCLUDE, build_library, insides, replace_agent
from pairs import pairwise
from tables import table

pytest.importorskip("fasttrpo.core._envs", reason="this installation has no compiled environments")

from fasttrpo import TRPO
from fasttrpo.callbacks import BaseCallback
from fasttrpo.core import backend
from fasttrpo.envs import CompiledVectorEnv

EXAMPLE = INCLUDE.parent / "examples/balance_env.c"

pytestmark = pytest.mark.skipif(
    backend.choose(None) != "compiled", reason="only the compiled core collects in C"
)
needs_compiler = pytest.mark.skipif(
    shutil.which(CC) is None or not INCLUDE.exists(), reason="no compiler, or no sources"
)


class Stepped(CompiledVectorEnv):
    """Stepped from Python, since a subclass may override `step`."""


def trained(env, iterations=3, **keywords):
    model = TRPO(**{"policy": "MlpPolicy", "env": env, "n_steps": 48, "seed": 1, **keywords})
    return model.learn(iterations * 48 * env.num_envs)


def records(model):
    """Without the fields that depend on the clock."""
    return [
        {name: value for name, value in record.items() if "second" not in name}
        for record in model.records
    ]


def assert_same(model, other):
    state, expected = model.snapshot().state, other.snapshot().state
    for name, values in expected.items():
        np.testing.assert_array_equal(state[name], values, err_msg=name)
    assert str(records(model)) == str(records(other))  # as text, since nan != nan


# -- the same rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
def test_episodes_continue_when_collection_moves_between_c_and_python(mode, tmp_path):
    """A callback with `_on_step` needs Python. In the same process and from a checkpoint."""

    class EachRow(BaseCallback):
        def _on_step(self):
            return True

    def make():
        return CompiledVectorEnv("Pendulum-v1", 2, autoreset_mode=mode)

    def continue_training(model, callback):
        model.learn(96, callback, reset_num_timesteps=False)

    in_c, mixed, other = (TRPO("MlpPolicy", make(), n_steps=48, seed=1) for _ in range(3))
    for i in range(10):
        continue_training(in_c, None)
        continue_training(mixed, EachRow() if i % 3 == 2 else None)
        continue_training(other, EachRow() if i < 5 else None)
        mixed.save(tmp_path / "model", checkpoint=True)
        mixed = TRPO.load(tmp_path / "model", make())
    assert insides(in_c).statistics.count == 4
    for model in (mixed, other):
        assert insides(model).statistics.window == insides(in_c).statistics.window
        np.testing.assert_array_equal(model.theta, in_c.theta)


SETTINGS = {
    "plain": {},
    "linear": {"policy": "LinearPolicy"},
    "fourier": {
        "policy": "LinearPolicy",
        "policy_kwargs": {"features": "fourier"},
        "normalize_observations": True,
    },
    "polynomial": {"policy": "LinearPolicy", "policy_kwargs": {"features": "polynomial"}},
    "normalised": {"normalize_observations": True, "normalize_rewards": True, "critic": "ridge"},
}


@table(
    ("env_id", "settings", "dtype"),
    pairwise(
        ["CartPole-v1", "MountainCarContinuous-v0", "Acrobot-v1"], SETTINGS, ["float32", "float64"]
    ),
)
def test_rows_equal_those_of_stepping(env_id, settings, dtype):
    """With float32 spaces, in both precisions, with episodes that a step limit truncates."""
    keywords = {"dtype": dtype, **SETTINGS[settings]}
    kinds = [kind(env_id, 5, max_episode_steps=20) for kind in (CompiledVectorEnv, Stepped)]
    model, expected = (trained(env, **keywords) for env in kinds)
    assert [insides(m).stream.steps_in_c for m in (model, expected)] == [True, False]
    assert_same(model, expected)


def test_clipped_actions_equal_those_of_stepping():
    log_std = {"policy_kwargs": {"net_arch": [8], "log_std_init": 2.0}, "dtype": "float64"}
    kinds = [kind("Pendulum-v1", 3) for kind in (CompiledVectorEnv, Stepped)]
    assert_same(*(trained(env, **log_std) for env in kinds))


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_a_library_equal_those_of_stepping(dtype, tmp_path):
    """With float64 spaces."""
    library = build_library(EXAMPLE, tmp_path / "balance.so")
    kinds = [kind(library, 5, max_episode_steps=20) for kind in (CompiledVectorEnv, Stepped)]
    assert_same(*(trained(env, dtype=dtype) for env in kinds))


def test_environments_without_autoreset_equal_stepping():
    disabled = CompiledVectorEnv("CartPole-v1", 5, autoreset_mode="Disabled")
    model = trained(disabled)
    assert insides(model).stream.steps_in_c
    assert_same(model, trained(Stepped("CartPole-v1", 5, autoreset_mode="Disabled")))


def test_more_episodes_than_the_window_holds_are_counted():
    kinds = [kind("CartPole-v1", 8, max_episode_steps=2) for kind in (CompiledVectorEnv, Stepped)]
    model, expected = (trained(env) for env in kinds)
    assert model.records[0]["episodes"] == 8 * 24
    assert_same(model, expected)
    assert insides(model).statistics.window == insides(expected).statistics.window


def test_further_runs_equal_those_of_stepping():
    """Unfinished episodes carry over. `set_env` and restarting behave alike too."""
    models = [trained(kind("CartPole-v1", 4)) for kind in (CompiledVectorEnv, Stepped)]
    for model in models:
        model.learn(200, reset_num_timesteps=False)
        model.set_env(type(model.get_env())("CartPole-v1", 7))
        model.learn(300, reset_num_timesteps=False).learn(300)
    assert_same(*models)


def test_the_number_of_threads_changes_no_bit():
    models = [trained(CompiledVectorEnv("Pendulum-v1", 70), n_threads=n) for n in (1, 2, 3, 4, 16)]
    for model in models[1:]:
        assert_same(model, models[0])


class Spy:
    """Records the observations that an agent acts on."""

    def __init__(self, agent):
        self.agent, self.observations = agent, []

    def __getattr__(self, name):
        return getattr(self.agent, name)

    def act(self, obs):
        self.observations.append(obs)
        return self.agent.act(obs)


def make_compiled(**keywords):
    return CompiledVectorEnv("CartPole-v1", 2, **keywords)


@table(
    ("make", "keywords", "from_python"),
    [
        (make_compiled, {}, False),
        (make_compiled, {"backend": "portable"}, True),
        (lambda: make_compiled(autoreset_mode="NextStep"), {}, True),
        (lambda: VectorWrapper(make_compiled()), {}, True),
        (lambda: Stepped("CartPole-v1", 2), {}, True),
    ],
)
def test_environments_that_c_cannot_step_are_stepped_from_python(make, keywords, from_python):
    """The `step` of a wrapper or a subclass must not be bypassed."""
    model = TRPO("MlpPolicy", make(), n_steps=8, **keywords)
    replace_agent(model, Spy(insides(model).agent))
    model.learn(16)
    assert len(insides(model).agent.observations) == (8 if from_python else 0)


# -- the value of a truncated episode --------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2])
def test_a_truncated_episode_is_bootstrapped(limit):
    """V(obs) = 5 x, with x the car's position: V of the final observation, not of the next one.

    Rewards are -1, gamma = lambda = 1/2, so ret = -1 + V(final)/2 for a limit of 1.
    """
    keywords = {"n_steps": 2, "critic": "ridge", "gamma": 0.5, "gae_lambda": 0.5, "seed": 0}
    model, twin = (
        TRPO("MlpPolicy", kind("MountainCar-v0", 3, max_episode_steps=limit), **keywords)
        for kind in (CompiledVectorEnv, Stepped)
    )
    model.value_theta = np.array([5.0, 0, 0, 0, 0])
    loss = bootstrapped_loss(twin, limit)
    record = model.learn(6).records[-1]
    assert record["value_loss_before"] == pytest.approx(loss, rel=1e-5)


def bootstrapped_loss(twin, limit):
    """mean (V - ret)^2 of two steps, by hand."""
    insides(twin).ready_environment()
    env, agent, obs = twin.get_env(), insides(twin).agent, insides(twin).stream.obs
    before, after = [], []
    for _ in range(2):
        act, _, _ = agent.act(obs)
        before.append(5.0 * obs[:, 0])
        obs, rew, term, trunc, infos = env.step(act[:, 0].astype(int))
        final = np.stack(infos["final_obs"]) if trunc.all() else obs
        agent.push(rew, term, trunc, final)
        after.append(5.0 * final[:, 0])
    second = -1 + 0.5 * after[1] - before[1]
    first = -1 + 0.5 * after[0] - before[0] + (0.25 * second if limit == 2 else 0)
    return np.mean(np.square([first, second]))
