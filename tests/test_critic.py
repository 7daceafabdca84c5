"""Each critic's fit, recomputed by hand on the rows of an update."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import reference
from agents import (
    SEED,
    O,
    World,
    collect,
    random_batch,
    rollout_settings,
    samples_of,
    shaken,
)
from tables import table
from tolerances import DENSE, SOLVED, assert_close

from fasttrpo.portable.critic import CRITICS as TWIN
from fasttrpo.settings.critics import CRITICS

NEWTON = dict(critic="gauss_newton", cg_tolerance=1e-14)


def factor_damping(s):
    """At least 1e-3 for estimated factors; a linear network's factors are exact."""
    return max(s.critic_damping, 1e-3) if len(sizes(s)) > 2 else s.critic_damping


def fitted(implementation, s, scale=0.7):
    """(agent after one update, value_theta before it, samples, record)."""
    agent = shaken(implementation, s, scale)
    before = agent.value_theta
    samples = samples_of(collect(agent, World(5, gaps=True), s.n_steps), s)
    return agent, before, samples, agent.update()


def sizes(s):
    return (s.obs_size, *s.value_hidden, 1)


def value(s, w, obs):
    return reference.forward(w, sizes(s), s.activation, obs)[1][:, 0]


def loss(s, w, samples):
    return np.mean((value(s, w, samples.obs) - samples.ret) ** 2)


