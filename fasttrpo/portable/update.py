"""One iteration of Trust Region Policy Optimization (Schulman et al. 2015), stage by stage."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np

from ..checks import arrays
from . import advantages, cg, critic, features, gradient, line_search, normalizer
from .work import Batch

OK, REJECTED, ZERO_GRADIENT, NO_CURVATURE = range(4)  # outcomes
NO_TRIAL = {ZERO_GRADIENT: "zero gradient", NO_CURVATURE: "no curvature"}
STAGES = ("advantages", "gradient", "solve", "line_search", "critic")


class Stopwatch:
    """seconds: {stage: the time that `lap` has added to it}."""

    def __init__(self):
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.started = perf_counter()

    def lap(self, stage):
        """Add the time since the last call to a stage."""
        now = perf_counter()
        self.seconds[stage] += now - self.started
        self.started = now


def update(rollout, state):
    """The state after one iteration on the rollout's rows, and its record (a dict)."""
    watch = Stopwatch()
    samples = advantages.estimate(rollout, state)
    batch = make_batch(rollout.model, state, samples)
    watch.lap("advantages")
    step, policy_part = improve_policy(batch, watch)
    fitted, critic_part = fit_critic(batch, samples)
    state = merge_statistics(replace(fitted, theta=step.theta), samples, rollout)
    watch.lap("critic")
    scale = adapt_damping(state, policy_part, rollout.model.settings)
    record = policy_part | critic_part | {"seconds": watch.seconds}
    return replace(state, n_updates=state.n_updates + 1, damping_scale=scale), record


def adapt_damping(state, record, settings):
    """damping_scale after an update, by Levenberg and Marquardt's rule (Martens 2010, sec. 4.1):

    ratio = gain / predicted gain (0 if no step was taken):  < 1/4  times 3/2;  > 3/4  times 2/3

    A zero gradient leaves it unchanged.
    """
    scale, predicted = state.damping_scale, record["surr_gain_predicted"]
    if not settings.adaptive_damping or record["outcome"] == ZERO_GRADIENT:
        return scale
    ratio = record["surr_gain"] / predicted if predicted > 0 else 0.0
    if ratio < 0.25:
        scale *= 1.5
    if ratio > 0.75:
        scale /= 1.5
    return min(max(scale, arrays.LEAST_SCALE), arrays.LARGEST_SCALE)


def improve_policy(batch, watch):
    """Gradient, solve, step size, line search: the Step, and its part of the record."""
    outcome, beta, solution = OK, 0.0, cg.zero_solution(batch.state.theta)

    grad = gradient.surrogate_gradient(batch)
    watch.lap("gradient")
    if grad @ grad == 0:
        outcome = ZERO_GRADIENT
    else:
        solution = cg.solve_policy(grad, batch)
        watch.lap("solve")
        if not (solution.curvature > 0 and np.isfinite(solution.curvature)):
            outcome = NO_CURVATURE
    if outcome == OK:
        beta = line_search.step_size(solution.curvature, batch.model.settings.target_kl)
        step = line_search.search(batch, solution.x, beta)
        outcome = REJECTED if step.rejected else OK
    else:
        step = line_search.no_step(batch, NO_TRIAL[outcome])
    watch.lap("line_search")
    return step, policy_record(outcome, batch, grad, solution, beta, step)


def policy_record(outcome, batch, grad, solution, beta, step):
    """The policy's part of the record. kl_predicted is undamped: beta^2/2 (x'Hx - damping x'x)."""
    model, x, damping = batch.model, solution.x, batch.damping
    std = np.exp(model.extra(step.theta)) if model.n_log_std else [np.nan]
    return {
        "outcome": outcome,
        "rejected": step.rejected,
        "n_samples": len(batch.obs),
        "surr_gain": 0.0 if step.rejected else step.surr_gain,
        "surr_gain_predicted": beta * float(grad @ x),
        "surr_gain_tried": step.surr_gain,
        "kl": 0.0 if step.rejected else step.kl,
        "kl_predicted": 0.5 * beta * beta * (solution.curvature - damping * float(x @ x)),
        "kl_tried": step.kl,
        "target_kl": model.settings.target_kl,
        "entropy": step.entropy,
        "std": float(np.mean(std)),
        "grad_norm": float(np.linalg.norm(grad)),
        "step_norm": float(np.linalg.norm(step.theta - batch.state.theta)),
        "curvature": solution.curvature,
        "cg_damping": damping,
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
    """The samples as a batch, with the network inputs that were acted on."""
    obs = features.make_inputs(samples.raw, state, model.settings)
    known = samples.act, samples.adv, samples.ret, samples.logp, samples.mask
    return Batch(model, state, obs, *known)


def merge_statistics(state, samples, rollout):
    """The state with this rollout's statistics merged; V in raw reward units is unchanged."""
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
