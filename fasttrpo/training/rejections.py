"""A warning if many updates in a row take no step: the likely cause, and the remedy.

One rejected update is normal; after ten in a row the run learns nothing. The cause is guessed from
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

IN_A_ROW = 10
LARGE = 1e6  # observations, values and standard deviations beyond are unlikely to be intended
REASONS = {
    "zero gradient": "the gradient is zero",
    "no curvature": "the gradient or the Fisher matrix is not finite, or zero along the step",
    "kl": "the KL of every trial step exceeds the trust region",
    "improvement": "no trial step improves the surrogate",
    "not finite": "trial steps lead to policies that are not finite",
}


class Scene(NamedTuple):
    """The data from which the cause is guessed."""

    record: Record  # of the last update
    settings: Settings
    largest_obs: float  # nan if unknown or normalised (clipped at 10)
    largest_value: float  # among the value network's parameters


class Rejections:
    """Counts updates without a step. Warns at the tenth in a row, once until a step is taken."""

    def __init__(self) -> None:
        self.in_a_row = 0

    def see(
        self,
        record: Record,
        settings: Settings,
        agent: Agent,
        observed: Callable[[], np.ndarray | None],
    ) -> None:
        """Called after each update. observed() returns observations (..., O); None: unknown."""
        self.in_a_row = self.in_a_row + 1 if record["outcome"] else 0
        if self.in_a_row != IN_A_ROW:
            return
        obs = None if settings.normalize_observations else observed()
        largest_obs = math.nan if obs is None else _largest(obs)
        scene = Scene(record, settings, largest_obs, _largest(agent.value_theta))
        warnings.warn(_text(scene), UserWarning, stacklevel=2)


def _text(scene: Scene) -> str:
    record = scene.record
    reason = REASONS.get(record["rejected"], record["rejected"])
    cause = next(filter(None, (cause(scene) for cause in _CAUSES)))
    return (
        f"{IN_A_ROW} updates in a row, the last of them update {record['iteration']}, took no step "
        f"(rejected: {record['rejected']!r}): {reason}. {cause}"
    )


def _largest(values: np.ndarray) -> float:
    """The largest magnitude of the finite values."""
    return float(np.max(np.abs(values), where=np.isfinite(values), initial=0.0))


# -- causes: a sentence with the remedy, or "" if the cause is another -----------------------------


def _observations(scene: Scene) -> str:
    if not scene.largest_obs > LARGE:
        return ""
    return (
        f"Observations are as large as {scene.largest_obs:.1e}: pass normalize_observations=True, "
        "or scale them in the environment."
    )


def _critic(scene: Scene) -> str:
    loss = scene.record["value_loss"]
    if math.isfinite(loss) and loss <= LARGE**2 and scene.largest_value <= LARGE:
        return ""
    remedies = ["pass normalize_rewards=True", "scale the rewards in the environment"]
    if "learning_rate" in CRITICS[scene.settings.critic].settings:
        remedies.append("lower learning_rate")
    if not scene.settings.normalize_observations:
        remedies.append("pass normalize_observations=True if they are large at times")
    return (
        f"The value function has a loss of {loss:.1e} and parameters as large as "
        f"{scene.largest_value:.1e}, so it has diverged or the returns are huge: "
        f"{', or '.join(remedies)}."
    )


def _std(scene: Scene) -> str:
    std = scene.record["std"]
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


def _equal_advantages(scene: Scene) -> str:
    if scene.record["rejected"] != "zero gradient":
        return ""
    return (
        "All advantages are equal, or no other action can be chosen: check whether rewards are "
        "constant, whether they depend on the actions, and whether episodes reach any; larger "
        "n_steps may find more of them."
    )


def _no_curvature(scene: Scene) -> str:
    if scene.record["rejected"] != "no curvature":
        return ""
    if not math.isfinite(scene.record["grad_norm"]):
        return (
            "The gradient is not finite: check for huge rewards or observations "
            "(normalize_rewards=True, normalize_observations=True)."
        )
    return (
        "Either observations are huge at times (normalize_observations=True), or the policy has "
        "become deterministic (ent_coef > 0 prevents that), or damping is too small "
        f"(cg_damping is {scene.record['cg_damping']:.1e})."
    )


def _too_far(scene: Scene) -> str:
    if scene.record["rejected"] not in ("kl", "not finite"):
        return ""
    record, settings = scene.record, scene.settings
    plain = ", preconditioner=None" if settings.preconditioner == "kfac" else ""
    return (
        f"The last trial's KL is {record['kl_tried']:.1e}, target_kl {record['target_kl']:.1e}: "
        f"steps are too long for cg_damping={record['cg_damping']:.1e}. Pass a larger one, "
        f"adaptive_damping=True{plain}, or line_search_max_iter above "
        f"{settings.line_search_max_iter}."
    )


def _no_gain(scene: Scene) -> str:
    record, rows = scene.record, scene.record["n_samples"]
    if abs(record["surr_gain_tried"]) < 1e-6 and scene.settings.dtype == "float32":
        return (
            f"The last trial changes the surrogate by {record['surr_gain_tried']:.1e}, which is "
            f"rounding error: pass dtype='float64', or a target_kl above {record['target_kl']:.1e}."
        )
    return (
        f"The gradient of {rows} samples is mostly noise, or the policy is already optimal: "
        "pass larger n_steps, or ent_coef > 0 if the policy has become deterministic "
        f"(its entropy is {record['entropy']:.2g})."
    )


_CAUSES: tuple[Callable[[Scene], str], ...] = (
    _observations,
    _critic,
    _std,
    _equal_advantages,
    _no_curvature,
    _too_far,
    _no_gain,
)
