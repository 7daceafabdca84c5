"""The action distributions: densities, divergences, draws. Most tests run over all of them."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import reference
from agents import (
    DISTRIBUTIONS,
    SEED,
    N,
    Samples,
    every_distribution,
    loaded,
    needs_extension,
    random_batch,
    settings,
    shaken,
)
from tables import table
from tolerances import DENSE, ROUNDING, SAMPLING, SECOND_DIFFERENCES, SOLVED, assert_close

from fasttrpo.checks.distributions import DISTRIBUTIONS as ENTRIES
from fasttrpo.core.backend import make_agent
from fasttrpo.portable.distributions import DISTRIBUTIONS as TABLE
from fasttrpo.selftest.distributions import DISTRIBUTIONS as ORACLE

ROWS = 4000


def test_every_distribution_is_in_every_table_and_tested():
    """Of Python's layers, the portable backend, the oracle and the tests."""
    tested = {name for name, _ in DISTRIBUTIONS.values()}
    assert set(ENTRIES) == set(TABLE) == set(ORACLE) == tested
    for name, entry in ENTRIES.items():
        has_log_std = {TABLE[name].log_std_curvature > 0, ORACLE[name].log_std_curvature > 0}
        assert has_log_std == {entry.has_log_std}


@needs_extension
def test_the_table_of_the_core_equals_that_of_python():
    table = importlib.import_module("fasttrpo.core._core32").distributions()
    assert list(table) == list(ENTRIES)
    for name, (outputs, takes_masks, has_log_std, n_choices) in table.items():
        entry = ENTRIES[name]
        assert (takes_masks, has_log_std) == (entry.takes_masks, entry.has_log_std)
        assert outputs == (entry.outputs or 0)
        assert (n_choices is None) == entry.is_real


@every_distribution
def test_illegal_actions_are_detected(distribution):
    """Drawn actions are legal; with one entry replaced, that entry is not."""
    s = settings((), distribution)
    entry, act = ENTRIES[s.distribution], random_batch(s).act
    legal = entry.legal
    assert legal(act, s.parts).all()
    assert legal(np.full((1, len(s.parts)), entry.filler), s.parts).all()
    for bad in (np.nan, np.inf, -np.inf):
        act[3, -1] = bad
        assert np.argwhere(~legal(act, s.parts)).tolist() == [[3, len(s.parts) - 1]]


@every_distribution
def test_log_probabilities_of_given_actions(implementation, distribution):
    s = settings((4,), distribution, n_envs=70)
    agent, batch = shaken(implementation, s), random_batch(s, 70)
    logp, _ = agent.record(batch.obs, batch.act)
    expected = reference.dense_policy(s).logp(agent.theta, batch.obs, batch.act)
    assert_close(logp, expected, ROUNDING)


@every_distribution
def test_act_returns_the_log_probabilities_of_its_actions(implementation, distribution):
    s = settings((4,), distribution, n_envs=70)
    agent, obs = shaken(implementation, s), random_batch(s, 70).obs
    act, logp, val = agent.act(obs)
    expected = reference.dense_policy(s).logp(agent.theta, obs, act)
    assert_close(logp, expected, ROUNDING)
    assert_close(val, agent.value(obs), ROUNDING)


@every_distribution
def test_evaluate_equals_the_formulas(implementation, distribution):
    s = settings((4,), distribution)
    agent, batch = loaded(implementation, s, off_policy=True)
    dense, theta = reference.dense_policy(s), agent.theta
    trial = theta + 0.3 * np.random.default_rng(8).normal(size=theta.size)
    surr, kl, entropy = agent.theory.evaluate(trial)
    expected = dense.surrogate(trial, batch.obs, batch.act, batch.adv, batch.logp)
    assert surr == pytest.approx(expected, rel=DENSE)
    assert kl == pytest.approx(dense.kl(theta, trial, batch.obs), rel=DENSE)
    assert entropy == pytest.approx(dense.entropy(trial, batch.obs), rel=DENSE)
    assert np.array_equal(agent.theta, theta)


@every_distribution
@table("n", [1, 64, 65, 257, 700, 8200])
def test_evaluate_over_any_number_of_rows(implementation, distribution, n):
    s = settings((2,), distribution, n_steps=n)
    agent, (obs, act, adv, _, logp) = loaded(implementation, s, n)
    dense, trial = reference.dense_policy(s), agent.theta + 0.1
    expected = dense.surrogate(trial, obs, act, adv, logp), dense.kl(agent.theta, trial, obs)
    assert agent.theory.evaluate(trial)[:2] == pytest.approx(expected, rel=SOLVED)


