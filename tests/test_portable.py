"""The portable agent against dense algebra, finite differences and sums written out in full.

Everything here is float64 and small, so that the matrices the agent never forms can be formed.
"""

import importlib
import itertools
import math
import pkgutil
from dataclasses import replace

import numpy as np
import pytest

import fasttrpo.portable
from fasttrpo.portable import (
    Agent,
    advantages,
    cg,
    critic,
    jit,
    network,
    normalizer,
    preconditioner,
    rng,
)
from fasttrpo.settings import AgentSettings

DISTRIBUTIONS = {
    "gaussian": ("gaussian", (1, 1)),
    "one part": ("categorical", (3,)),
    "two parts": ("categorical", (2, 3)),
}
HIDDEN = {"linear": (), "depth 1": (4,), "depth 2": (4, 3), "depth 3": (4, 3, 4)}
CASES = [
    pytest.param(hidden, distribution, activation, id=f"{h}-{d}-{activation}")
    for (h, hidden), (d, distribution) in itertools.product(HIDDEN.items(), DISTRIBUTIONS.items())
    for activation in (("tanh", "relu", "identity") if hidden else ("tanh",))
]
O, N = 3, 12  # noqa: E741


def settings(hidden=(4,), distribution=("gaussian", (1, 1)), activation="tanh", **more):
    defaults = dict(n_steps=N, n_envs=1, value_hidden=(4, 3), seed=7 + (5 << 32))
    return AgentSettings(
        obs_size=O,
        distribution=distribution[0],
        parts=distribution[1],
        policy_hidden=hidden,
        activation=activation,
        **(defaults | more),
    )


def shaken(s, scale=0.7):
    """An agent with parameters far from its initial, small ones."""
    agent, draw = Agent(s, np.float64), np.random.default_rng(3)
    agent.theta = agent.theta + scale * draw.normal(size=agent.theta.size)
    agent.value_theta = agent.value_theta + scale * draw.normal(size=agent.value_theta.size)
    return agent


def random_batch(s, n=N, seed=0):
    draw = np.random.default_rng(seed)
    obs = draw.normal(size=(n, O))
    if s.distribution == "gaussian":
        act = draw.normal(size=(n, len(s.parts)))
    else:
        act = np.stack([draw.integers(k, size=n) for k in s.parts], axis=1).astype(float)
    return obs, act, draw.normal(size=n), draw.normal(size=n)


def loaded(s, n=N, off_policy=False):
    agent = shaken(replace(s, n_steps=max(n, s.n_steps)))
    obs, act, adv, ret = random_batch(s, n)
    logp = np.random.default_rng(5).normal(size=n) * 0.1 - 2.0 if off_policy else None
    agent.load_batch(obs, act, adv, ret, logp)
    return agent


def derivative(f, x, h):
    """4th-order central differences of f at x; the last axis runs over x's entries."""
    columns = []
    for e in np.eye(len(x)) * h:
        near, far = f(x + e) - f(x - e), f(x + 2 * e) - f(x - 2 * e)
        columns.append((8 * near - far) / (12 * h))
    return np.stack(columns, axis=-1)


def spacing(activation):
    """Small where the function has kinks that a step must not cross."""
    return 1e-6 if activation == "relu" else 1e-3


def outputs_jacobian(agent, h):
    """(N, A, P) by differences of outputs()."""

    def outputs(theta):
        agent.theta = theta
        return agent.outputs()

    theta = agent.theta
    jacobian = derivative(outputs, theta, h)
    agent.theta = theta
    return jacobian


def probabilities(logits, parts):
    p, start = [], 0
    for size in parts:
        e = np.exp(logits[:, start : start + size])
        p.append(e / e.sum(axis=1, keepdims=True))
        start += size
    return p


def dense_fisher(agent, s, every=1):
    """blockdiag(1/N sum J'MJ, 2 I), its metric M written out as a matrix per sample."""
    J, out = outputs_jacobian(agent, spacing(s.activation))[::every], agent.outputs()[::every]
    if s.distribution == "gaussian":
        M = np.broadcast_to(np.diag(np.exp(-2 * agent.theta[-2:])), (len(out), 2, 2))
    else:
        M, start = np.zeros((len(out), sum(s.parts), sum(s.parts))), 0
        for p in probabilities(out, s.parts):
            to = start + p.shape[1]
            M[:, start:to, start:to] = np.einsum("nk,kl->nkl", p, np.eye(p.shape[1]))
            M[:, start:to, start:to] -= p[:, :, None] * p[:, None, :]
            start = to
    F = np.einsum("nap,nab,nbq->pq", J, M, J) / len(out)
    if s.distribution == "gaussian":
        F[-2:, -2:] += 2 * np.eye(2)
    return F


def as_matrix(product, size):
    return np.stack([product(e) for e in np.eye(size)], axis=1)


# -- gradient, Fisher product, KL


@pytest.mark.parametrize(("hidden", "distribution", "activation"), CASES)
def test_gradient_is_the_derivative_of_the_surrogate(hidden, distribution, activation):
    agent = loaded(settings(hidden, distribution, activation), off_policy=True)
    h = min(1e-4, spacing(activation))
    numeric = derivative(lambda t: np.array(agent.evaluate(t)[0]), agent.theta, h)
    np.testing.assert_allclose(agent.gradient(), numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("hidden", "distribution", "activation"), CASES)
def test_fisher_product_is_the_dense_matrix(hidden, distribution, activation):
    s = settings(hidden, distribution, activation)
    agent = loaded(s)
    F = as_matrix(agent.fisher_product, agent.theta.size)
    np.testing.assert_allclose(F, dense_fisher(agent, s), rtol=1e-6, atol=1e-8)
    eigenvalues = np.linalg.eigvalsh(F)
    np.testing.assert_allclose(F, F.T, atol=1e-14 * eigenvalues.max())
    assert eigenvalues.min() > -1e-14 * eigenvalues.max()


