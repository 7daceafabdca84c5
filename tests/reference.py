"""Second opinions: the theory written out the slow way, in NumPy and in Python's own integers.

Dense matrices where the library has products, derivatives by complex steps where it has derived
ones, sums over all later steps where it has recursions. Nothing here imports the library.

Letters: N rows, O observation size, A network outputs, D action components, P parameters,
K inputs and M outputs of a layer, T steps, E environments.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

# -- derivatives ----------------------------------------------------------------------------------


def complex_step(f, x):
    """df/dx to rounding, f analytic: Im f(x + ih) / h has no subtraction. x's axis is the last."""
    h = 1e-30
    return np.stack([np.imag(f(x + 1j * h * e)) / h for e in np.eye(len(x))], axis=-1)


def differences(f, x, h):
    """df/dx by 4th-order central differences; the last axis runs over x's entries."""
    columns = []
    for e in np.eye(len(x)) * h:
        near, far = f(x + e) - f(x - e), f(x + 2 * e) - f(x - 2 * e)
        columns.append((8 * near - far) / (12 * h))
    return np.stack(columns, axis=-1)


def as_matrix(product, size):
    """The matrix of a linear function, column by column."""
    return np.stack([product(e) for e in np.eye(size)], axis=1)


# -- features -------------------------------------------------------------------------------------


def n_inputs(s):
    """F: how many numbers the networks see of an observation."""
    if s.features == "none":
        return s.obs_size
    return len(monomials(s)) if s.features == "polynomial" else s.n_features


def monomials(s):
    """The factors' indices of each, in the documented order."""
    degrees = range(1, s.feature_degree + 1)
    factors = (itertools.combinations_with_replacement(range(s.obs_size), d) for d in degrees)
    return list(itertools.chain(*factors))


def drawn(s):
    """(F, O) normals and (F,) phases."""
    P = normals((s.seed, FEATURES, 0), range(s.n_features), s.obs_size)
    phase = [(2 * uniform((s.seed, FEATURES, 1), j, 0) - 1) * np.pi for j in range(s.n_features)]
    return P, np.array(phase)


def see(s, obs):
    """The features of observations (N, O) that are normalised already; (N, F)."""
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

ACTIVATIONS = {"tanh": np.tanh, "relu": lambda z: z * (z.real > 0), "identity": lambda z: z}


def with_one(x):
    return np.hstack([x, np.ones((len(x), 1))])


def layers(sizes):
    """(where in theta, K, M) of each layer's (K+1, M) matrix."""
    start = 0
    for K, M in itertools.pairwise(sizes):
        yield slice(start, start + (K + 1) * M), K, M
        start += (K + 1) * M


def forward(theta, sizes, activation, x):
    """The inputs h of each layer, and the output."""
    h = [x]
    for where, K, M in layers(sizes):
        z = with_one(h[-1]) @ theta[where].reshape(K + 1, M)
        h.append(ACTIVATIONS[activation](z))
    return h[:-1], z


def network_jacobian(theta, sizes, activation, x):
    """d output / d theta; (N, M, P)."""
    return complex_step(lambda t: forward(t, sizes, activation, x)[1], theta)