@every_distribution
def test_evaluate_does_not_change_the_agent(implementation, distribution):
    agent, batch = loaded(implementation, settings((4,), distribution))

    def results():
        v, u = np.ones(agent.theta.size), np.ones(agent.value_theta.size)
        return [
            *(
                agent.theta,
                agent.theory.outputs(),
                agent.theory.gradient(),
                agent.theory.fisher_product(v),
            ),
            *(
                agent.theory.precondition(v),
                agent.theory.value_gradient(),
                agent.theory.value_product(u),
            ),
            *(agent.predict(batch.obs, True), agent.value(batch.obs), agent.theory.solve()[0]),
        ]

    before = [result.tobytes() for result in results()]
    agent.theory.evaluate(agent.theta + 0.3)
    assert [result.tobytes() for result in results()] == before


@every_distribution
def test_small_divergences_are_accurate(implementation, distribution):
    """A difference of nearly equal logarithms would lose all digits.

    Along a random direction, and along the last parameter: a log_std or a logit's bias.
    """
    agent, _ = loaded(implementation, settings((4,), distribution))
    P = agent.theta.size
    for v in (np.random.default_rng(1).normal(size=P), np.eye(P)[-1]):
        for h in (1e-5, 1e-6, 1e-7):
            kl = agent.theory.evaluate(agent.theta + h * v)[1]
            expected = h**2 / 2 * v @ agent.theory.fisher_product(v)
            assert kl == pytest.approx(expected, rel=100 * h + SECOND_DIFFERENCES, abs=0)


@every_distribution
def test_surrogate_and_kl_are_zero_at_the_current_parameters(implementation, distribution):
    s = settings((4,), distribution)
    agent, batch = shaken(implementation, s), random_batch(s)
    agent.theory.load_batch(batch.obs, batch.act, batch.adv)
    surr, kl, entropy = agent.theory.evaluate(agent.theta)
    assert (surr, kl) == (0, 0)
    dense = reference.dense_policy(s)
    assert entropy == pytest.approx(dense.entropy(agent.theta, batch.obs), rel=DENSE)


@needs_extension
@every_distribution
@table("dtype", ["float32", "float64"])
@table("how", ["act", "record"])
def test_the_ratio_is_exactly_one_at_the_old_parameters(distribution, dtype, how):
    """Rollouts record the same bits that updates compute at the same parameters."""
    s = settings((17, 9), distribution, n_envs=7, n_steps=43)
    agent, obs, act, logp = make_agent(s, "compiled", dtype), [], [], []
    agent.theta = agent.theta + 0.3 * np.random.default_rng(0).normal(size=agent.theta.size)
    for step in range(43):
        obs.append(random_batch(s, 7, seed=step).obs)
        if how == "act":
            actions, logs, _ = agent.act(obs[-1])
        else:
            actions = random_batch(s, 7, seed=step).act
            logs, _ = agent.record(obs[-1], actions)
        act.append(actions)
        logp.append(logs)
        agent.push(np.zeros(7), *np.zeros((2, 7), bool), obs[-1])
    adv = np.random.default_rng(1).normal(size=7 * 43)
    recorded = Samples(np.concatenate(obs), np.concatenate(act), adv, adv, np.concatenate(logp))
    agent.theory.load_batch(*recorded)
    assert agent.theory.evaluate(agent.theta)[0] == 0.0
    gradient = agent.theory.gradient()
    agent.theory.load_batch(*recorded._replace(logp=None))
    assert agent.theory.gradient().tobytes() == gradient.tobytes()


@every_distribution
def test_a_step_that_overflows_is_not_acceptable(implementation, distribution):
    agent, _ = loaded(implementation, settings((4,), distribution))
    surr, kl, _ = agent.theory.evaluate(agent.theta * 1e200)
    assert not (kl <= 1e9 and surr > 0)


