"""Warns if many consecutive updates take no step, with the likely cause and its remedy.

One rejected update is normal; after ten in succession, the run is stuck. The cause is guessed from
the last record and the networks' inputs: the first of `_CAUSES` that applies.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fasttrpo.protocols import Agent, Record
from fasttrpo.settings import Settings
from fasttrpo.settings.critics import CRITICS

N_REJECTED = 10
LARGE = 1e6  # larger observations, values and standard deviations are hardly intended
REASONS = {
    "zero gradient": "the gradient is zero",
    "no curvature": "the gradient or the Fisher matrix is not finite, or zero along the step",
    "kl": "the KL of every trial step exceeds the trust region",
    "improvement": "no trial step improves the surrogate",
    "not finite": "trial steps lead to policies that are not finite",
}


class Evidence(NamedTuple):
    """The data from which the cause is guessed."""

    record: Record  # of the last update
    settings: Settings
    largest_obs: float  # nan if unknown or normalised (clipped at 10)
    largest_value: float  # among the value network's parameters


class Rejections:
    """Counts consecutive updates without a step, and warns once, at the tenth."""

    def __init__(self) -> None:
        self.n_rejected = 0

    def check(
        self,
        record: Record,
        settings: Settings,
        agent: Agent,
        get_obs: Callable[[], np.ndarray | None],
    ) -> None:
        """Called after each update. get_obs() returns observations (..., O), or None if unknown."""
        self.n_rejected = self.n_rejected + 1 if record["outcome"] else 0
        if self.n_rejected != N_REJECTED:
            return
        obs = None if settings.normalize_observations else get_obs()
        largest_obs = math.nan if obs is None else _largest(obs)
        evidence = Evidence(record, settings, largest_obs, _largest(agent.value_theta))
        warnings.warn(_text(evidence), UserWarning, stacklevel=2)


def _text(evidence: Evidence) -> str:
    record = evidence.record
    reason = REASONS.get(record["rejected"], record["rejected"])
    cause = next(filter(None, (cause(evidence) for cause in _CAUSES)))
    return (
        f"{N_REJECTED} updates in a row, up to update {record['iteration']}, took no step "
        f"(rejected: {record['rejected']!r}): {reason}. {cause}"
    )


def _largest(values: np.ndarray) -> float:
    """The largest magnitude of the finite values."""
    return float(np.max(np.abs(values), where=np.isfinite(values), initial=0.0))


# -- causes: a sentence with the remedy, or "" if this is not the cause ---------------------------


def _observations(evidence: Evidence) -> str:
    if not evidence.largest_obs > LARGE:
        return ""
    return (
        f"Observations are as large as {evidence.largest_obs:.1e}: pass "
        "normalize_observations=True, or scale them in the environment."
    )


def _critic(evidence: Evidence) -> str:
    loss = evidence.record["value_loss"]
    if math.isfinite(loss) and loss <= LARGE**2 and evidence.largest_value <= LARGE:
        return ""
    remedies = ["pass normalize_rewards=True", "scale the rewards in the environment"]
    if "learning_rate" in CRITICS[evidence.settings.critic].settings:
        remedies.append("lower learning_rate")
    if not evidence.settings.normalize_observations:
        remedies.append("pass normalize_observations=True if they are sometimes large")
    return (
        f"The value function has a loss of {loss:.1e} and parameters as large as "
        f"{evidence.largest_value:.1e}, so it has diverged or the returns are huge: "
        f"{', or '.join(remedies)}."
    )


def _std(evidence: Evidence) -> str:
    std = evidence.record["std"]
    if std > LARGE:
        return (
            f"The policy's standard deviation has grown to {std:.1e}: bound it by "
            "policy_kwargs=dict(log_std_max=1), or lower ent_coef or target_kl."
        )
    if std < 1 / LARGE:
        return (
            f"The policy's standard deviation has fallen to {std:.1e}: bound it by "
            "policy_kwargs=dict(log_std_min=-3), or pass ent_coef > 0."
        )
    return ""


def _equal_advantages(evidence: Evidence) -> str:
    if evidence.record["rejected"] != "zero gradient":
        return ""
    return (
        "All advantages are equal, or only one action can be chosen: check whether rewards vary, "
        "whether they depend on the actions, and whether episodes reach any; larger n_steps may "
        "reach more of them."
    )


def _no_curvature(evidence: Evidence) -> str:
    if evidence.record["rejected"] != "no curvature":
        return ""
    if not math.isfinite(evidence.record["grad_norm"]):
        return (
            "The gradient is not finite: check for huge rewards or observations "
            "(normalize_rewards=True, normalize_observations=True)."
        )
    return (
        "Observations are sometimes huge (normalize_observations=True), or the policy has become "
        "deterministic (ent_coef > 0 prevents that), or damping is too small "
        f"(cg_damping is {evidence.record['cg_damping']:.1e})."
    )


def _too_far(evidence: Evidence) -> str:
    if evidence.record["rejected"] not in ("kl", "not finite"):
        return ""
    record, settings = evidence.record, evidence.settings
    plain = ", preconditioner=None" if settings.preconditioner == "kfac" else ""
    return (
        f"The last trial's KL is {record['kl_tried']:.1e}, target_kl {record['target_kl']:.1e}: "
        f"steps are too long for cg_damping={record['cg_damping']:.1e}. Pass a larger one, "
        f"adaptive_damping=True{plain}, or line_search_max_iter above "
        f"{settings.line_search_max_iter}."
    )


def _no_gain(evidence: Evidence) -> str:
    record, rows = evidence.record, evidence.record["n_samples"]
    if abs(record["surr_gain_tried"]) < 1e-6 and evidence.settings.dtype == "float32":
        return (
            f"The last trial changes the surrogate by {record['surr_gain_tried']:.1e}, which is "
            f"rounding error: pass dtype='float64', or a target_kl above {record['target_kl']:.1e}."
        )
    return (
        f"The gradient of {rows} samples is mostly noise, or the policy is already optimal: "
        "pass larger n_steps, or ent_coef > 0 if the policy has become deterministic "
        f"(its entropy is {record['entropy']:.2g})."
    )


_CAUSES: tuple[Callable[[Evidence], str], ...] = (
    _observations,
    _critic,
    _std,
    _equal_advantages,
    _no_curvature,
    _too_far,
    _no_gain,
)
