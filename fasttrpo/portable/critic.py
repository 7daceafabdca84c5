"""Stage 5: fit V to the returns. Four ways behind one setting, each State -> State."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import cg, fisher, gradient, network, preconditioner, rng

CG_STEPS = 5
SHARE = 0.7  # of a minibatch's best step
HALVINGS = 10  # step lengths 1, 1/2, ..., 1/512
BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-5


def loss(value, ret):
    """mean (V - ret)^2."""
    return float(np.mean(np.square(value.output[:, 0] - ret)))


def fit(batch):
    """The state with the critic fitted to the batch, and the loss after."""
    state = CRITICS[batch.model.settings.critic](batch)
    return state, loss(batch.at(state).value, batch.ret)


def minibatch(settings, N):
    """Rows of a minibatch of N rows, at most. K-FAC is exact for a linear critic: all rows."""
    kfac = min(max(N // 16, 64), 512) if settings.value_hidden else N
    rule = kfac if settings.critic == "kfac" else 128
    return min(settings.batch_size or rule, N)


def shuffled(state, N):
    """N rows in the random order of this epoch."""
    return rng.permute(rng.Stream(state.seed, rng.CRITIC, state.n_critic_steps), N, N)


def equal_parts(settings, order):
    """The rows of each minibatch of an epoch, as equally many as can be: the rest of a division
    would be a step of noise alone.
    """
    N = len(order)
    n_parts = -(-N // minibatch(settings, N))
    return [order[i * N // n_parts : (i + 1) * N // n_parts] for i in range(n_parts)]


def kfac(batch):
    """n_critic_updates epochs of natural gradient steps on minibatches, with the factors of the
    present parameters (Martens and Grosse 2015). A share of each is taken, since a minibatch's
    best step fits its own noise (all of it, where all rows are in one). The mean of the second
    half of all parameters on the way (Polyak and Juditsky 1992) is the end of the way, which is
    halved until the loss falls.
    """
    s, state, model = batch.model.settings, batch.state, batch.model
    blocks = preconditioner.value_blocks(
        batch.value, batch.stream(rng.KFAC_CRITIC), s.critic_damping
    )
    inputs, way = model.value_inputs(batch.obs), []
    for _ in range(s.n_critic_updates):
        parts = equal_parts(s, shuffled(state, len(batch.ret)))
        share = SHARE if len(parts) > 1 else 1.0
        for rows in parts:
            weights = model.value_weights(state.value_theta)
            value = network.forward(model.value, weights, inputs[rows])
            step = kfac_step(value, batch.ret[rows], blocks, s.critic_damping)
            state = replace(state, value_theta=state.value_theta - share * step)
            way.append(state.value_theta)
        state = replace(state, n_critic_steps=state.n_critic_steps + 1)
    start, end = batch.state.value_theta, np.mean(way[len(way) // 2 :], axis=0)
    stay = replace(state, value_theta=start)
    better = descend(batch, stay, start - end)
    return stay if better is None else better.state


def kfac_step(value, ret, blocks, damping):
    """d = M^-1 g, times the length g'd / (|J d|^2/n + damping d'd) that is best for the minibatch;
    (Pv,). 0 where there is no such length.
    """
    g = gradient.value_gradient(value, ret)
    d = preconditioner.solve(blocks, value.network, g)
    slope = network.tangent(value, d)[:, 0].astype(np.float64)
    with np.errstate(all="ignore"):
        length = (g @ d) / (np.mean(slope * slope) + damping * (d @ d))
    return length * d if length > 0 and np.isfinite(length) else np.zeros_like(d)


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
    smaller than the present one; None if there is none. Units that are saturated hide an infinite
    weight from the loss.
    """
    before = loss(batch.value, batch.ret)
    for j in range(HALVINGS):
        trial = batch.at(replace(state, value_theta=state.value_theta - x / 2**j))
        is_finite = np.isfinite(trial.state.value_theta).all()
        if loss(trial.value, batch.ret) < before and is_finite:
            return trial
    return None


def adam(batch):
    """n_critic_updates epochs over minibatches in random order; Kingma and Ba 2015. Where the
    parameters overflow, they stay as they were.
    """
    s, state = batch.model.settings, batch.state
    inputs, N = batch.model.value_inputs(batch.obs), len(batch.ret)
    for _ in range(s.n_critic_updates):
        order, size = shuffled(state, N), minibatch(s, N)
        for rows in (order[start : start + size] for start in range(0, N, size)):
            weights = batch.model.value_weights(state.value_theta)
            value = network.forward(batch.model.value, weights, inputs[rows])
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
    m_hat, v_hat = m / (1 - BETA_1**t), v / (1 - BETA_2**t)
    step = settings.learning_rate * m_hat / (np.sqrt(v_hat) + ADAM_EPSILON)
    return replace(state, value_theta=state.value_theta - step, adam_m=m, adam_v=v, adam_t=t)


def ridge(batch):
    """Ridge regression on phi = [x x^2 1], x being what the networks see:

    w = (mean phi phi' + critic_damping I)^-1 mean phi ret, as one Newton step from the present w.
    """
    s, value, w = batch.model.settings, batch.value, batch.state.value_theta
    blocks = preconditioner.value_blocks(value, batch.stream(rng.KFAC_CRITIC), s.critic_damping)
    residual = gradient.value_gradient(value, batch.ret) + s.critic_damping * w
    step = preconditioner.solve(blocks, value.network, residual)
    return replace(batch.state, value_theta=w - step if np.isfinite(step).all() else w)


CRITICS = {"kfac": kfac, "gauss_newton": gauss_newton, "adam": adam, "ridge": ridge}


def rescale(model, value_theta, factor):
    """value_theta with the last layer, bias included, times `factor`: V times `factor`."""
    K, M = model.value.sizes[-2:]
    scaled = value_theta.copy()
    scaled[-(K + 1) * M :] *= factor
    return scaled