class DensePolicy:
    """A policy of the given settings: densities, divergences and the Fisher matrix, in full.

    mask (N, A), categorical only: choices that are open in the batch's rows; sums go over these.
    A Bernoulli is the choice between 0 and 1 with logits 0 and z.
    """

    def __init__(self, settings, mask=None):
        self.s, self.parts, self.mask = settings, settings.parts, mask
        self.gaussian = settings.distribution == "gaussian"
        self.bernoulli = settings.distribution == "bernoulli"
        self.choices = [2] * len(self.parts) if self.bernoulli else self.parts
        self.sizes = (n_inputs(settings), *settings.policy_hidden, sum(settings.parts))

    def outputs(self, theta, obs):
        return forward(theta, self.sizes, self.s.activation, obs)[1]

    def log_std(self, theta):
        return theta[-len(self.parts) :]

    def split(self, logits):
        """The logits of each component's choices."""
        if self.bernoulli:
            return [np.stack([0 * z, z], axis=1) for z in logits.T]
        return np.split(logits, np.cumsum(self.parts)[:-1], axis=1)

    def log_probabilities(self, logits):
        """Of each choice, part by part; -1e4, the logarithm of nothing, where one is closed."""
        split = self.split(logits)
        left = (
            [np.ones(z.shape, bool) for z in split] if self.mask is None else self.split(self.mask)
        )
        return [
            np.where(m, z - np.log((np.exp(z) * m).sum(axis=1, keepdims=True)), -1e4)
            for z, m in zip(split, left, strict=True)
        ]

    def logp(self, theta, obs, act):
        """(N,)"""
        out = self.outputs(theta, obs)
        if not self.gaussian:
            chosen = zip(self.log_probabilities(out), act.T.astype(int), strict=True)
            return sum(logs[np.arange(len(obs)), k] for logs, k in chosen)
        sigma = np.exp(self.log_std(theta))
        density = -0.5 * ((act - out) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))
        return density.sum(axis=1)

    def kl(self, old, new, obs):
        """Mean of KL(old || new)."""
        out, out_new = self.outputs(old, obs), self.outputs(new, obs)
        if self.gaussian:
            s0, s1 = np.exp(self.log_std(old)), np.exp(self.log_std(new))
            kl = np.log(s1 / s0) + (s0**2 + (out_new - out) ** 2) / (2 * s1**2) - 0.5
            return kl.sum(axis=1).mean()
        pairs = zip(self.log_probabilities(out), self.log_probabilities(out_new), strict=True)
        return sum((np.exp(a) * (a - b)).sum(axis=1).mean() for a, b in pairs)

    def entropy(self, theta, obs):
        """Mean, nats."""
        if self.gaussian:
            return np.sum(0.5 * np.log(2 * np.pi * np.e) + self.log_std(theta))
        logs = self.log_probabilities(self.outputs(theta, obs))
        return sum(-(np.exp(a) * a).sum(axis=1).mean() for a in logs)

    def surrogate(self, theta, obs, act, adv, logp):
        """mean (ratio - 1) adv, logp the behaviour policy's."""
        return np.mean((np.exp(self.logp(theta, obs, act) - logp) - 1) * adv)

    def gradient(self, theta, obs, act, adv, logp):
        """(P,)"""
        return complex_step(lambda t: self.surrogate(t, obs, act, adv, logp), theta)

    def metric(self, theta, obs):
        """The distribution's Fisher matrix of the outputs; (N, A, A)."""
        out = self.outputs(theta, obs)
        if self.gaussian:
            return np.tile(np.diag(np.exp(-2 * self.log_std(theta))), (len(obs), 1, 1))
        M, start = np.zeros((*out.shape, out.shape[1])), 0
        if self.bernoulli:
            for d, logs in enumerate(self.log_probabilities(out)):
                M[:, d, d] = np.exp(logs.sum(axis=1))
            return M
        for logs in self.log_probabilities(out):
            p, at = np.exp(logs), slice(start, start + logs.shape[1])
            M[:, at, at] = np.einsum("nk,kl->nkl", p, np.eye(p.shape[1]))
            M[:, at, at] -= p[:, :, None] * p[:, None, :]
            start = at.stop
        return M

    def jacobian(self, theta, obs):
        """d outputs / d theta; (N, A, P), log_std's columns 0."""
        return complex_step(lambda t: self.outputs(t, obs), theta)

    def fisher(self, theta, obs):
        """blockdiag(1/N sum J'MJ, 2 I); (P, P)."""
        J = self.jacobian(theta, obs)
        MJ = (self.metric(theta, obs) @ J).reshape(-1, len(theta))
        F = J.reshape(-1, len(theta)).T @ MJ / len(obs)
        if self.gaussian:
            F[-len(self.parts) :, -len(self.parts) :] += 2 * np.eye(len(self.parts))
        return F


# -- linear systems -------------------------------------------------------------------------------


def krylov_solution(H, g, M, steps):
    """What `steps` steps of preconditioned CG reach: the x of least 1/2 x'Hx - g'x among the
    combinations of z, M^-1 H z, (M^-1 H)^2 z, ..., z = M^-1 g.
    """
    basis, direction = [], np.linalg.solve(M, g)
    for _ in range(steps):
        for _ in range(2):  # twice, so that orthogonal means orthogonal to rounding
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


def choices(stream, item, log_probabilities):
    """One row's draw: per part the first choice whose cumulated probability exceeds u."""
    act = []
    for d, logs in enumerate(log_probabilities):
        u, total = uniform(stream, item, 4 * d), np.cumsum(np.exp(logs))
        act.append(next((k for k, c in enumerate(total) if c > u), len(logs) - 1))
    return act


def scores(policy, theta, obs, stream):
    """d logp / d outputs of actions drawn for the preconditioner, row i being item 1 + i."""
    items = range(1, len(obs) + 1)
    if policy.gaussian:
        return normals(stream, items, len(policy.parts)) / np.exp(policy.log_std(theta))
    logs = policy.log_probabilities(policy.outputs(theta, obs))
    rows = []
    for i, item in enumerate(items):
        mine = [each[i] for each in logs]
        drawn = choices(stream, item, mine)
        parts = [np.eye(len(a))[k] - np.exp(a) for a, k in zip(mine, drawn, strict=True)]
        rows.append(np.concatenate([part[1:] if policy.bernoulli else part for part in parts]))
    return np.array(rows)


# -- advantages -----------------------------------------------------------------------------------


def gae(rew, val, boot, done, skip, gamma, lam):
    """The sum over later steps written out for each start; (T, E), all arguments too."""
    T, E = rew.shape
    adv = np.zeros((T, E))
    for e, t in itertools.product(range(E), range(T)):
        weight = 0.0 if skip[t, e] else 1.0
        for later in range(t, T):
            last = done[later, e] or later == T - 1 or skip[later + 1, e]
            next_val = boot[later, e] if last else val[later + 1, e]
            adv[t, e] += weight * (rew[later, e] + gamma * next_val - val[later, e])
            if last:
                break
            weight *= gamma * lam
    return adv


def standardized(adv):
    return (adv - adv.mean()) / (adv.std() + 1e-8)
