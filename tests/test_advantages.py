"""Advantages: the recursion against the explicit sum, and the ends of episodes."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from agents import World, collect, rollout_settings, samples_of, settings, shaken
from tables import table
from tolerances import DENSE, ROUNDING, assert_close

from fasttrpo.core.backend import make_agent
from fasttrpo.portable import advantages


def cut_before(done, skip):
    """`done`, and also where the next row is not a step."""
    done = done.copy()
    done[:-1] |= skip[1:]
    return done


@table("seed", range(5))
@table(("gamma", "lam"), [(0.97, 0.9), (1.0, 1.0), (0.9, 0.0), (0.0, 0.5)])
@table("shape", [(40, 5), (1, 3), (7, 1)])
def test_recursion_equals_the_explicit_sum(implementation, seed, gamma, lam, shape):
    draw = np.random.default_rng(seed)
    rew, val, boot = draw.normal(size=(3, *shape))
    done, skip = draw.random((2, *shape)) < 0.15
    done = cut_before(done, skip)
    adv, ret = implementation.stages.gae(rew, val, boot, done, skip, gamma, lam)
    expected = reference.gae(rew, val, boot, done, skip, gamma, lam)
    assert_close(adv, expected, ROUNDING)
    assert_close(ret, np.where(skip, 0, expected + val), ROUNDING)


# -- through the agent: one row, so that value_loss_before is adv^2 --------------------------------


def one_row(implementation, term, trunc, then=None, **more):
    """|advantage| of a single row with reward 2, and the values of its two observations.

    then: the row that follows; "skip" is a row without a step.
    """
    s = settings(gamma=0.9, gae_lambda=0.8, normalize_advantage=False, n_steps=3, **more)
    agent = shaken(implementation, s)
    here, there, later = np.random.default_rng(0).normal(size=(3, 1, s.obs_size))
    agent.act(here)
    agent.push([2.0], [term], [trunc], there)
    if then == "skip":
        agent.act(there)
        agent.push([np.nan], [True], [True], later * np.nan, [True])
    values = agent.value(here)[0], agent.value(there)[0]
    record = agent.update()
    assert record["n_samples"] == 1
    return np.sqrt(record["value_loss_before"]), *values


@pytest.mark.parametrize("then", [None, "skip"])
@pytest.mark.parametrize("critic", ["gauss_newton", "ridge"])
def test_terminated_episodes_do_not_bootstrap(implementation, then, critic):
    for trunc in (False, True):
        adv, here, _ = one_row(implementation, True, trunc, then, critic=critic)
        assert adv == pytest.approx(abs(2.0 - here), rel=ROUNDING)


@pytest.mark.parametrize("then", [None, "skip"])
@pytest.mark.parametrize("critic", ["gauss_newton", "ridge"])
def test_truncated_episodes_bootstrap_from_the_final_observation(implementation, then, critic):
    adv, here, there = one_row(implementation, False, True, then, critic=critic)
    assert adv == pytest.approx(abs(2.0 + 0.9 * there - here), rel=ROUNDING)


@pytest.mark.parametrize("then", [None, "skip"])
@pytest.mark.parametrize("critic", ["gauss_newton", "ridge"])
def test_unfinished_episodes_bootstrap_like_truncated_ones(implementation, then, critic):
    """Both at the end of the rollout and before a row without a step."""
    adv, here, there = one_row(implementation, False, False, then, critic=critic)
    assert adv == pytest.approx(abs(2.0 + 0.9 * there - here), rel=ROUNDING)


def test_a_row_without_a_step_separates_episodes(implementation):
    """Neither of the rows around a skipped one depends on the other's reward or value."""
    losses = []
    for reward in (1.0, 100.0):
        s = settings(gamma=0.9, gae_lambda=0.8, normalize_advantage=False, n_steps=3)
        agent, obs = shaken(implementation, s), np.ones((1, s.obs_size))
        for step_reward, skip in ((3.0, False), (np.nan, True), (reward, False)):
            agent.act(obs)
            agent.push([step_reward], [False], [False], 2 * obs, [skip])
        here, there = agent.value(obs)[0], agent.value(2 * obs)[0]
        first, last = (r + 0.9 * there - here for r in (3.0, reward))
        losses.append(agent.update()["value_loss_before"])
        assert losses[-1] == pytest.approx((first**2 + last**2) / 2, rel=ROUNDING)
    assert losses[0] != losses[1]


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("next_step", [False, True])
@pytest.mark.parametrize("T", [1, 7, 24])
def test_advantages_of_random_rollouts(implementation, gaps, next_step, T):
    """The record's losses and gradient match the reference's advantages and returns."""
    s = rollout_settings(normalize_advantage=False, gamma=0.97, gae_lambda=0.9)
    agent, twin = (shaken(implementation, s) for _ in range(2))
    log = collect(agent, World(5, next_step=next_step, gaps=gaps), T)
    samples, record = samples_of(log, s), agent.update()
    assert record["n_samples"] == len(samples.adv)
    twin.theory.load_batch(*samples)
    assert record["grad_norm"] == pytest.approx(np.linalg.norm(twin.theory.gradient()), rel=DENSE)
    assert record["value_loss_before"] == pytest.approx(np.mean(samples.adv**2), rel=DENSE)
    explained = 1 - np.var(samples.adv) / np.var(samples.ret)
    assert record["explained_variance"] == pytest.approx(explained, rel=DENSE)


def test_random_rollouts_contain_gaps_and_unfinished_episodes():
    """The rollouts above cover the intended cases."""
    agent = make_agent(rollout_settings(), "portable")
    log = collect(agent, World(5, gaps=True), 24)
    ends = log.term | log.trunc | log.skip
    assert (log.skip[1:] & ~ends[:-1]).sum() > 5
    assert (log.skip[1:] & log.trunc[:-1] & ~log.term[:-1] & ~log.skip[:-1]).any()
    assert (log.term & log.trunc & ~log.skip).any()


# -- normalisation ---------------------------------------------------------------------------------


def test_standardize_has_unit_variance_or_zeros_if_constant():
    adv = np.random.default_rng(0).normal(2.0, 5.0, size=100)
    scaled = advantages.standardize(adv, np.float32)
    assert_close(scaled, reference.standardized(adv), ROUNDING)
    assert not advantages.standardize(np.full(7, 0.1), np.float32).any()
    assert not advantages.standardize(0.1 + 1e-9 * adv, np.float32).any()
    assert advantages.standardize(0.1 + 1e-9 * adv, np.float64).any()


@pytest.mark.parametrize(("scale", "outcome"), [(1e3, 0), (1e-3, 0), (0.0, 2)])
def test_normalised_advantages_do_not_depend_on_the_scale_of_rewards(
    implementation, scale, outcome
):
    """With V = 0 and gamma = 0, the advantages are the rewards."""
    s = settings(gamma=0.0, critic="ridge")
    steps = []
    for factor in (1.0, scale):
        agent, draw = implementation.agent(s), np.random.default_rng(0)
        before = agent.theta
        for _ in range(s.n_steps):
            obs = draw.normal(size=(1, s.obs_size))
            agent.act(obs)
            agent.push([5 + factor * draw.normal()], [False], [False], obs)
        record = agent.update()
        steps.append(agent.theta - before)
    assert record["outcome"] == outcome
    if scale:
        assert_close(steps[1], steps[0], 1e-6)  # the 1e-8 added to the standard deviation
    else:
        assert not steps[1].any()