def test_certain_choices_have_finite_results(implementation):
    """Logits so far apart that the other choices have probability 0."""
    s = settings((), ("categorical", (3,)))
    agent = implementation.agent(s)
    theta = np.zeros(agent.theta.size)
    theta[-3:] = 0, 2000, -2000
    agent.theta = theta
    batch = random_batch(s)
    agent.theory.load_batch(batch.obs, np.ones((N, 1)), batch.adv)
    assert agent.theory.evaluate(theta) == (0, 0, 0)
    assert not agent.theory.gradient().any()
    assert not agent.theory.fisher_product(np.ones(theta.size)).any()
    assert (agent.predict(batch.obs, False) == 1).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("far", [300.0, 1e4])
def test_choices_of_probability_zero_add_no_kl(implementation, dtype, far):
    """Their probability is 0 before and after, and exp of the logits' change overflows."""
    s = settings((), ("categorical", (3,)))
    agent = implementation.agent(s, dtype)
    theta = np.zeros(agent.theta.size)
    theta[-2:] = -10 * far, -9 * far
    agent.theta = theta
    batch = random_batch(s)
    agent.theory.load_batch(batch.obs, np.zeros((N, 1)), batch.adv)
    assert agent.theory.evaluate(theta * 0.5) == (0, 0, 0)


def test_a_part_with_one_choice_has_no_effect(implementation):
    """It adds no log-probability, curvature or gradient."""
    s, plain = settings((), ("categorical", (1, 3))), settings((), ("categorical", (3,)))
    agent, without = implementation.agent(s), implementation.agent(plain)
    W = np.random.default_rng(0).normal(size=(s.obs_size + 1, 4))
    agent.theta, without.theta = W.ravel(), W[:, 1:].ravel()
    batch = random_batch(s)
    agent.theory.load_batch(batch.obs, batch.act, batch.adv)
    without.theory.load_batch(batch.obs, batch.act[:, 1:], batch.adv)
    gradient = agent.theory.gradient().reshape(-1, 4)
    assert not gradient[:, 0].any()
    assert_close(gradient[:, 1:].ravel(), without.theory.gradient(), ROUNDING)
    v = np.random.default_rng(1).normal(size=W.shape)
    product = agent.theory.fisher_product(v.ravel()).reshape(-1, 4)
    assert not product[:, 0].any()
    assert_close(product[:, 1:].ravel(), without.theory.fisher_product(v[:, 1:].ravel()), ROUNDING)


# -- draws -----------------------------------------------------------------------------------------


def expected_draws(s, agent, obs, stream):
    """Row i uses the random numbers of item i."""
    dense = reference.dense_policy(s)
    noise = reference.noise(dense.of, stream, range(len(obs)))
    return dense.of.sample(noise, *dense.parameters(agent.theta, obs))


@every_distribution
def test_actions_are_drawn_as_specified(implementation, distribution):
    s = settings((4,), distribution, n_envs=70)
    agent = shaken(implementation, s)
    for count in range(2):
        obs = random_batch(s, 70, seed=count).obs
        act, _, _ = agent.act(obs)
        agent.push(np.zeros(70), *np.zeros((2, 70), bool), obs)
        stream = (SEED, reference.ACTION, count)
        assert_close(act, expected_draws(s, agent, obs, stream), ROUNDING)


@every_distribution
def test_predictions_are_drawn_as_specified(implementation, distribution):
    s = settings((4,), distribution)
    agent = shaken(implementation, s)
    for count in range(2):
        obs = random_batch(s, 70, seed=count).obs
        stream = (SEED, reference.PREDICT, count)
        act = agent.predict(obs, False)
        assert_close(act, expected_draws(s, agent, obs, stream), ROUNDING)


@every_distribution
def test_draws_have_the_distribution_of_the_policy(implementation, distribution):
    """The scores, d logp / d outputs, have mean 0 and the Fisher metric as covariance."""
    s = settings((4,), distribution)
    agent, obs = shaken(implementation, s), np.tile([[0.3, -1.0, 0.8]], (ROWS, 1))
    act, dense = agent.predict(obs, False), reference.dense_policy(s)
    out, log_std = dense.parameters(agent.theta, obs)
    scores = dense.of.score(out, log_std, act)
    products = scores[:, :, None] * scores[:, None, :]
    for found, expected in ((scores, 0), (products, dense.of.metric(out[:1], log_std)[0])):
        standard_errors = found.std(axis=0) / np.sqrt(ROWS)
        assert (abs(found.mean(axis=0) - expected) < SAMPLING * standard_errors).all()


