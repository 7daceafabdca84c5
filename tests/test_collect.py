"""Rollouts with known transitions, under each of Gymnasium's autoreset modes."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from helpers import (
    COUNTERS,
    Counter,
    RecordingAgent,
    counter_transitions,
    counters,
    insides,
    small_model,
)
from tables import table

from fasttrpo.spaces import describe
from fasttrpo.stream.make import as_vector_env
from fasttrpo.stream.notes import is_from_environment
from fasttrpo.stream.step import Step
from fasttrpo.stream.stream import Stream
from fasttrpo.training.collect import collect
from fasttrpo.training.episodes import EpisodeStatistics

MODES = list(AutoresetMode)
KINDS = [(SyncVectorEnv, {}), (SyncVectorEnv, {"copy": False}), (AsyncVectorEnv, {})]


def run(env, n_steps, rollouts=1):
    """A recording agent and the statistics after rollouts of `n_steps` each."""
    agent, statistics = RecordingAgent(env.num_envs), EpisodeStatistics(env.num_envs)
    observations, actions = describe(env.single_observation_space, env.single_action_space)
    stream = Stream(env)
    stream.reset(seed=0)
    for _ in range(rollouts):
        collect(agent, stream, observations, actions, statistics, n_steps)
    env.close()
    return agent, statistics


@table("mode", MODES)
@table(("kind", "keywords"), KINDS)
def test_agents_receive_every_transition_once(mode, kind, keywords):
    agent, _ = run(counters(mode, kind, **keywords), n_steps=7, rollouts=3)
    for env, how in enumerate(COUNTERS):
        found = agent.transitions(env)
        assert found == counter_transitions(*how, len(found))
        assert len(found) == (
            21 if mode is not AutoresetMode.NEXT_STEP else 21 - 21 // (how[0] + 1)
        )


def test_next_step_rows_without_a_step_are_skipped():
    agent, _ = run(counters(AutoresetMode.NEXT_STEP), n_steps=6)
    skipped = np.array([skip for *_, skip in agent.rows])
    np.testing.assert_array_equal(skipped[:, 0], [0, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(skipped[:, 1], [0, 0, 1, 0, 0, 1])


def test_a_rollout_that_starts_with_a_reset_skips_its_first_row():
    agent, _ = run(counters(AutoresetMode.NEXT_STEP), n_steps=2, rollouts=2)
    skipped = np.array([skip for *_, skip in agent.rows])
    np.testing.assert_array_equal(skipped[:, 1], [0, 0, 1, 0])


def ridge_model(mode, n_steps):
    """V(obs) = obs / 2, by a critic linear in [obs, obs * obs, 1]; gamma = lambda = 1/2."""
    model = small_model(
        counters(mode), n_steps=n_steps, critic="ridge", gamma=0.5, gae_lambda=0.5, dtype="float64"
    )
    model.value_theta = np.array([0.5, 0.0, 0.0])
    return model


@pytest.mark.parametrize("mode", MODES)
def test_advantages_and_returns_by_hand(mode):
    """The same eight transitions, with and without rows that only reset.

    Counter 0 (three steps, terminated): obs 0 1 2 | 10, rewards 1 2 3 | 1, V 0 .5 1 | 5.
        d3 = 1 + .5 V(11) - 5 = -1.25    adv -1.25          rollout ends: bootstrap
        d2 = 3 - 1            =  2       adv  2             terminated: no bootstrap
        d1 = 2 + .5 * 1 - .5  =  2       adv  2 + 2/4       = 2.5
        d0 = 1 + .5 * .5 - 0  =  1.25    adv  1.25 + 2.5/4  = 1.875
    Counter 1 (two steps, truncated): obs 0 1 | 10 11, rewards 1 2 | 1 2, V 0 .5 | 5 5.5.
        d3 = 2 + .5 V(12) - 5.5 = -.5    adv  -.5           truncated: bootstrap from the final obs
        d2 = 1 + .5 * 5.5 - 5 = -1.25    adv -1.25 - .5/4   = -1.375
        d1 = 2 + .5 V(2) - .5 =  2       adv  2
        d0 = 1 + .5 * .5 - 0  =  1.25    adv  1.25 + 2/4    = 1.75
    adv = ret - V, so the critic's loss before its fit is the mean of adv * adv.
    """
    adv = np.array([1.875, 2.5, 2, -1.25, 1.75, 2, -1.375, -0.5])
    model = ridge_model(mode, n_steps=5 if mode is AutoresetMode.NEXT_STEP else 4)
    record = insides(model).iterate()
    assert record["n_samples"] == 8
    assert record["value_loss_before"] == pytest.approx(np.mean(adv**2), rel=1e-12)


def test_the_critic_is_fitted_alike_under_all_modes():
    fitted = []
    for mode in MODES:
        model = ridge_model(mode, n_steps=5 if mode is AutoresetMode.NEXT_STEP else 4)
        insides(model).iterate()
        fitted.append(np.array(model.value_theta))
    np.testing.assert_allclose(fitted[1], fitted[0], rtol=1e-9)
    np.testing.assert_allclose(fitted[2], fitted[0], rtol=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_episode_statistics_count_raw_rewards(mode):
    _, statistics = run(counters(mode), n_steps=12)
    ended = [12 // (length + (mode is AutoresetMode.NEXT_STEP)) for length, _ in COUNTERS]
    record = statistics.record()
    assert record["episodes"] == sum(ended)
    assert record["return_mean"] == pytest.approx((6 * ended[0] + 3 * ended[1]) / sum(ended))
    assert record["length_mean"] == pytest.approx((3 * ended[0] + 2 * ended[1]) / sum(ended))


def test_statistics_ignore_skipped_rows():
    statistics, no = EpisodeStatistics(2), np.zeros(2, bool)
    skip, done = np.array([False, True]), np.array([True, False])
    rewards = np.array([2.0, np.nan])
    assert statistics.add(Step(rewards, no, no, None, skip, no)) == []
    ended = statistics.add(Step(rewards, done, no, None, skip, done))
    ended += statistics.add(Step(np.ones(2), ~no, no, None, no, ~no))
    assert [each[:3] for each in ended] == [(0, 4.0, 2), (0, 1.0, 1), (1, 1.0, 1)]
    np.testing.assert_array_equal(rewards, [2.0, np.nan])


def test_without_a_finished_episode_the_mean_return_is_nan():
    assert np.isnan(EpisodeStatistics(2).record()["return_mean"])


def test_environments_from_ids_reset_in_the_same_step():
    env = as_vector_env("CartPole-v1", 3)
    assert env.num_envs == 3
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    env.close()


def test_a_single_env_is_wrapped():
    env = gymnasium.make("CartPole-v1")
    assert as_vector_env(env).envs[0] is env


def test_wrong_environments_are_refused():
    with pytest.raises(ValueError, match="did you mean 'CartPole-v1'"):
        as_vector_env("CartPol-v1")
    with pytest.raises(TypeError, match=r"env must be an environment id.* got int"):
        as_vector_env(3)
    with pytest.raises(ValueError, match="n_envs=5, but the environment passed has 2"):
        as_vector_env(counters(AutoresetMode.SAME_STEP), 5)


def test_an_environment_without_a_mode_counts_as_next_step():
    env = counters(AutoresetMode.NEXT_STEP)
    del env.metadata["autoreset_mode"]
    with pytest.warns(UserWarning, match="NEXT_STEP"):
        agent, _ = run(env, n_steps=4)
    assert agent.transitions(1) == counter_transitions(2, True, 3)


class OneStepEpisodes(gymnasium.vector.VectorEnv):
    """A vector environment of one-step episodes, with some return values replaced."""

    def __init__(self, **changes):
        counter = counters(AutoresetMode.SAME_STEP)
        self.single_observation_space = counter.single_observation_space
        self.single_action_space = counter.single_action_space
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.num_envs = 2
        ones = np.ones(2)
        self.returned = {"obs": ones[:, None], "rew": ones, "term": ones > 0, "trunc": ones > 1}
        self.returned |= {"infos": {}} | changes

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 1)), {}

    def step(self, actions):
        return tuple(self.returned.values())


@table(
    ("changes", "error", "message"),
    [
        ({}, ValueError, r"infos\['final_obs'\] does not hold its last observation"),
        (
            {"infos": {"final_obs": np.array([np.ones(3), np.ones(3)])}},
            ValueError,
            r"last observation of an episode \(infos\['final_obs'\]\)",
        ),
        ({"rew": np.ones(3)}, ValueError, r"reward has shape \(3,\)"),
        ({"rew": np.array(["a", "b"])}, ValueError, "reward has .* dtype <U1"),
        ({"trunc": np.ones((2, 1))}, ValueError, r"truncated has shape \(2, 1\)"),
        (
            {"obs": np.ones((2, 3)), "term": np.zeros(2, bool)},
            ValueError,
            r"observation has shape \(2, 3\), expected \(2, 1\)",
        ),
    ],
)
def test_return_values_of_wrong_shape_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        run(OneStepEpisodes(**changes), n_steps=1)


def test_a_rollout_of_resets_only_is_collected_again():
    """NEXT_STEP: one of every four calls only resets, and is a whole rollout here."""
    env = SyncVectorEnv([Counter], autoreset_mode=AutoresetMode.NEXT_STEP)
    model = small_model(env, n_steps=1, normalize_advantage=False).learn(8)
    assert (model.num_timesteps, model.n_updates) == (8, 8)
    assert model.records[-1]["episodes"] == 2


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_errors_of_an_environment_step_have_a_note(mode):
    class Failing(Counter):
        def step(self, action):
            if self.t == 1:
                raise OSError("the wheel came off")
            return super().step(action)

    with pytest.raises(OSError, match="the wheel came off") as error:
        run(SyncVectorEnv([Failing], autoreset_mode=mode), n_steps=4)
    assert error.value.__notes__ == ["raised by the environment's step at step 1"]
    assert is_from_environment(error.value)
    assert not is_from_environment(OSError())


def test_errors_of_an_environment_reset_have_a_note():
    class Failing(Counter):
        def reset(self, **keywords):
            raise OSError("no wheels")

    with pytest.raises(OSError, match="no wheels") as error:
        run(SyncVectorEnv([Failing], autoreset_mode=AutoresetMode.SAME_STEP), n_steps=1)
    assert error.value.__notes__ == ["raised by the environment's reset"]


def test_a_reset_with_wrong_return_values_has_a_note():
    class Old(OneStepEpisodes):
        def reset(self, **keywords):
            return np.zeros((2, 1))[:1]

    with pytest.raises(ValueError, match=r"expected .*: return a tuple of both") as error:
        run(Old(), n_steps=1)
    assert error.value.__notes__ == ["raised by the environment's reset"]


def test_an_interrupt_is_not_an_error_of_the_environment():
    class Interrupted(OneStepEpisodes):
        def step(self, actions):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as error:
        run(Interrupted(), n_steps=1)
    assert not is_from_environment(error.value)


def test_env_backend_chooses_between_compiled_and_gymnasium():
    pytest.importorskip(
        "fasttrpo.core._envs", reason="this installation has no compiled environments"
    )
    from fasttrpo.envs import CompiledVectorEnv

    for backend, is_ours in ((None, True), ("native", True), ("gymnasium", False)):
        env = as_vector_env("CartPole-v1", 2, backend)
        assert isinstance(env, CompiledVectorEnv) == is_ours
        assert env.num_envs == 2
        assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert not isinstance(as_vector_env("CartPole-v0"), CompiledVectorEnv)
    with pytest.raises(ValueError, match="'CartPole-v0'"):
        as_vector_env("CartPole-v0", 1, "native")
