"""Independent references: the theory implemented slowly, in NumPy and Python integers.

Policies, derivatives and advantages come from the selftest (fasttrpo.selftest.formulas), which uses
no other part of the library; features, K-FAC's blocks and random numbers are implemented here.

Letters: N rows, O observation size, A network outputs, D action components, P parameters,
K inputs and M outputs of a layer, T steps, E environments.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from fasttrpo.selftest.formulas import Policy, forward, layers
from fasttrpo.selftest.formulas import derivative as derivative
from fasttrpo.selftest.formulas import differences as differences
from fasttrpo.selftest.formulas import gae as gae
from fasttrpo.selftest.formulas import matrix as matrix

# -- features -------------------------------------------------------------------------------------


def n_inputs(s):
    """F: the number of network inputs per observation."""
    if s.features == "none":
        return s.obs_size
    return len(monomials(s)) if s.features == "polynomial" else s.n_features


def monomials(s):
    """The indices of each monomial's factors, in the documented order."""
    degrees = range(1, s.feature_degree + 1)
    factors = (itertools.combinations_with_replacement(range(s.obs_size), d) for d in degrees)
    return list(itertools.chain(*factors))


def drawn(s):
    """(F, O) normals and (F,) phases."""
    P = normals((s.seed, FEATURES, 0), range(s.n_features), s.obs_size)
    phase = [(2 * uniform((s.seed, FEATURES, 1), j, 0) - 1) * np.pi for j in range(s.n_features)]
    return P, np.array(phase)


def make_inputs(s, obs):
    """Network inputs (N, F) of normalised observations (N, O)."""
    if s.features == "none":
        return obs
    if s.features == "polynomial":
        return np.stack([obs[:, list(each)].prod(axis=1) for each in monomials(s)], axis=1)
    (P, phase), root = drawn(s), 2 if s.features == "fourier" else 0.5
    nu = s.feature_bandwidth or np.sqrt(root * s.obs_size)
    if s.features == "fourier":
        return np.sin((obs[:, None] * P).sum(axis=2) / nu + phase)
    return np.exp(-np.square(obs[:, None] - P).sum(axis=2) / (2 * nu**2))


# -- networks -------------------------------------------------------------------------------------


def with_one(x):
    return np.hstack([x, np.ones((len(x), 1))])


def network_jacobian(theta, sizes, activation, x):
    """d output / d theta; (N, M, P)."""
    return derivative(lambda t: forward(t, sizes, activation, x)[1], theta)


def dense_policy(s, mask=None):
    """The policy of the given settings; mask (N, A): choices allowed in the batch's rows."""
    sizes = (n_inputs(s), *s.policy_hidden, sum(s.parts))
    return Policy(s.distribution, s.parts, sizes, s.activation, mask)


# -- linear systems -------------------------------------------------------------------------------


def krylov_solution(H, g, M, steps):
    """The result of `steps` steps of preconditioned CG: the x that minimises 1/2 x'Hx - g'x in the
    span of z, M^-1 H z, (M^-1 H)^2 z, ..., z = M^-1 g.
    """
    basis, direction = [], np.linalg.solve(M, g)
    for _ in range(steps):
        for _ in range(2):  # twice, to be orthogonal up to rounding
            direction = direction - sum(q * (q @ direction) for q in basis)
        basis.append(direction / np.linalg.norm(direction))
        direction = np.linalg.solve(M, H @ basis[-1])
    Q = np.stack(basis, axis=1)
    return Q @ np.linalg.solve(Q.T @ H @ Q, Q.T @ g)


def kronecker_matrix(theta, sizes, activation, x, scores, damping, head_metric=None):
    """K-FAC's blocks as one matrix. scores (N, A): output adjoints; head_metric (A,) or None.

    A layer's dz is the score's derivative in its bias.
    """
    M = np.zeros((len(theta), len(theta)))
    inputs = forward(theta, sizes, activation, x)[0]
    J = network_jacobian(theta, sizes, activation, x)
    per_row = np.einsum("nap,na->np", J, scores)
    for layer, (where, K, width) in enumerate(layers(sizes)):
        h1, dz = with_one(inputs[layer]), per_row[:, where].reshape(-1, K + 1, width)[:, -1]
        A, G = h1.T @ h1 / len(x), dz.T @ dz / len(x)
        if layer == len(sizes) - 2 and head_metric is not None:
            M[where, where] = np.kron(A, np.diag(head_metric))
            M[where, where] += damping * np.eye((K + 1) * width)
        else:
            pi = np.sqrt((np.trace(A) / (K + 1)) / (np.trace(G) / width))
            A += pi * np.sqrt(damping) * np.eye(K + 1)
            M[where, where] = np.kron(A, G + np.sqrt(damping) / pi * np.eye(width))
    return M


# -- random numbers: a stream is (seed, purpose, count) -------------------------------------------

INIT, ACTION, PREDICT, CRITIC, KFAC, KFAC_CRITIC = range(6)
FEATURES = 7


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011): counter (4 words), key (2 words) -> 4 words."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 % 2**32, (p0 >> 32) ^ c[3] ^ k[1], p0 % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def word(stream, item, i):
    seed, purpose, count = stream
    counter = [i // 4, item, count % 2**32, purpose + 256 * (count >> 32)]
    return philox(counter, [seed % 2**32, seed >> 32])[i % 4]


def uniform(stream, item, i):
    return (word(stream, item, i) + 0.5) / 2**32


def normal(stream, item, i):
    """Box and Muller."""
    u0, u1 = (uniform(stream, item, i - i % 2 + j) for j in (0, 1))
    turn = math.sin if i % 2 else math.cos
    return math.sqrt(-2 * math.log(u0)) * turn(2 * math.pi * u1)


def normals(stream, items, n):
    return np.array([[normal(stream, item, i) for i in range(n)] for item in items])


def permutation(stream, n, k):
    """The first k entries (Fisher and Yates)."""
    order = list(range(n))
    for i in range(k):
        j = i + ((word(stream, 0, i) * (n - i)) >> 32)
        order[i], order[j] = order[j], order[i]
    return order[:k]


def noise(distribution, stream, items):
    """The noise that `sample` turns into actions, row by row."""
    if distribution.has_normal_noise:
        return normals(stream, items, sum(distribution.parts))
    D = len(distribution.parts)
    return np.array([[uniform(stream, item, 4 * d) for d in range(D)] for item in items])


def scores(policy, theta, obs, stream):
    """d logp / d outputs of actions drawn for the preconditioner, row i being item 1 + i."""
    at = policy.parameters(theta, obs)
    act = policy.of.sample(noise(policy.of, stream, range(1, len(obs) + 1)), *at)
    return policy.of.score(*at, act)


# -- advantages -----------------------------------------------------------------------------------


def standardized(adv):
    return (adv - adv.mean()) / (adv.std() + 1e-8)
