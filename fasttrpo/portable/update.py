"""One TRPO iteration (Schulman, Levine, Moritz, Jordan, Abbeel: "Trust Region Policy
Optimization", ICML 2015), in the order of the theory.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from . import advantages, cg, critic, features, gradient, line_search, normalizer
from .work import Batch

OK, REJECTED, ZERO_GRADIENT, NO_CURVATURE = range(4)  # outcomes


def update(rollout, state):
    """The state after one iteration on the rollout's rows, and the iteration's record (a dict)."""
    samples = advantages.estimate(rollout, state)
    batch = make_batch(rollout.model, state, samples)
    step, of_policy = improve_policy(batch)
    fitted, of_critic = fit_critic(batch, samples)
    state = merge_statistics(replace(fitted, theta=step.theta), samples, rollout)
    return replace(state, n_updates=state.n_updates + 1), of_policy | of_critic


def improve_policy(batch):
    """gradient, solve, step size, line search: the Step, and its part of the record."""
    outcome, beta = OK, 0.0
    step, solution = line_search.stay(batch), cg.nothing(batch.state.theta)

    grad = gradient.surrogate_gradient(batch)
    if grad @ grad == 0:
        outcome = ZERO_GRADIENT
    else:
        solution = cg.solve_policy(grad, batch)
        if not (solution.curvature > 0 and np.isfinite(solution.curvature)):
            outcome = NO_CURVATURE
        else:
            beta = line_search.step_size(solution.curvature, batch.model.settings.target_kl)
            step = line_search.search(batch, solution.x, beta)
            outcome = OK if step.accepted else REJECTED
    return step, policy_record(outcome, batch, grad, solution, beta, step)


def policy_record(outcome, batch, grad, solution, beta, step):
    """What happened to the policy. kl_predicted is undamped: beta^2/2 (x'Hx - damping x'x)."""
    x, damping = solution.x, batch.model.settings.cg_damping
    return {
        "outcome": outcome,
        "n_samples": len(batch.obs),
        "surr_gain": step.surr_gain,
        "surr_gain_predicted": beta * float(grad @ x),
        "kl": step.kl,
        "kl_predicted": 0.5 * beta**2 * (solution.curvature - damping * float(x @ x)),
        "entropy": step.entropy,
        "grad_norm": float(np.linalg.norm(grad)),
        "step_norm": float(np.linalg.norm(step.theta - batch.state.theta)),
        "curvature": solution.curvature,
        "cg_steps": solution.cg_steps,
        "cg_residual": solution.cg_residual,
        "line_search_steps": step.trials,
    }


def fit_critic(batch, samples):
    """The state with the critic fitted, and its part of the record."""
    before = critic.loss(batch.value, batch.ret)
    state, after = critic.fit(batch)
    variance = np.var(samples.ret)
    explained = 1.0 - np.var(samples.ret - samples.val) / variance if variance > 0 else np.nan
    return state, {
        "explained_variance": float(explained),
        "value_loss_before": before,
        "value_loss": after,
    }


def make_batch(model, state, samples):
    """The samples with both networks' passes; observations as they were acted on."""
    obs = features.see(samples.raw, state, model.settings)
    return Batch(model, state, obs, samples.act, samples.adv, samples.ret, samples.logp)


def merge_statistics(state, samples, rollout):
    """The state whose normalisers have seen this rollout; V keeps its meaning in raw rewards."""
    s = rollout.model.settings
    if s.normalize_observations:
        state = replace(state, observations=state.observations.merge(samples.raw))
    if s.normalize_rewards:
        returns, running = normalizer.rollout_returns(rollout, state.rew_running)
        rewards = state.rewards.merge(returns)
        factor = normalizer.reward_scale(rewards) / normalizer.reward_scale(state.rewards)
        value_theta = critic.rescale(rollout.model, state.value_theta, factor)
        state = replace(state, rewards=rewards, value_theta=value_theta, rew_running=running)
    return state
