"""`fasttrpo.theory`: the parts of the algorithm as plain functions, on both backends."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import reference
from agents import O, every_distribution, random_batch, settings
from tables import table
from tolerances import DENSE, ROUNDING, SOLVED, assert_close

from fasttrpo import theory
from fasttrpo.core import backend
from fasttrpo.theory import Policy

LINEAR = Policy(obs_size=1, distribution="gaussian", parts=(1,), hidden=())
COIN = Policy(obs_size=1, distribution="categorical", parts=(2,), hidden=())


@pytest.fixture(autouse=True)
def _choose(implementation, monkeypatch):
    monkeypatch.setenv(backend.VARIABLE, implementation.name)


def assert_refuses(message, call, *arguments, error=ValueError, **keywords):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(*arguments, **keywords)


def test_every_public_name_has_a_test():
    """Functions need one with values computed by hand, classes any test."""
    for name in theory.__all__:
        prefix = "test_policy" if name == "Policy" else f"test_{name}_by_hand"
        is_result = name in ("Solution", "Search")  # return types
        assert is_result or any(test.startswith(prefix) for test in globals()), name


# -- Policy ---------------------------------------------------------------------------------------


@every_distribution
@table("hidden", [(), (5,), (4, 3)])
def test_policy_initial_parameters_are_those_of_an_agent(implementation, distribution, hidden):
    kind, parts = distribution
    policy = Policy(O, kind, list(parts), list(hidden), "relu")
    theta = policy.initial(seed=3)
    assert theta.shape == (policy.n_parameters,)
    assert theta.dtype == np.float64
    agent = implementation.agent(settings(hidden, distribution, "relu", seed=3))
    assert np.array_equal(theta, agent.theta)
    assert not np.array_equal(theta, policy.initial(seed=4))


def test_policy_rejects_invalid_arguments():
    good = dict(obs_size=2, distribution="gaussian", parts=(1, 1))
    for message, bad in (
        ("obs_size must be an integer >= 1, got 0", dict(obs_size=0)),
        (
            "distribution must be 'gaussian' or 'categorical' or 'bernoulli', got 'normal'",
            dict(distribution="normal"),
        ),
        ("parts of a gaussian policy cannot be (2,)", dict(parts=(2,))),
        ("parts of a gaussian policy cannot be ()", dict(parts=())),
        ("each of parts must be an integer >= 1, got 0", dict(parts=(0,))),
        ("each of hidden must be an integer >= 1, got 1.5", dict(hidden=(1.5,))),
        ("activation must be 'tanh' or 'identity' or 'relu', got 'gelu'", dict(activation="gelu")),
    ):
        assert_refuses(message, Policy, **(good | bad))
    assert_refuses(f"seed must be an integer from 0 to {2**64 - 1}, got -1", LINEAR.initial, -1)


# -- gae ------------------------------------------------------------------------------------------


def column(*values):
    return np.array(values)[:, None]


def test_gae_by_hand():
    """gamma = 1/2, lambda = 1/2: a truncation, a termination, and an unfinished episode."""
    rewards = column(1.0, 2.0, 4.0, 8.0)
    values = column(10.0, 20.0, 30.0, 40.0)
    final = column(np.nan, 100.0, np.nan, 60.0)
    terminated, truncated = column(0, 0, 1, 0), column(0, 1, 0, 0)
    adv, ret = theory.gae(rewards, values, terminated, truncated, final, 0.5, 0.5)
    delta = [1 + 10 - 10, 2 + 50 - 20, 4 + 0 - 30, 8 + 30 - 40]
    expected = [delta[0] + 0.25 * delta[1], *delta[1:]]
    assert adv[:, 0].tolist() == expected
    assert ret[:, 0].tolist() == [a + v for a, v in zip(expected, values[:, 0], strict=True)]


def test_gae_of_several_environments_equals_the_explicit_sum():
    draw = np.random.default_rng(0)
    rew, val, final = draw.normal(size=(3, 30, 4))
    term, trunc = draw.random((2, 30, 4)) < 0.1
    adv, ret = theory.gae(rew, val, term, trunc, final)
    boot = np.where(term, 0, final)
    expected = reference.gae(rew, val, boot, term | trunc, np.zeros_like(term), 0.99, 0.95)
    assert_close(adv, expected, ROUNDING)
    assert_close(ret, expected + val, ROUNDING)
    transposed = [np.ascontiguousarray(x.T).T for x in (rew, val, term, trunc, final)]
    assert np.array_equal(theory.gae(*transposed)[0], adv)
    lists = [x.tolist() for x in (rew, val, term, trunc, final)]
    assert np.array_equal(theory.gae(*lists)[0], adv)


def test_gae_names_invalid_arguments():
    x, no = np.zeros((3, 2)), np.zeros((3, 2), bool)
    good = dict(rewards=x, values=x, terminated=no, truncated=no, final_values=x)
    for name in good:
        other = "(T, E) with T, E > 0" if name == "rewards" else "(3, 2)"
        assert_refuses(
            f"{name} has shape (3,), not {other}", theory.gae, **(good | {name: x[:, 0]})
        )
    empty = dict.fromkeys(good, np.zeros((0, 2)))
    assert_refuses("rewards has shape (0, 2), not (T, E) with T, E > 0", theory.gae, **empty)
    assert_refuses("gamma must be a number from 0 to 1, got 2", theory.gae, **good, gamma=2)
    assert_refuses(
        "gae_lambda must be a number from 0 to 1, got -1", theory.gae, **good, gae_lambda=-1
    )
    bad = good | {"values": np.full((3, 2), "x")}
    with pytest.raises(TypeError, match="values must be an array of real numbers"):
        theory.gae(**bad)


# -- functions of a policy and a batch -------------------------------------------------------------


def test_surrogate_by_hand():
    """Gaussian, mu = w s + b, sigma = 1: the ratio is a quotient of two exponentials."""
    obs, actions, advantages = [[1.0], [2.0]], [0.5, -1.0], [3.0, -2.0]
    old, new = [0.0, 0.0, 0.0], [0.1, 0.2, 0.0]
    ratios = [math.exp((0.5**2 - 0.2**2) / 2), math.exp((1.0 - 1.4**2) / 2)]
    found = theory.surrogate(LINEAR, new, old, obs, actions, advantages)
    assert found == pytest.approx((3 * ratios[0] - 2 * ratios[1]) / 2, rel=ROUNDING)
    same = theory.surrogate(LINEAR, old, old, obs, actions, advantages)
    assert same == pytest.approx(0.5, rel=ROUNDING)


def test_kl_by_hand():
    """Gaussians with means 0 and 1 and standard deviations 1 and 2; coins of 1/2 and 3/4."""
    found = theory.kl(LINEAR, [0, 1, math.log(2)], [0, 0, 0], [[5.0]])
    assert found == pytest.approx(math.log(2) + (1 + 1) / 8 - 0.5, rel=ROUNDING)
    found = theory.kl(COIN, [0, 0, math.log(3), 0], [0, 0, 0, 0], [[5.0], [1.0]])
    assert found == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(2), rel=ROUNDING)
    assert theory.kl(COIN, [1, 2, 3, 4], [1, 2, 3, 4], [[5.0]]) == 0


def test_gradient_by_hand():
    """d log N(a; ws + b, 1): (a - mu) s, (a - mu), (a - mu)^2 - 1."""
    found = theory.gradient(LINEAR, [0.0, 0.0, 0.0], [[2.0]], [0.5], [3.0])
    assert found.tolist() == pytest.approx([3 * 0.5 * 2, 3 * 0.5, 3 * (0.25 - 1)], rel=ROUNDING)
    found = theory.gradient(COIN, np.zeros(4), [[2.0]], [[1]], [3.0])
    assert found.tolist() == pytest.approx([-3, 3, -1.5, 1.5], rel=ROUNDING)


def test_fisher_vector_product_by_hand():
    """Mean over s = 1, 3 of [s 1]'[s 1], sigma = 1; 2 for log_std."""
    F = np.array([[5.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    for damping in (0.0, 0.1):
        for v in np.eye(3):
            args = (LINEAR, np.zeros(3), [[1.0], [3.0]], v)
            found = theory.fisher_vector_product(*args, damping)
            assert_close(found, F @ v + damping * v, ROUNDING)


@every_distribution
def test_surrogate_kl_gradient_and_product_equal_dense_algebra(distribution):
    s = settings((4,), distribution)
    policy, dense = Policy(O, *distribution, hidden=(4,)), reference.dense_policy(s)
    obs, act, adv, _, _ = random_batch(s, 100)
    old, new = 0.3 * np.random.default_rng(0).normal(size=(2, policy.n_parameters))
    logp = dense.logp(old, obs, act)
    surrogate = dense.surrogate(new, obs, act, adv, logp) + adv.mean()
    batch = obs, act, adv
    assert theory.surrogate(policy, new, old, *batch) == pytest.approx(surrogate, rel=DENSE)
    kl = dense.kl(old, new, obs)
    assert theory.kl(policy, new, old, obs) == pytest.approx(kl, rel=DENSE)
    gradient = dense.gradient(old, obs, act, adv, logp)
    assert_close(theory.gradient(policy, old, *batch), gradient, DENSE)
    product = theory.fisher_vector_product(policy, old, obs, new, 0.1)
    assert_close(product, dense.fisher(old, obs) @ new + 0.1 * new, DENSE)


def test_every_function_names_invalid_batches():
    theta, obs, act, adv = np.zeros(3), np.ones((4, 1)), np.zeros(4), np.zeros(4)
    calls = {
        theory.gradient: lambda t, o: theory.gradient(LINEAR, t, o, act, adv),
        theory.surrogate: lambda t, o: theory.surrogate(LINEAR, theta, t, o, act, adv),
        theory.kl: lambda t, o: theory.kl(LINEAR, theta, t, o),
        theory.fisher_vector_product: lambda t, o: theory.fisher_vector_product(
            LINEAR, t, o, theta
        ),
    }
    for function, call in calls.items():
        name = "theta_old" if function in (theory.surrogate, theory.kl) else "theta"
        assert_refuses(f"{name} has shape (2,), not (3,)", call, theta[:2], obs)
        message = f"{name} is not finite (nan in component 0)"
        assert_refuses(message, call, theta * np.nan, obs)
        assert_refuses("obs has shape (4,), not (N, 1) with N > 0", call, theta, obs[:, 0])
        assert_refuses("obs has shape (0, 1), not (N, 1) with N > 0", call, theta, obs[:0])
        assert_refuses("observation has shape (4, 2), not (4, 1)", call, theta, np.ones((4, 2)))
        message = "observation of row 0 is not finite (nan in component 0)"
        assert_refuses(message, call, theta, obs * np.nan)


def test_invalid_actions_advantages_and_vectors_are_named():
    obs, zeros, theta = np.ones((4, 1)), np.zeros(4), np.zeros(3)
    assert_refuses(
        "action has shape (3,), not (4, 1)", theory.gradient, LINEAR, theta, obs, zeros[:3], zeros
    )
    assert_refuses(
        "advantage has shape (3,), not (4,)", theory.gradient, LINEAR, theta, obs, zeros, zeros[:3]
    )
    message = "action of row 0 is 2, not one of 0..1 (component 0)"
    assert_refuses(message, theory.gradient, COIN, zeros, obs, zeros + 2, zeros)
    product = theory.fisher_vector_product
    assert_refuses("v has shape (2,), not (3,)", product, LINEAR, theta, obs, [0, 0])
    assert_refuses("damping must be a number >= 0, got -1", product, LINEAR, theta, obs, theta, -1)
    assert_refuses("theta has shape (2,), not (3,)", theory.kl, LINEAR, [0, 0], theta, obs)


# -- functions of functions -----------------------------------------------------------------------

H, G = np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])


def test_conjugate_gradient_by_hand():
    """A two by two system: x = (1/11, 7/11) after two steps."""
    found = theory.conjugate_gradient(lambda v: H @ v, G)
    assert_close(found.x, [1 / 11, 7 / 11], SOLVED)
    assert found.steps == 2
    assert found.residual <= 1e-10
    assert found.curvature == pytest.approx(15 / 11, rel=SOLVED)
    first = theory.conjugate_gradient(lambda v: H @ v, G, max_steps=1)
    assert_close(first.x, 0.25 * G, ROUNDING)
    assert first.residual == pytest.approx(math.sqrt(0.3125 / 5), rel=ROUNDING)
    inverse = np.linalg.inv(H)
    exact = theory.conjugate_gradient(lambda v: H @ v, G, precondition=lambda r: inverse @ r)
    assert exact.steps == 1
    assert_close(exact.x, [1 / 11, 7 / 11], SOLVED)


def test_conjugate_gradient_returns_a_named_tuple():
    solution = theory.conjugate_gradient(lambda v: v, [3.0])
    assert isinstance(solution, theory.Solution)
    x, steps, residual, curvature = solution
    assert (x.tolist(), steps, residual, curvature) == ([3.0], 1, 0.0, 9.0)
    assert [type(v) for v in (steps, residual, curvature)] == [int, float, float]


def test_conjugate_gradient_protects_its_vectors_from_callbacks():
    def product(v):
        out = H @ v
        v[:] = np.nan
        return out

    def precondition(r):
        r *= 0.5
        return r

    given = G.copy()
    found = theory.conjugate_gradient(product, given, precondition=precondition)
    assert_close(found.x, [1 / 11, 7 / 11], SOLVED)
    assert np.array_equal(given, G)


class Boom(Exception):
    pass


def boom(*arguments):
    raise Boom("bang")


def test_conjugate_gradient_passes_exceptions_through():
    def later(v, calls=[]):  # noqa: B006 - remembers its calls
        calls.append(v)
        return boom() if len(calls) == 2 else H @ v

    for arguments in ((boom, G), (later, G)):
        assert_refuses("bang", theory.conjugate_gradient, *arguments, error=Boom)
    keywords = dict(precondition=boom, error=Boom)
    assert_refuses("bang", theory.conjugate_gradient, lambda v: H @ v, G, **keywords)

    def stop(v):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        theory.conjugate_gradient(stop, G)


def test_conjugate_gradient_names_invalid_arguments():
    cg = theory.conjugate_gradient
    assert_refuses("what product returned has shape (), not (2,)", cg, lambda v: 1.0, G)
    assert_refuses("what product returned has shape (3,), not (2,)", cg, lambda v: np.ones(3), G)
    message = "what precondition returned has shape (1,), not (2,)"
    assert_refuses(message, cg, lambda v: v, G, precondition=lambda r: r[:1])
    assert_refuses("g is not finite (inf in component 1)", cg, lambda v: v, [1.0, np.inf])
    assert_refuses("g has shape (2, 2), not (4,)", cg, lambda v: v, H)
    assert_refuses("max_steps must be an integer >= 1, got 0", cg, lambda v: v, G, 0)
    assert_refuses("tolerance must be a number >= 0, got -1", cg, lambda v: v, G, 5, -1)


def test_line_search_by_hand():
    """surrogate -(x - 1)^2 from x = 0, KL x^2 <= 1/2: of 4, 2, 1, 1/2 the last."""
    trials = []

    def evaluate(theta):
        trials.append(theta[0])
        return -((theta[0] - 1) ** 2), theta[0] ** 2

    found = theory.line_search(evaluate, [0.0], [4.0], -1.0, 0.5, 0.5)
    assert found == theory.Search(np.array([0.5]), True, 4, -0.25, 0.25)
    assert trials == [4, 2, 1, 0.5]
    refused = theory.line_search(evaluate, [0.0], [4.0], -1.0, 0.5, 0.5, max_iter=3)
    assert refused == theory.Search(np.array([0.0]), False, 3, 0.0, 1.0, "kl")


def test_line_search_returns_theta_bit_for_bit_if_it_fails():
    theta = np.array([0.1, 1e-300, -0.0])
    found = theory.line_search(lambda t: (math.nan, 0.0), theta, np.ones(3), 0.0)
    assert isinstance(found, theory.Search)
    assert found.theta.tobytes() == theta.tobytes()
    assert (found.accepted, found.trials) == (False, 10)
    assert found.theta is not theta


def test_line_search_protects_its_vectors_from_evaluate():
    def evaluate(theta):
        theta[:] = 7
        return np.float32(1.0), np.array(0.0)

    found = theory.line_search(evaluate, [1.0], [1.0], 0.0)
    assert found.theta.tolist() == [2.0]
    assert [type(v) for v in found[1:]] == [bool, int, float, float, str]


def test_line_search_passes_exceptions_through():
    assert_refuses("bang", theory.line_search, boom, G, G, 0.0, error=Boom)

    def later(theta):
        return boom() if abs(theta).max() < 3 else (0.0, 1.0)

    assert_refuses("bang", theory.line_search, later, G, 10 * G, 0.0, max_iter=50, error=Boom)


def test_line_search_names_invalid_arguments():
    search, good = theory.line_search, lambda theta: (1.0, 0.0)
    assert_refuses("step has shape (1,), not (2,)", search, good, G, [1.0], 0.0)
    assert_refuses("theta is not finite (nan in component 0)", search, good, G * np.nan, G, 0.0)
    assert_refuses("max_iter must be an integer >= 1, got 0", search, good, G, G, 0.0, max_iter=0)
    message = "shrinking_factor must be a number between 0 and 1, got 1"
    assert_refuses(message, search, good, G, G, 0.0, shrinking_factor=1)
    assert_refuses("target_kl must be a number >= 0, got -1", search, good, G, G, 0.0, target_kl=-1)
    assert_refuses("surrogate_old must be a number, got nan", search, good, G, G, math.nan)
    with pytest.raises(ValueError, match="too many values to unpack"):
        search(lambda theta: (1.0, 0.0, 0.0), G, G, 0.0)


# -- all together ---------------------------------------------------------------------------------


@every_distribution
def test_the_functions_make_a_natural_gradient_step(distribution):
    """The example in the module's docstring, then a line search along the step."""
    policy = Policy(O, *distribution, hidden=(4,))
    theta = policy.initial(seed=0)
    obs, actions, advantages, _, _ = random_batch(settings((4,), distribution), 100)
    g = theory.gradient(policy, theta, obs, actions, advantages)

    def product(v):
        return theory.fisher_vector_product(policy, theta, obs, v, 0.1)

    x, _, _, curvature = theory.conjugate_gradient(product, g, max_steps=100)
    assert_close(product(x), g, SOLVED)

    def evaluate(trial):
        surrogate = theory.surrogate(policy, trial, theta, obs, actions, advantages)
        return surrogate, theory.kl(policy, trial, theta, obs)

    step = math.sqrt(2 * 0.01 / curvature) * x
    found = theory.line_search(evaluate, theta, step, advantages.mean())
    assert found.accepted
    assert 0 < found.kl <= 0.01
    assert found.surrogate > advantages.mean()
