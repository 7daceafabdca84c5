"""Stage 5: fit V to ret by one of the methods of `CRITICS`, each Batch -> State."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from . import cg, fisher, gradient, minibatch, network, preconditioner, rng
from .math import power

CG_STEPS = 5
SHARE = 0.7  # of a minibatch's best step
HALVINGS = 10  # step lengths 1, 1/2, ..., 1/512
BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-5


def loss(value, ret):
    """mean (V - ret)^2."""
    return float(np.mean(np.square(value.output[:, 0] - ret)))


def fit(batch):
    """The state with the critic fitted to the batch, and the loss after."""
    state = batch.model.critic.fit(batch)
    return state, loss(batch.at(state).value, batch.ret)


def minibatch_rows(settings, N):
    """The largest minibatch of N rows, for a critic with minibatches."""
    return min(settings.batch_size or CRITICS[settings.critic].minibatch(settings, N), N)


def kfac(batch):
    """n_critic_updates epochs of minibatches, a natural gradient step each, with the iteration's
    K-FAC factors (Martens and Grosse 2015). Takes a share of each step, since a minibatch's best
    step would fit the minibatch's noise; all of it if one minibatch has all rows. The parameters
    after each step of the second half are averaged (Polyak and Juditsky 1992); the step from the
    start to this mean is halved until the loss falls.
    """
    s, state, model = batch.model.settings, batch.state, batch.model
    blocks = preconditioner.value_blocks(
        batch.value, batch.stream(rng.KFAC_CRITIC), s.critic_damping
    )
    inputs, path, N = model.value_inputs(batch.obs), [], len(batch.ret)
    for _ in range(s.n_critic_updates):
        parts = minibatch.equal(minibatch.shuffled(state, N), minibatch_rows(s, N))
        share = SHARE if len(parts) > 1 else 1.0
        for rows in parts:
            value = minibatch.value_at(model, state, inputs[rows])
            step = kfac_step(value, batch.ret[rows], blocks, s.critic_damping)
            state = replace(state, value_theta=state.value_theta - share * step)
            path.append(state.value_theta)
        state = replace(state, n_critic_steps=state.n_critic_steps + 1)
    start, end = batch.state.value_theta, np.mean(path[len(path) // 2 :], axis=0)
    unchanged = replace(state, value_theta=start)
    better = descend(batch, unchanged, start - end)
    return unchanged if better is None else better.state


def kfac_step(value, ret, blocks, damping):
    """d = M^-1 g, times the length that is best for the minibatch, g'd / (|J d|^2/n + damping d'd);
    (Pv,). 0 if that is not positive and finite.
    """
    g = gradient.value_gradient(value, ret)
    d = preconditioner.solve(blocks, value.network, g)
    slope = network.tangent(value, d)[:, 0].astype(np.float64)
    with np.errstate(all="ignore"):
        length = (g @ d) / (np.mean(slope * slope) + damping * (d @ d))
    return length * d if length > 0 and np.isfinite(length) else np.zeros_like(d)


def gauss_newton(batch):
    """n_critic_updates steps of (J'J/N + critic_damping I) x = J'(V - ret)/N, each halved until
    the loss falls; stops early if it does not.
    """
    for _ in range(batch.model.settings.n_critic_updates):
        state = replace(batch.state, n_critic_steps=batch.state.n_critic_steps + 1)
        better = descend(batch, state, gauss_newton_direction(batch))
        if better is None:
            return state
        batch = better
    return batch.state


def gauss_newton_direction(batch):
    """x (Pv,) by the policy's CG and preconditioner, on all rows."""
    s, value = batch.model.settings, batch.value
    grad = gradient.value_gradient(value, batch.ret)
    blocks = preconditioner.value_blocks(value, batch.stream(rng.KFAC_CRITIC), s.critic_damping)

    def product(v):
        return fisher.value_product(v, value) + s.critic_damping * v

    def precondition(r):
        return preconditioner.solve(blocks, value.network, r)

    return cg.conjugate_gradient(product, grad, CG_STEPS, s.cg_tolerance, precondition).x


def descend(batch, state, x):
    """The batch at the first of value_theta - x, - x/2, - x/4, ... with a smaller loss; None if
    there is none. The parameters are checked too: a saturated unit hides an infinite weight.
    """
    before = loss(batch.value, batch.ret)
    for j in range(HALVINGS):
        trial = batch.at(replace(state, value_theta=state.value_theta - x / 2**j))
        is_finite = np.isfinite(trial.state.value_theta).all()
        if loss(trial.value, batch.ret) < before and is_finite:
            return trial
    return None


def adam(batch):
    """n_critic_updates epochs of minibatches (Kingma and Ba 2015). If the parameters overflow, the
    old ones are restored.
    """
    s, state, model = batch.model.settings, batch.state, batch.model
    inputs, N = model.value_inputs(batch.obs), len(batch.ret)
    for _ in range(s.n_critic_updates):
        for rows in minibatch.full(minibatch.shuffled(state, N), minibatch_rows(s, N)):
            value = minibatch.value_at(model, state, inputs[rows])
            state = adam_step(state, gradient.value_gradient(value, batch.ret[rows]), s)
        state = replace(state, n_critic_steps=state.n_critic_steps + 1)
    if not np.isfinite(state.value_theta).all():
        state = replace(state, value_theta=batch.state.value_theta)
    return state


def adam_step(state, grad, settings):
    """m, v: decaying means of grad and grad^2;  theta -= rate m^ / (sqrt(v^) + 1e-5).

    A gradient that overflowed is left out: it would never leave the means again.
    """
    with np.errstate(over="ignore"):
        if not np.isfinite(grad @ grad):
            return state
    t = state.adam_t + 1
    m = BETA_1 * state.adam_m + (1 - BETA_1) * grad
    v = BETA_2 * state.adam_v + (1 - BETA_2) * grad * grad
    m_hat, v_hat = m / (1 - power(BETA_1, t)), v / (1 - power(BETA_2, t))
    step = settings.learning_rate * m_hat / (np.sqrt(v_hat) + ADAM_EPSILON)
    return replace(state, value_theta=state.value_theta - step, adam_m=m, adam_v=v, adam_t=t)


def ridge(batch):
    """Ridge regression on phi = [x x^2 1], x being the policy's inputs:

    w = (mean phi phi' + critic_damping I)^-1 mean phi ret, as one Newton step from the current w.
    """
    s, value, w = batch.model.settings, batch.value, batch.state.value_theta
    blocks = preconditioner.value_blocks(value, batch.stream(rng.KFAC_CRITIC), s.critic_damping)
    residual = gradient.value_gradient(value, batch.ret) + s.critic_damping * w
    step = preconditioner.solve(blocks, value.network, residual)
    return replace(batch.state, value_theta=w - step if np.isfinite(step).all() else w)


def quadratic(obs):
    """[obs obs^2]: the linear baseline of Duan et al. 2016, "Benchmarking deep reinforcement
    learning", without its time features.
    """
    return np.concatenate([obs, obs * obs], axis=1)


class Critic(NamedTuple):
    """A method of fitting V: `trpo_critic_method` in csrc/core/critic.h."""

    fit: Callable
    features: Callable | None = None
    """None: V is a network of the policy's inputs (N, F). Otherwise V is linear in
    features(inputs) (N, n_features F), with a bias, and its coefficients start at 0."""
    n_features: int = 1
    minibatch: Callable = lambda settings, N: N
    """(settings, N): default minibatch size for N rows, for a fit with minibatches"""


CRITICS = {
    # All rows for a linear network, for which K-FAC is exact.
    "kfac": Critic(
        kfac, minibatch=lambda s, N: min(max(N // 16, 64), 512) if s.value_hidden else N
    ),
    "gauss_newton": Critic(gauss_newton),
    "adam": Critic(adam, minibatch=lambda s, N: 128),
    "ridge": Critic(ridge, quadratic, 2),
}


def rescale(model, value_theta, factor):
    """value_theta with the last layer, including its bias, times `factor`: V times `factor`."""
    K, M = model.value.sizes[-2:]
    scaled = value_theta.copy()
    scaled[-(K + 1) * M :] *= factor
    return scaled
