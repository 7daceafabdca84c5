"""The door of an agent: what it refuses, in which words, and that a refusal changes nothing."""

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
    """Two-part categorical actions, four environments; one row is complete."""
    s = settings((), DISTRIBUTIONS["several categoricals"], n_steps=T, n_envs=E)
    agent = implementation.agent(s)
    agent.act(GOOD)
    agent.push(np.zeros(E), NO, NO, GOOD)
    return agent


def with_bad(array, where, value=np.nan):
    array = np.array(array, float)
    array[where] = value
    return array


def refuses(agent, message, call, *arguments, error=ValueError):
    """The call fails with these words, and the agent is what it was."""
    before, rows = bits(agent), agent.n_recorded
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(*arguments)
    assert bits(agent) == before
    assert agent.n_recorded == rows


def test_bad_observations(agent):
    where = "environment 3 is not finite (nan in component 1) at step 1"
    for call in (agent.act, lambda obs: agent.record(obs, np.zeros((E, 2)))):
        refuses(agent, f"observation of {where}", call, with_bad(GOOD, (3, 1)))
        refuses(agent, "observation has shape (3,), not (4, 3)", call, GOOD[0])
        refuses(agent, "observation has shape (2, 3), not (4, 3)", call, GOOD[:2])
    draw = lambda obs: agent.predict(obs, False)  # noqa: E731
    for call in (agent.value, draw, lambda obs: agent.predict(obs, True)):
        message = "observation of row 3 is not finite (-inf in component 1)"
        refuses(agent, message, call, with_bad(GOOD, (3, 1), -np.inf))
        refuses(agent, "observation has shape (4, 2), not (4, 3)", call, GOOD[:, :2])
    agent.act(GOOD)  # and none of that opened a row


def test_numbers_too_large_for_the_precision(implementation):
    agent = implementation.agent(settings(), "float32")
    message = "observation of environment 0 is not finite (inf in component 2) at step 0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refuses(agent, message, agent.act, [[0, 0, 1e39]])


@table("bad", [[["a"] * O] * E, np.full((E, O), 1j), np.full((E, O), None)])
def test_what_is_no_number(agent, bad):
    message = f"observation must be an array of real numbers, got {np.asarray(bad).dtype}"
    refuses(agent, message, agent.act, bad, error=TypeError)
    refuses(agent, message, agent.value, bad, error=TypeError)


def test_whole_numbers_and_lists_will_do(agent):
    expected = agent.value(np.ones((E, O)))
    assert np.array_equal(agent.value([[1] * O] * E), expected)
    assert np.array_equal(agent.value(np.ones((O, E), np.int8).T), expected)
    assert np.array_equal(agent.value(np.ones((2 * E, O))[::2]), expected)


def test_what_went_in_and_came_out_is_the_caller_s(agent):
    """An answer is the caller's own from then on, and what was given is not written to."""
    obs = GOOD.astype(agent.real)
    act, logp, val = agent.act(obs)
    first, kept = (
        (agent.predict(obs, True), agent.value(obs)),
        (act.copy(), logp.copy(), val.copy()),
    )
    agent.push(np.zeros(E), NO, NO, obs)
    answers = [*first, act, logp, val]
    for again in (*agent.act(obs), agent.predict(obs, True), agent.value(obs)):
        assert not any(np.shares_memory(again, answer) for answer in answers)
        again[:] = 7
    assert all(np.array_equal(a, b) for a, b in zip((act, logp, val), kept, strict=True))
    assert np.array_equal(agent.predict(obs, True), first[0])
    assert np.array_equal(obs, GOOD.astype(agent.real))


@table("value", [3, -1, 0.5, np.nan, np.inf])
def test_bad_choices(agent, value):
    act = with_bad(np.zeros((E, 2)), (2, 1), value)
    message = f"action of environment 2 is {value:g}, not one of 0..2 (component 1) at step 1"
    refuses(agent, message, agent.record, GOOD, act)
    message = f"action of row 2 is {value:g}, not one of 0..2 (component 1)"
    refuses(agent, message, agent.theory.load_batch, GOOD, act, np.zeros(E))


def test_bad_continuous_actions(implementation):
    agent = implementation.agent(settings(n_envs=E))
    act = with_bad(np.zeros((E, 2)), (2, 1), np.inf)
    message = "action of environment 2 is inf, not a finite number (component 1) at step 0"
    refuses(agent, message, agent.record, GOOD, act)
    refuses(agent, "action has shape (4,), not (4, 2)", agent.record, GOOD, np.zeros(E))


def test_bad_steps(agent):
    agent.act(GOOD)
    zero = np.zeros(E)
    where = "environment 3 is not finite (nan in component 1) at step 1"
    refuses(agent, f"next observation of {where}", agent.push, zero, NO, NO, with_bad(GOOD, (3, 1)))
    message = "reward of environment 1 is not finite (-inf) at step 1"
    refuses(agent, message, agent.push, with_bad(zero, 1, -np.inf), NO, NO, GOOD)
    both = (with_bad(zero, 1, -np.inf), NO, NO, with_bad(GOOD, (0, 0)))
    refuses(agent, message, agent.push, *both)
    refuses(agent, "reward has shape (), not (4,)", agent.push, 0.0, NO, NO, GOOD)
    refuses(agent, "terminated has shape (3,), not (4,)", agent.push, zero, NO[:3], NO, GOOD)
    refuses(agent, "truncated has shape (4, 1), not (4,)", agent.push, zero, NO, NO[:, None], GOOD)
    message = "next observation has shape (3, 3), not (4, 3)"
    refuses(agent, message, agent.push, zero, NO, NO, GOOD[:3])
    refuses(agent, "skip has shape (1,), not (4,)", agent.push, zero, NO, NO, GOOD, NO[:1])
    agent.push(zero, NO, NO, GOOD)  # the row stayed open
    assert agent.n_recorded == 2


