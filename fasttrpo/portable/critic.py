"""Stage 5: fit V to the returns. Three ways behind one setting, each State -> State."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import cg, fisher, gradient, network, preconditioner, rng

CG_STEPS = 5
HALVINGS = 10  # step lengths 1, 1/2, ..., 1/512
BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-5


def loss(value, ret):
    """mean (V - ret)^2."""
    return float(np.mean(np.square(value.output[:, 0] - ret)))


def fit(batch):
    """The state with the critic fitted to the batch, and the loss after."""
    state = CRITICS[batch.model.settings.critic](batch)
    return state, loss(batch.at(state).value, batch.ret)


def gauss_newton(batch):
    """n_critic_updates steps of (J'J/N + critic_damping I) x = J'(V - ret)/N, each halved until
    the loss falls; ends early where it does not.
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
    """The batch at `state` with value_theta - x, - x/2, - x/4, ..., the first whose loss is
    smaller than the present one; None if there is none.
    """
    before = loss(batch.value, batch.ret)
    for j in range(HALVINGS):
        trial = batch.at(replace(state, value_theta=state.value_theta - x / 2**j))
        if loss(trial.value, batch.ret) < before:
            return trial
    return None


def adam(batch):
    """n_critic_updates epochs over minibatches in random order; Kingma and Ba 2015."""
    s, state, N = batch.model.settings, batch.state, len(batch.ret)
    features = batch.model.features(batch.obs)
    for _ in range(s.n_critic_updates):
        order = rng.permute(rng.Stream(state.seed, rng.CRITIC, state.n_critic_steps), N, N)
        for start in range(0, N, s.batch_size):
            rows = order[start : start + s.batch_size]
            weights = batch.model.value_weights(state.value_theta)
            value = network.forward(batch.model.value, weights, features[rows])
            state = adam_step(state, gradient.value_gradient(value, batch.ret[rows]), s)
        state = replace(state, n_critic_steps=state.n_critic_steps + 1)
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
    m_hat, v_hat = m / (1 - BETA_1**t), v / (1 - BETA_2**t)
    step = settings.learning_rate * m_hat / (np.sqrt(v_hat) + ADAM_EPSILON)
    return replace(state, value_theta=state.value_theta - step, adam_m=m, adam_v=v, adam_t=t)


def ridge(batch):
    """Ridge regression on the features phi = [x x^2 1]:

    w = (mean phi phi' + critic_damping I)^-1 mean phi ret, as one Newton step from the present w.
    """
    s, value, w = batch.model.settings, batch.value, batch.state.value_theta
    blocks = preconditioner.value_blocks(value, batch.stream(rng.KFAC_CRITIC), s.critic_damping)
    residual = gradient.value_gradient(value, batch.ret) + s.critic_damping * w
    step = preconditioner.solve(blocks, value.network, residual)
    return replace(batch.state, value_theta=w - step if np.isfinite(step).all() else w)


CRITICS = {"gauss_newton": gauss_newton, "adam": adam, "ridge": ridge}


def rescale(model, value_theta, factor):
    """value_theta with the last layer, bias included, times `factor`: V times `factor`."""
    K, M = model.value.sizes[-2:]
    scaled = value_theta.copy()
    scaled[-(K + 1) * M :] *= factor
    return scaled