def kronecker(s, w, obs, n_critic_steps):
    """The factors' matrix, estimated on a tenth of the rows, at least 256."""
    N, stream = len(obs), (SEED, reference.KFAC_CRITIC, n_critic_steps)
    rows = reference.permutation(stream, N, min(N, max(256, -(-N // 10))))
    scores = reference.normals(stream, range(1, len(rows) + 1), 1)
    return reference.kronecker_matrix(
        w, sizes(s), s.activation, obs[rows], scores, factor_damping(s), [1.0]
    )


def gauss_newton_direction(s, w, samples, n_critic_steps):
    """(J'J/N + damping I) x = J'(V - ret)/N by five steps of CG with the Kronecker blocks."""
    obs, N = samples.obs, len(samples.obs)
    J = reference.network_jacobian(w, sizes(s), s.activation, obs)[:, 0]
    M = kronecker(s, w, obs, n_critic_steps)
    H = J.T @ J / N + s.critic_damping * np.eye(len(w))
    grad = J.T @ (value(s, w, obs) - samples.ret) / N
    return reference.krylov_solution(H, grad, M, 5)


def halvings(s, w, x, samples):
    """The first j for which w - x / 2^j has a smaller loss, or None."""
    before = loss(s, w, samples)
    return next((j for j in range(10) if loss(s, w - x / 2**j, samples) < before), None)


def kfac_by_hand(s, w, samples):
    """Steps along M^-1 g, by 0.7 of the length that minimises the minibatch's damped quadratic
    model (by all of it if there is one minibatch), with M from the start of the fit. Returns the
    mean of the iterates' second half.
    """
    (obs, _, _, ret, _), N = samples, len(samples.obs)
    M, n_steps = kronecker(s, w, obs, 0), math.ceil(N / (s.batch_size or 64))
    ends = [math.floor(N * i / n_steps) for i in range(n_steps + 1)]
    iterates, n_all = [], s.n_critic_updates * n_steps
    for step in range(n_all):
        epoch, i = divmod(step, n_steps)
        order = reference.permutation((SEED, reference.CRITIC, epoch), N, N)
        rows = order[ends[i] : ends[i + 1]]
        J = reference.network_jacobian(w, sizes(s), s.activation, obs[rows])[:, 0]
        g = J.T @ (value(s, w, obs[rows]) - ret[rows]) / len(rows)
        d = np.linalg.solve(M, g)
        H = J.T @ J / len(rows) + s.critic_damping * np.eye(len(w))
        if g.any():
            w = w - (0.7 if n_steps > 1 else 1) * (g @ d) / (d @ H @ d) * d
        iterates.append(w)
    return np.mean(iterates[n_all // 2 :], axis=0)


@table(
    ("more", "halved"),
    [
        (dict(), 0),
        (dict(n_steps=80, batch_size=50, n_critic_updates=2), 0),
        (dict(activation="relu", critic_damping=1e-3, value_hidden=(8, 8)), 2),
        (dict(activation="relu", critic_damping=1e-3, batch_size=10**4), 1),  # one minibatch
        (dict(batch_size=10, value_hidden=()), 0),
    ],
)
def test_kfac_by_hand(implementation, more, halved):
    """Minibatch sizes differ by one row at most. The whole step is halved until the loss falls."""
    s = rollout_settings(**(dict(critic="kfac", critic_damping=0.05) | more))
    agent, before, samples, record = fitted(implementation, s, scale=0.3)
    x = before - kfac_by_hand(s, before, samples)
    assert halvings(s, before, x, samples) == halved
    assert_close(agent.value_theta - before, -x / 2**halved, SOLVED)
    assert record["value_loss"] == pytest.approx(loss(s, agent.value_theta, samples), rel=DENSE)
    assert agent.state()["counters"][5] == s.n_critic_updates


def test_kfac_skips_minibatches_without_a_gradient(implementation):
    """Sparse rewards: V = 0, and all returns but the last minibatch's are 0. The other minibatches
    have no gradient and no optimal length.
    """
    s = rollout_settings(critic="kfac", critic_damping=0.05, batch_size=10, value_hidden=())
    agent, batch = shaken(implementation, s), random_batch(s, 120)
    w = np.zeros(O + 1)
    last = reference.permutation((SEED, reference.CRITIC, 0), 120, 120)[-10:]
    ret = np.zeros(120)
    ret[last] = batch.ret[last]
    samples = batch._replace(ret=ret)
    agent.value_theta = w
    agent.theory.load_batch(*samples)
    x = w - kfac_by_hand(s, w, samples)
    assert agent.theory.fit_value() < loss(s, w, samples)
    assert_close(agent.value_theta - w, -x / 2 ** halvings(s, w, x, samples), SOLVED)


@table("critic", CRITICS)
@table("dtype", ["float32", "float64"])
def test_an_overflowing_gradient_changes_no_parameter(implementation, critic, dtype):
    """The returns are finite, their mean gradient is not. Adam's moments must not change either."""
    s = rollout_settings(critic=critic)
    agent = shaken(implementation, s, dtype=dtype)
    before = agent.state()
    with np.errstate(all="ignore"):
        agent.theory.load_batch(*random_batch(s, 120)._replace(ret=np.full(120, 1e308)))
        agent.theory.fit_value()
    after = agent.state()
    for name in ("value_theta", "adam_m", "adam_v"):
        assert after[name].tobytes() == before[name].tobytes(), name


@table("critic", CRITICS)
def test_fit_value_equals_the_fit_of_an_update(implementation, critic):
    """On the same rows and from the same parameters."""
    s = rollout_settings(critic=critic)
    updated, before, samples, record = fitted(implementation, s)
    agent = shaken(implementation, s)
    agent.theory.load_batch(*samples)
    assert agent.theory.fit_value() == pytest.approx(record["value_loss"], rel=SOLVED)
    assert_close(agent.value_theta, updated.value_theta, SOLVED)
    assert not np.array_equal(agent.value_theta, before)


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize(
    ("setting", "values"), [("learning_rate", (1e-3, 0.1)), ("batch_size", (20, 50))]
)
def test_critics_use_exactly_the_settings_they_declare(implementation, critic, setting, values):
    """As declared in `settings.critics`; for other critics the settings have no effect."""
    results = set()
    for value in values:
        agent, *_ = fitted(implementation, rollout_settings(critic=critic, **{setting: value}))
        results.add(agent.value_theta.tobytes())
    assert (len(results) > 1) == (setting in CRITICS[critic].settings)


def test_the_portable_backend_has_the_same_critics():
    assert {name: method.n_features * bool(method.features) for name, method in TWIN.items()} == {
        name: critic.n_features for name, critic in CRITICS.items()
    }


@table(("n", "size"), [(240, 64), (3600, 225), (9000, 512)])
def test_minibatches_of_kfac_are_a_sixteenth_within_bounds(implementation, n, size):
    """The fit ends as with that batch_size, and not as with one minibatch fewer."""

    def fit(batch_size):
        s = rollout_settings(n_steps=n, critic="kfac", batch_size=batch_size)
        agent = shaken(implementation, s)
        agent.theory.load_batch(*random_batch(s, n))
        agent.theory.fit_value()
        return agent.value_theta.tobytes()

    one_less = math.ceil(n / (math.ceil(n / size) - 1))
    assert fit(0) == fit(size) != fit(one_less)


def test_kfac_on_a_linear_critic_is_one_damped_newton_step(implementation):
    s = rollout_settings(critic="kfac", critic_damping=0.5, value_hidden=())
    agent, before, samples, _ = fitted(implementation, s)
    X = reference.with_one(samples.obs)
    grad = X.T @ (X @ before - samples.ret) / len(X)
    newton = before - np.linalg.solve(X.T @ X / len(X) + 0.5 * np.eye(O + 1), grad)
    assert_close(agent.value_theta, newton, SOLVED)


def test_a_kfac_fit_that_does_not_improve_changes_nothing(implementation):
    """The parameters are already the least-squares solution."""
    s = rollout_settings(critic="kfac", value_hidden=(), gae_lambda=1.0, gamma=0.0, batch_size=64)
    agent = shaken(implementation, s)
    log = collect(agent, World(5), s.n_steps)
    samples = samples_of(log, s)
    best = np.linalg.lstsq(reference.with_one(samples.obs), samples.ret, rcond=None)[0]
    agent.discard()
    agent.value_theta = best
    for t in range(s.n_steps):
        agent.record(log.obs[t], log.act[t])
        agent.push(log.rew[t], log.term[t], log.trunc[t], log.next_obs[t], log.skip[t])
    record = agent.update()
    assert agent.value_theta.tobytes() == best.tobytes()
    assert record["value_loss"] == record["value_loss_before"]


@table(
    ("more", "halved"),
    [
        (dict(), 0),
        (dict(activation="relu"), 3),
        (dict(n_steps=80), 0),  # more rows than the factors' 256
        (dict(critic_damping=1e-4, value_hidden=(8, 8)), 2),
    ],
)
def test_gauss_newton_step(implementation, more, halved):
    """Five preconditioned CG steps, halved until the loss falls."""
    s = rollout_settings(**(NEWTON | dict(critic_damping=0.02) | more))
    agent, before, samples, record = fitted(implementation, s)
    x = gauss_newton_direction(s, before, samples, 0)
    j = halvings(s, before, x, samples)
    assert j == halved
    assert_close(agent.value_theta - before, -x / 2**j, DENSE)
    assert record["value_loss_before"] == pytest.approx(loss(s, before, samples), rel=DENSE)
    assert record["value_loss"] == pytest.approx(loss(s, agent.value_theta, samples), rel=DENSE)
    assert agent.state()["counters"][5] == 1


def test_gauss_newton_repeats_its_step(implementation):
    s = rollout_settings(**NEWTON, critic_damping=0.02, n_critic_updates=3)
    agent, w, samples, _ = fitted(implementation, s)
    for step in range(3):
        x = gauss_newton_direction(s, w, samples, step)
        w = w - x / 2 ** halvings(s, w, x, samples)
    assert_close(agent.value_theta, w, SOLVED)
    assert agent.state()["counters"][5] == 3


def test_gauss_newton_on_a_linear_critic_is_one_damped_newton_step(implementation):
    s = rollout_settings(**NEWTON, critic_damping=0.5, value_hidden=())
    agent, before, samples, _ = fitted(implementation, s)
    X = reference.with_one(samples.obs)
    grad = X.T @ (X @ before - samples.ret) / len(X)
    newton = before - np.linalg.solve(X.T @ X / len(X) + 0.5 * np.eye(O + 1), grad)
    assert_close(agent.value_theta, newton, SOLVED)


def test_gauss_newton_stops_when_the_loss_no_longer_falls(implementation):
    s = rollout_settings(**NEWTON, critic_damping=1e-12, value_hidden=(), n_critic_updates=50)
    agent, _, samples, record = fitted(implementation, s)
    best = np.linalg.lstsq(reference.with_one(samples.obs), samples.ret, rcond=None)[0]
    assert_close(agent.value_theta, best, SOLVED)
    assert 1 < agent.state()["counters"][5] < 50
    assert record["value_loss"] < record["value_loss_before"]


def test_ridge_is_ridge_regression(implementation):
    s = rollout_settings(critic="ridge", critic_damping=0.2)
    agent, _, samples, record = fitted(implementation, s)
    X = reference.with_one(np.hstack([samples.obs, samples.obs**2]))
    A, b = X.T @ X / len(X), X.T @ samples.ret / len(X)
    expected = np.linalg.solve(A + 0.2 * np.eye(len(A)), b)
    assert_close(agent.value_theta, expected, SOLVED)
    assert record["value_loss"] == pytest.approx(np.mean((X @ expected - samples.ret) ** 2))


@pytest.mark.parametrize("hidden", [(), (4, 3)])
@pytest.mark.parametrize("batch_size", [50, 1000, 7])
def test_adam_by_hand(implementation, hidden, batch_size):
    """Including a shorter last minibatch, and a minibatch that is the whole batch."""
    s = rollout_settings(critic="adam", n_critic_updates=3, batch_size=batch_size)
    s = replace(s, value_hidden=hidden)
    agent, w, (obs, _, _, ret, _), _ = fitted(implementation, s)
    m, v, t = 0.0, 0.0, 0
    for epoch in range(3):
        order = reference.permutation((SEED, reference.CRITIC, epoch), len(obs), len(obs))
        for start in range(0, len(obs), batch_size):
            rows, t = order[start : start + batch_size], t + 1
            J = reference.network_jacobian(w, sizes(s), s.activation, obs[rows])[:, 0]
            g = J.T @ (value(s, w, obs[rows]) - ret[rows]) / len(rows)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w = w - s.learning_rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-5)
    assert_close(agent.value_theta, w, DENSE)
    state = agent.state()
    assert_close(state["adam_m"], m, SOLVED)
    assert_close(state["adam_v"], v, SOLVED)
    assert state["counters"][5:].tolist() == [3, t]


def test_moments_of_adam_persist_across_updates(implementation):
    """A second update starts from the first one's moments."""
    s, moved = rollout_settings(critic="adam", n_critic_updates=1), []
    for forget in (False, True):
        agent, *_ = fitted(implementation, s)
        if forget:
            state = agent.state()
            state["adam_m"][:], state["adam_v"][:], state["counters"][6] = 0, 0, 0
            agent.load_state(state)
        before = agent.value_theta
        collect(agent, World(5), s.n_steps)
        agent.update()
        moved.append(agent.value_theta - before)
    assert not np.allclose(*moved)