def test_what_is_skipped_is_not_looked_at(agent):
    agent.act(GOOD)
    skip, rew, next_obs = np.arange(E) == 1, with_bad(np.zeros(E), 1), with_bad(GOOD, (1, 2))
    message = "reward of environment 2 is not finite (nan) at step 1"
    refuses(agent, message, agent.push, with_bad(rew, 2), NO, NO, next_obs, skip)
    message = "next observation of environment 2 is not finite (nan in component 0) at step 1"
    refuses(agent, message, agent.push, rew, NO, NO, with_bad(next_obs, (2, 0)), skip)
    agent.push(rew, NO, NO, next_obs, skip)
    assert agent.n_recorded == 2
    assert agent.update()["n_samples"] == 2 * E - 1


def test_bad_parameters_and_vectors(agent):
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
            refuses(agent, f"{name} has shape (2,), not ({size},)", call, np.zeros(2))
            bad = with_bad(np.zeros(size), 1)
            refuses(agent, f"{name} is not finite (nan in component 1)", call, bad)
    refuses(agent, f"v has shape (2,), not ({Pv},)", agent.theory.value_product, np.zeros(2))


def test_bad_batches(agent):
    s = settings((), DISTRIBUTIONS["several categoricals"], n_steps=T, n_envs=E)
    obs, act, adv, ret, _ = random_batch(s, T * E + 1)
    limit = f"1..{T * E} (n_steps * n_envs)"
    refuses(
        agent, f"the batch has 13 rows, not {limit}", agent.theory.load_batch, obs, act, adv, ret
    )
    none = (obs[:0], act[:0], adv[:0])
    refuses(agent, f"the batch has 0 rows, not {limit}", agent.theory.load_batch, *none)
    n = 5
    refuses(
        agent,
        "advantage has shape (4,), not (5,)",
        agent.theory.load_batch,
        obs[:n],
        act[:n],
        adv[:4],
    )
    message = "observation of row 3 is not finite (nan in component 1)"
    refuses(agent, message, agent.theory.load_batch, with_bad(obs[:n], (3, 1)), act[:n], adv[:n])
    for at, name in ((2, "advantage"), (3, "return"), (4, "log-probability")):
        batch = [obs[:n], act[:n], adv[:n], ret[:n], adv[:n]]
        batch[at] = with_bad(batch[at], 3)
        refuses(agent, f"{name} of row 3 is not finite (nan)", agent.theory.load_batch, *batch)


def test_calls_in_the_wrong_order(implementation):
    agent, obs = implementation.agent(settings(n_steps=1)), np.zeros((1, O))
    step = (np.zeros(1), NO[:1], NO[:1], obs)
    wrong = dict(error=RuntimeError)
    refuses(agent, "the rollout is empty", agent.update)
    refuses(agent, "no step is open: call act or record before push", agent.push, *step, **wrong)
    agent.act(obs)
    message = "the last step is not complete: call push before the next act"
    refuses(agent, message, agent.act, obs, **wrong)
    refuses(agent, message, agent.record, obs, np.zeros((1, 2)), **wrong)
    message = "the last step is not complete: call push before update"
    refuses(agent, message, agent.update, **wrong)
    agent.push(*step)
    message = "the rollout is full (1 steps): call update"
    refuses(agent, message, agent.act, obs, **wrong)
    refuses(agent, message, agent.record, obs, np.zeros((1, 2)), **wrong)
    agent.update()
    agent.act(obs)
    agent.discard()
    refuses(agent, "the rollout is empty", agent.update)


@pytest.mark.parametrize("then", ["fresh", "act", "record"])
def test_a_batch_and_a_rollout_take_each_other_s_place(implementation, then):
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
        refuses(agent, message, call, error=RuntimeError)
    if then != "fresh":
        agent.push([1.0], [False], [False], obs)
        agent.theory.load_batch(obs, np.zeros((1, 2)), [1.0])
        assert agent.n_recorded == 0
        refuses(agent, "the rollout is empty", agent.update)


def test_a_refused_row_leaves_the_batch(implementation):
    agent, obs = implementation.agent(settings()), np.ones((1, O))
    agent.theory.load_batch(obs, np.zeros((1, 2)), [1.0])
    expected, bad = agent.theory.gradient(), with_bad(obs, (0, 1))
    message = "observation of environment 0 is not finite (nan in component 1) at step 0"
    refuses(agent, message, agent.act, bad)
    refuses(agent, message, agent.record, bad, np.zeros((1, 2)))
    refuses(agent, message, agent.record, bad, np.full((1, 2), np.nan))
    assert np.array_equal(agent.theory.gradient(), expected)


@pytest.mark.parametrize("name", ["theta", "value_theta"])
def test_new_parameters_start_a_new_rollout(implementation, name):
    """What was recorded belongs to the old ones."""
    agent, obs = implementation.agent(settings()), np.ones((1, O))
    agent.act(obs)
    agent.push([1.0], [False], [False], obs)
    agent.act(obs)
    setattr(agent, name, getattr(agent, name) + 1)
    assert agent.n_recorded == 0
    agent.act(obs)
    agent.push([1.0], [False], [False], obs)
    assert agent.update()["n_samples"] == 1


def test_no_rows_to_predict_for(agent):
    assert agent.predict(np.zeros((0, O)), True).shape == (0, 2)
    assert agent.predict(np.zeros((0, O)), False).shape == (0, 2)
    assert agent.value(np.zeros((0, O))).shape == (0,)
