"""`learn` in compiled environments collects in C: with the rows, records and bootstraps that
stepping them from Python has. What comes between: `test_compiled_rollout_turns`.
"""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from gymnasium.vector import VectorWrapper
from helpers import CC, INCLUDE, build_library, insides, replace_agent
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
    """Stepped from Python, row by row: for all that is known, `step` could be another."""


def trained(env, iterations=3, **keywords):
    model = TRPO(**{"policy": "MlpPolicy", "env": env, "n_steps": 48, "seed": 1, **keywords})
    return model.learn(iterations * 48 * env.num_envs)


def records(model):
    """All but what the clock says."""
    return [
        {name: value for name, value in record.items() if "second" not in name}
        for record in model.records
    ]


def assert_same(model, other):
    state, expected = model.snapshot().state, other.snapshot().state
    for name, values in expected.items():
        np.testing.assert_array_equal(state[name], values, err_msg=name)
    assert str(records(model)) == str(records(other))  # nan is not itself


# -- the same rows --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
def test_episodes_may_go_on_row_by_row(mode, tmp_path):
    """With a callback that sees each row, in the same process and from a checkpoint."""

    class EachRow(BaseCallback):
        def _on_step(self):
            return True

    def make():
        return CompiledVectorEnv("Pendulum-v1", 2, autoreset_mode=mode)

    def go_on(model, callback):
        model.learn(96, callback, reset_num_timesteps=False)

    whole, mixed, other = (TRPO("MlpPolicy", make(), n_steps=48, seed=1) for _ in range(3))
    for i in range(10):
        go_on(whole, None)
        go_on(mixed, EachRow() if i % 3 == 2 else None)
        go_on(other, EachRow() if i < 5 else None)
        mixed.save(tmp_path / "model", checkpoint=True)
        mixed = TRPO.load(tmp_path / "model", make())
    assert insides(whole).statistics.count == 4
    for model in (mixed, other):
        assert insides(model).statistics.window == insides(whole).statistics.window
        np.testing.assert_array_equal(model.theta, whole.theta)


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


@table("dtype", ["float32", "float64"])
@table("settings", SETTINGS)
@table("env_id", ["CartPole-v1", "MountainCarContinuous-v0", "Acrobot-v1"])
def test_rows_are_those_of_stepping(env_id, settings, dtype):
    """Float32 spaces, whatever the agent's precision; a limit that cuts some episodes."""
    keywords = {"dtype": dtype, **SETTINGS[settings]}
    kinds = [kind(env_id, 5, max_episode_steps=20) for kind in (CompiledVectorEnv, Stepped)]
    model, expected = (trained(env, **keywords) for env in kinds)
    assert [insides(m).stream.steps_in_c for m in (model, expected)] == [True, False]
    assert_same(model, expected)


def test_clipped_actions_are_those_of_stepping():
    log_std = {"policy_kwargs": {"net_arch": [8], "log_std_init": 2.0}, "dtype": "float64"}
    kinds = [kind("Pendulum-v1", 3) for kind in (CompiledVectorEnv, Stepped)]
    assert_same(*(trained(env, **log_std) for env in kinds))


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_a_library(dtype, tmp_path):
    """Float64 spaces."""
    library = build_library(EXAMPLE, tmp_path / "balance.so")
    kinds = [kind(library, 5, max_episode_steps=20) for kind in (CompiledVectorEnv, Stepped)]
    assert_same(*(trained(env, dtype=dtype) for env in kinds))


def test_where_the_environments_are_reset_by_the_caller():
    disabled = CompiledVectorEnv("CartPole-v1", 5, autoreset_mode="Disabled")
    model = trained(disabled)
    assert insides(model).stream.steps_in_c
    assert_same(model, trained(Stepped("CartPole-v1", 5, autoreset_mode="Disabled")))


def test_more_episodes_than_the_window_holds():
    kinds = [kind("CartPole-v1", 8, max_episode_steps=2) for kind in (CompiledVectorEnv, Stepped)]
    model, expected = (trained(env) for env in kinds)
    assert model.records[0]["episodes"] == 8 * 24
    assert_same(model, expected)
    assert insides(model).statistics.window == insides(expected).statistics.window


def test_going_on_goes_on():
    """Unfinished episodes carry over; what `set_env` and a new beginning do is the same too."""
    models = [trained(kind("CartPole-v1", 4)) for kind in (CompiledVectorEnv, Stepped)]
    for model in models:
        model.learn(200, reset_num_timesteps=False)
        model.set_env(type(model.get_env())("CartPole-v1", 7))
        model.learn(300, reset_num_timesteps=False).learn(300)
    assert_same(*models)


def test_any_number_of_threads():
    models = [trained(CompiledVectorEnv("Pendulum-v1", 70), n_threads=n) for n in (1, 2, 3, 4, 16)]
    for model in models[1:]:
        assert_same(model, models[0])


class Spy:
    """An agent that keeps what it is asked to act on."""

    def __init__(self, agent):
        self.agent, self.seen = agent, []

    def __getattr__(self, name):
        return getattr(self.agent, name)

    def act(self, obs):
        self.seen.append(obs)
        return self.agent.act(obs)


def one_in_c(**keywords):
    return CompiledVectorEnv("CartPole-v1", 2, **keywords)


@table(
    ("make", "keywords", "by_hand"),
    [
        (one_in_c, {}, False),
        (one_in_c, {"backend": "portable"}, True),
        (lambda: one_in_c(autoreset_mode="NextStep"), {}, True),
        (lambda: VectorWrapper(one_in_c()), {}, True),
        (lambda: Stepped("CartPole-v1", 2), {}, True),
    ],
)
def test_what_cannot_be_collected_in_c_is_stepped_from_python(make, keywords, by_hand):
    """A wrapper's own `step` must not be passed by, nor a subclass's."""
    model = TRPO("MlpPolicy", make(), n_steps=8, **keywords)
    replace_agent(model, Spy(insides(model).agent))
    model.learn(16)
    assert len(insides(model).agent.seen) == (8 if by_hand else 0)


# -- what a cut episode is worth ------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2])
def test_a_cut_episode_is_bootstrapped(limit):
    """V(obs) = 5 x, MountainCar's place: V of the last observation, not of the next episode's.

    Rewards are -1, gamma and lambda 1/2, so that ret = -1 + V(final)/2 for a limit of 1.
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
    """mean (V - ret)^2 of two steps, by the recursion written out."""
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
