"""Running statistics: their values, when they change, and their effects."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from agents import O, World, collect, rollout_settings, samples_of, shaken
from tolerances import DENSE, ROUNDING, SOLVED, assert_close


def normalised(x, rows):
    return np.clip((x - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + 1e-8), -10, 10)


def test_observation_statistics_are_those_of_the_valid_rows(implementation):
    s, world, kept = rollout_settings(normalize_observations=True), World(5, gaps=True), []
    agent = shaken(implementation, s)
    for _ in range(3):
        log = collect(agent, world, 24)
        kept.append(log.obs[~log.skip])
        agent.update()
        rows, state = np.concatenate(kept), agent.state()
        assert state["obs_count"] == len(rows)
        assert_close(state["obs_mean"], rows.mean(axis=0), ROUNDING)
        assert_close(state["obs_m2"] / len(rows), rows.var(axis=0), ROUNDING)


def test_observations_are_normalised_and_clipped_for_both_networks(implementation):
    s, world = rollout_settings(normalize_observations=True), World(5)
    agent, raw = shaken(implementation, s), np.linspace(-60, 60, 5 * O).reshape(5, O)
    log = collect(agent, world, 24)
    untouched = shaken(implementation, rollout_settings())
    assert np.array_equal(agent.predict(raw, True), untouched.predict(raw, True))
    assert np.array_equal(agent.value(raw), untouched.value(raw))
    agent.update()
    normal = normalised(raw, log.obs[~log.skip])
    assert (abs(normal) == 10).any()
    untouched.theta, untouched.value_theta = agent.theta, agent.value_theta
    assert_close(agent.predict(raw, True), untouched.predict(normal, True), DENSE)
    assert_close(agent.value(raw), untouched.value(normal), DENSE)
    logp, val = agent.record(raw, np.zeros((5, 2)))
    assert_close(logp, untouched.record(normal, np.zeros((5, 2)))[0], DENSE)
    assert_close(val, untouched.value(normal), DENSE)


def test_statistics_are_frozen_within_an_iteration(implementation):
    """The update uses the observations as the acting policy saw them."""
    s, world = rollout_settings(normalize_observations=True), World(5, gaps=True)
    agent, twin = (shaken(implementation, s) for _ in range(2))
    first = collect(agent, world, 24)
    agent.update()
    statistics = agent.state()
    twin.load_state(statistics)
    log = collect(agent, world, 24)
    for name in ("obs_count", "obs_mean", "obs_m2"):
        assert np.array_equal(agent.state()[name], statistics[name])
    samples = samples_of(log, s)
    samples = samples._replace(obs=normalised(samples.obs, first.obs[~first.skip]))
    twin.theory.load_batch(*samples)
    grad_norm = np.linalg.norm(twin.theory.gradient())
    assert agent.update()["grad_norm"] == pytest.approx(grad_norm, rel=SOLVED)


def test_load_batch_does_not_normalise_observations(implementation):
    s = rollout_settings(normalize_observations=True)
    agent, plain = shaken(implementation, s), shaken(implementation, rollout_settings())
    collect(agent, World(5), 24)
    agent.update()
    plain.theta = agent.theta
    obs = np.random.default_rng(0).normal(size=(9, O))
    for each in (agent, plain):
        each.theory.load_batch(obs, np.zeros((9, 2)), np.ones(9))
    assert np.array_equal(agent.theory.outputs(), plain.theory.outputs())


def discounted(log, running, gamma):
    """R = gamma R + rew over the valid rows of each environment; 0 after an end or a gap."""
    ends, returns = log.term | log.trunc, []
    ends[:-1] |= log.skip[1:]
    for t, e in np.argwhere(~log.skip):
        running[e] = gamma * running[e] + log.rew[t, e]
        returns.append(running[e])
        running[e] *= not ends[t, e]
    return returns


def test_rewards_and_the_critic_are_rescaled_together(implementation):
    """By the standard deviation of the discounted returns before this rollout."""
    s = rollout_settings(normalize_rewards=True, critic="ridge", gamma=0.9)
    agent, world = shaken(implementation, s), World(5, gaps=True)
    running, returns, scale = np.zeros(5), [], 1.0
    for _ in range(3):
        log = collect(agent, world, 24)
        ret = samples_of(log._replace(rew=np.clip(log.rew * scale, -10, 10)), s).ret
        returns += discounted(log, running, 0.9)
        obs = log.obs[~log.skip]
        X = reference.with_one(np.hstack([obs, obs**2]))
        A = X.T @ X / len(X) + s.critic_damping * np.eye(2 * O + 1)
        w = np.linalg.solve(A, X.T @ ret / len(X))
        agent.update()
        new_scale = 1 / np.sqrt(np.var(returns) + 1e-8)
        assert_close(agent.value_theta, w * new_scale / scale, SOLVED)
        scale = new_scale
    state = agent.state()
    assert state["rew_count"] == len(returns)
    assert state["rew_mean"] == pytest.approx(np.mean(returns), rel=DENSE)
    assert state["rew_m2"] == pytest.approx(np.var(returns) * len(returns), rel=DENSE)
    assert_close(state["rew_running"], running, ROUNDING)


def test_values_keep_their_units_when_the_scale_changes(implementation):
    """A deep critic's last layer is rescaled, bias included, and so are its values."""
    s = rollout_settings(normalize_rewards=True, critic="adam", learning_rate=1e-30)
    agent = shaken(implementation, s)
    obs = np.random.default_rng(0).normal(size=(9, O))
    before = agent.value(obs)
    collect(agent, World(5), 24)
    agent.update()
    state = agent.state()
    scale = 1 / np.sqrt(state["rew_m2"][0] / state["rew_count"][0] + 1e-8)
    assert not 0.9 < scale < 1.1
    assert_close(agent.value(obs), before * scale, DENSE)


def test_scaled_rewards_are_clipped(implementation):
    """Rewards of about 1 set the scale; then one of 1e6 counts as 10."""
    s = rollout_settings(n_steps=4, normalize_rewards=True, gamma=0.0, normalize_advantage=False)
    agent, draw = shaken(implementation, s), np.random.default_rng(0)
    end, obs = np.ones(5, bool), draw.normal(size=(5, O))

    def one_rollout(rewards):
        for rew in rewards:
            agent.act(obs)
            agent.push(rew, end, end, obs)
        values = agent.value(obs)
        return values, agent.update()["value_loss_before"]

    one_rollout(draw.normal(size=(4, 5)))
    values, loss = one_rollout([[1e6, -1e6, 1e6, 1e6, -1e6]])
    assert loss == pytest.approx(np.mean(([10, -10, 10, 10, -10] - values) ** 2), rel=DENSE)


def test_without_normalisation_statistics_stay_zero(implementation):
    agent = shaken(implementation, rollout_settings())
    collect(agent, World(5), 24)
    agent.update()
    for name, vector in agent.state().items():
        if name.startswith(("obs_", "rew_")):
            assert not vector.any(), name
