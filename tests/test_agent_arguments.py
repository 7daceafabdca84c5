"""Agents refuse invalid arguments by name, and a refused call changes nothing."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from agents import DISTRIBUTIONS, O, bits, random_batch, settings
from tables import table

T, E = 3, 4
GOOD = np.linspace(-1, 1, E * O).reshape(E, O)
NO = np.zeros(E, bool)


@pytest.fixture
def agent(implementation):
    """An agent with two-part categorical actions, four environments and one complete row."""
    s = settings((), DISTRIBUTIONS["several categoricals"], n_steps=T, n_envs=E)
    agent = implementation.agent(s)
    agent.act(GOOD)
    agent.push(np.zeros(E), NO, NO, GOOD)
    return agent


def replace_at(array, where, value=np.nan):
    array = np.array(array, float)
    array[where] = value
    return array


def assert_refused(agent, message, call, *arguments, error=ValueError):
    """The call fails with this message, and the agent is unchanged."""
    before, rows = bits(agent), agent.n_recorded
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(*arguments)
    assert bits(agent) == before
    assert agent.n_recorded == rows


def test_invalid_observations_are_refused(agent):
    where = "environment 3 is not finite (nan in component 1) at step 1"
    for call in (agent.act, lambda obs: agent.record(obs, np.zeros((E, 2)))):
        assert_refused(agent, f"observation of {where}", call, replace_at(GOOD, (3, 1)))
        assert_refused(agent, "observation has shape (3,), not (4, 3)", call, GOOD[0])
        assert_refused(agent, "observation has shape (2, 3), not (4, 3)", call, GOOD[:2])
    draw = lambda obs: agent.predict(obs, False)  # noqa: E731
    for call in (agent.value, draw, lambda obs: agent.predict(obs, True)):
        message = "observation of row 3 is not finite (-inf in component 1)"
        assert_refused(agent, message, call, replace_at(GOOD, (3, 1), -np.inf))
        assert_refused(agent, "observation has shape (4, 2), not (4, 3)", call, GOOD[:, :2])
    agent.act(GOOD)  # no refused call has opened a row


def test_numbers_too_large_for_the_precision_are_refused(implementation):
    agent = implementation.agent(settings(), "float32")
    message = "observation of environment 0 is not finite (inf in component 2) at step 0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_refused(agent, message, agent.act, [[0, 0, 1e39]])


@table("bad", [[["a"] * O] * E, np.full((E, O), 1j), np.full((E, O), None)])
def test_observations_that_are_not_numbers_are_refused(agent, bad):
    message = f"observation must be an array of real numbers, got {np.asarray(bad).dtype}"
    assert_refused(agent, message, agent.act, bad, error=TypeError)
    assert_refused(agent, message, agent.value, bad, error=TypeError)


def test_integers_lists_and_strided_arrays_are_accepted(agent):
    expected = agent.value(np.ones((E, O)))
    assert np.array_equal(agent.value([[1] * O] * E), expected)
    assert np.array_equal(agent.value(np.ones((O, E), np.int8).T), expected)
    assert np.array_equal(agent.value(np.ones((2 * E, O))[::2]), expected)


def test_arguments_and_results_belong_to_the_caller(agent):
    """Results share no memory with the agent or later results, and arguments are not changed."""
    obs = GOOD.astype(agent.real)
    act, logp, val = agent.act(obs)
    first, kept = (
        (agent.predict(obs, True), agent.value(obs)),
        (act.copy(), logp.copy(), val.copy()),
    )
    agent.push(np.zeros(E), NO, NO, obs)
    results = [*first, act, logp, val]
    for _ in range(3):
        for later in (*agent.act(obs), agent.predict(obs, True), agent.value(obs)):
            assert not any(np.shares_memory(later, result) for result in results)
            later[:] = 7
        agent.discard()
    assert all(np.array_equal(a, b) for a, b in zip((act, logp, val), kept, strict=True))
    assert np.array_equal(agent.predict(obs, True), first[0])
    assert np.array_equal(obs, GOOD.astype(agent.real))


@table("value", [3, -1, 0.5, np.nan, np.inf])
def test_invalid_choices_are_refused(agent, value):
    act = replace_at(np.zeros((E, 2)), (2, 1), value)
    message = f"action of environment 2 is {value:g}, not one of 0..2 (component 1) at step 1"
    assert_refused(agent, message, agent.record, GOOD, act)
    message = f"action of row 2 is {value:g}, not one of 0..2 (component 1)"
    assert_refused(agent, message, agent.theory.load_batch, GOOD, act, np.zeros(E))


def test_invalid_continuous_actions_are_refused(implementation):
    agent = implementation.agent(settings(n_envs=E))
    act = replace_at(np.zeros((E, 2)), (2, 1), np.inf)
    message = "action of environment 2 is inf, not a finite number (component 1) at step 0"
    assert_refused(agent, message, agent.record, GOOD, act)
    assert_refused(agent, "action has shape (4,), not (4, 2)", agent.record, GOOD, np.zeros(E))


def test_invalid_steps_are_refused(agent):
    agent.act(GOOD)
    zero = np.zeros(E)
    where = "environment 3 is not finite (nan in component 1) at step 1"
    assert_refused(
        agent, f"next observation of {where}", agent.push, zero, NO, NO, replace_at(GOOD, (3, 1))
    )
    message = "reward of environment 1 is not finite (-inf) at step 1"
    assert_refused(agent, message, agent.push, replace_at(zero, 1, -np.inf), NO, NO, GOOD)
    both = (replace_at(zero, 1, -np.inf), NO, NO, replace_at(GOOD, (0, 0)))
    assert_refused(agent, message, agent.push, *both)
    assert_refused(agent, "reward has shape (), not (4,)", agent.push, 0.0, NO, NO, GOOD)
    assert_refused(agent, "terminated has shape (3,), not (4,)", agent.push, zero, NO[:3], NO, GOOD)
    assert_refused(
        agent, "truncated has shape (4, 1), not (4,)", agent.push, zero, NO, NO[:, None], GOOD
    )
    message = "next observation has shape (3, 3), not (4, 3)"
    assert_refused(agent, message, agent.push, zero, NO, NO, GOOD[:3])
    assert_refused(agent, "skip has shape (1,), not (4,)", agent.push, zero, NO, NO, GOOD, NO[:1])
    agent.push(zero, NO, NO, GOOD)  # the row is still open
    assert agent.n_recorded == 2


def test_skipped_environments_are_not_checked(agent):
    agent.act(GOOD)
    skip, rew, next_obs = np.arange(E) == 1, replace_at(np.zeros(E), 1), replace_at(GOOD, (1, 2))
    message = "reward of environment 2 is not finite (nan) at step 1"
    assert_refused(agent, message, agent.push, replace_at(rew, 2), NO, NO, next_obs, skip)
    message = "next observation of environment 2 is not finite (nan in component 0) at step 1"
    assert_refused(agent, message, agent.push, rew, NO, NO, replace_at(next_obs, (2, 0)), skip)
    agent.push(rew, NO, NO, next_obs, skip)
    assert agent.n_recorded == 2
    assert agent.update()["n_samples"] == 2 * E - 1


def test_invalid_parameters_and_vectors_are_refused(agent):
    P, Pv = agent.theta.size, agent.value_theta.size
    agent.theory.load_batch(GOOD, np.zeros((E, 2)), np.ones(E), np.ones(E))

    def set_theta(value):
        agent.theta = value

    def set_value_theta(value):
        agent.value_theta = value

    calls = {
        "theta": (P, set_theta, agent.theory.evaluate),
        "value_theta": (Pv, set_value_theta),
        "v": (P, agent.theory.fisher_product),
        "r": (P, agent.theory.precondition),
    }
    for name, (size, *functions) in calls.items():
        for call in functions:
            assert_refused(agent, f"{name} has shape (2,), not ({size},)", call, np.zeros(2))
            bad = replace_at(np.zeros(size), 1)
            assert_refused(agent, f"{name} is not finite (nan in component 1)", call, bad)
    assert_refused(agent, f"v has shape (2,), not ({Pv},)", agent.theory.value_product, np.zeros(2))


def test_invalid_batches_are_refused(agent):
    s = settings((), DISTRIBUTIONS["several categoricals"], n_steps=T, n_envs=E)
    obs, act, adv, ret, _ = random_batch(s, T * E + 1)
    limit = f"1..{T * E} (n_steps * n_envs)"
    assert_refused(
        agent, f"the batch has 13 rows, not {limit}", agent.theory.load_batch, obs, act, adv, ret
    )
    none = (obs[:0], act[:0], adv[:0])
    assert_refused(agent, f"the batch has 0 rows, not {limit}", agent.theory.load_batch, *none)
    n = 5
    assert_refused(
        agent,
        "advantage has shape (4,), not (5,)",
        agent.theory.load_batch,
        obs[:n],
        act[:n],
        adv[:4],
    )
    message = "observation of row 3 is not finite (nan in component 1)"
    assert_refused(
        agent, message, agent.theory.load_batch, replace_at(obs[:n], (3, 1)), act[:n], adv[:n]
    )
    for at, name in ((2, "advantage"), (3, "return"), (4, "log-probability")):
        batch = [obs[:n], act[:n], adv[:n], ret[:n], adv[:n]]
        batch[at] = replace_at(batch[at], 3)
        assert_refused(
            agent, f"{name} of row 3 is not finite (nan)", agent.theory.load_batch, *batch
        )


def test_calls_in_the_wrong_order_are_refused(implementation):
    agent, obs = implementation.agent(settings(n_steps=1)), np.zeros((1, O))
    step = (np.zeros(1), NO[:1], NO[:1], obs)
    wrong = dict(error=RuntimeError)
    assert_refused(agent, "the rollout is empty", agent.update)
    assert_refused(
        agent, "no step is open: call act or record before push", agent.push, *step, **wrong
    )
    agent.act(obs)
    message = "the last step is not complete: call push before the next act"
    assert_refused(agent, message, agent.act, obs, **wrong)
    assert_refused(agent, message, agent.record, obs, np.zeros((1, 2)), **wrong)
    message = "the last step is not complete: call push before update"
    assert_refused(agent, message, agent.update, **wrong)
    agent.push(*step)
    message = "the rollout is full (1 steps): call update"
    assert_refused(agent, message, agent.act, obs, **wrong)
    assert_refused(agent, message, agent.record, obs, np.zeros((1, 2)), **wrong)
    agent.update()
    agent.act(obs)
    agent.discard()
    assert_refused(agent, "the rollout is empty", agent.update)


@pytest.mark.parametrize("then", ["fresh", "act", "record"])
def test_a_batch_and_a_rollout_replace_each_other(implementation, then):
    agent, obs = implementation.agent(settings()), np.ones((1, O))
    if then != "fresh":
        agent.theory.load_batch(obs, np.zeros((1, 2)), [1.0])
        agent.act(obs) if then == "act" else agent.record(obs, np.zeros((1, 2)))
    calls = [
        agent.theory.gradient,
        agent.theory.solve,
        agent.theory.outputs,
        agent.theory.value_gradient,
    ]
    for call in (*calls, lambda: agent.theory.evaluate(agent.theta)):
        message = "no batch is loaded: call load_batch first"
        assert_refused(agent, message, call, error=RuntimeError)
    if then != "fresh":
        agent.push([1.0], [False], [False], obs)
        agent.theory.load_batch(obs, np.zeros((1, 2)), [1.0])
        assert agent.n_recorded == 0
        assert_refused(agent, "the rollout is empty", agent.update)


def test_a_refused_row_keeps_the_batch(implementation):
    agent, obs = implementation.agent(settings()), np.ones((1, O))
    agent.theory.load_batch(obs, np.zeros((1, 2)), [1.0])
    expected, bad = agent.theory.gradient(), replace_at(obs, (0, 1))
    message = "observation of environment 0 is not finite (nan in component 1) at step 0"
    assert_refused(agent, message, agent.act, bad)
    assert_refused(agent, message, agent.record, bad, np.zeros((1, 2)))
    assert_refused(agent, message, agent.record, bad, np.full((1, 2), np.nan))
    assert np.array_equal(agent.theory.gradient(), expected)


@pytest.mark.parametrize("name", ["theta", "value_theta"])
def test_setting_parameters_starts_a_new_rollout(implementation, name):
    """The recorded rows belong to the old parameters."""
    agent, obs = implementation.agent(settings()), np.ones((1, O))
    agent.act(obs)
    agent.push([1.0], [False], [False], obs)
    agent.act(obs)
    setattr(agent, name, getattr(agent, name) + 1)
    assert agent.n_recorded == 0
    agent.act(obs)
    agent.push([1.0], [False], [False], obs)
    assert agent.update()["n_samples"] == 1


def test_predictions_for_no_rows_are_empty(agent):
    assert agent.predict(np.zeros((0, O)), True).shape == (0, 2)
    assert agent.predict(np.zeros((0, O)), False).shape == (0, 2)
    assert agent.value(np.zeros((0, O))).shape == (0,)