@every_distribution
def test_the_deterministic_action_is_the_mode(implementation, distribution):
    s = settings((4,), distribution)
    agent, obs = shaken(implementation, s), random_batch(s).obs
    dense = reference.dense_policy(s)
    expected = dense.of.mode(*dense.parameters(agent.theta, obs))
    assert_close(agent.predict(obs, True), expected, ROUNDING)


def test_ties_of_the_mode_take_the_first_choice(implementation):
    s = settings((), ("categorical", (2, 3)))
    agent = implementation.agent(s)
    agent.theta = np.zeros(agent.theta.size)
    assert not agent.predict(np.ones((2, s.obs_size)), True).any()


# -- Bernoullis ------------------------------------------------------------------------------------


def bernoullis(implementation, logits, n=N, dtype="float64"):
    """A linear policy with the same logits in every state, and n observations."""
    s = settings((), ("bernoulli", (1,) * len(logits)), n_steps=n)
    agent = implementation.agent(s, dtype)
    theta = np.zeros((s.obs_size + 1, len(logits)))
    theta[-1] = logits
    agent.theta = theta.ravel()
    return agent, random_batch(s, n).obs


def test_a_bernoulli_equals_a_categorical_of_two(implementation):
    """With logits 0 and z: the same draws, modes and entropy."""
    agent, obs = bernoullis(implementation, [0.7, -2.0], 500)
    s = settings((), ("categorical", (2, 2)), n_steps=500)
    choosing = implementation.agent(s)
    theta = np.zeros((s.obs_size + 1, 4))
    theta[-1] = 0, 0.7, 0, -2.0
    choosing.theta = theta.ravel()
    act = agent.predict(obs, False)
    assert np.array_equal(act, choosing.predict(obs, False))
    assert np.array_equal(agent.predict(obs, True), choosing.predict(obs, True))
    for each in (agent, choosing):
        each.theory.load_batch(obs, act, np.ones(500))
    assert agent.theory.evaluate(agent.theta)[2] == pytest.approx(
        choosing.theory.evaluate(choosing.theta)[2], rel=DENSE
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_certain_bernoullis_have_finite_results(implementation, dtype):
    """Logits for which one probability is 0 in any precision, and steps between them."""
    z = np.array([2000.0, -2000.0, 0.0])
    agent, obs = bernoullis(implementation, z, dtype=dtype)
    agent.theory.load_batch(obs, np.tile([1.0, 0.0, 1.0], (N, 1)), np.ones(N))
    surr, kl, entropy = agent.theory.evaluate(agent.theta)
    assert (surr, kl) == (0, 0)
    assert entropy == pytest.approx(np.log(2), rel=1e-6)
    gradient = agent.theory.gradient().reshape(-1, 3)
    assert not gradient[:, :2].any()
    assert gradient[-1, 2] == pytest.approx(0.5)
    assert np.isfinite(agent.theory.fisher_product(np.ones(12))).all()
    assert (agent.predict(obs, False)[:, :2] == [1, 0]).all()
    flipped = agent.theta.reshape(-1, 3) * [-1, 1, 1]
    assert agent.theory.evaluate(flipped.ravel())[1] == pytest.approx(2000)


@table("z", [0.3, -1.0, 8.0, -30.0])
def test_float32_is_accurate_for_bernoullis_that_hardly_change(implementation, z):
    """Steps down to the logit's last bit: the KL is p q dz^2/2 (1 + (q - p) dz/3)."""
    agent, obs = bernoullis(implementation, [z], dtype="float32")
    agent.theory.load_batch(obs, np.zeros((N, 1)), np.ones(N))
    p, unit = 1 / (1 + np.exp(-z)), np.spacing(np.float32(abs(z)))
    q = np.exp(-z) * p
    for steps in (1, 3, 1000):
        dz = float(steps * unit)
        trial = agent.theta
        trial[-1] += dz
        expected = p * q * dz**2 / 2 * (1 + (q - p) * dz / 3)
        assert agent.theory.evaluate(trial)[1] == pytest.approx(expected, rel=1e-5, abs=0)


@pytest.mark.parametrize("bad", [0.5, 2, -1])
def test_actions_other_than_0_and_1_are_refused(implementation, bad):
    agent, obs = bernoullis(implementation, [0.0, 0.0], 4)
    act = np.zeros((4, 2))
    act[3, 1] = bad
    message = rf"action of row 3 is {bad:g}, not one of 0..1 \(component 1\)"
    with pytest.raises(ValueError, match=message):
        agent.theory.load_batch(obs, act, np.zeros(4))