@pytest.mark.parametrize(("hidden", "distribution", "activation"), CASES)
def test_fisher_product_is_the_second_difference_of_the_kl(hidden, distribution, activation):
    agent = loaded(settings(hidden, distribution, activation))
    v = np.random.default_rng(1).normal(size=agent.theta.size)
    h = 1e-4
    kl = [agent.evaluate(agent.theta + sign * h * v)[1] for sign in (1, -1)]
    assert min(kl) > 0
    assert sum(kl) / h**2 == pytest.approx(v @ agent.fisher_product(v), rel=1e-5)


def test_fisher_product_uses_every_kth_row():
    s = settings(sub_sampling_factor=5)
    agent = loaded(s)
    F = as_matrix(agent.fisher_product, agent.theta.size)
    np.testing.assert_allclose(F, dense_fisher(agent, s, every=5), rtol=1e-7, atol=1e-9)
    full = loaded(settings())
    assert np.array_equal(agent.gradient(), full.gradient())


def test_sums_over_many_rows_equal_those_over_few():
    """Blocks of rows add up: three copies of more than a block have the mean of one copy."""
    s = settings(n_steps=3 * 1100)
    obs, act, adv, ret = random_batch(s, 1100)
    once, thrice = shaken(s), shaken(s)
    once.load_batch(obs, act, adv, ret)
    thrice.load_batch(*(np.concatenate([x] * 3) for x in (obs, act, adv, ret)))
    np.testing.assert_allclose(thrice.gradient(), once.gradient(), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(thrice.value_gradient(), once.value_gradient(), rtol=1e-9)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_evaluate_is_what_the_formulas_say(name):
    s = settings((4,), DISTRIBUTIONS[name])
    agent = loaded(s)
    _, act, adv, _ = random_batch(s)
    trial = agent.theta + 0.3 * np.random.default_rng(8).normal(size=agent.theta.size)
    surr, kl, entropy = agent.evaluate(trial)
    old, theta = agent.outputs(), agent.theta
    agent.theta = trial
    new = agent.outputs()
    if s.distribution == "gaussian":
        s0, s1 = np.exp(theta[-2:]), np.exp(trial[-2:])
        density = [
            np.prod(np.exp(-0.5 * ((act - mu) / sd) ** 2) / (sd * np.sqrt(2 * np.pi)), axis=1)
            for mu, sd in ((old, s0), (new, s1))
        ]
        expected_kl = np.log(s1 / s0) + (s0**2 + (new - old) ** 2) / (2 * s1**2) - 0.5
        expected_entropy = np.sum(0.5 * np.log(2 * np.pi * np.e * s1**2))
    else:
        p0, p1 = probabilities(old, s.parts), probabilities(new, s.parts)
        chosen = act.astype(int)
        density = [
            np.prod([p[d][np.arange(N), chosen[:, d]] for d in range(len(p))], axis=0)
            for p in (p0, p1)
        ]
        expected_kl = np.concatenate([a * np.log(a / b) for a, b in zip(p0, p1, strict=True)], 1)
        expected_entropy = sum(-(p * np.log(p)).sum(axis=1) for p in p1).mean()
    assert surr == pytest.approx(np.mean((density[1] / density[0] - 1) * adv), rel=1e-10)
    assert kl == pytest.approx(expected_kl.sum(axis=1).mean(), rel=1e-10)
    assert entropy == pytest.approx(expected_entropy, rel=1e-10)


def test_evaluate_of_a_step_that_overflows_is_not_acceptable():
    agent = loaded(settings((4,), ("categorical", (3,))))
    surr, kl, _ = agent.evaluate(agent.theta * 1e200)
    assert not (kl <= 1e9 and surr > 0)


# -- preconditioner, conjugate gradient


def reference_word(stream, item, i):
    """Philox4x32-10 once more, in Python's integers."""
    seed, purpose, count = stream
    c = [i // 4, item, count % 2**32, purpose + 256 * (count >> 32)]
    k = [seed % 2**32, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 % 2**32, (p0 >> 32) ^ c[3] ^ k[1], p0 % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c[i % 4]


def reference_normal(stream, item, i):
    u0, u1 = ((reference_word(stream, item, i - i % 2 + j) + 0.5) / 2**32 for j in (0, 1))
    turn = math.sin if i % 2 else math.cos
    return math.sqrt(-2 * math.log(u0)) * turn(2 * math.pi * u1)


def reference_rows(stream, n, k):
    order = list(range(n))
    for i in range(k):
        j = i + ((reference_word(stream, 0, i) * (n - i)) >> 32)
        order[i], order[j] = order[j], order[i]
    return order[:k]


def reference_choices(stream, item, logits, parts):
    """One row's draw, part by part."""
    act, start = [], 0
    for d, size in enumerate(parts):
        p = np.exp(logits[start : start + size])
        p /= p.sum()
        u = (reference_word(stream, item, 4 * d) + 0.5) / 2**32
        act.append(next((k for k in range(size) if p[: k + 1].sum() > u), size - 1))
        start += size
    return act


def reference_score(s, stream, item, out, log_std):
    if s.distribution == "gaussian":
        return [reference_normal(stream, item, j) / math.exp(log_std[j]) for j in range(2)]
    y = reference_choices(stream, item, out, s.parts)
    p = probabilities(out[None], s.parts)
    return np.concatenate([np.eye(len(q[0]))[k] - q[0] for q, k in zip(p, y, strict=True)])


def layers(theta, sizes):
    start = 0
    for K, M in itertools.pairwise(sizes):
        yield slice(start, start + (K + 1) * M), K, M
        start += (K + 1) * M


def kronecker_matrix(theta, sizes, h, per_row, damping, activation, head_metric):
    """The network's blocks as one matrix: Kronecker products.

    per_row (n, P): the score's gradient of each row; a layer's dz is its entry for the bias.
    """
    M = np.zeros((theta.size, theta.size))
    *_, (last, _, _) = layers(theta, sizes)
    for where, K, width in layers(theta, sizes):
        W, h1 = theta[where].reshape(K + 1, width), with_one(h)
        dz = per_row[:, where].reshape(-1, K + 1, width)[:, -1]
        A, G = h1.T @ h1 / len(h), dz.T @ dz / len(h)
        if where == last and head_metric is not None:
            M[where, where] = np.kron(A, np.diag(head_metric))
            M[where, where] += damping * np.eye((K + 1) * width)
        else:
            pi = np.sqrt((np.trace(A) / (K + 1)) / (np.trace(G) / width))
            A += pi * np.sqrt(damping) * np.eye(K + 1)
            M[where, where] = np.kron(A, G + np.sqrt(damping) / pi * np.eye(width))
        h = {"tanh": np.tanh, "relu": lambda z: z * (z > 0)}[activation](h1 @ W)
    return M


def dense_preconditioner(agent, s, obs):
    theta, out, damping = agent.theta, agent.outputs(), s.cg_damping
    stream, sizes = (s.seed, 4, 0), (O, *s.policy_hidden, sum(s.parts))
    rows = reference_rows(stream, len(obs), max(256, -(-len(obs) // 10)))
    scores = [reference_score(s, stream, 1 + i, out[r], theta[-2:]) for i, r in enumerate(rows)]
    J = outputs_jacobian(agent, spacing(s.activation))[rows]
    per_row = np.einsum("nap,na->np", J, scores)
    metric = np.exp(-2 * theta[-2:]) if s.distribution == "gaussian" else None
    M = kronecker_matrix(theta, sizes, obs[rows], per_row, damping, s.activation, metric)
    if s.distribution == "gaussian":
        M[-2:, -2:] = (2 + damping) * np.eye(2)
    return M


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("depth", ["depth 1", "depth 3"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_preconditioner_is_the_dense_kronecker_matrix(name, depth, activation):
    s = settings(HIDDEN[depth], DISTRIBUTIONS[name], activation, n_steps=270, cg_damping=0.03)
    agent = loaded(s, n=270)
    r = np.random.default_rng(2).normal(size=agent.theta.size)
    M = dense_preconditioner(agent, s, random_batch(s, 270)[0])
    np.testing.assert_allclose(agent.precondition(r), np.linalg.solve(M, r), rtol=1e-5, atol=1e-7)


def test_linear_categorical_preconditioner_is_sampled():
    s = settings((), DISTRIBUTIONS["two parts"], n_steps=30)
    agent = loaded(s, n=30)
    sampled = [preconditioner.policy_blocks(agent._batch)[0].G_inverse for _ in range(2)]
    assert np.array_equal(*sampled)
    other = replace(agent._state, n_updates=1)
    later = preconditioner.policy_blocks(agent._batch.at(other))[0].G_inverse
    assert not np.array_equal(sampled[0], later)


def test_inverse_and_its_guard():
    root = np.random.default_rng(0).normal(size=(6, 6))
    matrix = root @ root.T + 0.01 * np.eye(6)
    np.testing.assert_allclose(preconditioner.inverse(matrix) @ matrix, np.eye(6), atol=1e-9)
    flat = root[:, :3] @ root[:, :3].T  # rank 3: the last three pivots vanish
    inverse = preconditioner.inverse(flat)
    np.testing.assert_allclose(inverse[:3, :3] @ flat[:3, :3], np.eye(3), atol=1e-9)
    assert not inverse[3:].any()
    assert not inverse[:, 3:].any()
    assert not preconditioner.inverse(np.full((2, 2), np.nan)).any()


def test_cg_solves_dense_systems():
    draw = np.random.default_rng(4)
    root, scale = draw.normal(size=(20, 20)), draw.uniform(0.5, 2, size=20)
    H, g = root @ root.T + np.eye(20), draw.normal(size=20)
    for precondition in (lambda r: r, lambda r: r / scale):
        given = g.copy()
        x, steps, residual, curvature = cg.conjugate_gradient(
            lambda p: H @ p, precondition, given, 200, 1e-13
        )
        np.testing.assert_allclose(x, np.linalg.solve(H, g), rtol=1e-9, atol=1e-11)
        assert curvature == pytest.approx(x @ H @ x, rel=1e-10)
        assert np.array_equal(given, g)
        assert steps < 200
        assert residual <= 1e-13


def test_cg_stops_where_there_is_no_curvature():
    for H in (-np.eye(3), np.full((3, 3), np.nan)):
        x, steps, residual, curvature = cg.conjugate_gradient(
            lambda p, H=H: H @ p, lambda r: r, np.ones(3), 5, 1e-5
        )
        assert not x.any()
        assert (steps, residual, curvature) == (0, 1.0, 0.0)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("kind", ["kfac", "none"])
def test_solve_reaches_the_dense_natural_gradient(name, kind):
    s = settings((4,), DISTRIBUTIONS[name], preconditioner=kind, cg_max_steps=500)
    agent = loaded(replace(s, cg_tolerance=1e-12))
    H = dense_fisher(agent, s) + s.cg_damping * np.eye(agent.theta.size)
    x, info = agent.solve()
    np.testing.assert_allclose(x, np.linalg.solve(H, agent.gradient()), rtol=1e-6, atol=1e-8)
    assert info["curvature"] == pytest.approx(x @ H @ x, rel=1e-6)


def test_linear_gaussian_is_exact_after_one_step():
    s = settings((), cg_max_steps=10)
    agent = loaded(s)
    F = as_matrix(agent.fisher_product, agent.theta.size)
    x, info = agent.solve()
    exact = np.linalg.solve(F + s.cg_damping * np.eye(len(F)), agent.gradient())
    assert info["cg_steps"] == 1
    np.testing.assert_allclose(x, exact, rtol=1e-8, atol=1e-10)


# -- random numbers


ONES = 0xFFFFFFFF
KNOWN = [  # the vectors published with Random123, philox4x32-10
    ([0] * 6, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ([ONES] * 6, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter_and_key", "answer"), KNOWN)
def test_philox_known_answers(counter_and_key, answer):
    lanes = rng.philox(np.arange(4, dtype=np.uint64), *np.array(counter_and_key, np.uint64))
    assert [f"{int(lane):08x}" for lane in lanes] == answer.split()


def test_words_normals_and_permutations_follow_their_counters():
    stream = rng.Stream(seed=(9 << 32) + 4, purpose=3, count=(2 << 32) + 11)
    items = [0, 5, 1000]
    words, normals = rng.words(stream, items, 6), rng.normals(stream, items, 5)
    for row, item in enumerate(items):
        assert words[row].tolist() == [reference_word(stream, item, i) for i in range(6)]
        expected = [reference_normal(stream, item, i) for i in range(5)]
        np.testing.assert_allclose(normals[row], expected, rtol=1e-13)
    assert rng.permute(stream, 50, 20).tolist() == reference_rows(stream, 50, 20)
    assert sorted(rng.permute(stream, 50, 50)) == list(range(50))


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_actions_are_drawn_as_specified_and_have_the_right_distribution(name):
    s = settings((4,), DISTRIBUTIONS[name], n_envs=4000)
    agent = shaken(s)
    obs = np.tile([[0.3, -1.0, 0.8]], (4000, 1))
    act, _, _ = agent.act(obs)
    agent.load_batch(obs[:1], act[:1], [1.0])
    out, log_std = agent.outputs(), agent.theta[-2:]
    if s.distribution == "gaussian":
        z = np.array([[reference_normal((s.seed, 1, 0), e, j) for j in (0, 1)] for e in range(9)])
        np.testing.assert_allclose(act[:9], out + np.exp(log_std) * z, rtol=1e-12)
        np.testing.assert_allclose(act.mean(axis=0), out[0], atol=4 * np.exp(log_std).max() / 63)
    else:
        drawn = [reference_choices((s.seed, 1, 0), e, out[0], s.parts) for e in range(9)]
        assert act[:9].tolist() == drawn
        for d, p in enumerate(probabilities(out, s.parts)):
            share = np.bincount(act[:, d].astype(int), minlength=p.size) / 4000
            np.testing.assert_allclose(share, p[0], atol=0.03)
            assert agent.predict(obs[:1], True)[0, d] == np.argmax(p)
    assert agent.state()["counters"][2] == 1


def test_predict_leaves_training_numbers_alone():
    one, two, obs = Agent(settings()), Agent(settings()), np.ones((1, O))
    first = [two.predict(obs, False) for _ in range(2)]
    two.value(obs)
    for count, action in enumerate(first):
        z = [reference_normal((settings().seed, 2, count), 0, j) for j in (0, 1)]
        np.testing.assert_allclose(action, two.predict(obs, True) + np.array([z]), rtol=1e-6)
    assert np.array_equal(one.act(obs)[0], two.act(obs)[0])
    assert two.n_recorded == 0


def test_initial_weights_are_orthogonal_times_gain():
    agent = Agent(settings((5, 2), log_std_init=-0.5), np.float64)
    sizes, gains = (O, 5, 2, 2), (math.sqrt(2), math.sqrt(2), 0.01)
    for layer, (where, K, M) in enumerate(layers(agent.theta, sizes)):
        W = agent.theta[where].reshape(K + 1, M) / gains[layer]
        gram = W[:-1].T @ W[:-1] if K >= M else W[:-1] @ W[:-1].T
        np.testing.assert_allclose(gram, np.eye(min(K, M)), atol=1e-12)
        assert not W[-1].any()
        stream = (settings().seed, 0, layer)
        G = np.array([[reference_normal(stream, k, m) for m in range(M)] for k in range(K)])
        lines = zip(*((W[:-1].T, G.T) if K >= M else (W[:-1], G)), strict=True)
        done = []
        for line, g in lines:  # Gram-Schmidt: orthogonal to the lines before, along what is left
            rest = g - sum((q * (q @ g) for q in done), np.zeros(len(g)))
            np.testing.assert_allclose(line, rest / np.linalg.norm(rest), rtol=1e-9, atol=1e-12)
            done.append(line)
    assert agent.theta[-2:].tolist() == [-0.5, -0.5]
    first = np.array([reference_normal((settings().seed, 0, 1000), 0, m) for m in range(4)])
    expected = math.sqrt(2) * first / np.linalg.norm(first)
    np.testing.assert_allclose(agent.value_theta[:4], expected, rtol=1e-12)
    head = agent.value_theta[-4:]  # three weights of the last layer, gain 1, and its bias
    assert np.linalg.norm(head) == pytest.approx(1)
    assert head[-1] == 0


# -- advantages


def oracle_gae(rew, val, boot, done, skip, gamma, lam):
    """The sum over later steps, written out for each start: O(T^2)."""
    T, E = rew.shape
    adv = np.zeros((T, E))
    for e in range(E):
        for t in range(T):
            weight = 1.0
            for later in range(t, T):
                if skip[later, e]:
                    break
                last = done[later, e] or later == T - 1
                next_val = boot[later, e] if last else val[later + 1, e]
                adv[t, e] += weight * (rew[later, e] + gamma * next_val - val[later, e])
                if last:
                    break
                weight *= gamma * lam
    return adv


def test_gae_against_the_sum_written_out():
    draw = np.random.default_rng(6)
    rew, val, boot = draw.normal(size=(3, 40, 5))
    done, skip = draw.random((2, 40, 5)) < 0.15
    adv = advantages.gae(rew, val, boot, done, skip, 0.97, 0.9)
    np.testing.assert_allclose(adv, oracle_gae(rew, val, boot, done, skip, 0.97, 0.9), atol=1e-12)


def test_standardize():
    adv = np.random.default_rng(0).normal(2.0, 5.0, size=100)
    scaled = advantages.standardize(adv, np.float32)
    assert scaled.mean() == pytest.approx(0, abs=1e-12)
    assert scaled.std() == pytest.approx(1, rel=1e-8)
    assert not advantages.standardize(np.full(7, 0.1), np.float32).any()
    assert not advantages.standardize(0.1 + 1e-9 * adv, np.float32).any()


# -- the whole iteration


class World:
    """A made-up environment with terminations and truncations.

    next_step: after each end comes a row in which no step happens; otherwise the next row starts
    with the observation after the reset.
    """

    def __init__(self, n_envs, seed=1, next_step=True):
        self.draw, self.next_step = np.random.default_rng(seed), next_step
        self.obs, self.ended = self.draw.normal(size=(n_envs, O)) + 1, np.zeros(n_envs, bool)

    def step(self, act):
        n = len(self.obs)
        rew = 3 * self.obs[:, 0] - np.square(act[:, 0] - self.obs[:, 1])
        term, trunc = self.draw.random((2, n)) < 0.1
        skip, next_obs = self.ended, self.draw.normal(size=(n, O)) * 2 + 1
        rew = np.where(skip, np.nan, rew)
        self.obs = next_obs
        if self.next_step:
            self.ended = (term | trunc) & ~skip
        else:
            self.obs = np.where((term | trunc)[:, None], self.draw.normal(size=(n, O)), next_obs)
        return rew, term, trunc, next_obs, skip


def collect(agent, world, T):
    """T steps; returns everything that went in and out, as (T, ...) arrays."""
    log = []
    for _ in range(T):
        obs = world.obs
        out = agent.act(obs)
        step = world.step(out[0])
        agent.push(*step)
        log.append((obs, *out, *step, agent.value(step[3])))
    return [np.stack(column) for column in zip(*log, strict=True)]


def spread(**more):
    return settings((6,), n_steps=24, n_envs=5, **more)


def samples_of(log, s):
    obs, act, logp, val, rew, term, trunc, _, skip, next_val = log
    keep, done = ~skip, (term | trunc) & ~skip
    boot = np.where(term, 0, next_val)
    adv = oracle_gae(np.where(skip, 0, rew), val, boot, done, skip, s.gamma, s.gae_lambda)
    ret = (adv + val)[keep]
    flat = adv[keep]
    if s.normalize_advantage:
        flat = (flat - flat.mean()) / (flat.std() + 1e-8)
    return obs[keep], act[keep], flat, ret, logp[keep]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("next_step", [True, False])
def test_update_is_the_pieces_put_together(name, next_step):
    s = replace(spread(), distribution=DISTRIBUTIONS[name][0], parts=DISTRIBUTIONS[name][1])
    agent, twin = shaken(s), shaken(s)
    log = collect(agent, World(5, next_step=next_step), 20)
    samples = samples_of(log, s)
    twin.load_batch(*samples)
    theta, grad = twin.theta, twin.gradient()
    x, info = twin.solve()
    beta = np.sqrt(2 * s.target_kl / info["curvature"])
    for j in range(10):
        trial = theta + beta * s.line_search_shrinking_factor**j * x
        surr, kl, entropy = twin.evaluate(trial)
        if kl <= s.target_kl and surr > twin.evaluate(theta)[0]:
            break
    record = agent.update()
    np.testing.assert_allclose(agent.theta, trial, rtol=1e-9, atol=1e-11)
    assert (record["outcome"], record["line_search_steps"]) == (0, j + 1)
    expected = {
        "n_samples": (~log[8]).sum(),
        "surr_gain": surr - twin.evaluate(theta)[0],
        "surr_gain_predicted": beta * grad @ x,
        "kl": kl,
        "kl_predicted": beta**2 / 2 * x @ twin.fisher_product(x),
        "entropy": entropy,
        "grad_norm": np.linalg.norm(grad),
        "step_norm": np.linalg.norm(trial - theta),
        "curvature": info["curvature"],
        "cg_steps": info["cg_steps"],
        "cg_residual": info["cg_residual"],
        "explained_variance": 1 - np.var(samples[3] - log[3][~log[8]]) / np.var(samples[3]),
        "value_loss_before": np.mean((twin.value(samples[0]) - samples[3]) ** 2),
        "value_loss": np.mean((agent.value(samples[0]) - samples[3]) ** 2),
    }
    for key, value in expected.items():
        assert record[key] == pytest.approx(value, rel=1e-7), key
    assert record["value_loss"] < record["value_loss_before"]
    assert agent.n_recorded == 0


def test_small_steps_spend_the_predicted_kl():
    agent = shaken(spread(target_kl=1e-7))
    collect(agent, World(5), 24)
    record = agent.update()
    assert record["kl"] == pytest.approx(record["kl_predicted"], rel=1e-2)
    assert record["surr_gain"] == pytest.approx(record["surr_gain_predicted"], rel=1e-2)


def test_rejected_update_leaves_theta_bitwise():
    s = spread(target_kl=1.0, cg_damping=1e-6, line_search_max_iter=2)  # too far for a quadratic
    agent = shaken(replace(s, distribution="categorical", parts=(2, 3)))
    collect(agent, World(5), 24)
    before, value_before = agent.theta, agent.value_theta
    record = agent.update()
    assert (record["outcome"], record["line_search_steps"]) == (1, 2)
    assert (record["kl"], record["surr_gain"], record["step_norm"]) == (0, 0, 0)
    assert agent.theta.tobytes() == before.tobytes()
    assert not np.array_equal(agent.value_theta, value_before)
    assert agent.state()["counters"][4] == 1


def test_constant_advantages_move_nothing():
    agent = Agent(spread(gamma=0.0, normalize_advantage=True), np.float32)
    agent.value_theta = np.zeros_like(agent.value_theta)
    agent.theta = before = agent.theta + 0.1
    for _ in range(24):
        agent.act(np.random.default_rng(0).normal(size=(5, O)))
        no = np.zeros(5, bool)
        agent.push(np.full(5, 0.1), no, no, np.zeros((5, O)))
    record = agent.update()
    assert (record["outcome"], record["cg_steps"], record["curvature"]) == (2, 0, 0)
    assert agent.theta.tobytes() == before.tobytes()
    assert all(math.isfinite(v) or k == "explained_variance" for k, v in record.items())


def test_no_curvature_is_an_outcome():
    agent = shaken(spread(cg_max_steps=0))
    collect(agent, World(5), 24)
    before = agent.theta
    assert agent.update()["outcome"] == 3
    assert agent.theta.tobytes() == before.tobytes()


def test_float32_follows_float64():
    s, thetas = spread(), []
    for dtype in (np.float32, np.float64):
        agent = Agent(s, dtype)
        collect(agent, World(5), 24)
        agent.update()
        thetas.append(agent.theta)
        assert agent.theta.dtype == np.float64
        assert agent.act(np.ones((5, O)))[1].dtype == agent.real == dtype
    np.testing.assert_allclose(*thetas, atol=2e-4)


EVERYTHING = dict(normalize_observations=True, normalize_rewards=True)


@pytest.mark.parametrize("kind", ["gauss_newton", "adam", "ridge"])
def test_state_round_trip_is_bitwise(kind):
    s = spread(critic=kind, n_critic_updates=2, batch_size=32, **EVERYTHING)
    one, world = Agent(s, np.float32), World(5)
    for _ in range(2):
        collect(one, world, 24)
        one.update()
    one.predict(np.ones((2, O)), False)
    saved, other = one.state(), Agent(replace(s, seed=99), np.float32)
    other.act(np.ones((5, O)))
    other.load_state(saved)
    twin_world = World(5)
    twin_world.__dict__.update(obs=world.obs, ended=world.ended)
    twin_world.draw.bit_generator.state = world.draw.bit_generator.state
    for _ in range(2):
        for agent, place in ((one, world), (other, twin_world)):
            collect(agent, place, 24)
        assert one.update() == other.update()
    for name, vector in one.state().items():
        assert vector.tobytes() == other.state()[name].tobytes(), name
        assert vector.dtype == np.float64
    names = ["theta", "value_theta", "obs_count", "obs_mean", "obs_m2", "rew_count", "rew_mean"]
    names += ["rew_m2", "rew_running", "adam_m", "adam_v", "counters"]
    assert list(saved) == names


def test_load_state_is_all_or_nothing():
    agent = Agent(settings())
    good = agent.state()
    bad = [
        (good | {"theta": good["theta"] * np.nan}, "theta is not finite"),
        (good | {"adam_m": np.zeros(3)}, "adam_m has shape"),
        (good | {"extra": np.zeros(3)}, "unknown 'extra'"),
        ({k: v for k, v in good.items() if k != "obs_m2"}, "lacks 'obs_m2'"),
        (good | {"counters": good["counters"] - 0.5}, "counters"),
        (good | {"counters": good["counters"] + 2.0**32}, "counters"),
    ]
    for state, message in bad:
        changed = {"value_theta": np.ones_like(good["value_theta"])}
        with pytest.raises(ValueError, match=message):
            agent.load_state(changed | {k: v for k, v in state.items() if k not in changed})
        assert all(np.array_equal(v, good[k]) for k, v in agent.state().items())


# -- critics, normalisers


def value_jacobian(agent, obs, h=1e-3):
    theta = agent.value_theta

    def value(vector):
        agent.value_theta = vector
        return agent.value(obs)

    jacobian = derivative(value, theta, h)
    agent.value_theta = theta
    return jacobian


def test_value_gradient_and_product():
    s = settings()
    agent = loaded(s)
    obs, _, _, ret = random_batch(s)
    J = value_jacobian(agent, obs)
    error = agent.value(obs) - ret
    np.testing.assert_allclose(agent.value_gradient(), J.T @ error / N, rtol=1e-7, atol=1e-9)
    product = as_matrix(agent.value_product, agent.value_theta.size)
    np.testing.assert_allclose(product, J.T @ J / N, rtol=1e-7, atol=1e-9)


def fitted(s):
    agent = shaken(s)
    before = agent.value_theta
    obs, _, _, ret, _ = samples_of(collect(agent, World(5), 24), s)
    record = agent.update()
    return agent, before, obs, ret, record


def with_one(x):
    return np.hstack([x, np.ones((len(x), 1))])


def test_gauss_newton_direction_is_five_preconditioned_steps():
    s = settings(critic_damping=0.02)
    agent = loaded(s)
    obs = random_batch(s)[0]
    J, stream = value_jacobian(agent, obs), (s.seed, 5, 0)
    rows = reference_rows(stream, N, N)
    score = np.array([reference_normal(stream, 1 + i, 0) for i in range(N)])
    sizes = (O, *s.value_hidden, 1)
    per_row = J[rows] * score[:, None]
    M = kronecker_matrix(agent.value_theta, sizes, obs[rows], per_row, 0.02, "tanh", [1.0])
    H = J.T @ J / N + 0.02 * np.eye(len(M))
    expected, *_ = cg.conjugate_gradient(
        lambda p: H @ p, lambda r: np.linalg.solve(M, r), agent.value_gradient(), 5, 1e-5
    )
    np.testing.assert_allclose(critic.gauss_newton_direction(agent._batch), expected, rtol=1e-5)


def test_gauss_newton_on_a_linear_critic_is_one_damped_newton_step():
    s = spread(critic_damping=0.5)
    agent, before, obs, ret, _ = fitted(replace(s, value_hidden=()))
    X = with_one(obs)
    grad = X.T @ (X @ before - ret) / len(X)
    newton = before - np.linalg.solve(X.T @ X / len(X) + 0.5 * np.eye(O + 1), grad)
    np.testing.assert_allclose(agent.value_theta, newton, rtol=1e-9)


def test_gauss_newton_halves_the_step_until_the_loss_falls():
    agent = loaded(settings(value_hidden=()))
    obs, _, _, ret = random_batch(settings())
    best = np.linalg.lstsq(with_one(obs), ret, rcond=None)[0]
    batch, newton = agent._batch, agent.value_theta - best
    found = critic.descend(batch, batch.state, 6 * newton).state.value_theta
    np.testing.assert_allclose(found, agent.value_theta - 1.5 * newton, rtol=1e-9)
    assert critic.descend(batch, batch.state, -newton) is None


def test_gauss_newton_steps_until_the_loss_stops_falling():
    *_, once = fitted(spread(n_critic_updates=1))
    agent, *_, often = fitted(spread(n_critic_updates=8))
    assert often["value_loss"] < once["value_loss"] < once["value_loss_before"]
    assert 1 < agent.state()["counters"][5] <= 8


def test_ridge_is_ridge_regression():
    s = spread(critic="ridge", critic_damping=0.2)
    assert not Agent(s).value_theta.any()
    agent, _, obs, ret, _ = fitted(s)
    X = with_one(np.hstack([obs, obs**2]))
    expected = np.linalg.solve(X.T @ X / len(X) + 0.2 * np.eye(2 * O + 1), X.T @ ret / len(X))
    np.testing.assert_allclose(agent.value_theta, expected, rtol=1e-8)


def test_adam_by_hand():
    s = spread(critic="adam", n_critic_updates=3, batch_size=50, value_hidden=())
    agent, w, obs, ret, _ = fitted(s)
    X, m, v, t = with_one(obs), 0.0, 0.0, 0
    for epoch in range(3):
        order = reference_rows((s.seed, 3, epoch), len(X), len(X))
        for start in range(0, len(X), 50):
            rows, t = order[start : start + 50], t + 1
            g = X[rows].T @ (X[rows] @ w - ret[rows]) / len(rows)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w = w - s.learning_rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-5)
    np.testing.assert_allclose(agent.value_theta, w, rtol=1e-9)
    assert agent.state()["counters"][5:].tolist() == [3, t]


def test_observation_statistics_are_those_of_the_kept_rows():
    s, world, kept = spread(normalize_observations=True), World(5), []
    agent = shaken(s)
    raw = np.linspace(-60, 60, 5 * O).reshape(5, O)
    agent.load_batch(raw, np.zeros((5, 2)), np.ones(5), np.ones(5))
    untouched = agent.value(raw)
    np.testing.assert_allclose(untouched, agent._batch.value.output[:, 0])
    for _ in range(2):
        log = collect(agent, world, 24)
        kept.append(log[0][~log[8]])
        agent.update()
    seen, state = np.concatenate(kept), agent.state()
    assert state["obs_count"] == len(seen)
    np.testing.assert_allclose(state["obs_mean"], seen.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(state["obs_m2"] / len(seen), seen.var(axis=0), rtol=1e-12)
    normal = np.clip((raw - seen.mean(axis=0)) / np.sqrt(seen.var(axis=0) + 1e-8), -10, 10)
    assert (abs(normal) == 10).any()
    values = agent.value(raw)
    agent.load_batch(normal, np.zeros((5, 2)), np.ones(5), np.ones(5))
    np.testing.assert_allclose(values, agent._batch.value.output[:, 0], rtol=1e-9)


def test_reward_statistics_scale_and_the_critics_rescaling():
    s = spread(normalize_rewards=True, critic="ridge", gamma=0.9)
    agent, world, running, seen = shaken(s), World(5), np.zeros(5), []
    scale = 1.0
    for _ in range(2):
        log = collect(agent, world, 24)
        scaled = list(log)
        scaled[4] = np.clip(log[4] * scale, -10, 10)
        _, _, _, ret, _ = samples_of(scaled, s)
        for rew, term, trunc, skip in zip(*(log[i] for i in (4, 5, 6, 8)), strict=True):
            for e in np.flatnonzero(~skip):
                running[e] = 0.9 * running[e] + rew[e]
                seen.append(running[e])
                running[e] *= not (term[e] or trunc[e])
        obs = log[0][~log[8]]
        X = with_one(np.hstack([obs, obs**2]))
        damping = s.critic_damping * np.eye(2 * O + 1)
        w = np.linalg.solve(X.T @ X / len(X) + damping, X.T @ ret / len(X))
        agent.update()
        new_scale = 1 / np.sqrt(np.var(seen) + 1e-8)
        np.testing.assert_allclose(agent.value_theta, w * new_scale / scale, rtol=1e-7)
        scale = new_scale
    state = agent.state()
    assert state["rew_count"] == len(seen)
    assert state["rew_mean"] == pytest.approx(np.mean(seen))
    assert state["rew_m2"] == pytest.approx(np.var(seen) * len(seen))
    np.testing.assert_allclose(state["rew_running"], running, rtol=1e-12)


# -- errors


def test_errors_name_the_culprit_and_change_nothing():
    s = settings((), DISTRIBUTIONS["two parts"], n_envs=4)
    agent = Agent(s)
    good, no = np.zeros((4, O)), np.zeros(4, bool)
    bad = good.copy()
    bad[3, 1] = np.nan
    agent.act(good)
    agent.push(np.zeros(4), no, no, good)
    before = agent.state()

    def fails(message, call, *arguments, error=ValueError):
        with pytest.raises(error) as raised:
            call(*arguments)
        assert str(raised.value) == message
        assert agent.n_recorded == 1

    where = "environment 3 is not finite (nan in component 1) at step 1"
    fails(f"observation of {where}", agent.act, bad)
    fails("observation has shape (3,), not (4, 3)", agent.act, good[0])
    act = np.array([[0, 0], [1, 2], [1, 3], [0, 0]])
    message = "action of environment 2 is 3, not one of 0..2 (component 1) at step 1"
    fails(message, agent.record, good, act)
    assert all(np.array_equal(v, before[k]) for k, v in agent.state().items())
    agent.act(good)
    fails(f"next observation of {where}", agent.push, np.zeros(4), no, no, bad)
    rew = np.array([0, -np.inf, 0, 0])
    message = "reward of environment 1 is not finite (-inf) at step 1"
    fails(message, agent.push, rew, no, no, good)
    agent.push(rew, no, no, good, np.array([0, 1, 0, 0], bool))
    for call in (agent.value, lambda obs: agent.predict(obs, True)):
        with pytest.raises(ValueError, match=r"observation of row 3 is not finite \(nan in comp"):
            call(bad)


def test_calls_in_the_wrong_order():
    agent, obs, no = Agent(settings(n_steps=1)), np.zeros((1, O)), np.zeros(1, bool)
    step = (np.zeros(1), no, no, obs)
    with pytest.raises(ValueError, match="the rollout is empty"):
        agent.update()
    with pytest.raises(RuntimeError, match="before push"):
        agent.push(*step)
    agent.act(obs)
    for call in (lambda: agent.act(obs), agent.update):
        with pytest.raises(RuntimeError, match="call push"):
            call()
    agent.push(*step)
    with pytest.raises(RuntimeError, match="full"):
        agent.record(obs, np.zeros((1, 2)))
    agent.discard()
    assert agent.n_recorded == 0
    agent.act(obs)
    agent.push(*step, skip=np.ones(1, bool))
    with pytest.raises(ValueError, match="the rollout is empty"):
        agent.update()
    assert agent.n_recorded == 1
    with pytest.raises(RuntimeError, match="load_batch"):
        agent.gradient()


# -- compiled and plain


def philox_example():
    return (np.arange(8, dtype=np.uint64) % np.uint64(4), *np.arange(6, dtype=np.uint64))


def recursion_example():
    draw = np.random.default_rng(0)
    return draw.normal(size=(3, 9, 2)), *(draw.random((2, 9, 2)) < 0.3)


def compiled_examples():
    (rew, val, boot), done, skip = recursion_example()
    return {
        rng.philox: philox_example(),
        rng.shuffle: (np.array([1 << 31, 5, ONES, 77], np.uint64), 6),
        advantages.gae: (rew, val, boot, done, skip, 0.9, 0.8),
        normalizer.discounted_returns: (val[0], rew, done, skip, 0.9),
    }


def source(function):
    """What was compiled: a jitted function keeps it, an elementwise one keeps it one level down."""
    return getattr(function, "_dispatcher", function).py_func


@pytest.mark.skipif(not jit.COMPILED, reason="needs numba")
def test_compiled_functions_equal_their_source():
    examples = compiled_examples()
    modules = [
        importlib.import_module(f"fasttrpo.portable.{info.name}")
        for info in pkgutil.iter_modules(fasttrpo.portable.__path__)
    ]
    compiled = {
        function
        for module in modules
        for function in vars(module).values()
        if type(function).__name__ in ("CPUDispatcher", "DUFunc")
    }
    assert compiled == set(examples), "each compiled function needs an example"
    for function, arguments in examples.items():
        fast, slow = function(*arguments), source(function)(*arguments)
        if not isinstance(fast, tuple):
            fast, slow = (fast,), (slow,)
        for a, b in zip(fast, slow, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-15)


def test_activation_slopes_are_derivatives():
    z = np.array([-1.3, -0.2, 0.4, 2.0])
    for activate, slope in network.ACTIVATIONS.values():
        numeric = (activate(z + 1e-6) - activate(z - 1e-6)) / 2e-6
        np.testing.assert_allclose(slope(activate(z)), numeric, atol=1e-9)
    assert network.ACTIVATIONS["relu"][1](np.zeros(1)) == 0
